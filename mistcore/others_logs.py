"""What other libraries log while they work for us: dropped, since at their most talkative they write secrets down."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["silence", "silent"]

_silent: ContextVar[bool] = ContextVar("mistcore_silent", default=False)


class _WhileSilent(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not _silent.get()


_filter = _WhileSilent()


def silence(*loggers: str) -> None:
    """Have these loggers say nothing within `silent()`. What others do with the same libraries is logged as before."""
    for name in loggers:
        logging.getLogger(name).addFilter(_filter)


@contextmanager
def silent() -> Iterator[None]:
    """Keep the loggers that `silence` named quiet for as long as the block runs, in this thread."""
    mark = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(mark)
