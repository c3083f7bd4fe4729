"""Services that hang for longer than a test may last, and accounts that would wait for them even longer.

What ends although it meets both has ended by the deadline in force, for nothing else ends it before pytest does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from mistcore import MistError, Provider, Unreachable
from mistcore.deadline import Deadline, deadline
from mistcore.testing.server import FakeService, Response

P = TypeVar("P", bound=Provider)

#: Seconds; pytest ends a test after 280.
HANGS = 300.0
PATIENCE = 600.0


def patient(provider: P) -> P:
    """Let an account wait for each answer as long as no test lasts, unless a deadline ends that."""
    vars(provider)["default_timeout"] = PATIENCE
    return provider


def hold(service: FakeService) -> threading.Event:
    """Let a service answer nothing until the event that comes back is set."""
    release = threading.Event()
    service.fault(Response(), where=lambda request: not release.wait(HANGS))
    return release


@contextmanager
def deadline_once(happened: Callable[[], object]) -> Iterator[None]:
    """Put a deadline over the block that is over once something has happened, however long that takes."""
    whole, over = Deadline(HANGS), threading.Event()

    def watch() -> None:
        while not happened() and not over.wait(0.01):
            pass
        whole.cancel()

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        with deadline(whole):
            yield
    finally:
        over.set()
        watching.join()


def looked_after(service: FakeService) -> Callable[[], bool]:
    """Return what tells whether something was asked for from now on, and then looked at: its answer has come, then."""
    before = len(service.requests)

    def looked() -> bool:
        methods = [request.method for request in service.requests[before:]]
        return "POST" in methods and methods[-1] != "POST"

    return looked


def outcome(function: Callable[[], object]) -> Any:
    """Return what a function raised or returned."""
    try:
        return function()
    except MistError as error:
        return error


def timed_out(result: Any) -> bool:
    return isinstance(result, Unreachable) and result.reason == "timeout"
