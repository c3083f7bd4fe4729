"""What is on disk: a mark is in the store, where secrets are kept plain, and nowhere else, whoever is killed when."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from leaks import services
from leaks.commands import mist
from leaks.look import MARK
from leaks.marks import accounts, mark
from leaks.shown import Logged, of_error, with_marks

import mistcore
from mistcore import BackendManager, MistError

pytestmark = pytest.mark.usefixtures("quick")
CHOSEN = ("linode", "azure", "openstack", "bare_metal", "gce")


def open_to_others(folder: Path) -> list[str]:
    """Return what is below a folder that others than its owner have any right to."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.stat().st_mode & 0o077)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A folder of its own with a store that holds marks, all kept in several steps."""
    folder = tmp_path / "kept"
    with BackendManager(folder / "backends.json", last_known=True) as manager:
        for account in accounts(services.nobody()):
            if account.provider in CHOSEN:
                manager.add_backend(account.provider, account.title, check=False, **account.fields)
    return folder


def test_secrets_are_in_the_store_and_nowhere_else(kept: Path) -> None:
    assert with_marks(kept) == ["backends.json"]
    assert open_to_others(kept) == []


@pytest.mark.parametrize("kind", ["a key file", "a passphrase", "a keyring"])
def test_nothing_plain_is_left_when_secrets_are_sealed(
    kind: str, kept: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if kind == "a keyring":
        request.getfixturevalue("secret_service")
    monkeypatch.setenv("MISTCORE_PASSPHRASE", mark("passphrase"))
    leftover = kept / f".backends.json.{'0' * 16}.tmp"  # of a writer that was killed
    leftover.write_bytes((kept / "backends.json").read_bytes())
    words = {"a key file": ["--key-file", str(kept / "key")], "a passphrase": ["--passphrase", "-"]}
    way = ["sealed", *words[kind]] if kind in words else ["keyring"]
    result = mist("--store", str(kept / "backends.json"), "secrets", *way, stdin=mark("passphrase"))
    assert result.status == 0, result.err
    assert with_marks(kept) == []
    assert open_to_others(kept) == []
    assert mist("--store", str(kept / "backends.json"), "update", "linode-all", f"api_key={mark('x')}").status == 1
    assert mist("--store", str(kept / "backends.json"), "rename", "linode-all", "another").status == 0
    update = ["update", "another", f"api_key={mark('new')}", "--no-check"]
    assert mist("--store", str(kept / "backends.json"), *update).status == 0
    assert mist("copy-store", str(kept / "backends.json"), str(kept / "copy.json")).status == 0
    assert with_marks(kept) == []
    assert mist("--store", str(kept / "backends.json"), "secrets", "plain").status == 0
    assert with_marks(kept) == ["backends.json"]


def damaged(text: str) -> Iterator[str]:
    """Yield a store's text with a wrong value at each of its keys, and cut off here and there."""
    for key in json.loads(text)["backends"][0]:
        for value in (7, [mark("list")], {"a": mark("object")}, mark("text")):
            data = json.loads(text)
            data["backends"][0][key] = value
            yield json.dumps(data)
    yield from (text[:end] for end in range(1, len(text), len(text) // 20))
    yield from (text.replace('": ', '": ,'), f"{text}{mark('behind')}", text.replace(MARK, f"\x01{MARK}"))


def test_a_damaged_store_is_not_quoted(kept: Path, logged: Logged, nothing_leaks: Any) -> None:
    store = kept / "backends.json"
    shown: list[tuple[str, object]] = []
    for text in damaged(store.read_text()):
        store.write_text(text)
        with BackendManager(store) as manager:
            try:
                manager.backends()
            except MistError as error:
                shown += of_error(error)
    nothing_leaks([*shown, *logged.take()])
    assert sum(where == "str of StoreError" for where, _ in shown) > 30


@pytest.mark.skipif(not hasattr(os, "fork"), reason="writers are killed as forks")
def test_a_writer_that_is_killed_leaves_nothing_that_others_can_read(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir(0o700)
    store = folder / "backends.json"
    tests = Path(__file__).parents[1]
    paths = os.pathsep.join([str(tests), str(Path(mistcore.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-X", "dev", str(tests / "leaks" / "killed.py"), str(store)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        check=False,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["kills"] > 20
    assert result["ended"] == 0
    assert {mode for _, mode in result["modes"]} == {"0o600"}
    assert {name for name, _ in result["modes"]} >= {"backends.json", "temporary"}
    assert mist("--store", str(store), "secrets", "sealed", "--key-file", str(folder / "key")).status == 0
    assert with_marks(folder) == []


def test_temporary_files_of_providers_are_gone(
    tmp_path: Path, others_files: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir(0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    with services.Echo("401", "greets") as service, BackendManager(tmp_path / "store", last_known=True) as manager:
        others_files(service.url)
        for account in accounts(service.url, other=services.nobody()):
            manager.add_backend(account.provider, account.title, check=False, **account.fields)
        # Nobody is given up while it has a file: all of them end by themselves, however busy the machine is.
        assert all(result.error for result in manager.check(timeout=100))
        list(manager.machines(partial=True, timeout=100))
    assert list(folder.iterdir()) == []
    # Where the tests themselves put them, for providers to find.
    theirs = {"home/.aws/credentials", "home/.config/openstack/clouds.yaml"}
    assert set(with_marks(tmp_path)) == {"store", *theirs}
