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


def walking(walk: Walk[Any, R], output: str) -> Iterator[R]:
    """Yield what a walk yields; where people watch, show its progress on standard error meanwhile."""
    if output != "table" or not sys.stderr.isatty() or walk.total == 0:
        yield from walk
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    def line() -> Text:
        waiting = [visible(backend.title) for backend in walk.waiting_for]
        names = ", ".join(waiting[:_NAMED]) + (" …" if len(waiting) > _NAMED else "")
        return Text(f"{len(walk.seconds)} of {walk.total} answered" + (f", waiting for {names}" if names else ""))

    console = Console(stderr=True)
    with Live(console=console, get_renderable=line, refresh_per_second=8, transient=True):
        yield from walk
