"""A relay before a real server that can be cut, and that changes what the server says: a man in the middle."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from mistcore.testing.wire import Line, WireServer

#: What becomes of some bytes of the server's; with None, nothing more goes through, and b"" keeps only these.
Meddle = Callable[[bytes], bytes | None]


def honest(data: bytes) -> bytes:
    return data


def connect(line: Line, server: socket.socket, meddle: Meddle = honest) -> None:
    """Let a client and a server talk with each other until one of them goes."""
    back = threading.Thread(target=_copy, args=(server, line.socket, meddle), name="relay", daemon=True)
    back.start()
    _copy(line.socket, server, honest)
    back.join(60)


def _copy(source: socket.socket, sink: socket.socket, meddle: Meddle) -> None:
    with contextlib.suppress(OSError):
        while (data := source.recv(1 << 20)) and (told := meddle(data)) is not None:
            sink.sendall(told)
    for end in (sink, source):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


class Relay(WireServer):
    """Stands before the server at a port of the loopback, or at a unix socket. `meddle` may be changed at any time."""

    def __init__(self, target: int | Path, *, path: str | Path = "") -> None:
        super().__init__(self._relay, path=path)
        self.meddle: Meddle = honest
        self._target = target

    def cut(self) -> None:
        """Break every connection."""
        for line in self.lines:
            with contextlib.suppress(OSError):
                line.socket.shutdown(socket.SHUT_RDWR)

    def _relay(self, line: Line) -> None:
        with socket.socket(socket.AF_INET if isinstance(self._target, int) else socket.AF_UNIX) as server:
            server.connect(("127.0.0.1", self._target) if isinstance(self._target, int) else str(self._target))
            connect(line, server, lambda data: self.meddle(data))
