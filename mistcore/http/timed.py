"""An end to the reading of an answer, however slowly it trickles in. For any connection, and without `requests`."""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any

from mistcore.deadline import current_deadline, remaining

__all__ = ["TimedReader", "TimedResponse"]

_CHUNK = 128 * 1024
#: A cancelled deadline is noticed within this many seconds.
_SLICE = 0.5


class TimedReader(io.RawIOBase):
    """Reads a socket so that a whole answer, headers and body, ends in time however slowly it trickles in.

    How long it may take is the socket's timeout when the reading begins; a deadline that is nearer, or cancelled, ends
    it too.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        self._wait = seconds = sock.gettimeout()
        self._end = None if seconds is None else time.monotonic() + seconds

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what has arrived, or wait for it. Raises `TimeoutError`, and `Unreachable` past the deadline."""
        while True:
            wait = _SLICE if self._end is None else min(_SLICE, self._end - time.monotonic())
            if wait <= 0:
                raise TimeoutError("timed out")
            if current_deadline() is not None:
                wait = remaining(wait)
            if wait != self._wait:  # to set it is a system call, after which other threads go first
                self._wait = wait
                self._sock.settimeout(max(wait, 0.001))
            try:
                return self._sock.recv_into(buffer)
            except TimeoutError:
                continue

    def close(self) -> None:
        """Let go of the socket."""
        if not self.closed:
            super().close()
            self._raw.close()


class TimedResponse(http.client.HTTPResponse):
    """An answer that is read by a `TimedReader`: what `response_class` of a connection is set to."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(TimedReader(self.fp.detach(), sock), _CHUNK)
