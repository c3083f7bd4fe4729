"""docs/embedding.md's promises: its programs run as they stand, nothing is global, and nobody's set-up is touched."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mistcore import Account, BackendManager, Machine, Provider, Registry, credential, hookimpl
from mistcore.stores.memory import MemoryStore

PAGE = (Path(__file__).parents[2] / "docs" / "embedding.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"<!-- A test runs this block: ([\w ]+)\. -->\n```python\n(.*?)```", PAGE, re.DOTALL))
PRINTED = {
    "web service": """\
201 desk bare_metal
400 {'problems': {'titel': 'unknown field'}}
200
200 running {}
kept: desk
200 (200, [])
kept:
ann added desk (bare_metal)
ann checked desk: good
ann removed desk
""",
    "own providers": """\
['rack']
Rack [('r1', 'running'), ('r2', 'running')]
True True 1
['Rack in oslo', 'Rack in turin']
""",
    "asyncio": """\
me ['web-0.2']
['web-0', 'web-0.2'] and no more in time
[CancelledError('')]
both gave up: [3600.0, 3600.0]
""",
}


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )


@pytest.mark.parametrize("name", PRINTED)
def test_the_program_runs_as_it_stands(name: str, tmp_path: Path) -> None:
    result = run(BLOCKS[name], tmp_path)
    assert result.returncode == 0, result.stderr
    assert (result.stdout.replace("CancelledError()", "CancelledError('')"), result.stderr) == (PRINTED[name], "")


def test_every_program_of_the_page_is_run() -> None:
    assert list(BLOCKS) == list(PRINTED)
    assert len(BLOCKS) == PAGE.count("```python")


QUIET = """
import logging, os, signal, sys, threading, warnings

import requests  # which adds filters for warnings of its own, and of urllib3, when it is imported

def settings():
    return {
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "handlers": list(logging.root.handlers),
        "level": logging.root.level,
        "disabled": logging.root.manager.disable,
        "classes": (logging.getLoggerClass(), logging.getLogRecordFactory()),
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook, sys.displayhook, warnings.showwarning),
        "streams": (sys.stdout, sys.stderr, sys.stdin),
        "filters": list(warnings.filters),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
    }

def use():
    from mistcore import BackendManager, MistError
    with BackendManager("backends.json", last_known=True) as client:
        assert len(client.supported_providers) >= 15
        here = client.add_backend("bare_metal", "here", machine_ip="local")
        there = client.add_backend("linode", "there", api_key="0" * 64, endpoint="http://127.0.0.1:9", check=False)
        walk = client.machines(partial=True, timeout=60)
        assert [machine.backend for machine in walk] == [here]
        assert set(walk.failures) == {there}
        assert len([result for result in client.check(timeout=60) if result.error]) == 1
        try:
            client.add_backend("linode", api_key="")
        except MistError as error:
            assert error.problems
        here.rename("desk")
        here.delete()
    from mistcore.rows import lenient
    assert lenient(lambda row: row["no such key"])({"id": 1}).extra == {"unreadable": True}  # and a line is logged

before = settings()
use()
after = settings()
changed = [name for name in before if before[name] != after[name]]
sys.exit(f"changed: {changed}" if changed else 0)
"""


def test_the_library_sets_up_nothing_and_prints_nothing(tmp_path: Path) -> None:
    result = run(QUIET, tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize("logger", ["mistcore_providers.linode", "mistcore.rows"])
def test_the_command_still_shows_what_a_provider_warns_of(tmp_path: Path, logger: str) -> None:
    code = f"""
import logging
from mistcore import Registry
from mistcore.cli.app import Context
assert Registry()["linode"]
log = logging.getLogger({logger!r})
log.warning("before")
Context("backends.json").manager
Context("backends.json").manager
log.warning("after")
"""
    result = run(code, tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "after\n")


def provider(number: int) -> type[Provider]:
    class Numbered(Provider):
        title = f"Cloud {number}"
        word: str = credential("Word", default=f"word-{number}")

        def check(self) -> Account:
            return Account(self.word)

        def list_machines(self):
            yield Machine(f"m-{number}", self.word)

    return Numbered


class Audit:
    def __init__(self, number: int) -> None:
        self.number = number
        self.told: list[str] = []

    @hookimpl
    def mistcore_providers(self):
        return {"cloud": provider(self.number)}

    @hookimpl
    def mistcore_backend_added(self, backend) -> None:
        self.told.append(backend.title)


def test_managers_in_one_process_do_not_know_of_each_other(tmp_path: Path) -> None:
    """Different stores, providers under one id, plugins, settings; used at the same time."""
    audits = [Audit(number) for number in range(4)]
    stores: list = [MemoryStore(), tmp_path / "one.json", tmp_path / "two" / "two.json", MemoryStore()]
    clients = [
        BackendManager(
            store,
            registry=Registry([]) if number % 2 else None,
            plugins=[audits[number]],
            last_known=number == 1,
        )
        for number, store in enumerate(stores)
    ]
    start = threading.Barrier(len(clients), timeout=100)
    found: dict[int, list] = {}

    def use(number: int) -> None:
        client = clients[number]
        start.wait()
        for turn in range(5):
            client.add_backend("cloud", f"b{number}-{turn}")
        found[number] = [(machine.id, machine.name, machine.backend.title) for machine in client.machines()]

    threads = [threading.Thread(target=use, args=(number,)) for number in range(len(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, client in enumerate(clients):
        titles = [f"b{number}-{turn}" for turn in range(5)]
        assert sorted(found[number]) == [(f"m-{number}", f"word-{number}", title) for title in titles]
        assert audits[number].told == [backend.title for backend in client.backends()] == titles
        assert client.registry["cloud"].title == f"Cloud {number}"
        assert ("ec2" in client.registry) is (number % 2 == 0)
        assert (client.backend(titles[0]).last_known() is not None) is (number == 1)
    clients[0].close()
    assert [account.account.id for account in clients[1].check()] == ["word-1"] * 5


def test_threads_may_share_a_registry_a_backend_and_a_provider() -> None:
    registry = Registry()
    client = BackendManager(MemoryStore(), registry=Registry([provider(1)]))
    (name,) = client.registry
    backend = client.add_backend(name, "shared")
    instance = client.registry[name]()
    start = threading.Barrier(16, timeout=100)
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            start.wait()
            assert len(registry.usable()) == len(registry) >= 15
            for _ in range(20):
                assert [machine.id for machine in backend.machines()] == ["m-1"]
                assert instance.check().id == backend.check().id
                backend.rename(f"shared by {number}")
                assert backend.title.startswith("shared by ")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert client.backends() == [backend]
