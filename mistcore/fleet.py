"""Many backends asked side by side, and their answers as they come."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future
from typing import Generic, Self, TypeVar

import attrs

from mistcore.backend import Backend, matches
from mistcore.deadline import Deadline, deadline
from mistcore.errors import BackendsFailed, MistError, ProviderError, Unreachable
from mistcore.models import Account, Machine

__all__ = ["CheckResult", "CheckWalk", "MachineWalk"]

T = TypeVar("T")
R = TypeVar("R")
#: Seconds that a backend gets beyond its time to end by itself, before it is given up where it hangs.
_GRACE = 0.5


@attrs.frozen
class CheckResult:
    """How the check of one backend ended: `account` or `error` is set. `seconds` is how long it took."""

    backend: Backend
    account: Account | None = None
    error: MistError | None = None
    seconds: float = 0.0


@attrs.frozen
class _Answer(Generic[T]):
    backend: Backend
    value: T | None
    error: MistError | None
    seconds: float


@attrs.define(eq=False)
class _Asking:
    backend: Backend
    deadline: Deadline
    began: float = attrs.field(factory=time.monotonic)
    abandoned: bool = False


@attrs.frozen
class Limits:
    """How a walk may spend its time: seconds for each backend and for the whole, and how many are asked at once."""

    timeout: float = 60.0
    deadline: float | None = None
    workers: int = 32
    executor: Executor | None = None


def ask_machines(backend: Backend, seconds: float) -> list[Machine]:
    """Return the machines of a backend, or raise within so many seconds. What an executor is handed."""
    with deadline(seconds):
        return backend.machines()


def ask_account(backend: Backend, seconds: float) -> Account:
    """Return the account of a backend, or raise within so many seconds. What an executor is handed."""
    with deadline(seconds):
        return backend.check()


class Walk(Generic[T, R]):
    """An iterator over the answers of many backends.

    Attributes:
        failures: every backend that failed so far, and its error.
        seconds: every backend that has answered so far, and how long it took.
        waiting_for: the backends that are being asked at this moment.
        total: how many backends are asked in all.
    """

    def __init__(self, backends: Sequence[Backend], ask: Callable[[Backend, float], T], limits: Limits) -> None:
        self.failures: dict[Backend, MistError] = {}
        self.seconds: dict[Backend, float] = {}
        self.total = len(backends)
        self._ask = ask
        self._limits = limits
        self._whole = Deadline(limits.deadline) if limits.deadline is not None else None
        self._pending = list(reversed(backends))
        self._asking: dict[Backend, _Asking] = {}
        self._futures: dict[Future[T], _Asking] = {}
        self._answers: queue.SimpleQueue[_Answer[T]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._items = self._walk()

    # -- for callers --------------------------------------------------------------------------------------------------

    @property
    def waiting_for(self) -> list[Backend]:
        """The backends that are being asked at this moment, the longest asked first."""
        with self._lock:
            return list(self._asking)

    def __iter__(self) -> Iterator[R]:
        return self

    def __next__(self) -> R:
        try:
            return next(self._items)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Cancel what is still under way. What was yielded stays good."""
        self._closed = True
        with self._lock:
            self._pending.clear()
            for asking in self._asking.values():
                asking.deadline.cancel()
        for future in self._futures:
            future.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self.close()

    # -- how ----------------------------------------------------------------------------------------------------------

    def _results(self, answer: _Answer[T]) -> Iterator[R]:
        raise NotImplementedError

    def _end(self) -> None:
        """Run once everything has been yielded."""

    def _walk(self) -> Iterator[R]:
        if self._limits.executor is None:
            for _ in range(min(self._limits.workers, self.total)):
                self._start_worker()
        else:
            self._submit_all(self._limits.executor)
        for _ in range(self.total):
            answer = self._next_answer()
            self.seconds[answer.backend] = answer.seconds
            if answer.error is not None:
                self.failures[answer.backend] = answer.error
            yield from self._results(answer)
        self._end()

    def _next_answer(self) -> _Answer[T]:
        while True:
            try:
                return self._answers.get(timeout=0.1 if self._late_soon() else 0.5)
            except queue.Empty:
                late = self._give_up_late()
                if late is not None:
                    return late

    def _late_soon(self) -> bool:
        with self._lock:
            return any(asking.deadline.remaining() < 1 for asking in self._asking.values())

    def _give_up_late(self) -> _Answer[T] | None:
        """Return the failure of a backend that is over its time and does not end by itself, if there is one."""
        with self._lock:
            whole_over = self._whole is not None and self._whole.remaining() < -_GRACE
            for asking in self._asking.values():
                if whole_over or asking.deadline.remaining() < -_GRACE:
                    del self._asking[asking.backend]
                    asking.abandoned = True
                    break
            else:
                if whole_over and self._pending:
                    return self._late(self._pending.pop(), 0.0)
                return None
        if self._limits.executor is None and self._pending:
            self._start_worker()
        return self._late(asking.backend, time.monotonic() - asking.began)

    def _late(self, backend: Backend, seconds: float) -> _Answer[T]:
        record = backend.record
        error = Unreachable(
            f"no answer within {seconds:.1f} seconds"
            if seconds
            else "the time for all backends was over before its turn",
            reason="timeout",
            provider=record.provider,
            backend=record.title,
        )
        return _Answer(backend, None, error, seconds)

    def _start_worker(self) -> None:
        threading.Thread(target=self._work, name="mistcore-fleet", daemon=True).start()

    def _seconds_left(self) -> float:
        if self._whole is None:
            return self._limits.timeout
        return min(self._limits.timeout, self._whole.remaining())

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._pending:
                    return
                backend = self._pending.pop()
                asking = self._asking[backend] = _Asking(backend, Deadline(self._seconds_left()))
            value, error = None, None
            try:
                with deadline(asking.deadline):
                    value = self._ask(backend, self._limits.timeout)
            except MistError as caught:
                error = caught
            except BaseException as caught:  # noqa: BLE001 - one backend must never take another down
                error = _unexpected(backend, caught)
            if not self._finish(asking, value, error):
                return

    def _finish(self, asking: _Asking, value: T | None, error: MistError | None) -> bool:
        with self._lock:
            if asking.abandoned:
                return False
            self._asking.pop(asking.backend, None)
        self._answers.put(_Answer(asking.backend, value, error, time.monotonic() - asking.began))
        return True

    def _submit_all(self, executor: Executor) -> None:
        seconds = self._seconds_left()
        while self._pending:
            backend = self._pending.pop()
            allowed = self._limits.deadline if self._limits.deadline is not None else float("inf")
            asking = self._asking[backend] = _Asking(backend, Deadline(allowed))
            future = executor.submit(self._ask, backend, seconds)
            self._futures[future] = asking
            future.add_done_callback(self._collect)

    def _collect(self, future: Future[T]) -> None:
        asking = self._futures[future]
        value, error = None, None
        try:
            value = future.result()
        except MistError as caught:
            error = caught
        except CancelledError:
            return
        except BaseException as caught:  # noqa: BLE001 - whatever the pool raises belongs to this backend alone
            error = _unexpected(asking.backend, caught)
        self._finish(asking, value, error)


def _unexpected(backend: Backend, error: BaseException) -> MistError:
    ours = ProviderError(f"{type(error).__name__}: {error}", reason="bug", backend=backend.title)
    ours.__cause__ = error
    return ours


class MachineWalk(Walk[list[Machine], Machine]):
    """The machines of many backends, as each answers.

    At its end it raises `BackendsFailed` where some failed, unless `partial` said that `failures` is looked at.
    """

    def __init__(
        self,
        backends: Sequence[Backend],
        limits: Limits,
        *,
        keep: Callable[[Machine], bool] = lambda machine: True,
        partial: bool = False,
    ) -> None:
        super().__init__(backends, ask_machines, limits)
        self._keep = keep
        self._partial = partial
        self._arrived: list[Machine] = []

    def _results(self, answer: _Answer[list[Machine]]) -> Iterator[Machine]:
        for machine in answer.value or ():
            if self._keep(machine):
                if not self._partial:
                    self._arrived.append(machine)
                yield machine.bind(answer.backend)

    def _end(self) -> None:
        if self.failures and not self._partial:
            raise BackendsFailed(self.failures, self._arrived)


class CheckWalk(Walk[Account, CheckResult]):
    """The `CheckResult` of many backends, as each answers. It raises nothing: the errors are in the results."""

    def __init__(self, backends: Sequence[Backend], limits: Limits) -> None:
        super().__init__(backends, ask_account, limits)

    def _results(self, answer: _Answer[Account]) -> Iterator[CheckResult]:
        yield CheckResult(answer.backend, answer.value, answer.error, answer.seconds)


def keep_machines(
    *, id: str | None = None, name: str | None = None, search: str | None = None
) -> Callable[[Machine], bool]:
    """Return the test that a machine must pass to be among those asked for."""

    def keep(machine: Machine) -> bool:
        return (
            (id is None or machine.id == id)
            and (name is None or machine.name == name)
            and (search is None or matches(machine, search))
        )

    return keep
