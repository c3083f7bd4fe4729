"""Checks that type checkers accept programs that are right and refuse those that are wrong.

`right.py` must pass mypy (strict) and pyright. In `wrong.py`, every line that ends in `# wrong` must be refused by both
and no other line. Run it as `python tests/typing/run.py`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def mypy_lines(path: Path) -> set[int]:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file", "/dev/null", str(path)]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return {int(number) for number in re.findall(rf"{path.name}:(\d+): error", output)}


def pyright_lines(path: Path) -> set[int]:
    command = [sys.executable, "-m", "pyright", "--outputjson", str(path)]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = json.loads(output)["generalDiagnostics"]
    return {item["range"]["start"]["line"] + 1 for item in found if item["severity"] == "error"}


def main() -> int:
    failed = 0
    for name in ("right.py", "wrong.py"):
        path = FOLDER / name
        lines = path.read_text().splitlines()
        expected = {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
        for checker in (mypy_lines, pyright_lines):
            found = checker(path)
            if found != expected:
                failed += 1
                print(f"{name}: {checker.__name__} refuses lines {sorted(found)}, expected {sorted(expected)}")
    print("types of using programs:", "failed" if failed else "as expected")
    return failed


if __name__ == "__main__":
    sys.exit(main())
