"""A relay before a real daemon's socket that changes what the daemon says: a man in the middle."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

#: What becomes of some bytes of the daemon's; with None, nothing more goes through, and b"" keeps only these.
Meddle = Callable[[bytes], bytes | None]


def honest(data: bytes) -> bytes:
    return data


class Relay:
    """Listens at `path` and talks to the unix socket `target`. `meddle` may be changed at any time."""

    def __init__(self, path: Path, target: Path) -> None:
        self.path = path
        self.meddle: Meddle = honest
        self._target = target
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(self.path))
        listening.listen(16)
        self._sockets.append(listening)
        self._start(self._accept, listening)
        return self

    def __exit__(self, *exc: object) -> None:
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:  # first the one that accepts: after it, all others are among them
            thread.join(60)
        for sock in self._sockets:
            sock.close()

    def _start(self, function: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=function, args=arguments, name="relay", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                daemon = socket.socket(socket.AF_UNIX)
                self._sockets += [client, daemon]
                daemon.connect(str(self._target))
                self._start(self._copy, client, daemon, honest)
                self._start(self._copy, daemon, client, lambda data: self.meddle(data))

    def _copy(self, source: socket.socket, sink: socket.socket, meddle: Meddle) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 20):
                told = meddle(data)
                if told is None:
                    break
                sink.sendall(told)
            for end in (sink, source):
                end.shutdown(socket.SHUT_RDWR)
