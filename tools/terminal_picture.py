"""Draws docs/images/terminal.svg from what `mist` really prints in a terminal of 80 columns.

Run it with the Python of an environment that has mistcore with `docker`, pexpect and pyte. It keeps its backends in a
temporary store, and talks to nothing but this machine and, when it is there, its Docker Engine.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

import pexpect
import pyte
from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "terminal.svg"
WIDTH = 80
COMMANDS = (
    "mist providers",
    "mist add bare_metal --machine-ip local --title 'this machine'",
    "mist add docker --title laptop",
    "mist machines",
    "mist stop web-1 --wait 10",
)


def screen_after(command: str, folder: str) -> list[Text]:
    """Run a command in a terminal and return the lines that stand there at its end."""
    environment = {
        **os.environ,
        "MISTCORE_HOME": folder,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TERM": "xterm-256color",
        "COLUMNS": str(WIDTH),
    }
    size = (60, WIDTH)
    output = pexpect.run(f'/bin/sh -c "{command}"', dimensions=size, encoding="utf-8", env=environment, timeout=60)
    screen = pyte.Screen(WIDTH, size[0])
    pyte.Stream(screen).feed(output)
    return [line_of(screen.buffer[row]) for row in range(screen.cursor.y)]


def line_of(cells: dict[int, pyte.screens.Char]) -> Text:
    line = Text()
    for column in range(WIDTH):
        cell = cells[column]
        colour = {"default": "", "brown": "yellow"}.get(cell.fg, cell.fg)
        line.append(cell.data, " ".join(filter(None, ["bold" if cell.bold else "", colour])))
    line.rstrip()
    return line


def main() -> None:
    console = Console(width=WIDTH, record=True, file=open(os.devnull, "w", encoding="utf-8"), force_terminal=True)  # noqa: SIM115, PTH123
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            for line in screen_after(command, folder):
                console.print(line)
            console.print()
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    # No fonts from elsewhere: a picture in a README must load nothing.
    drawing = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="mist"), flags=re.DOTALL)
    PICTURE.write_text(drawing, encoding="utf-8")


if __name__ == "__main__":
    main()
