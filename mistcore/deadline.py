"""How long an operation may take: a deadline that everything below it respects.

A caller opens one (`with deadline(30): …`); whoever is about to wait for the network asks `remaining()` how long that
may last. It travels in a context variable, so it needs no argument on the way and is per thread and per task.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from mistcore.errors import Unreachable

__all__ = ["Deadline", "current_deadline", "deadline", "remaining", "sleep"]

#: A sleeper looks this often, in seconds, whether its deadline was cancelled.
_LOOK = 0.5


class Deadline:
    """A moment after which an operation gives up. `cancel()` moves it to now, from any thread."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def cancel(self) -> None:
        """Make everything that respects this deadline give up at its next step."""
        self._end = float("-inf")

    def remaining(self) -> float:
        """Return the seconds left; zero or less when it has passed."""
        return self._end - time.monotonic()


_current: ContextVar[Deadline | None] = ContextVar("mistcore_deadline", default=None)


def current_deadline() -> Deadline | None:
    """Return the deadline in force here, or None."""
    return _current.get()


@contextmanager
def deadline(seconds: float | Deadline) -> Iterator[Deadline]:
    """Put a deadline over the block. Within an outer one that ends earlier, the outer one stays in force."""
    new = seconds if isinstance(seconds, Deadline) else Deadline(seconds)
    outer = _current.get()
    inner = outer if outer is not None and outer.remaining() < new.remaining() else new
    token = _current.set(inner)
    try:
        yield inner
    finally:
        _current.reset(token)


def remaining(limit: float) -> float:
    """Return how many seconds the next wait may last: `limit`, or less when the deadline in force is nearer.

    Raises:
        Unreachable: (reason "timeout") the deadline has passed already.

    """
    current = _current.get()
    if current is None:
        return limit
    left = current.remaining()
    if left <= 0:
        raise Unreachable("no answer within the time allowed", reason="timeout", remedy="Allow more time.")
    return min(limit, left)


def sleep(seconds: float) -> None:
    """Wait so long, but not past the deadline in force; one that is cancelled meanwhile is noticed soon.

    Raises:
        Unreachable: (reason "timeout") the deadline has passed.

    """
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(remaining(min(left, _LOOK)))
