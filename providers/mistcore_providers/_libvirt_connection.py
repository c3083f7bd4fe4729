"""One connection to a libvirt daemon, kept open between calls and opened again when it breaks."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakSet

import attrs

from mistcore import Unreachable
from mistcore_providers._libvirt_calls import binding, bounded
from mistcore_providers._libvirt_errors import is_broken, is_denied
from mistcore_providers._libvirt_hangup import hang_up
from mistcore_providers._libvirt_target import Target

__all__ = ["Connection"]

R = TypeVar("R")

_CLOSE_SECONDS = 2.0
#: So many calls may be stuck in libvirt at once before no more are made: each one holds a thread and a socket.
_STUCK_AT_MOST = 8
#: So often, and so many seconds apart, a call that is over its time is hung up on until it has come back: before the
#: error is raised, and afterwards, since on a busy machine its thread may be on its way into a wait, or out of one.
_HANG_UPS, _BETWEEN = 4, 0.05
_LATER, _BETWEEN_LATER = 60, 0.5
_open_ones: WeakSet[Connection] = WeakSet()


@attrs.define(eq=False)
class _Call:
    """A call into libvirt; `raw` is the connection that it is made on, None while that is being opened."""

    raw: Any
    thread: int = 0
    stuck: bool = False
    ended: threading.Event = attrs.field(factory=threading.Event)


@attrs.define(eq=False)
class Connection:
    """A connection that is opened when it is needed.

    Attributes:
        target: where to, and with what.
        read_only: whether the daemon let us in for reading only; known once the connection is open.

    """

    target: Target
    read_only: bool = attrs.field(default=False, init=False)
    _raw: Any = attrs.field(default=None, init=False, repr=False)
    _pid: int = attrs.field(default=0, init=False, repr=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)
    _calls: set[_Call] = attrs.field(factory=set, init=False, repr=False)

    def read(self, function: Callable[[Any], R], seconds: float) -> R:
        """Return what the function makes of the connection; called once more when that shows it to be broken."""
        raw, fresh = self._open(seconds)
        try:
            return self._bounded(lambda: function(raw), seconds, raw)
        except Exception as error:
            if not is_broken(error, raw):
                raise
            self._drop(raw)
            if fresh:
                raise
        raw, _ = self._open(seconds)
        return self._bounded(lambda: function(raw), seconds, raw)

    def write(self, function: Callable[[Any], R], seconds: float, *, limit: float | None = None) -> R:
        """Return what the function makes of the connection, which is known to work; called once, whatever happens.

        Args:
            seconds: for finding that out. limit: seconds for the function, where it takes longer.

        """
        self.read(lambda raw: raw.getLibVersion(), seconds)
        raw, _ = self._open(seconds)
        try:
            return self._bounded(lambda: function(raw), limit or seconds, raw)
        except Exception as error:
            if is_broken(error, raw):
                self._drop(raw)
            raise

    def close(self) -> None:
        """Close it, if it is open, without waiting for long: a dead peer answers no goodbye."""
        if self._pid != os.getpid():
            self.let_go()
        held, self._raw = [self._raw], None
        with contextlib.suppress(Unreachable):
            bounded(held.clear, _CLOSE_SECONDS)

    def let_go(self) -> None:
        """Forget the connection without saying goodbye to the daemon, which could wait for an answer for ever."""
        raw, self._raw = self._raw, None
        if raw is not None:
            raw._o = None

    def _open(self, seconds: float) -> tuple[Any, bool]:
        """Return the open connection, and whether it was opened just now."""
        if not self._lock.acquire(timeout=seconds):
            raise Unreachable("another call is still waiting for the connection", reason="timeout")
        try:
            if self._raw is not None and self._pid != os.getpid():
                self.let_go()  # this is a forked child, and the connection is its parent's
            if self._raw is not None:
                return self._raw, False
            self._raw, self.read_only = self._bounded(lambda: self._connect(seconds), seconds, None)
            self._pid = os.getpid()
            _open_ones.add(self)
            return self._raw, True
        finally:
            self._lock.release()

    def _connect(self, seconds: float) -> tuple[Any, bool]:
        """Open a connection for writing, or for reading where that is all that the daemon allows."""
        libvirt = binding()
        with self.target.prepared(seconds) as (uri, auth):
            try:
                return libvirt.openAuth(uri, auth, 0), False
            except libvirt.libvirtError as error:
                if not is_denied(error):
                    raise
                denied = error
            try:
                return libvirt.openAuth(uri, auth, libvirt.VIR_CONNECT_RO), True
            except libvirt.libvirtError:
                raise denied from None

    def _bounded(self, function: Callable[[], R], seconds: float, raw: Any) -> R:
        stuck = sum(call.stuck for call in list(self._calls))
        if stuck >= _STUCK_AT_MOST:
            raise Unreachable(
                f"{stuck} earlier calls to libvirt have not come back",
                reason="timeout",
                remedy="See whether the host and its libvirt daemon are well.",
            )
        call = _Call(raw)
        self._calls.add(call)

        def tracked() -> R:
            call.thread = threading.get_native_id()
            try:
                if call.stuck:
                    raise TimeoutError  # given up before its thread had its turn: nobody waits for it
                return function()
            finally:
                call.ended.set()
                self._calls.discard(call)

        def abandoned() -> None:
            call.stuck = True
            if raw is not None:
                self._drop(raw)
            if not self._hang_up(call, _HANG_UPS, _BETWEEN):
                hanging_up = [call, _LATER, _BETWEEN_LATER]
                threading.Thread(target=self._hang_up, args=hanging_up, name="mistcore-libvirt", daemon=True).start()

        return bounded(tracked, seconds, abandoned=abandoned)

    def _hang_up(self, call: _Call, times: int, between: float) -> bool:
        """End a call that is over its time by closing what it waits for, unless that serves another call as well.

        Return whether that is done, or for the other call to do.
        """
        for _ in range(times):
            others = [each for each in list(self._calls) if call.raw is not None and each.raw is call.raw]
            if not all(each.stuck for each in others):
                return True
            for each in {call, *others}:
                if not each.ended.is_set():
                    hang_up(each.thread)
            if call.ended.wait(between):
                return True
        return False

    def _drop(self, raw: Any) -> None:
        """Forget this connection.

        libvirt closes it when the last call that uses it has come back and the last reference is gone. Closing it while
        another thread is in a call on it would free memory that this call still needs.
        """
        if self._raw is raw:
            self._raw = None


def _let_go_of_all() -> None:
    """End the program without a goodbye to daemons: the sockets close by themselves."""
    for connection in list(_open_ones):
        connection.let_go()


atexit.register(_let_go_of_all)
