"""Packages of other people: built, installed with pip beside mistcore, and used, with the core knowing none of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

from mistcore.testing.server import FakeService, Request, Response, json_response, route

ROOT = Path(__file__).parents[2]
PLUGINS = ROOT / "tests" / "plugins"


class AcmeService(FakeService):
    def authorize(self, request: Request) -> Response | None:
        good = request.headers.get("Authorization") == "Bearer good-token"
        return None if good else json_response({"message": "unknown token"}, status=401)

    @route("GET", "/v1/account")
    def account(self, request: Request) -> Response:
        return json_response({"id": 42, "email": "me@acme.example"})

    @route("GET", "/v1/{region}/machines")
    def machines(self, request: Request, region: str) -> Response:
        return json_response([{"id": 7, "name": f"web-{region}", "state": "running", "addresses": ["192.0.2.7"]}])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both packages in it, built and installed by pip."""
    target = tmp_path_factory.mktemp("site")
    sources = tmp_path_factory.mktemp("sources")
    for name in ("acme", "broken"):
        shutil.copytree(PLUGINS / name, sources / name)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            "--no-deps",
            "--target",
            target,
            sources / "acme",
            sources / "broken",
        ],
        check=True,
        timeout=250,
    )
    return target


def mist(site: Path, store: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mistcore.cli", "--store", store, *arguments],
        env={**os.environ, "PYTHONPATH": str(site)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_package_of_another_vendor_is_listed_added_checked_and_used(site: Path, tmp_path: Path) -> None:
    store = tmp_path / "backends.json"
    listed = mist(site, store, "providers", "--json")
    assert json.loads(listed.stdout)[-1]["provider"] == "acme"
    with AcmeService() as acme:
        options = ("--endpoint", acme.url, "--region", "sin")
        refused = mist(site, store, "add", "acme", "--token", "bad-token", *options)
        assert refused.returncode == 1
        assert "unknown token" in refused.stderr
        assert not store.exists() or "acme" not in store.read_text()
        added = mist(site, store, "add", "acme", "--token", "good-token", "--title", "My Acme", *options)
        assert added.returncode == 0, added.stderr
        assert mist(site, store, "check", "My Acme").returncode == 0
        machines = json.loads(mist(site, store, "machines", "--json").stdout)
    assert [(m["name"], m["state"], m["public_ips"], m["backend"]) for m in machines] == [
        ("web-sin", "running", ["192.0.2.7"], "My Acme")
    ]


def test_a_broken_package_is_reported_and_harms_nothing(site: Path, tmp_path: Path) -> None:
    result = mist(site, tmp_path / "s.json", "plugins", "--json")
    problems = {row["provider"]: (row["package"], row["problem"]) for row in json.loads(result.stdout)}
    assert problems["acme"] == ("mistcore-acme 1.0", "")
    package, problem = problems["broken"]
    assert package == "mistcore-broken 1.0"
    assert "RuntimeError: this plugin was made for another world" in problem
    listed = mist(site, tmp_path / "s.json", "providers")
    assert listed.returncode == 0
    assert "warning: provider 'broken' of mistcore-broken 1.0" in listed.stderr
    assert "broken" not in listed.stdout


def test_a_backend_whose_package_is_gone_says_which_one_to_install(site: Path, tmp_path: Path) -> None:
    store = tmp_path / "backends.json"
    mist(site, store, "add", "acme", "--token", "t", "--region", "sin", "--title", "gone", "--no-check")
    without = tmp_path / "empty"
    without.mkdir()
    assert "gone" in mist(without, store, "backends").stdout
    result = mist(without, store, "check", "gone")
    assert result.returncode == 1
    assert "pip install mistcore-acme" in result.stderr
    assert mist(without, store, "rename", "gone", "still here").returncode == 0
    assert mist(without, store, "remove", "still here", "--yes").returncode == 0


def test_a_plugin_is_small_and_readme_shows_this_one() -> None:
    texts = [(PLUGINS / "acme" / name).read_text() for name in ("mistcore_acme.py", "pyproject.toml")]
    assert sum(len(text.splitlines()) for text in texts) <= 40
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```(?:python|toml)\n(.*?)```", readme, re.DOTALL)
    assert set(texts) <= set(blocks)


def test_the_core_knows_none_of_them() -> None:
    files = distribution("mistcore").files or []
    own = [path for path in files if path.parts[0] == "mistcore" and path.suffix == ".py"]
    folder = ROOT / "mistcore"
    sources = [Path(str(path.locate())) for path in own] or list(folder.rglob("*.py"))
    assert sources
    assert not [
        path
        for path in sources
        if "mistcore_acme" in path.read_text()
        and "testing" not in str(path)
        and path.name not in ("registry.py", "provider.py")
    ]
