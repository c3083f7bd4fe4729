"""The JSON store: what every store promises, and what is its own: the file, its writes, its lock."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import attrs
import pytest
from filelock import FileLock
from stores.suite import StoreSuite, names, put
from stores.workers import record

from mistcore.errors import StoreError
from mistcore.stores import JsonStore


class TestJsonStore(StoreSuite):
    @pytest.fixture
    def location(self, tmp_path: Path) -> str:
        return str(tmp_path / "data" / "backends.json")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- the file


def test_the_text_is_one_that_a_person_can_read_and_compare(store: JsonStore, path: Path) -> None:
    full = attrs.evolve(
        record(1),
        title="Zürich",
        created_at=record(1).created_at.replace(2030, 1, 31, 12, 0, 0),
        credentials={"token": "t", "ports": [22, 23], "none": {}},
        unknown={"note": None},
    )
    put(store, full, attrs.evolve(full, id="id-2", enabled=False, credentials={}, unknown={}))
    assert path.read_text("utf-8") == (
        """\
{
  "version": 1,
  "backends": [
    {
      "id": "id-1",
      "title": "Zürich",
      "provider": "acme",
      "region": "",
      "enabled": true,
      "created_at": "2030-01-31T12:00:00Z",
      "credentials": {
        "token": "t",
        "ports": [
          22,
          23
        ],
        "none": {}
      },
      "note": null
    },
    {
      "id": "id-2",
      "title": "Zürich",
      "provider": "acme",
      "region": "",
      "enabled": false,
      "created_at": "2030-01-31T12:00:00Z",
      "credentials": {}
    }
  ]
}
"""
    )
    with store.change() as changes:
        changes.remove("id-1")
        changes.remove("id-2")
    assert path.read_text() == '{\n  "version": 1,\n  "backends": []\n}\n'


def test_a_rename_among_many_changes_one_line(store: JsonStore, path: Path) -> None:
    put(store, *map(record, range(50)))
    before = path.read_text().splitlines()
    put(store, attrs.evolve(store.read()["id-25"], title="new"))
    after = path.read_text().splitlines()
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert changed == ['      "title": "new",']


def test_what_others_wrote_into_it_survives(store: JsonStore, path: Path) -> None:
    path.parent.mkdir()
    text = (
        '\ufeff{"comment": "mine",\r\n "backends":[{"id":"a","title":"A", "provider":"acme","region":"","enabled":true,'
        '"created_at":"2030-01-31T12:00:00+01:00","credentials":{},"colour":{"r":1.50}} ],'
        '"version" : 1, "later": [1, {"x": "\\u00e9"}]}'
    )
    path.write_text(text, "utf-8")
    assert store.read()["a"].unknown == {"colour": {"r": 1.5}}
    assert store.read()["a"].created_at.isoformat() == "2030-01-31T11:00:00+00:00"
    put(store, record(1))
    put(store, attrs.evolve(store.read()["a"], title="B"))
    found = json.loads(path.read_text("utf-8"))
    assert list(found) == ["comment", "backends", "version", "later"]
    assert found["comment"] == "mine"
    assert found["later"] == [1, {"x": "é"}]
    assert found["backends"][0]["title"] == "B"
    assert found["backends"][0]["colour"] == {"r": 1.5}


def test_a_record_that_is_not_changed_keeps_its_text(store: JsonStore, path: Path) -> None:
    put(store, record(1), record(2))
    by_hand = path.read_text().replace('"title": "Backend 1"', '"title"   :   "By hand"')
    path.write_text(by_hand)
    put(store, store.read()["id-1"], attrs.evolve(store.read()["id-2"], title="new"))
    assert path.read_text() == by_hand.replace("Backend 2", "new")


def test_an_edit_by_hand_is_seen(store: JsonStore, path: Path) -> None:
    put(store, record(1))
    path.write_text(path.read_text().replace("Backend 1", "By hand"))
    assert store.read()["id-1"].title == "By hand"


def test_an_edit_by_hand_during_a_change_is_not_overwritten(store: JsonStore, path: Path) -> None:
    put(store, record(1))
    edited = path.read_text().replace("Backend 1", "By hand, just now")

    def change() -> None:
        with store.change() as changes:
            changes.put(record(2))
            path.write_text(edited)

    with pytest.raises(StoreError, match="Try again") as caught:
        change()
    assert caught.value.reason == "conflict"
    assert path.read_text() == edited
    put(store, record(2))
    assert [each.title for each in store] == ["By hand, just now", "Backend 2"]


def test_a_store_that_is_removed_is_empty_again(store: JsonStore, path: Path) -> None:
    put(store, record(1))
    path.unlink()
    assert dict(store.read()) == {}
    put(store, record(2))
    assert list(store.read()) == ["id-2"]


def test_only_the_owner_may_read_it(store: JsonStore, path: Path) -> None:
    before = os.umask(0)
    try:
        put(store, record(1))
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert mode(path.with_name("backends.json.lock")) == 0o600


def test_loose_permissions_are_tightened_with_the_next_change(store: JsonStore, path: Path) -> None:
    put(store, record(1))
    path.chmod(0o644)
    assert list(JsonStore(path)) == list(store)
    assert mode(path) == 0o644
    put(store, record(2))
    assert mode(path) == 0o600


def test_a_symbolic_link_stays_one(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "real.json"
    path.parent.mkdir()
    path.symlink_to(target)
    put(JsonStore(path), record(1))
    put(JsonStore(target), record(2))
    assert path.is_symlink()
    assert list(JsonStore(path).read()) == ["id-1", "id-2"]
    assert names(path.parent) == ["backends.json"]
    assert names(target.parent) == ["real.json", "real.json.lock"]


def test_both_names_of_a_linked_store_share_the_lock(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    link = tmp_path / "link.json"
    link.symlink_to(path)
    with JsonStore(path).change(), pytest.raises(StoreError):
        put(JsonStore(link, timeout=0.05), record(1))


# --- one write, and none without need


def test_many_changes_are_one_write(store: JsonStore, path: Path) -> None:
    put(store, record(0))
    seen = {path.stat().st_ino}
    with store.change() as changes:
        for number in range(100):
            changes.put(record(number))
            with store.change() as inner:
                inner.put(record(f"{number}-inner"))
            seen.add(path.stat().st_ino)
    assert len(seen) == 1
    assert path.stat().st_ino not in seen
    assert len(JsonStore(path).read()) == 200


def test_a_change_of_nothing_writes_nothing(store: JsonStore, path: Path) -> None:
    with store.change():
        pass
    assert not path.exists()
    put(store, record(1), record(2))
    before, kept = path.stat(), store.read()
    with store.change() as changes:
        changes.put(kept["id-1"])
        changes.put(attrs.evolve(kept["id-2"], title="there and back"))
        changes.put(kept["id-2"])
        changes.put(record(3))
        changes.remove("id-3")
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_removing_and_adding_again_changes_the_order(store: JsonStore) -> None:
    put(store, record(1), record(2))
    first = store.read()["id-1"]
    with store.change() as changes:
        changes.remove("id-1")
        changes.put(first)
    assert list(store.read()) == ["id-2", "id-1"]


def test_reading_again_reads_nothing_and_needs_no_lock(store: JsonStore, path: Path) -> None:
    put(store, record(1))
    first = store.read()["id-1"]
    with FileLock(f"{path}.lock"):
        assert store.read()["id-1"] is first
        assert JsonStore(path).read()["id-1"] == first


def test_every_write_differs_for_a_reader_even_if_the_clock_went_back(store: JsonStore, path: Path) -> None:
    put(store, record(1))
    future = time.time_ns() + 10**12
    os.utime(path, ns=(future, future))
    stamps = [path.stat().st_mtime_ns]
    for title in ("a", "b", "c"):
        put(store, attrs.evolve(store.read()["id-1"], title=title))
        stamps.append(path.stat().st_mtime_ns)
    assert stamps == sorted(set(stamps))


def test_what_killed_writers_left_is_removed_by_the_next(store: JsonStore, path: Path) -> None:
    path.parent.mkdir()
    leftover = path.with_name(".backends.json.0123456789abcdef.tmp")
    leftover.write_text("half a sto")
    others = [path.with_name(name) for name in (".backends.json.note.tmp", ".other.json.0123456789abcdef.tmp", "notes")]
    for each in others:
        each.write_text("mine")
    list(store)
    assert leftover.exists()
    put(store, record(1))
    assert not leftover.exists()
    assert all(each.exists() for each in others)


# --- waiting for others


def test_a_lock_that_is_not_given_up_is_an_error(path: Path) -> None:
    path.parent.mkdir()
    with (
        FileLock(f"{path}.lock"),
        pytest.raises(StoreError, match=r"0\.2 seconds\. Wait.*backends\.json\.lock") as caught,
    ):
        put(JsonStore(path, timeout=0.2), record(1))
    assert caught.value.reason == "locked"
    assert not path.exists()


def test_a_thread_that_does_not_end_its_change_is_an_error_for_the_others(path: Path) -> None:
    store = JsonStore(path, timeout=0.2)
    caught: list[StoreError] = []

    def other() -> None:
        try:
            put(store, record(1))
        except StoreError as error:
            caught.append(error)

    with store.change():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(60)
    assert [each.reason for each in caught] == ["locked"]


def test_the_lock_of_a_killed_program_is_free(store: JsonStore, path: Path) -> None:
    code = (
        "import sys, time; from mistcore.stores import JsonStore\n"
        "with JsonStore(sys.argv[1]).change(): print('in', flush=True); time.sleep(60)"
    )
    program = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert program.stdout is not None
    with program.stdout:
        assert program.stdout.readline() == b"in\n"
        program.kill()
        program.wait()
    put(store, record(1))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_changes_the_store_that_it_was_born_with(store: JsonStore, path: Path) -> None:
    put(store, record(1))
    child = os.fork()
    if not child:
        try:
            put(store, record(2))
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    put(store, record(3))
    assert list(JsonStore(path).read()) == ["id-1", "id-2", "id-3"]
