"""A hostile server for providers whose protocol is not HTTP: bytes over TCP, TLS or a unix socket, however wrong.

    @pytest.mark.parametrize("mischief", MISCHIEF)
    def test_a_hostile_server(mischief):
        with WireServer(MISCHIEF[mischief]) as wire, deadline(1), pytest.raises(Unreachable):
            Acme(host="127.0.0.1", port=wire.port, password="not for everybody").check()
        assert b"not for everybody" not in wire.received

What it does with a connection is a function that is called with a `Line`, each in a thread of its own; `MISCHIEF` has
the usual ones by name. `silent`, `saying`, `trickling`, `pouring` and `after` make others, and one that speaks the
protocol makes a stand-in of the service, for `WireSuite`.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

__all__ = ["MISCHIEF", "Line", "Talk", "WireServer", "after", "pouring", "saying", "silent", "trickling"]

_PART = 65536
#: Seconds that each thread has to see that its connection was shut down: for a busy machine.
_ENDING = 60.0
#: What TLS begins with.
_HANDSHAKE = b"\x16"
#: What is one and the same byte all over compresses, and may be a greeting; this is neither.
_NOISE = bytes(range(255, -1, -1)) * (_PART // 256)


class Line:
    """One connection, as the server sees it. Whatever the client sends is kept, also while the server talks.

    Attributes:
        number: how many connections there were before.
        received: all that the client has sent.
        socket: what is below, for what the methods cannot do.
    """

    def __init__(self, sock: socket.socket, number: int = 0) -> None:
        self.number = number
        self.received = bytearray()
        self.socket = sock

    def read(self, until: bytes = b"") -> bytes:
        """Wait for the client to send this, or anything, and return all it has sent; also when it has gone."""
        while until not in self.received or not self.received:
            part = self.socket.recv(_PART)
            if not part:
                break
            self.received += part
        return bytes(self.received)

    def send(self, data: bytes, pause: float = 0.0) -> None:
        """Send bytes, and take what comes until so many seconds later."""
        self.socket.sendall(data)
        end = time.monotonic() + pause
        while select.select([self.socket], [], [], max(end - time.monotonic(), 0))[0]:
            part = self.socket.recv(_PART)
            if not part:
                raise ConnectionResetError("the client has gone")
            self.received += part

    def wait(self) -> None:
        """Say nothing until the client goes, or the server stops."""
        while part := self.socket.recv(_PART):
            self.received += part


Talk = Callable[[Line], object]
"""What to do with a connection; it is closed afterwards."""


def silent(line: Line) -> None:
    """Take the connection, and never say anything."""
    line.wait()


def saying(data: bytes, *, then: Talk | None = None) -> Talk:
    """Say this, and hang up or go on as `then` does."""

    def talk(line: Line) -> None:
        line.send(data)
        if then is not None:
            then(line)

    return talk


def trickling(data: bytes, pause: float = 0.05) -> Talk:
    """Say this over and over, byte by byte with pauses between: always something, never enough."""

    def talk(line: Line) -> None:
        while True:
            for byte in data:
                line.send(bytes([byte]), pause)

    return talk


def pouring(first: bytes = b"", size: int = 200 << 20, filler: bytes = _NOISE) -> Talk:
    """Say `first`, and then so many bytes of filler: more than anybody should keep."""

    def talk(line: Line) -> None:
        line.send(first)
        for _ in range(size // len(filler)):
            line.send(filler)

    return talk


def after(request: bytes, talk: Talk) -> Talk:
    """Let the client speak first, up to this; b"" is anything at all."""

    def later(line: Line) -> None:
        line.read(request)
        talk(line)

    return later


MISCHIEF: Mapping[str, Talk] = {
    "says nothing": silent,
    "hangs up at once": lambda line: None,
    "hangs up on the first words": after(b"", lambda line: None),
    "says garbage": saying(_NOISE, then=silent),
    "says garbage and hangs up": after(b"", saying(_NOISE[:4096])),
    "trickles garbage": trickling(_NOISE),
    "pours garbage": pouring(),
    "is a web server": after(
        b"", saying(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    ),
}
"""What any client of any protocol may meet, by name: all of it ends in an error, within the deadline."""


class WireServer:
    """A server on a free loopback port, or at `path` a unix socket, from `with` to the end of the block.

    At the end every connection is closed, and all threads have ended.

    Attributes:
        port: the port's number.
        lines: the connections so far, each a `Line`.
    """

    def __init__(self, talk: Talk, *, tls: ssl.SSLContext | None = None, path: str | Path = "") -> None:
        self.talk = talk
        self.port = 0
        self.lines: list[Line] = []
        self._tls = tls
        self._path = str(path)
        self._lock = threading.Lock()
        self._ended = False
        self.sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    @property
    def received(self) -> bytes:
        """All that clients have sent, one connection after the other; what came inside of TLS is plain here.

        So is what came although there should be TLS first: it was told to whoever listens.
        """
        return b"".join(bytes(line.received) for line in self.lines)

    def __enter__(self) -> Self:
        if self._path:
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(self._path)
            listening.listen(64)
        else:
            listening = socket.create_server(("127.0.0.1", 0), backlog=64)
            self.port = listening.getsockname()[1]
        self._keep(listening)
        self._start(self._serve, listening)
        return self

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            self._ended = True
            for sock in self.sockets:
                with contextlib.suppress(OSError):
                    # Below TLS: that layer is in use in another thread, and would be gone under its hands.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:  # first the one that accepts: after it, all others are among them
            thread.join(_ENDING)
        for sock in self.sockets:
            sock.close()

    def _keep(self, sock: socket.socket) -> None:
        with self._lock:
            if self._ended:
                sock.close()
                raise ConnectionAbortedError("the server has stopped")
            self.sockets.append(sock)

    def _start(self, function: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=function, args=arguments, name="wire", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                self._keep(connection)
                self._start(self._one, connection)

    def _one(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if self._tls is not None and connection.recv(1, socket.MSG_PEEK) == _HANDSHAKE:
                connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                self._keep(connection)
                connection.do_handshake()
            with connection:
                with self._lock:
                    line = Line(connection, len(self.lines))
                    self.lines.append(line)
                self.talk(line)
