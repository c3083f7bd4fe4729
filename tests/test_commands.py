"""`cmd:` references: what runs, for whom, and what is said when it does not."""

from __future__ import annotations

import os
import stat
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import pytest
from fakes.acme import GOOD, Acme
from fakes.patience import HANGS
from peers.waiting import until

from mistcore import AuthenticationFailed, Backend, BackendManager, InvalidFields
from mistcore.commands import Commands
from mistcore.deadline import Deadline, deadline
from mistcore.registry import Registry
from mistcore.stores import MemoryStore, open_store

MARK = "printed-secret-4711"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir(mode=0o700)
    return folder / "backends.json"


def program(path: Path, text: str) -> Path:
    """A password manager of our own, which counts how often it runs."""
    script = path.with_name("pass manager")
    script.write_text(f"#!/bin/sh\necho x >> '{path.with_name('runs')}'\n{text}\n")
    script.chmod(0o700)
    return script


def manager_of(path: Path, commands: bool | None = True) -> BackendManager:
    return BackendManager(path, registry=Registry([Acme]), installed_plugins=False, commands=commands)


def add(manager: BackendManager, token: str, **options: Any) -> Backend:
    return manager.add_backend("acme", "one", "fra", token=token, **options)


def test_what_a_command_prints_is_the_secret(path: Path) -> None:
    script = program(path, f'test "$1" = "my token" && echo {GOOD}')
    manager = manager_of(path)
    backend = add(manager, f"cmd: '{script}' \"my token\"")
    assert backend.check().id == "42"
    assert GOOD not in path.read_text()
    assert backend.info["secrets"] == ["token"]
    assert path.with_name("runs").read_text() == "x\n"  # remembered for a while
    manager.close()
    backend.check()
    assert path.with_name("runs").read_text() == "x\nx\n"


def test_no_shell_sees_it(path: Path) -> None:
    witness = path.with_name("witness")
    with pytest.raises(AuthenticationFailed):  # of the words as they stand there
        add(manager_of(path), f"cmd:echo $HOME; touch {witness} | cat && echo `id` > {witness}")
    assert not witness.exists()


def problem(path: Path, token: str) -> str:
    manager = manager_of(path)
    backend = manager.backend("one") if manager.backends() else add(manager, "x", check=False)
    backend.update(token=token, check=False)
    with pytest.raises(InvalidFields) as caught:
        backend.check()
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame.locals for frame in shown.stack if f"{os.sep}mistcore{os.sep}" in frame.filename]
    assert MARK not in f"{ours} {shown}"
    return caught.value.problems["token"]


def test_everything_that_can_be_wrong_with_it(path: Path) -> None:
    script = str(program(path, f"echo {MARK}; exit 3")).replace(" ", r"\ ")
    assert problem(path, f"cmd:{script}").endswith("pass manager ended with status 3: run it by itself to see why")
    assert problem(path, "cmd:/nonexistent/program x") == "cannot run /nonexistent/program: No such file or directory"
    assert problem(path, "cmd:echo 'x") == "cmd: cannot be split into words (No closing quotation)"
    assert problem(path, "cmd:true") == "true printed nothing that is text"
    assert problem(path, f"cmd:{sys.executable} -c 'import sys; sys.stdout.buffer.write(bytes([255]))'").endswith(
        "printed nothing that is text"
    )


def test_it_ends_with_the_deadline(path: Path) -> None:
    backend = add(manager_of(path), f"cmd:sleep {HANGS}", check=False)
    with deadline(1.0), pytest.raises(InvalidFields, match="did not end within|no time left"):
        backend.check()


def test_it_ends_when_its_deadline_is_cancelled_and_leaves_nothing_running(path: Path) -> None:
    pid = path.with_name("pid")
    script = program(path, f"echo $$ > '{pid}.new'; mv '{pid}.new' '{pid}'\nexec sleep {HANGS}")
    backend = add(manager_of(path), f"cmd:'{script}'", check=False)
    whole = Deadline(HANGS)
    threading.Thread(target=lambda: (until(pid.exists, interval=0.02), whole.cancel())).start()
    with deadline(whole), pytest.raises(InvalidFields, match="did not end within"):
        backend.check()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_one_that_prints_without_an_end_is_stopped(path: Path) -> None:
    backend = add(manager_of(path), "cmd:yes", check=False)
    with deadline(HANGS), pytest.raises(InvalidFields, match="printed without an end"):
        backend.check()


@pytest.mark.parametrize("commands", [None, False])
def test_only_a_manager_that_says_so_runs_commands_of_another_store(path: Path, commands: bool | None) -> None:
    script = program(path, f"echo {GOOD}")
    backend = add(manager_of(path), f"cmd:'{script}'")
    with pytest.raises(InvalidFields, match="commands=True"):
        manager_of(path, commands).backend("one").check()
    with pytest.raises(InvalidFields, match="commands=True"):
        add(manager_of(path, commands), f"cmd:'{script}'")
    assert path.with_name("runs").read_text() == "x\n"
    assert backend.check().id == "42"


def test_the_users_own_store_may_name_commands(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISTCORE_STORE", str(path))
    script = program(path, f"echo {GOOD}")
    for store in (None, str(path)):
        with BackendManager(store, registry=Registry([Acme]), installed_plugins=False) as manager:
            assert add(manager, f"cmd:'{script}'").check().id == "42"
    with pytest.raises(InvalidFields, match="commands=True"):
        add(
            BackendManager(store, registry=Registry([Acme]), installed_plugins=False, commands=False), f"cmd:'{script}'"
        )


def test_no_provider_by_itself_runs_one() -> None:
    with pytest.raises(InvalidFields, match="a store of your own"):
        Acme(token="cmd:echo x", region="fra")


@pytest.mark.parametrize("who", ["file", "folder", "owner"])
def test_a_store_that_others_can_write_runs_nothing(path: Path, who: str, monkeypatch: pytest.MonkeyPatch) -> None:
    script = program(path, f"echo {GOOD}")
    backend = add(manager_of(path), f"cmd:'{script}'", check=False)
    if who == "file":
        path.chmod(0o620)
    elif who == "folder":
        path.parent.chmod(0o777)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(InvalidFields, match="yours alone"):
        backend.check()
    assert not path.with_name("runs").exists()
    if who == "folder":
        path.parent.chmod(0o777 | stat.S_ISVTX)  # as /tmp is: others cannot replace the file
        assert backend.check().id == "42"


def test_a_database_that_others_share_runs_nothing() -> None:
    store = open_store("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(ValueError, match="yours alone: .* is not a file of yours"):
        Commands(store, allowed=True).run("echo x")
    assert Commands(MemoryStore(), allowed=True).run("echo x") == "x"
