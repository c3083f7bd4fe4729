"""Draws docs/images/terminal.svg from what `mist` really prints in a terminal of 80 columns.

Run it with the Python of an environment that has mistcore with `docker`, and pexpect. It keeps its backends in a
temporary store, and talks to nothing but this machine and, when it is there, its Docker Engine.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

import pexpect
from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "terminal.svg"
WIDTH = 80
COMMANDS = (
    "mist providers",
    "mist add bare_metal --machine-ip local --title 'this machine'",
    "mist add docker --title laptop",
    "mist machines",
    "mist add linode --api-key not-a-token --endpoint http://127.0.0.1:9",
)


def output_of(command: str, folder: str) -> str:
    environment = {
        **os.environ,
        "MISTCORE_HOME": folder,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TERM": "xterm-256color",
        "COLUMNS": str(WIDTH),
    }
    text, _ = pexpect.run(
        f"/bin/sh -c {command!r}" if '"' in command else f'/bin/sh -c "{command}"',
        dimensions=(60, WIDTH),
        encoding="utf-8",
        withexitstatus=True,
        env=environment,
        timeout=60,
    )
    # A line of progress is drawn and wiped again: what stands at the end is what people see.
    text = re.sub(r"\x1b\[\?25[lh]", "", text.replace("\r\n", "\n"))
    text = re.sub(r"[^\n]*\n(?:\x1b\[1A)\x1b\[2K", "", text)
    return re.sub(r"[^\n]*\r(?:\x1b\[2K)?", "", text)


def main() -> None:
    console = Console(width=WIDTH, record=True, file=open(os.devnull, "w", encoding="utf-8"), force_terminal=True)  # noqa: SIM115, PTH123
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            console.print(Text.from_ansi(output_of(command, folder)))
            console.print()
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    # No fonts from elsewhere: a picture in a README must load nothing.
    drawing = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="mist"), flags=re.DOTALL)
    PICTURE.write_text(drawing, encoding="utf-8")


if __name__ == "__main__":
    main()
