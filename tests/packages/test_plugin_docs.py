"""docs/plugins.md's promise: the suite is used in some fifteen lines, over HTTP and not, and they run as they stand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

FAKE = """
from mistcore.testing.server import FakeService, json_response, route


class FakeAcme(FakeService):
    def authorize(self, request):
        good = request.headers.get("Authorization") == "Bearer good-token"
        return None if good else json_response({"message": "unknown token"}, status=401)

    @route("GET", "/v1/account")
    def account(self, request):
        return json_response({"id": 42, "email": "me@acme.example"})

    @route("GET", "/v1/{region}/machines")
    def machines(self, request, region):
        return json_response([{"id": 7, "name": "web-1", "state": "running", "addresses": ["192.0.2.7"]}])
"""


def test_the_examples_of_the_suite_run_as_they_stand(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    blocks = re.findall(r"<!-- A test runs this block(?:, too)?\. -->\n```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    for number, block in enumerate(blocks):
        assert len([line for line in block.partition("class ")[2].splitlines() if line.strip()]) <= 15
        (tmp_path / f"test_{number}.py").write_text(block)
    (tmp_path / "fake_acme.py").write_text(FAKE)
    (tmp_path / "fake_lines.py").write_text("from mistcore_lines import service as talk\n")
    shutil.copy(ROOT / "tests" / "plugins" / "acme" / "mistcore_acme.py", tmp_path)
    shutil.copy(ROOT / "tests" / "fakes" / "suspects_wired.py", tmp_path / "mistcore_lines.py")
    result = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "."],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert result.returncode == 0, result.stdout
    assert int(result.stdout.split(" passed")[0].rpartition("\n")[2]) > 90
