"""Kinds of options that several commands share."""

from __future__ import annotations

import math
from typing import Any

import click

__all__ = ["TIMEOUT", "WAIT"]

_YEAR = 365 * 86400


class _Seconds(click.FloatRange):
    """A number of seconds that clocks can count; click lets `nan` through, which no clock ever reaches."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number, or refuse it."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return number


TIMEOUT = _Seconds(min=0, min_open=True, max=_YEAR)
WAIT = _Seconds(min=0, max=_YEAR)
