"""Tokens that are asked for when they are needed, kept in memory, and renewed before they end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mistcore import Unreachable

if TYPE_CHECKING:
    from requests.auth import AuthBase

#: A token with fewer seconds left than this is not used any more: the clocks may differ, and a request takes time.
_SOON = 300.0


class Tokens:
    """Hands out a token that is good for some minutes more, from memory or by asking. For any number of threads.

    A subclass says how to ask. Each account has one of its own, so that no token ever serves another account.
    """

    def __init__(self, timeout: Callable[[], float]) -> None:
        self._timeout = timeout
        self._lock = threading.Lock()
        self._token, self._good_until = "", 0.0
        #: Where the tokens come from, in words.
        self.source = ""

    def ask(self) -> tuple[str, float]:
        """Return a new token, and how many seconds it is good for. Called by one thread at a time."""
        raise NotImplementedError

    def get(self) -> str:
        """Return a token. Raises what `ask` raises, and `Unreachable` when another thread asks for too long."""
        if not self._lock.acquire(timeout=self._timeout()):
            raise Unreachable("no token within the time allowed", reason="timeout")
        try:
            if time.time() >= self._good_until - _SOON:
                self._token, seconds = self.ask()
                self._good_until = time.time() + seconds
            return self._token
        finally:
            self._lock.release()

    def forget(self) -> None:
        """Drop the token, since it was refused; the next request asks for another."""
        with self._lock:
            self._token, self._good_until = "", 0.0

    def close(self) -> None:
        """Forget the token, and close the connections that it came by, if any are kept."""
        self.forget()

    def sign(self) -> AuthBase:
        """Return what puts the token into a request."""
        from requests.auth import AuthBase

        tokens = self

        class Bearer(AuthBase):
            def __call__(self, request: Any) -> Any:
                request.headers["Authorization"] = f"Bearer {tokens.get()}"
                return request

        return Bearer()
