"""README's promises: the Python that it shows runs, and its two lines are the ones that exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_use_runs_as_it_stands(tmp_path: Path) -> None:
    block = re.search(r"<!-- A test runs this block. -->\n```python\n(.*?)```", README, re.DOTALL)
    assert block
    result = subprocess.run([sys.executable, "-c", block[1]], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert " running " in result.stdout
    assert "[Backend => workstation, bare_metal, " in result.stdout


def test_its_two_lines_are_scripts_that_are_here() -> None:
    lines = re.findall(r"```sh\n(sh tools/\w+\.sh)\n```", README)
    assert lines == ["sh tools/try.sh", "sh tools/test.sh"]
    for line in lines:
        assert os.access(ROOT / line.split()[1], os.X_OK)
    assert lines[1] in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
