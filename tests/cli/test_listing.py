"""The remembered listing: fast while nothing has changed, and never older than what is installed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROVIDER = """
import os
with open(os.environ["LOADED"], "a") as log: log.write("{name} ")
from mistcore import Account, Provider
class {name}(Provider):
    title = "{title}"
    def check(self): return Account("1")
    def list_machines(self): return []
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return tmp_path / "site"


def install(site: Path, name: str, title: str) -> None:
    (site / f"mistcore_{name}-1.dist-info").mkdir(parents=True, exist_ok=True)
    info = site / f"mistcore_{name}-1.dist-info"
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: mistcore-{name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[mistcore.providers]\n{name} = mistcore_{name}:{name.title()}\n")
    write(site, name, title)


def write(site: Path, name: str, title: str) -> None:
    path = site / f"mistcore_{name}.py"
    path.write_text(PROVIDER.format(name=name.title(), title=title))
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + len(title) * 10**9))


def mist(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "LOADED": str(site.parent / "loaded")}
    command = [sys.executable, "-m", "mistcore.cli", *arguments]
    # Not where the tests are run, which is on the path then: whatever else makes a file there changes its time.
    return subprocess.run(
        command, env=environment, cwd=site.parent, capture_output=True, text=True, check=False, timeout=250
    )


def titles(result: subprocess.CompletedProcess[str]) -> list[str]:
    assert result.returncode == 0, result.stderr
    return [line.split("\t")[1] for line in result.stdout.splitlines()[1:]]


def test_it_is_remembered_and_follows_every_change(site: Path) -> None:
    install(site, "acme", "Acme One")
    first, second = mist(site, "providers"), mist(site, "providers")
    assert titles(first)[-1] == "Acme One"
    assert first.stdout == second.stdout
    assert (site.parent / "loaded").read_text() == "Acme "  # once, not twice
    write(site, "acme", "Acme Two, edited")
    assert titles(mist(site, "providers"))[-1] == "Acme Two, edited"
    install(site, "zeta", "Zeta")
    assert titles(mist(site, "providers"))[-2:] == ["Acme Two, edited", "Zeta"]
    (site / "mistcore_zeta-1.dist-info" / "entry_points.txt").unlink()
    (site / "mistcore_zeta-1.dist-info" / "METADATA").unlink()
    (site / "mistcore_zeta-1.dist-info").rmdir()
    assert titles(mist(site, "providers"))[-1] == "Acme Two, edited"


def test_a_broken_plugin_is_reported_every_time(site: Path) -> None:
    install(site, "acme", "Acme")
    mist(site, "providers")
    install(site, "broken", "Broken")
    (site / "mistcore_broken.py").write_text("raise RuntimeError\n")
    for _ in range(2):
        result = mist(site, "providers")
        assert "warning: provider 'broken'" in result.stderr
        assert titles(result)[-1] == "Acme"


@pytest.mark.parametrize("garbage", [b"", b"\xff", b"[]", b'{"about": 1}', b'{"about": null, "rows": 7}'])
def test_a_damaged_one_is_made_again(site: Path, garbage: bytes) -> None:
    install(site, "acme", "Acme")
    path = Path(os.environ["MISTCORE_HOME"]) / "listing.json"
    mist(site, "providers")
    assert json.loads(path.read_text())["rows"][-1]["title"] == "Acme"
    path.write_bytes(garbage)
    assert titles(mist(site, "providers"))[-1] == "Acme"
    assert json.loads(path.read_text())["rows"][-1]["title"] == "Acme"
