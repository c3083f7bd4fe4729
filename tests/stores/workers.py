"""Programs of their own that use a store while the tests look on: python workers.py TASK LOCATION [NUMBER]."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from mistcore.stores import Record, Store, open_store
from mistcore.vault import Vault, is_sealed


def record(number: object) -> Record:
    credentials = {"token": f"secret-{number}", "endpoint": "https://acme.example/v1"}
    return Record(f"id-{number}", f"Backend {number}", "acme", credentials=credentials)


def vault_of(store: Store) -> Vault:
    """Return the vault of a store, whose key is in the environment, in a keyring, or not needed."""
    return Vault(store, lambda provider: {"token"})


def add(location: str, name: str, count: int) -> None:
    """Add backends, one transaction each."""
    with open_store(location) as store:
        store.timeout = 240  # as long as the test: on a slow disk, chance lets one of eight wait for very long
        for number in range(count):
            with store.change() as changes:
                changes.put(record(f"{name}-{number}"))


def fork(work: Callable[[int], None]) -> tuple[int, int]:
    """Do the work in a process of its own; return that and what reads what it acknowledges (by `work`'s argument)."""
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        return child, reader
    try:
        os.close(reader)
        work(writer)
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        os._exit(1)
    os._exit(0)


def ended(child: int, reader: int) -> tuple[int, list[str]]:
    """Return how a process ended, and the names that it acknowledged."""
    with os.fdopen(reader) as file:
        acknowledged = file.read().split()
    return os.waitpid(child, 0)[1], acknowledged


class Witness:
    """Sees to it that the store is whole after every death, and holds what was acknowledged."""

    def __init__(self, location: str) -> None:
        self.location = location
        self.acknowledged: set[str] = set()
        self.kills = 0
        self.kept_without_word = 0
        self.pace = 0.0
        #: With its key found, so that every writer, a child of this process, has it.
        self.vault = vault_of(open_store(location))

    def warm_up(self) -> None:
        """Import in this process what every writer needs, so that they are killed while they write."""
        for name in ("first", "second"):
            started = time.monotonic()
            with open_store(self.location) as store, store.change() as changes:
                changes.put(self.vault.seal(record(name)))
            self.pace = max(time.monotonic() - started, 0.0075)
            self.acknowledged.add(f"id-{name}")

    def look(self, acknowledged: list[str]) -> None:
        self.acknowledged.update(acknowledged)
        with open_store(self.location) as store:
            found = store.read()
        lost = self.acknowledged - found.keys()
        assert not lost, f"acknowledged, and lost: {sorted(lost)}"
        self._compare([found[id] for id in acknowledged])
        # At most the one that was under way at each death was kept without a word.
        self.kept_without_word = len(found) - len(self.acknowledged)
        assert self.kept_without_word <= self.kills

    def _compare(self, found: Iterable[Record]) -> None:
        is_plain = self.vault.kind == "plain"
        for each in found:
            assert is_plain or is_sealed(each.credentials["token"])
            assert self.vault.open(each).credentials == record(each.id.removeprefix("id-")).credentials

    def report(self) -> None:
        with open_store(self.location) as store:
            self._compare(store.read().values())
        result = {"kills": self.kills, "acknowledged": len(self.acknowledged), "silent": self.kept_without_word}
        sys.stdout.write(json.dumps(result))


def _add_one(store: Store, name: str, acknowledge: int, vault: Vault | None = None) -> None:
    with store.change() as changes:
        changes.put(vault.seal(record(name)) if vault is not None else record(name))
    os.write(acknowledge, f"id-{name}\n".encode())


def killed_at_random(location: str, kills: int) -> None:
    """Kill a writer that adds one backend after another, at random instants; look at the store after each death."""
    witness = Witness(location)
    witness.warm_up()
    chance = random.Random(20300131)
    while witness.kills < kills:

        def work(acknowledge: int) -> None:
            with open_store(location) as store:
                for number in range(1_000_000):
                    _add_one(store, f"{witness.kills}-{number}", acknowledge, witness.vault)

        child, reader = fork(work)
        time.sleep(chance.uniform(0, 4 * witness.pace))
        os.kill(child, signal.SIGKILL)
        status, acknowledged = ended(child, reader)
        assert status == signal.SIGKILL, f"the writer ended by itself: {status}"
        witness.kills += 1
        witness.look(acknowledged)
        # The machine may be slower now than it was then.
        witness.pace = max(witness.pace * (0.9 if acknowledged else 1.1), 0.0075)
    witness.report()


def killed_at_each_line(location: str, _: int) -> None:
    """Kill a writer before the first line of code, then before the second, and so on until it is through."""
    touching_what_is_kept = tuple(
        os.sep + str(Path("mistcore", "stores", name)) for name in ("atomic.py", "json_file.py", "postgresql.py")
    )
    witness = Witness(location)
    witness.warm_up()
    status = signal.SIGKILL
    while status == signal.SIGKILL:

        def work(acknowledge: int) -> None:
            left = witness.kills + 1

            def count(frame: object, event: str, arg: object) -> object:
                nonlocal left
                if event == "call":
                    file = frame.f_code.co_filename  # type: ignore[attr-defined]
                    return count if file.endswith(touching_what_is_kept) else None
                left -= event == "line"
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)
                return count

            store = open_store(location)
            store.read()
            sys.settrace(count)  # type: ignore[arg-type]
            _add_one(store, str(witness.kills), acknowledge, witness.vault)
            sys.settrace(None)

        status, acknowledged = ended(*fork(work))
        witness.kills += status == signal.SIGKILL
        witness.look(acknowledged)
    assert not status
    witness.report()


#: So many lines after it began to change how secrets are kept, a new key file is there.
_KEY_IS_MADE = 60


def killed_while_rewriting(location: str, _: int) -> None:
    """Kill what changes how secrets are kept before its first line of code, then before the third, and so on.

    The next change is killed before the even lines; what makes a key file before each.
    """
    stores = tuple(os.sep + str(Path("stores", name)) for name in ("atomic.py", "json_file.py", "postgresql.py"))
    others = ("rewrite", "_new", "make_key", "_write_key", "_put_in_keyring", "_with_keyring")
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: F401 - what each child would import again

    kept = [record(number) for number in range(2)]
    with open_store(location) as store, store.change() as changes:
        for each in kept:
            changes.put(vault_of(store).seal(each))
    import keyring.backends.SecretService  # noqa: F401

    ways: list[dict[str, str]] = [{"kind": "sealed", "key_env": "TEST_KEY"}, {"kind": "plain"}, {"kind": "keyring"}]
    if "://" not in location:
        ways.insert(2, {"kind": "sealed", "key_file": f"{location}-key"})
    kills = 0
    for number, way in enumerate(ways):
        step = 7 if "://" in location else 3  # a database takes longer to look into after each
        at, status = 0 if "key_file" in way else -(number % step), signal.SIGKILL
        with open_store(location) as store:
            before = store.read_vault()
        while status == signal.SIGKILL:
            at += 1 if "key_file" in way and at < _KEY_IS_MADE else step

            def work(acknowledge: int, way: dict[str, str] = way, left: int = at) -> None:
                def count(frame: object, event: str, arg: object) -> object:
                    nonlocal left
                    if event == "call":
                        code = frame.f_code  # type: ignore[attr-defined]
                        ours = f"{os.sep}mistcore{os.sep}vault" in code.co_filename and code.co_name in others
                        return count if ours or code.co_filename.endswith(stores) else None
                    left -= event == "line"
                    if not left:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return count

                store = open_store(location)
                vault = vault_of(store)
                vault.unlock()
                sys.settrace(count)  # type: ignore[arg-type]
                vault.rewrite(**way)
                sys.settrace(None)

            status, _names = ended(*fork(work))
            kills += status == signal.SIGKILL
            with open_store(location) as store:
                vault = vault_of(store)
                found = [vault.open(each) for each in store.read().values()]
                sealed = [is_sealed(each.credentials["token"]) for each in store.read().values()]
                settings = store.read_vault()
            assert [(each.id, each.credentials) for each in found] == [(each.id, each.credentials) for each in kept]
            assert sealed == [settings is not None] * len(kept)
            if status and settings != before:  # it was killed after all was done: begin again from there
                before = settings
        assert not status
        if "://" not in location and way["kind"] != "plain":  # nor is a secret in what those who were killed left
            files = [path for path in Path(location).parent.rglob("*") if path.is_file()]
            found = [
                path.name for path in files for each in kept if each.credentials["token"].encode() in path.read_bytes()
            ]
            assert not found, found
    sys.stdout.write(json.dumps({"kills": kills}))


def as_nobody(location: str, _: int) -> None:
    """Read and try to add as a user without rights; say what came of it."""

    def work(acknowledge: int) -> None:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        answers = []
        for attempt in (lambda store: len(store.read()), lambda store: _add_one(store, "mine", acknowledge)):
            try:
                answers.append(str(attempt(open_store(location))))
            except Exception as error:
                answers.append(f"{type(error).__name__} {getattr(error, 'reason', '')} {error}")
        sys.stdout.write(json.dumps(answers))
        sys.stdout.flush()

    # Where that user may not read: an environment of tox is its owner's alone.
    import filelock  # noqa: F401

    import mistcore.stores.json_file  # noqa: F401

    status, _names = ended(*fork(work))
    assert not status


if __name__ == "__main__":
    task, location, *rest = sys.argv[1:]
    if task == "add":
        add(location, rest[0], int(rest[1]))
    else:
        tasks = {
            "random": killed_at_random,
            "lines": killed_at_each_line,
            "rewrite": killed_while_rewriting,
            "nobody": as_nobody,
        }
        tasks[task](location, int(*rest or "0"))
