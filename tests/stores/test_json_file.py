"""The JSON store: what every store promises, and what is its own: the file."""

from __future__ import annotations

import json
import os
import pickle
import stat
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from filelock import FileLock
from stores.suite import WORKERS, StoreSuite, finish, put, start_worker
from stores.workers import record

from mistcore.errors import StoreError
from mistcore.stores import JsonStore


class TestJsonStore(StoreSuite):
    @pytest.fixture
    def location(self, tmp_path: Path) -> str:
        return str(tmp_path / "data" / "backends.json")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "backends.json"


@pytest.fixture
def store(path: Path) -> JsonStore:
    return JsonStore(path)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


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


# --- files that are refused

GOOD = {
    "id": "a",
    "title": "A secret title",
    "provider": "acme",
    "region": "",
    "enabled": True,
    "created_at": "2030-01-31T12:00:00Z",
    "credentials": {"token": "hunter2-secret"},
}


def text_of(*backends: object, **more: object) -> str:
    return json.dumps({"version": 1, **more, "backends": list(backends)}, indent=2)


def without(key: str) -> dict[str, object]:
    return {name: value for name, value in GOOD.items() if name != key}


DAMAGED = {
    "empty": (b"", "it is empty"),
    "blank": (b" \n\n", "nothing but white space"),
    "truncated": (text_of(GOOD, GOOD)[:-40], r"line 2\d: "),
    "cut at the end": (text_of(GOOD)[:-1], "line 16: it ends too early"),
    "cut in the list": (text_of(GOOD)[:-4], "line 15: it ends too early"),
    "cut at the start": ('{"version": 1,', "line 1: "),
    "garbage": (b"\x00\x01\x02 secret", "line 1: it is not JSON"),
    "not utf-8": (text_of(GOOD).encode().replace(b"A secret", b"\xff secret"), "line 6: it is not UTF-8"),
    "utf-16": (text_of(GOOD).encode("utf-16"), "line 1: it is not UTF-8"),
    "a list": ("[]", r"line 1: it is not JSON \('\{' is expected\)"),
    "a text": ('"secret"', "line 1: "),
    "trailing": (text_of(GOOD) + "\n{}", "line 17: it goes on after its end"),
    "a missing comma": (
        text_of(GOOD).replace('"acme",', '"acme"'),
        r"line 8: it is not JSON \(Expecting ',' delimiter\)",
    ),
    "a missing comma outside": ('{"version": 1\n"backends": []}', "line 2: it is not JSON"),
    "a comma too many": ('{"version": 1,\n"backends": [],}', "line 2: it is not JSON"),
    "a comma too many in the list": ('{"version": 1,\n"backends": [\n{},]}', "line 3: "),
    "a control character": (text_of(GOOD).replace("A secret", "A\nsecret"), "line 6: it is not JSON"),
    "a bad escape": (text_of(GOOD).replace("hunter2", "\\hunter2"), "line 12: it is not JSON"),
    "a name without quotes": ("{version: 1}", "line 1: it is not JSON"),
    "no version": ('{"backends": []}', "no version"),
    "version 0": ('{\n"version": 0, "backends": []}', "line 2: the version is not"),
    "version true": ('{"version": true, "backends": []}', "line 1: the version is not"),
    "version 1.0": ('{"version": 1.0, "backends": []}', "line 1: the version is not"),
    "version as text": ('{"version": "1", "backends": []}', "line 1: the version is not"),
    "two versions": ('{"version": 1, "version": 1, "backends": []}', "line 1: a key stands twice"),
    "no backends": ('{"version": 1}', "no list of backends"),
    "backends null": ('{"version": 1,\n"backends": null}', "line 2: backends is not a list"),
    "backends by id": ('{"version": 1,\n"backends": {"a": {}}}', "line 2: backends is not a list"),
    "two lists": ('{"version": 1,\n"backends": [],\n"backends": []}', "line 3: a key stands twice"),
    "a number": (text_of(GOOD, 7), "line 15: backend 2 is not an object"),
    "null": (text_of(None), "line 4: backend 1 is not an object"),
    **{f"no {key}": (text_of(without(key)), f"line 4: backend 1 has no {key}") for key in GOOD},
    **{
        f"{key} is {value!r}": (text_of({**GOOD, key: value}), rf"line {line}: backend 1 has a bad {key}")
        for line, (key, value) in enumerate(
            [("id", 7), ("title", None), ("provider", []), ("region", None), ("enabled", 1), ("created_at", 0)], 5
        )
    },
    "credentials are a list": (
        text_of({**GOOD, "credentials": ["secret"]}),
        "line 11: backend 1 has a bad credentials",
    ),
    "an empty id": (text_of({**GOOD, "id": ""}), "line 5: backend 1 has an empty id"),
    "no time": (text_of({**GOOD, "created_at": "secret"}), "line 10: backend 1 has a bad created_at"),
    "no time zone": (text_of({**GOOD, "created_at": "2030-01-31T12:00:00"}), "line 10: backend 1 has a bad created_at"),
    "a time before time": (text_of({**GOOD, "created_at": "0001-01-01T00:00:00+14:00"}), "line 10: "),
    "the same id twice": (
        text_of(GOOD, {**GOOD, "id": "b"}, GOOD),
        "line 26: backend 3 has the id of the one on line 4",
    ),
    "a key twice": (text_of(GOOD).replace('"region"', '"title"'), "line 4: a key stands twice"),
    "a credential twice": (text_of(GOOD).replace('"token":', '"token": "", "token":'), "line 4: a key stands twice"),
    "infinity": (text_of({**GOOD, "weight": float("inf")}), "line 4: Infinity is not JSON"),
    "nested too deeply": ('{"version": 1, "backends": [' + "[" * 100_000, "line 1: it is nested too deeply"),
    "nested too deeply in an unknown key": ('{"version": 1,\n"x": ' + "[" * 100_000, "line 2: it is nested too deeply"),
    "nested deeply": (
        text_of({**GOOD, "x": json.loads("[" * 150 + "]" * 150)}),
        "line 4: backend 1 is nested too deeply",
    ),
    "a number without end": ('{"version": ' + "1" * 10_000 + ', "backends": []}', "line 1: a number is too long"),
}


@pytest.mark.parametrize(("content", "words"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_refused_and_left_untouched(path: Path, content: bytes | str, words: str) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    path.parent.mkdir()
    path.write_bytes(data)
    store = JsonStore(path)
    for attempt in (store.read, lambda: put(store, record(1))):
        with pytest.raises(StoreError, match=words) as caught:
            attempt()
        error = caught.value
        assert error.reason == "damaged"
        assert error.location == str(path)
        assert str(path) in error.message
        assert "left untouched" in error.remedy
        assert path.read_bytes() == data
    assert names(path.parent) == ["backends.json", "backends.json.lock"]


def refusal(path: Path) -> StoreError:
    try:
        JsonStore(path).read()
    except StoreError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize("content", [content for content, _ in DAMAGED.values()], ids=DAMAGED)
def test_no_part_of_a_refused_file_is_in_the_error(path: Path, content: bytes | str) -> None:
    path.parent.mkdir()
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    error = refusal(path)
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    for text in ("".join(told.format()), repr(pickle.dumps(error)), repr(error.__dict__)):
        assert "hunter2" not in text
        assert "A secret" not in text
    assert error.__cause__ is None
    assert error.__context__ is None


@pytest.mark.parametrize(
    "content",
    ['{"version": 2, "backends": []}', '{"backends": {"by": "id"}, "version": 17}', '{"version": 2, "groups": [null]}'],
)
def test_a_newer_file_is_refused_and_left_untouched(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    store = JsonStore(path)
    for attempt in (store.read, lambda: put(store, record(1))):
        with pytest.raises(StoreError, match=r"it is of version (2|17), and this mistcore reads up to 1") as caught:
            attempt()
        assert caught.value.reason == "newer"
        assert "pip install --upgrade mistcore" in caught.value.remedy
        assert path.read_text() == content


def test_a_file_that_was_damaged_and_is_repaired_works_again(store: JsonStore, path: Path) -> None:
    put(store, record(1))
    good = path.read_bytes()
    path.write_bytes(good[:-20])
    with pytest.raises(StoreError):
        store.read()
    path.write_bytes(good)
    put(store, record(2))
    assert list(store.read()) == ["id-1", "id-2"]


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
