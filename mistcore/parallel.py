"""Doing a handful of waits side by side, within one operation."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["in_parallel"]

T = TypeVar("T")
R = TypeVar("R")


def in_parallel(function: Callable[[T], R], items: Iterable[T], *, workers: int = 8) -> Iterator[R]:
    """Call `function` on every item in threads and yield the results in the order of the items.

    The deadline in force goes along. The first exception is raised where its result would have been; what has not
    started by then never starts.
    """
    items = list(items)
    if len(items) < 2:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(min(workers, len(items)), thread_name_prefix="mistcore") as pool:
        futures = [pool.submit(contextvars.copy_context().run, function, item) for item in items]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()
