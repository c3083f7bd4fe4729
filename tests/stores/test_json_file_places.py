"""The JSON store in places that cannot be, on the disk, and among the users of a machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from stores.suite import WORKERS, finish, put, start_worker
from stores.workers import record

from mistcore.errors import StoreError
from mistcore.stores import JsonStore

# --- places that cannot be


def refused(store: JsonStore, reason: str, words: str = ".") -> None:
    for attempt in (store.read, lambda: put(store, record(1))):
        with pytest.raises(StoreError, match=words) as caught:
            attempt()
        assert caught.value.reason == reason
        assert caught.value.remedy
        assert caught.value.location == store.location


def test_a_folder_in_the_place_of_the_file(path: Path) -> None:
    path.mkdir(parents=True)
    refused(JsonStore(path), "not_a_file", "is a folder. Name a file, for example .*backends.json/backends.json")
    assert list(path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder(path: Path) -> None:
    path.parent.write_text("mine")
    refused(JsonStore(path), "not_a_folder")
    assert path.parent.read_text() == "mine"


def test_a_pipe_in_the_place_of_the_file_does_not_hang(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)
    refused(JsonStore(path), "not_a_file", "not a regular file")


def test_links_in_a_circle(path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to(path.with_name("other"))
    path.with_name("other").symlink_to(path)
    refused(JsonStore(path), "link_loop")


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    refused(JsonStore(tmp_path / ("x" * 300)), "name")


@pytest.mark.parametrize("name", ["", "a\0b", "~nobody-of-that-name/backends.json"])
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(StoreError) as caught:
        JsonStore(name)
    assert caught.value.reason == "name"


def test_the_working_folder_may_change_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = JsonStore("backends.json")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    put(store, record(1))
    assert store.location == str(tmp_path / "backends.json")
    assert Path(store.location).exists()


def test_a_home_is_filled_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert JsonStore("~/backends.json").location == str(tmp_path / "backends.json")


# --- what happens on the disk


def test_the_bytes_are_on_the_disk_before_the_name_is(path: Path, tmp_path: Path) -> None:
    """A power cut cannot be had in a test; the order of the system calls that decides over it can be watched."""
    log = tmp_path / "strace.log"
    calls = "openat,write,fsync,fdatasync,rename,renameat,renameat2,close"
    command = ["strace", "-f", "-y", "-s", "16", "-e", f"trace={calls}", "-o", str(log)]
    try:
        subprocess.run(
            [*command, sys.executable, str(WORKERS), "add", str(path), "x", "1"], check=True, stdin=subprocess.DEVNULL
        )
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        from peers.require import missing

        missing(f"strace does not work here: {error}")
    steps = []
    for line in log.read_text().splitlines():
        call = line.split(maxsplit=1)[1]
        if ".tmp" in call or call.startswith("fsync(") or (call.startswith("write(") and str(path.parent) in call):
            steps.append((call.partition("(")[0], ".tmp" in call))
    assert [name for name, _ in steps if name != "close"] == ["fsync", "openat", "write", "fsync", "rename", "fsync"]


def test_root_leaves_the_files_to_their_owner(path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give files away")
    path.parent.mkdir()
    os.chown(path.parent, 12345, 23456)
    put(JsonStore(path), record(1))
    put(JsonStore(path), record(2))
    for each in (path, path.with_name("backends.json.lock")):
        assert (each.stat().st_uid, each.stat().st_gid) == (12345, 23456)
    put(JsonStore(path.parent / "deeper" / "backends.json"), record(1))
    assert (path.parent / "deeper").stat().st_uid == 12345
    os.chown(path, 34567, 23456)
    put(JsonStore(path), record(3))
    assert path.stat().st_uid == 34567


def test_root_gives_away_nothing_that_a_user_linked_there(path: Path, tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give files away")
    precious = tmp_path / "precious"
    precious.touch(0o600)
    path.parent.mkdir()
    os.chown(path.parent, 12345, 23456)
    path.with_name("backends.json.lock").hardlink_to(precious)
    put(JsonStore(path), record(1))
    assert precious.stat().st_uid == 0
    assert path.stat().st_uid == 12345


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that everybody can reach, unlike pytest's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_another_user_is_told_so(public_folder: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can become somebody else")
    path = public_folder / "backends.json"
    put(JsonStore(path), record(1))
    before = path.read_bytes()
    reading, adding = json.loads(finish(start_worker("nobody", path)))
    assert reading.startswith("StoreError permission")
    assert adding.startswith("StoreError permission")
    assert f"ls -la {public_folder}" in adding
    path.chmod(0o644)
    reading, adding = json.loads(finish(start_worker("nobody", path)))
    assert reading == "1"
    assert adding.startswith("StoreError permission")
    assert path.read_bytes() == before
