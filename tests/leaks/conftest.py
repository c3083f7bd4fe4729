"""What the tests of leaks share: a home with marks in the files of others, and an ear at every logger."""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from leaks.marks import looker, mark
from leaks.shown import Logged

import mistcore.hooks
import mistcore.registry


@pytest.fixture
def logged() -> Iterator[Logged]:
    """Hear every logger at its most talkative."""
    handler = Logged()
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(before)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read what is installed once, as one run of `mist` does: hundreds in one process would do little else."""
    read = functools.cache(importlib.metadata.entry_points)
    monkeypatch.setattr(importlib.metadata, "entry_points", read)
    for module in (mistcore.hooks, mistcore.registry):
        monkeypatch.setattr(module, "entry_points", read)


@pytest.fixture
def others_files(tmp_path: Path) -> Callable[[str], None]:
    """Write files of AWS and OpenStack that hold secrets, for accounts that name an entry of theirs."""

    def write(url: str) -> None:
        home = tmp_path / "home"
        (home / ".aws").mkdir(exist_ok=True)
        secret, token = (mark(f"aws.{name}").replace(" ", "") for name in ("secret", "token"))
        profile = f"[leaky]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = {secret}\n"
        (home / ".aws" / "credentials").write_text(f"{profile}aws_session_token = {token}\n")
        folder = home / ".config" / "openstack"
        folder.mkdir(parents=True, exist_ok=True)
        password = mark("clouds.yaml").replace("'", "''")
        auth = f"{{auth_url: '{url}/v3', username: u, password: '{password}', project_name: demo}}"
        (folder / "clouds.yaml").write_text(f"clouds:\n  leaky:\n    region_name: RegionOne\n    auth: {auth}\n")

    return write


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files are made."""
    folder = tmp_path / "temporary"
    folder.mkdir(0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def nothing_leaks() -> Callable[..., None]:
    """Fail, naming each place, where one of the marks, or another secret, is in what is shown."""

    def check(shown: Iterable[tuple[str, object]], *also: str) -> None:
        found: dict[str, list[str]] = {}
        seen: set[object] = set()
        for where, thing in shown:
            _, _, place = where.rpartition(": ")
            if (place, thing) in seen:
                continue
            seen.add((place, thing))
            for form in looker(*also).forms(thing)[:1]:
                who, _, place = where.rpartition(": ")
                found.setdefault(place, []).append(f"{form} ({who})")
        assert not found, "\n".join(f"{place}: {forms[0]}, {len(forms)} times" for place, forms in found.items())

    return check
