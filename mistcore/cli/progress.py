"""Showing, on a terminal, how many of many backends have answered and who is waited for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from mistcore.cli.output import visible

if TYPE_CHECKING:
    from mistcore.fleet import Walk

__all__ = ["walking"]

R = TypeVar("R")
_NAMED = 3
_WIDTH = 20


def walking(walk: Walk[Any, R], output: str) -> Iterator[R]:
    """Yield what a walk yields; where people watch, show its progress on standard error meanwhile."""
    if output != "table" or not sys.stderr.isatty() or walk.total == 0:
        yield from walk
        return
    from rich.console import Console
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    def progress() -> Table:
        waiting = [visible(backend.title) for backend in walk.waiting_for]
        names = ", ".join(waiting[:_NAMED]) + (" …" if len(waiting) > _NAMED else "")
        words = f"{len(walk.seconds)} of {walk.total} answered" + (f", waiting for {names}" if names else "")
        bar = ProgressBar(total=walk.total, completed=len(walk.seconds), width=_WIDTH)
        line = Table.grid(padding=(0, 1))
        line.add_row(bar, Text(words, no_wrap=True, overflow="ellipsis"))
        return line

    console = Console(stderr=True)
    with Live(console=console, get_renderable=progress, refresh_per_second=8, transient=True):
        yield from walk
