"""The `mist` command. Nothing imports it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `mist` and end the process: 0 done, 1 failed, 2 wrong usage, 3 some backends failed, 130 interrupted."""
    from mistcore.cli.app import run

    sys.exit(run(arguments))
