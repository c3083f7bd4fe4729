"""Doing a handful of waits side by side, within one operation."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

__all__ = ["in_parallel"]

T = TypeVar("T")
R = TypeVar("R")


def in_parallel(function: Callable[[T], R], items: Iterable[T], *, workers: int = 8) -> Iterator[R]:
    """Call `function` on every item in threads and yield the results in the order of the items.

    The deadline in force goes along. The first exception is raised where its result would have been; what has not
    started by then never starts. The threads are daemons: a program that is told to end does not wait for them.
    """
    items = list(items)
    if len(items) < 2:
        yield from map(function, items)
        return
    waiting = iter(enumerate(items))
    lock = threading.Lock()
    answers: queue.SimpleQueue[tuple[int, Any, BaseException | None]] = queue.SimpleQueue()
    stopped = threading.Event()

    def work() -> None:
        while not stopped.is_set():
            with lock:
                index, item = next(waiting, (-1, None))
            if index < 0:
                return
            try:
                answers.put((index, function(item), None))  # type: ignore[arg-type]
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                stopped.set()  # what comes later is not wanted any more; what comes earlier has started
                answers.put((index, None, error))

    for _ in range(min(workers, len(items))):
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(work,), name="mistcore-parallel", daemon=True).start()
    arrived: dict[int, tuple[Any, BaseException | None]] = {}
    try:
        for expected in range(len(items)):
            while expected not in arrived:
                index, result, error = answers.get()
                arrived[index] = (result, error)
            result, error = arrived.pop(expected)
            if error is not None:
                raise error
            yield result
    finally:
        stopped.set()
