"""Asking a backend in somebody else's pool: threads here, or processes that may be on other machines.

What goes to another process is where the store is and the id of the backend, never a credential: it reads the store
itself, and resolves references itself. What comes back is the answer, or the error as a value, so that no pool writes
it to a log of its own.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from mistcore.errors import BackendNotFound, MistError

if TYPE_CHECKING:
    from mistcore.backend import Backend
    from mistcore.manager import BackendManager

__all__ = ["Outcome", "Parcel", "ask_backend", "reopen"]

T = TypeVar("T")

_managers: dict[tuple[int, str], BackendManager] = {}
_lock = threading.Lock()


@attrs.frozen
class Outcome(Generic[T]):
    """What came of asking a backend in a pool. `afar` tells that it was another process that asked."""

    value: T | None
    error: MistError | None
    seconds: float
    afar: bool

    def __reduce__(self) -> tuple[Any, ...]:
        # Without the errors behind the error. Dask pickles these too, and another library's need not survive that.
        return _arrived, (self.value, self.error and self.error.__reduce__(), self.seconds, self.afar)


def _arrived(value: Any, error: tuple[Any, ...] | None, seconds: float, afar: bool) -> Outcome[Any]:
    return Outcome(value, error[0](*error[1]) if error else None, seconds, afar)


class Parcel:
    """A backend for somebody else's pool: itself in this process, its place in the store in every other."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def __reduce__(self) -> tuple[Any, ...]:
        return FarParcel, self._backend.address()

    def open(self) -> Backend:
        """Return the backend."""
        return self._backend

    afar = False


class FarParcel:
    """What becomes of a `Parcel` in another process. The store is opened where the work is done, not on the way."""

    def __init__(self, location: str, id: str) -> None:
        self._address = location, id

    def __reduce__(self) -> tuple[Any, ...]:
        return FarParcel, self._address

    def open(self) -> Backend:
        """Return the backend, from the store as this process finds it."""
        return reopen(*self._address)

    afar = True


def ask_backend(parcel: Parcel | FarParcel, ask: Callable[[Backend, float], T], seconds: float) -> Outcome[T]:
    """Ask a backend and return what came of it. What a pool is handed."""
    began = time.monotonic()
    value, error = None, None
    try:
        value = ask(parcel.open(), seconds)
    except MistError as caught:
        error = caught
    return Outcome(value, error, time.monotonic() - began, parcel.afar)


def reopen(location: str, id: str) -> Backend:
    """Return the backend with this id from the store at a location. All of one store share a manager, and so sessions.

    Raises:
        BackendNotFound: the store, as this process finds it, has none with that id. StoreError: it cannot be read.

    """
    from mistcore.manager import BackendManager

    with _lock:
        manager = _managers.get((os.getpid(), location))
        if manager is None:
            manager = _managers[os.getpid(), location] = BackendManager(location)
    try:
        return manager.backend(id)
    except BackendNotFound as error:
        raise BackendNotFound(
            f"there is no backend {id} in {location} as a process of the pool on {platform.node()} finds it",
            remedy="Was it removed meanwhile? Every process must reach the same store at the same location.",
            reason="elsewhere",
        ) from error
