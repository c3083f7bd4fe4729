"""Who can read and write a store besides its owner: told, and repaired."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mistcore.stores import JsonStore, MemoryStore


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "backends.json"
    with JsonStore(path) as store, store.change() as changes:
        changes.put_vault({"kind": "none"})
    return path


def test_a_store_as_it_is_made_is_its_owners_alone(path: Path) -> None:
    assert JsonStore(path).exposure() == []
    assert JsonStore(path).strangers() == ""
    assert JsonStore(path.with_name("none.json")).exposure() == []
    assert MemoryStore().exposure() == []


@pytest.mark.parametrize(
    ("file", "folder", "words"),
    [
        (0o640, 0o700, ["others can read"]),
        (0o604, 0o700, ["others can read"]),
        (0o620, 0o700, ["others can write"]),
        (0o666, 0o700, ["others can read", "others can write"]),
        (0o600, 0o770, ["another file in its place"]),
        (0o600, 0o755, []),
        (0o600, 0o1777, []),
    ],
)
def test_what_others_can_do_is_told_and_repaired(path: Path, file: int, folder: int, words: list[str]) -> None:
    path.chmod(file)
    path.parent.chmod(folder)
    store = JsonStore(path)
    found = store.exposure()
    assert len(found) == len(words)
    assert all(word in sentence for word, sentence in zip(words, found, strict=True))
    before = path.read_bytes()
    store.repair()
    assert store.exposure() == []
    assert mode(path) == 0o600
    assert mode(path.parent) == (folder & ~0o022 if not folder & stat.S_ISVTX else folder)
    assert path.read_bytes() == before


def test_a_change_makes_the_file_its_owners_alone_again(path: Path) -> None:
    path.chmod(0o644)
    with JsonStore(path) as store, store.change() as changes:
        changes.put_vault(None)
    assert mode(path) == 0o600


def test_a_file_of_somebody_else_is_not_the_users(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert "another user" in JsonStore(path).strangers()
