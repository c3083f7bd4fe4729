"""Many backends asked side by side, and their answers as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, Self, TypeVar

import attrs

from mistcore.asking import Answer, Asking, Limits
from mistcore.backend import Backend, matches
from mistcore.deadline import deadline
from mistcore.errors import BackendsFailed, MistError
from mistcore.models import Account, Machine

__all__ = ["CheckResult", "CheckWalk", "MachineWalk"]

T = TypeVar("T")
R = TypeVar("R")


@attrs.frozen
class CheckResult:
    """How the check of one backend ended: `account` or `error` is set.

    Attributes:
        backend: the one that was checked.
        account: whose credentials they are, where they are good.
        error: why they cannot be used, otherwise.
        seconds: how long it took.

    """

    backend: Backend
    account: Account | None = None
    error: MistError | None = None
    seconds: float = 0.0


def ask_machines(backend: Backend, seconds: float) -> list[Machine]:
    """Return the machines of a backend, or raise within so many seconds. What an executor is handed."""
    with deadline(seconds):
        return backend.machines()


def ask_account(backend: Backend, seconds: float) -> Account:
    """Return the account of a backend, or raise within so many seconds. What an executor is handed."""
    with deadline(seconds):
        return backend.check()


class Walk(Generic[T, R]):
    """An iterator over the answers of many backends. Letting go of it cancels what is still under way.

    Attributes:
        failures: every backend that failed so far, and its error.
        seconds: every backend that has answered so far, and how long it took.
        backends: those that are asked.
        total: how many these are.

    """

    def __init__(self, backends: Sequence[Backend], ask: Callable[[Backend, float], T], limits: Limits) -> None:
        self.failures: dict[Backend, MistError] = {}
        self.seconds: dict[Backend, float] = {}
        self.backends = tuple(backends)
        self.total = len(self.backends)
        self._asking = Asking(backends, ask, limits)
        self._ready: deque[R] = deque()
        self._started = False
        self._closed = False

    @property
    def waiting_for(self) -> list[Backend]:
        """The backends that are being asked at this moment, the longest asked first."""
        return self._asking.under_way()

    def __iter__(self) -> Iterator[R]:
        return self

    def __next__(self) -> R:
        while not self._closed:  # which another thread may do at any time
            try:
                return self._ready.popleft()
            except IndexError:
                pass
            try:
                self._take_next_answer()
            except BaseException:
                self.close()
                raise
        raise StopIteration

    def close(self) -> None:
        """Cancel what is still under way, from any thread. What was yielded stays good, and nothing more is."""
        self._closed = True
        self._ready.clear()
        self._asking.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self.close()

    def _take_next_answer(self) -> None:
        if not self._started:
            self._started = True
            self._asking.start()
        if len(self.seconds) == self.total:
            self._closed = True
            self._end()
            return
        answer = self._asking.next_answer()
        if answer is None:
            return
        self.seconds[answer.backend] = answer.seconds
        if answer.error is not None:
            self.failures[answer.backend] = answer.error
        self._ready.extend(self._results(answer))

    def _results(self, answer: Answer[T]) -> Iterable[R]:
        raise NotImplementedError

    def _end(self) -> None:
        """Run once everything has been yielded."""


class MachineWalk(Walk[list[Machine], Machine]):
    """The machines of many backends, as each answers.

    At its end it raises `BackendsFailed` where some failed, unless `partial` said that `failures` is looked at.
    """

    def __init__(
        self,
        backends: Sequence[Backend],
        limits: Limits,
        *,
        keep: Callable[[Machine], bool] | None = None,
        partial: bool = False,
    ) -> None:
        super().__init__(backends, ask_machines, limits)
        self._keep = keep
        self._partial = partial
        self._arrived: list[Machine] = []

    def _results(self, answer: Answer[list[Machine]]) -> Iterable[Machine]:
        if answer.afar and answer.value is not None:
            answer.backend.remember(answer.value)
        found = list(filter(self._keep, answer.value or ()))
        if answer.afar:  # the others are bound to it already
            for machine in found:
                machine.bind(answer.backend)
        if not self._partial:
            self._arrived += found
        return found

    def _end(self) -> None:
        if self.failures and not self._partial:
            raise BackendsFailed(self.failures, self._arrived)


class CheckWalk(Walk[Account, CheckResult]):
    """The `CheckResult` of many backends, as each answers. It raises nothing: the errors are in the results."""

    def __init__(self, backends: Sequence[Backend], limits: Limits) -> None:
        super().__init__(backends, ask_account, limits)

    def _results(self, answer: Answer[Account]) -> Iterable[CheckResult]:
        return [CheckResult(answer.backend, answer.value, answer.error, answer.seconds)]


def keep_machines(
    *, id: str | None = None, name: str | None = None, search: str | None = None
) -> Callable[[Machine], bool] | None:
    """Return the test that a machine must pass to be among those asked for; None where all are."""
    if id is name is search is None:
        return None

    def keep(machine: Machine) -> bool:
        return (
            (id is None or machine.id == id)
            and (name is None or machine.name == name)
            and (search is None or matches(machine, search))
        )

    return keep
