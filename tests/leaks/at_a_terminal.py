"""Runs `mist`, and writes down what its error shows, variables of our functions included: at_a_terminal.py FILE …"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

from leaks.shown import of_error

from mistcore.cli.app import cli, run


def _as_text(thing: object) -> str:
    return base64.b64encode(thing if isinstance(thing, bytes) else str(thing).encode()).decode()


def main(file: Path, arguments: list[str]) -> int:
    """Run `mist` with these arguments, and return its status."""
    inner = cli.main

    def watched(*args: Any, **options: Any) -> Any:
        try:
            return inner(*args, **options)
        except BaseException as error:
            shown = [
                (where, thing if isinstance(thing, bytes) else str(thing).encode()) for where, thing in of_error(error)
            ]
            file.write_text(json.dumps([(where, base64.b64encode(thing).decode()) for where, thing in shown]))
            raise

    cli.main = watched  # type: ignore[method-assign]
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
