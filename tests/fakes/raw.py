"""A web server that says whatever bytes it is told to, however wrong."""

from __future__ import annotations

from mistcore.testing.wire import Talk, WireServer, after, saying, trickling

#: How an answer of JSON begins; its length, an empty line and its body are still to come.
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"


class RawServer(WireServer):
    """Reads one request a connection, up to the end of its headers, before it talks; `requests` holds what was read."""

    def __init__(self, talk: Talk) -> None:
        super().__init__(after(b"\r\n\r\n", talk))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[bytes]:
        return [bytes(line.received) for line in self.lines]


def endless(begin: bytes, more: bytes) -> Talk:
    return saying(begin, then=trickling(more, 0.1))
