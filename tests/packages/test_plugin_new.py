"""`mist plugin new`: what it writes is built, installed beside mistcore, listed and tested by its own tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments: object, site: Path | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(site or "")},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )


def mist(*arguments: object, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    return run("-m", "mistcore.cli", *arguments, site=site)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    result = mist("plugin", "new", "my-cloud", "--title", "My own Cloud", "--into", folder)
    assert result.returncode == 0, result.stderr
    return folder / "mistcore-my-cloud"


@pytest.fixture(scope="module")
def site(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package in it, built and installed by pip."""
    target = tmp_path_factory.mktemp("site")
    result = run(
        "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--target", target, written
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return target


def test_its_own_tests_pass_against_the_built_package(written: Path, site: Path) -> None:
    result = run("-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", site=site, cwd=written)
    assert result.returncode == 0, result.stdout
    assert "skipped" not in result.stdout
    assert int(result.stdout.split(" passed")[0].rpartition("\n")[2]) > 60


def test_its_own_tests_fail_when_the_provider_is_broken(written: Path, site: Path, tmp_path: Path) -> None:
    module = (site / "mistcore_my_cloud.py").read_text()
    for harm, replaced, by in (
        ("loses_the_token", 'f"Bearer {self.token}"', '"Bearer good-token-of-the-tests"'),
        ("is_not_found", "missing=missing)", "missing=None)"),
        (
            "reads_the_first_page",
            'self._session.pages("v1/machines", items="machines", total="total", each=lenient(_machine))',
            'map(lenient(_machine), self._session.get("v1/machines", params={"page": 1, "per_page": 100})["machines"])',
        ),
    ):
        assert replaced in module
        broken = tmp_path / harm
        broken.mkdir()
        (broken / "mistcore_my_cloud.py").write_text(module.replace(replaced, by))
        (broken / "mistcore_my_cloud-0.1.0.dist-info").symlink_to(site / "mistcore_my_cloud-0.1.0.dist-info")
        tests = "credentials or not_there or every_page"
        result = run("-P", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", tests, site=broken, cwd=written)
        assert result.returncode == 1, f"{harm}: {result.stdout}"


def test_it_is_listed_once_it_is_installed(site: Path) -> None:
    listed = json.loads(mist("providers", "--json", site=site).stdout)
    (mine,) = [row for row in listed if row["provider"] == "my_cloud"]
    assert mine["title"] == "My own Cloud"
    assert [field["env"] for field in mine["fields"] if field["secret"]] == ["MY_CLOUD_TOKEN"]
    refused = mist("plugin", "new", "my_cloud", "--into", site.parent, site=site)
    assert refused.returncode == 2
    assert "there is a provider my_cloud already, of mistcore-my-cloud" in refused.stderr


def test_nothing_is_overwritten(written: Path) -> None:
    before = {path: path.read_bytes() for path in written.rglob("*") if path.is_file()}
    result = mist("plugin", "new", "my_cloud", "--into", written.parent)
    assert result.returncode == 1
    assert "is there already, and nothing was written" in result.stderr
    assert {path: path.read_bytes() for path in written.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ec2", "there is a provider ec2 already, of mistcore"),
        ("providers", "there is a module mistcore_providers already"),
        ("provider", "would hide Provider"),
        ("none", "would hide None"),
        ("1cloud", "begins with a letter"),
        ("../escape", "begins with a letter"),
        ("über", "begins with a letter"),
        ("", "begins with a letter"),
    ],
)
def test_names_that_cannot_be(tmp_path: Path, name: str, words: str) -> None:
    result = mist("plugin", "new", name, "--into", tmp_path / "into")
    assert result.returncode == 2
    assert words in result.stderr
    assert not (tmp_path / "into").exists()
