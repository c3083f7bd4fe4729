"""The last listing of each backend, on disk."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fakes.acme import GOOD, Acme

from mistcore import BackendManager, Machine, Registry
from mistcore.last_known import LastKnown
from mistcore.stores import JsonStore, MemoryStore

MACHINES = [
    Machine(
        "m-1",
        "wéb",
        "running",
        ["1.2.3.4", "2001:db8::1"],
        ["10.0.0.1"],
        size="small",
        created_at=datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        tags={"env": "prod"},
        extra={"admin_password": "hunter2hunter2"},
    ),
    Machine("m-2", "\ud800odd", "no such state"),
]


@pytest.fixture
def known(tmp_path: Path) -> LastKnown:
    return LastKnown(tmp_path / "machines")


def test_a_listing_comes_back_as_it_was_but_for_extra(known: LastKnown) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    known.keep("b1", MACHINES)
    listing = known.recall("b1")
    assert listing is not None
    assert before <= listing.as_of <= datetime.now(UTC)
    assert [machine.to_dict() for machine in listing.machines] == [
        {**machine.to_dict(), "extra": {}} for machine in MACHINES
    ]
    assert not any(b"hunter2" in path.read_bytes() for path in known.folder.iterdir())
    assert list(known.names("b1")) == [("wéb", "m-1", "running"), ("\ud800odd", "m-2", "unknown")]
    known.keep("b1", [])
    listing = known.recall("b1")
    assert listing is not None
    assert listing.machines == []
    known.forget("b1")
    known.forget("b1")
    assert known.recall("b1") is None
    assert list(known.folder.iterdir()) == []


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"version": 2, "backend": "b1", "as_of": "2024-01-02T03:04:05+00:00", "machines": []}',
        b'{"version": 1, "backend": "other", "as_of": "2024-01-02T03:04:05+00:00", "machines": []}',
        b'{"version": 1, "backend": "b1", "as_of": "2024-01-02T03:04:05", "machines": []}',
        b'{"version": 1, "backend": "b1", "as_of": 7, "machines": []}',
        b'{"version": 1, "backend": "b1", "as_of": "2024-01-02T03:04:05+00:00", "machines": [7]}',
        b'{"version": 1, "backend": "b1", "as_of": "2024-01-02T03:04:05+00:00", "machines": [{"id": "x", "nope": 1}]}',
        b'{"version": 1, "backend": "b1", "as_of": "2024-01-02T03:04:05+00:00"}',
    ],
)
def test_a_damaged_file_counts_as_none_and_is_written_anew(known: LastKnown, damage: bytes) -> None:
    known.keep("b1", MACHINES)
    (path,) = known.folder.iterdir()
    path.write_bytes(damage)
    assert known.recall("b1") is None
    list(known.names("b1"))
    known.keep("b1", MACHINES)
    assert known.recall("b1") is not None


@pytest.mark.parametrize("id", ["../evil", "a/b", "", ".", "nul\0", "x" * 500, "ü", "\ud800"])
def test_an_id_that_is_no_name_for_a_file_stays_in_the_folder(known: LastKnown, id: str) -> None:
    known.keep(id, MACHINES)
    assert len(list(known.folder.iterdir())) == 1
    assert {path.name for path in known.folder.parent.iterdir()} <= {"machines", "home"}
    assert known.recall(id) is not None


def test_a_disk_that_cannot_be_written_breaks_no_listing(tmp_path: Path) -> None:
    (tmp_path / "machines").write_text("a file where the folder would be")
    with BackendManager(tmp_path / "s.json", registry=Registry([Acme]), last_known=True) as client:
        backend = client.add_backend("acme", "a", "fra", token=GOOD)
        assert len(backend.machines()) == 3
        assert backend.last_known() is None


def test_what_a_killed_writer_left_is_removed_but_not_what_another_is_writing(known: LastKnown) -> None:
    known.folder.mkdir()
    old, new, other = (known.folder / name for name in (f".b1.json.{'a' * 16}.tmp", f".b1.json.{'b' * 16}.tmp", "mine"))
    for path in (old, new, other):
        path.write_text("")
    for path in (old, other):
        os.utime(path, (time.time() - 7200,) * 2)
    known.keep("b1", MACHINES)
    assert {path.name for path in known.folder.iterdir()} == {new.name, other.name, "b1.json"}


def test_only_a_manager_that_is_told_to_keeps_listings_and_every_one_forgets_them(tmp_path: Path) -> None:
    registry, path = Registry([Acme]), tmp_path / "s.json"
    silent = BackendManager(path, registry=registry)
    keeping = BackendManager(path, registry=registry, last_known=True)
    id = silent.add_backend("acme", "a", "fra", token=GOOD).id
    silent.backend(id).machines()
    assert not (tmp_path / "machines").exists()
    keeping.backend(id).machines(search="web")
    listing = keeping.backend(id).last_known()
    assert listing is not None
    assert len(listing.machines) == 3  # whole, whatever was searched for
    assert listing.machines[0].backend == keeping.backend(id)
    assert silent.backend(id).last_known() is None
    silent.backend(id).rename("b")
    assert keeping.backend(id).last_known() is not None
    silent.backend(id).delete()
    assert list((tmp_path / "machines").iterdir()) == []


def test_where_it_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = LastKnown.beside(JsonStore(tmp_path / "x" / "s.json"))
    assert beside is not None
    assert beside.folder == tmp_path / "x" / "machines"
    assert LastKnown.beside(MemoryStore()) is None

    class Elsewhere(MemoryStore):
        location = "postgresql://me@host/db"

    monkeypatch.setenv("MISTCORE_HOME", str(tmp_path / "home"))
    elsewhere = LastKnown.beside(Elsewhere())
    assert elsewhere is not None
    assert elsewhere.folder == tmp_path / "home" / "machines"
    client = BackendManager(MemoryStore(), registry=Registry([Acme]), last_known=True)
    backend = client.add_backend("acme", "a", "fra", token=GOOD)
    assert len(backend.machines()) == 3
    assert backend.last_known() is None


def test_a_file_is_plain_json_that_a_person_can_read(known: LastKnown) -> None:
    known.keep("b1", MACHINES[:1])
    kept = json.loads((known.folder / "b1.json").read_text())
    assert (kept["version"], kept["backend"]) == (1, "b1")
    assert kept["machines"][0]["name"] == "wéb"
