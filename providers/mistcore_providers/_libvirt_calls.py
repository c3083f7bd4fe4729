"""Calls into libvirt that cannot hang, from threads that nobody waits for at exit, without libvirt's own messages."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from mistcore import Unreachable

__all__ = ["binding", "bounded", "spread"]

T = TypeVar("T")
R = TypeVar("R")

_DOMAIN, _MESSAGE, _LEVEL, _WARNING = 1, 2, 3, 1
_ours = threading.local()
_handler_lock = threading.Lock()
_handler_set: set[int] = set()


def binding() -> Any:
    """Import libvirt's Python binding and return it, with its printing of errors switched off for our own threads.

    The binding has one error handler for the whole process, and what it does without one is to print every error to
    standard error. Ours drops the errors of mistcore's calls, which reach the caller as exceptions, and prints
    everybody else's. It is registered once, so a handler that the program registers later stays.
    """
    # By name, because type checkers take this package's own module `libvirt` for the one that is meant.
    libvirt: Any = import_module("libvirt")
    with _handler_lock:
        if id(libvirt) not in _handler_set:
            libvirt.registerErrorHandler(_on_error, None)
            _handler_set.add(id(libvirt))
    return libvirt


def _on_error(context: object, error: Any) -> None:
    if getattr(_ours, "active", False):
        return
    try:
        kind = "warning" if error[_LEVEL] == _WARNING else "error"
        sys.stderr.write(f"libvirt: {kind} : {error[_MESSAGE]}\n")
    except (AttributeError, IndexError, OSError, TypeError, ValueError):
        return


def bounded(function: Callable[[], R], seconds: float, *, abandoned: Callable[[], object] | None = None) -> R:
    """Call the function in a thread of its own and return its result, or raise when that takes too long.

    libvirt's calls cannot be interrupted. One that takes too long is left behind in its thread, which is a daemon: it
    keeps no program from ending.

    Args:
        seconds: how long to wait. abandoned: called when the time is over, before the error is raised.

    Raises:
        Unreachable: (reason "timeout") there was no result in time.

    """
    answer: SimpleQueue[tuple[bool, Any]] = SimpleQueue()
    _start(lambda: answer.put(_outcome(function)))
    try:
        good, value = answer.get(timeout=max(seconds, 0))
    except Empty:
        if abandoned is not None:
            abandoned()
        raise Unreachable(
            f"libvirt gave no answer within {seconds:.0f} seconds",
            reason="timeout",
            remedy="See whether the host and its libvirt daemon are well, or allow more time.",
        ) from None
    if good:
        result: R = value
        return result
    raise value


def spread(function: Callable[[T], R], items: Iterable[T], seconds: float, *, workers: int = 5) -> list[R | None]:
    """Call the function on every item in a few threads and return the results in order, None where there is none.

    An item whose call fails has None for its result, and so has one that is not done when the time is over. Five at
    once is what a libvirt daemon handles of one client (`max_client_requests`).
    """
    items = list(items)
    results: list[R | None] = [None] * len(items)
    waiting: SimpleQueue[int] = SimpleQueue()
    for index in range(len(items)):
        waiting.put(index)
    end = time.monotonic() + seconds
    done: SimpleQueue[None] = SimpleQueue()

    def work() -> None:
        while time.monotonic() < end:
            try:
                index = waiting.get_nowait()
            except Empty:
                break
            good, value = _outcome(lambda: function(items[index]))  # noqa: B023 - called at once
            if good:
                results[index] = value
        done.put(None)

    count = min(workers, len(items))
    for _ in range(count):
        _start(work)
    for _ in range(count):
        try:
            done.get(timeout=max(end - time.monotonic(), 0))
        except Empty:
            break
    return list(results)


def _outcome(function: Callable[[], Any]) -> tuple[bool, Any]:
    try:
        return True, function()
    except Exception as error:  # noqa: BLE001 - raised again by the thread that asked
        return False, error


def _start(function: Callable[[], object]) -> None:
    def run() -> None:
        _ours.active = True
        function()

    threading.Thread(target=run, name="mistcore-libvirt", daemon=True).start()
