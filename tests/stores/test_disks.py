"""The JSON store on disks that fail it: full, read-only, limited. Each leaves the old file whole."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from peers.require import missing
from stores.suite import put
from stores.workers import record

from mistcore.errors import StoreError
from mistcore.stores import JsonStore, Record


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own: 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = run("mount", "-t", "tmpfs", "-o", "size=64k", "mistcore-test", str(folder))
    if mounted.returncode:
        missing(f"a disk could not be mounted (that takes root): {mounted.stderr.strip()}")
    yield folder
    assert run("umount", str(folder)).returncode == 0


def big(number: int) -> Record:
    return attrs.evolve(record(number), credentials={"key": f"secret-of-{number}-" + "x" * 8000})


def failure(change: Callable[[], None]) -> StoreError:
    try:
        change()
    except StoreError as error:
        return error
    pytest.fail("it was possible")


def fails(store: JsonStore, reason: str, change: Callable[[], None]) -> StoreError:
    """See that a change fails, says how to help it, and leaves the file as it was, with nothing beside it."""
    path = Path(store.location)
    before, read = path.read_bytes(), dict(store.read())
    beside = sorted(path.parent.iterdir())
    caught = failure(change)
    assert caught.reason == reason
    assert str(path) in caught.message
    assert caught.remedy
    assert path.read_bytes() == before
    assert dict(store.read()) == dict(JsonStore(path).read()) == read
    assert sorted(path.parent.iterdir()) == beside
    return caught


def test_a_full_disk(disk: Path) -> None:
    store = JsonStore(disk / "data" / "backends.json")
    put(store, *(big(number) for number in range(4)))

    error = fails(store, "disk_full", lambda: put(store, big(4), big(5)))
    assert "No space left on device" in error.message
    told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "secret-of" not in told

    with store.change() as changes:  # and as soon as there is room, it goes on
        changes.remove("id-0")
        changes.remove("id-1")
        changes.remove("id-2")
    put(store, big(6))
    assert list(JsonStore(store.location).read()) == ["id-3", "id-6"]


def test_a_disk_that_is_full_from_the_start(disk: Path) -> None:
    (disk / "rest").write_bytes(b"x" * 65536)
    store = JsonStore(disk / "backends.json")
    with pytest.raises(StoreError) as caught:
        put(store, record(1))
    assert caught.value.reason == "disk_full"
    assert not (disk / "backends.json").exists()
    assert dict(store.read()) == {}
    (disk / "rest").unlink()
    put(store, record(1))


def test_a_disk_that_became_read_only(disk: Path) -> None:
    store = JsonStore(disk / "backends.json")
    put(store, record(1))
    assert run("mount", "-o", "remount,ro", str(disk)).returncode == 0
    error = fails(store, "read_only", lambda: put(store, record(2)))
    assert "Read-only file system" in error.message
    assert "MISTCORE_STORE" in error.remedy
    fails(JsonStore(disk / "backends.json"), "read_only", lambda: put(JsonStore(store.location), record(2)))
    new = JsonStore(disk / "new" / "backends.json")
    assert dict(new.read()) == {}
    with pytest.raises(StoreError) as caught:
        put(new, record(1))
    assert caught.value.reason == "read_only"
    assert run("mount", "-o", "remount,rw", str(disk)).returncode == 0
    put(store, record(3))
    assert list(store.read()) == ["id-1", "id-3"]


def test_a_folder_without_the_right_to_write(tmp_path: Path) -> None:
    store = JsonStore(tmp_path / "data" / "backends.json")
    put(store, record(1))
    folder = Path(store.location).parent
    if os.geteuid():
        folder.chmod(0o500)
        restore = lambda: folder.chmod(0o700)  # noqa: E731
    else:  # root may write everywhere, but not where nobody may
        if run("chattr", "+i", str(folder)).returncode:
            missing("chattr +i does not work here")
        restore = lambda: run("chattr", "-i", str(folder))  # noqa: E731
    try:
        fails(store, "permission", lambda: put(store, record(2)))
    finally:
        restore()
    put(store, record(3))


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    store = JsonStore(tmp_path / "data" / "backends.json")
    put(store, big(1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 * 1024, before[1]))
    try:
        fails(store, "disk_full", lambda: put(store, big(2), big(3)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    put(store, big(2))


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path) -> None:
    """Ctrl-C in the middle of many writes: the file is whole and nothing lies beside it."""
    path = tmp_path / "data" / "backends.json"
    code = (
        "import sys; from stores.workers import record; from stores.suite import put; from mistcore.stores import *\n"
        "store = JsonStore(sys.argv[1])\n"
        "for number in range(10**6):\n"
        "    put(store, record(number % 1000))\n"
        "    put(store, record(number % 1000 + 1000))\n"
        "    if number == 10: print('on', flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    program = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    assert program.stdout is not None
    assert program.stdout.readline() == b"on\n"
    program.send_signal(2)
    _, errors = program.communicate(timeout=250)
    assert b"KeyboardInterrupt" in errors
    assert len(JsonStore(path).read()) > 10
    assert sorted(each.name for each in path.parent.iterdir()) == ["backends.json", "backends.json.lock"]


def test_no_interrupt_is_lost(tmp_path: Path) -> None:
    """Python prints a Ctrl-C that comes while a finalizer runs, and goes on."""
    store = JsonStore(tmp_path / "backends.json")
    put(store, record(1))
    called: list[str] = []
    sys.setprofile(lambda frame, event, _: called.append(frame.f_code.co_name) if event == "call" else None)
    try:
        put(store, record(2))
    finally:
        sys.setprofile(None)
    assert "change" in called
    assert "__del__" not in called
