"""What goes to the terminal beside output: logs and tracebacks, with nothing in them that a terminal would obey."""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
from typing import Any, TextIO

import click

from mistcore.cli.output import lines_visible

__all__ = ["LogHandler", "prepare", "print_traceback"]


class LogHandler(logging.StreamHandler[TextIO]):
    """Writes to whatever standard error is at the time, whole lines, control characters spelled out."""

    def __init__(self, level: int, layout: str = "%(message)s") -> None:
        logging.Handler.__init__(self, level)
        self.setFormatter(logging.Formatter(layout))

    @property
    def stream(self) -> Any:  # type: ignore[override]  # whoever changes standard error changes this
        """Standard error."""
        return sys.stderr

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        return lines_visible(super().format(record))


def print_traceback() -> None:
    """Print the error being handled, as Python would."""
    click.echo(lines_visible(traceback.format_exc()), err=True, nl=False)


def prepare() -> None:
    """Make the standard streams bear everything: a closed one is empty, and letters that one lacks are spelled out."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - until the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
