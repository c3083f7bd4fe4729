"""A server that says whatever bytes it is told to, however wrong."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Self


class RawServer:
    """Reads one request a connection (up to the end of its headers) and lets `answer` talk to the socket.

    `requests` holds what was read; `answer` gets the socket and the number of the connection, from 0.
    """

    def __init__(self, answer: Callable[[socket.socket, int], object]) -> None:
        self._answer = answer
        self.requests: list[bytes] = []

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            data = b""
            try:
                while b"\r\n\r\n" not in data and (part := connection.recv(65536)):
                    data += part
                self.requests.append(data)
                self._answer(connection, len(self.requests) - 1)
            except OSError:
                pass  # the client has had enough


def saying(*parts: bytes) -> Callable[[socket.socket, int], object]:
    """Return an answer of these bytes, the same on every connection."""
    return lambda connection, number: connection.sendall(b"".join(parts))


def trickling(parts: Iterable[bytes], pause: float) -> Callable[[socket.socket, int], object]:
    """Return an answer that sends one part after the other with pauses between them."""

    def answer(connection: socket.socket, number: int) -> None:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)

    return answer
