"""The connections to a service: one set for all sessions of the process that trust the same certificates.

A thousand accounts of one service need no thousand connections, TLS handshakes and pools; a connection carries no
credentials of its own. This module imports `requests`; a session imports it when it sends its first request.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

from mistcore.http.transport import Transport, tls_context

__all__ = ["Lease"]


class _Shared:
    """A set of connections, and how many sessions use it."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.users = 0


_open: dict[Any, _Shared] = {}
_lock = threading.RLock()  # the garbage collector, which gives back what was never closed, may run in whoever holds it


class Lease:
    """A session's share in the connections to an origin; they are closed when the last one has been given back."""

    def __init__(self, origin: str, *, verify: bool, ca_cert: str) -> None:
        context = tls_context(verify, ca_cert)
        key = origin, verify, context
        with _lock:
            shared = _open.get(key)
            if shared is None:
                shared = _open[key] = _Shared(Transport(verify=verify, context=context))
            shared.users += 1
        self.transport = shared.transport
        self._give_back = weakref.finalize(self, _give_back, key, shared)
        self._give_back.atexit = False

    def close(self) -> None:
        """Give it back."""
        self._give_back()


def _give_back(key: Any, shared: _Shared) -> None:
    with _lock:
        shared.users -= 1
        if shared.users:
            return
        if _open.get(key) is shared:
            del _open[key]
    shared.transport.close()


def _start_anew() -> None:
    """Forget the connections of the process that this one was forked from: two processes must not share sockets."""
    global _lock  # noqa: PLW0603 - it may be held by a thread that is not here
    _lock = threading.RLock()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
