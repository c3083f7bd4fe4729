"""Asking many backends at once: the threads, the clocks, and giving up on those that hang. `fleet.py` is its face."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Executor, Future
from typing import Generic, TypeVar

import attrs

from mistcore.backend import Backend
from mistcore.deadline import Deadline, deadline
from mistcore.errand import Outcome, Parcel, ask_backend
from mistcore.errors import InvalidFields, MistError, ProviderError, Unreachable
from mistcore.redaction import let_go

__all__ = ["Answer", "Asking", "Limits"]

T = TypeVar("T")
#: Seconds that a backend gets beyond its time to end by itself, before it is given up where it hangs.
_GRACE = 0.5
#: Seconds between two looks at the clocks of those being asked.
_TICK = 0.1


@attrs.frozen
class Limits:
    """How time may be spent: seconds for each backend and for the whole, and how many are asked at once."""

    timeout: float = 60.0
    deadline: float | None = None
    workers: int = 32
    executor: Executor | None = None

    def __attrs_post_init__(self) -> None:
        problems = {}
        if not self.timeout > 0:
            problems["timeout"] = "must be more than 0 seconds"
        if self.deadline is not None and not self.deadline > 0:
            problems["deadline"] = "must be more than 0 seconds"
        if self.workers < 1:
            problems["workers"] = "must be at least 1"
        if problems:
            raise InvalidFields(problems)


@attrs.frozen
class Answer(Generic[T]):
    """What came of asking one backend; `afar` tells that another process asked it."""

    backend: Backend
    value: T | None
    error: MistError | None
    seconds: float
    afar: bool = False


@attrs.define(eq=False)
class _Asked:
    backend: Backend
    deadline: Deadline
    began: float = attrs.field(factory=time.monotonic)
    given_up: bool = False


class Asking(Generic[T]):
    """Asks every backend once, from `start()` on. Its threads hold this object only, so its user may be let go of."""

    def __init__(self, backends: Sequence[Backend], ask: Callable[[Backend, float], T], limits: Limits) -> None:
        self._ask = ask
        self._limits = limits
        self._whole = Deadline(limits.deadline) if limits.deadline is not None else None
        self._pending = list(reversed(backends))
        self._asked: dict[Backend, _Asked] = {}
        self._futures: dict[Future[Outcome[T]], _Asked] = {}
        self._answers: queue.SimpleQueue[Answer[T]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._cancelled = False

    def start(self) -> None:
        """Begin to ask."""
        if self._limits.executor is not None:
            self._submit_all(self._limits.executor)
            return
        for _ in range(min(self._limits.workers, len(self._pending))):
            self._start_worker()

    def next_answer(self) -> Answer[T] | None:
        """Wait for the next answer, or for the next backend whose time is over. None once this was cancelled."""
        while True:
            try:
                return self._answers.get(timeout=_TICK)
            except queue.Empty:
                late = self._give_up_one()
                if late is not None or self._cancelled:
                    return late

    def under_way(self) -> list[Backend]:
        """Return the backends that are being asked at this moment, the longest asked first."""
        with self._lock:
            return list(self._asked)

    def cancel(self) -> None:
        """Start nothing more, and make what is under way give up at its next step."""
        with self._lock:
            self._cancelled = True
            self._pending.clear()
            for asked in self._asked.values():
                asked.deadline.cancel()
        for future in list(self._futures):
            future.cancel()

    def _give_up_one(self) -> Answer[T] | None:
        """Return the failure of a backend that is over its time and does not end by itself, if there is one."""
        with self._lock:
            over = self._whole is not None and self._whole.remaining() < -_GRACE
            asked = next((a for a in self._asked.values() if over or a.deadline.remaining() < -_GRACE), None)
            if asked is not None:
                del self._asked[asked.backend]
                asked.given_up = True
                backend, seconds = asked.backend, time.monotonic() - asked.began
            elif over and self._pending:
                backend, seconds = self._pending.pop(), 0.0
            else:
                return None
            more = bool(self._pending)
        if asked is not None and more and self._limits.executor is None:
            self._start_worker()  # in place of the one that hangs
        return _late(backend, seconds)

    def _start_worker(self) -> None:
        # A daemon: a program that is told to end must not wait for a service that hangs.
        threading.Thread(target=self._work, name="mistcore-fleet", daemon=True).start()

    def _seconds_left(self) -> float:
        return self._limits.timeout if self._whole is None else min(self._limits.timeout, self._whole.remaining())

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._pending:
                    return
                backend = self._pending.pop()
                asked = self._asked[backend] = _Asked(backend, Deadline(self._seconds_left()))
            value, error = None, None
            try:
                with deadline(asked.deadline):
                    value = self._ask(backend, self._limits.timeout)
            except MistError as caught:
                error = caught
            except BaseException as caught:  # noqa: BLE001 - one backend must never take another down
                error = _unexpected(backend, caught)
            if not self._finish(asked, value, error):
                return

    def _finish(
        self,
        asked: _Asked,
        value: T | None,
        error: MistError | None,
        *,
        seconds: float | None = None,
        afar: bool = False,
    ) -> bool:
        with self._lock:
            if asked.given_up:
                return False
            self._asked.pop(asked.backend, None)
        if error is not None:
            let_go(error)
        took = time.monotonic() - asked.began if seconds is None else seconds
        self._answers.put(Answer(asked.backend, value, error, took, afar))
        return True

    def _submit_all(self, executor: Executor) -> None:
        seconds = self._seconds_left()
        # Somebody else's pool begins when it likes, so only the deadline over the whole can be held from here.
        whole = self._limits.deadline if self._limits.deadline is not None else float("inf")
        for backend in reversed(self._pending):
            asked = self._asked[backend] = _Asked(backend, Deadline(whole))
            try:
                future = executor.submit(ask_backend, Parcel(backend), self._ask, seconds)
            except Exception as caught:
                error = _ours(caught)  # some pools pickle what they are handed at once
                if error is None:
                    raise
                self._finish(asked, None, error)
                continue
            self._futures[future] = asked
            future.add_done_callback(self._collect)
        self._pending.clear()

    def _collect(self, future: Future[Outcome[T]]) -> None:
        asked = self._futures.pop(future)
        try:
            outcome = future.result()
        except CancelledError as caught:
            words = "the pool that it was handed to has dropped it"
            error: MistError = ProviderError(words, reason="cancelled", backend=asked.backend.title)
            error.__cause__ = caught
        except BaseException as caught:  # noqa: BLE001 - whatever the pool raises belongs to this backend alone
            error = _ours(caught) or _unexpected(asked.backend, caught)
        else:
            self._finish(asked, outcome.value, outcome.error, seconds=outcome.seconds, afar=outcome.afar)
            return
        self._finish(asked, None, error)


def _late(backend: Backend, seconds: float) -> Answer[T]:
    record = backend.record
    words = f"no answer within {seconds:.1f} seconds" if seconds else "the time for all was over before its turn came"
    error = Unreachable(
        words, reason="timeout", remedy="Allow more time.", provider=record.provider, backend=record.title
    )
    return Answer(backend, None, error, seconds)


def _ours(error: BaseException) -> MistError | None:
    """Return the error of ours that another one is, or was raised because of."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, MistError):
        found = found.__cause__ or found.__context__
    return found


def _unexpected(backend: Backend, error: BaseException) -> MistError:
    ours = ProviderError(f"{type(error).__name__}: {error}", reason="bug", backend=backend.title)
    ours.__cause__ = error
    return ours
