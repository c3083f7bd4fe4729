"""tools/run_tests.py: what fails once may be an accident, what fails twice is a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).parents[2] / "tools" / "run_tests.py"
ONCE = """
from pathlib import Path
def test_good(): pass
def test_shaky():
    seen = Path(__file__).with_name("seen")
    first = not seen.exists()
    seen.touch()
    assert not first
"""


def run(folder: Path, text: str) -> tuple[int, str]:
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(text)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment["TOX_ENV_DIR"] = str(folder)
    done = subprocess.run(
        [sys.executable, str(TOOL), "-p", "no:pytest_timeout"],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_what_fails_once_is_run_again_alone_and_named(tmp_path: Path) -> None:
    status, out = run(tmp_path, ONCE)
    assert status == 0
    assert out.endswith("Failed first and passed alone:\n  test_it.py::test_shaky\n")
    assert "1 failed, 1 passed" in out
    assert "1 passed in" in out  # not the good one again
    report = tmp_path / "failed-first.txt"
    assert report.read_text() == "Failed first and passed alone:\n  test_it.py::test_shaky\n"
    assert run(tmp_path, ONCE)[0] == 0
    assert not report.exists()


def test_what_fails_twice_fails(tmp_path: Path) -> None:
    status, out = run(tmp_path, ONCE + "def test_bad(): assert False\n")
    assert status == 1
    assert "passed alone" not in out
    assert not (tmp_path / "failed-first.txt").exists()


def test_many_failures_are_no_accident(tmp_path: Path) -> None:
    bad = "import pytest\n@pytest.mark.parametrize('n', range(6))\ndef test_bad(n): assert False\n"
    status, out = run(tmp_path, bad)
    assert status == 1
    assert "Once more" not in out


def test_a_run_that_breaks_off_or_finds_nothing_fails(tmp_path: Path) -> None:
    status, out = run(tmp_path, "import nothing_of_that_name\n")
    assert status == 2
    assert "Once more" not in out
    assert run(tmp_path, "x = 1\n")[0] == 5
    assert run(tmp_path, "import os\ndef test_crash(): os.abort()\n")[0] not in (0, 1)


def test_all_is_well(tmp_path: Path) -> None:
    status, out = run(tmp_path, "def test_good(): pass\n")
    assert status == 0
    assert "Once more" not in out
