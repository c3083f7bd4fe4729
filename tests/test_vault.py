"""How secrets are kept: every way of keeping them, in every kind of store; what is copied, and what shows."""

from __future__ import annotations

import os
import pickle
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
from fakes.acme import GOOD
from fakes.vault import PASSPHRASE, VARIABLE, add, manager_of, refused, sealed_manager

from mistcore import AuthenticationFailed, BackendManager, NotSupported
from mistcore.stores import JsonStore, MemoryStore, Store, copy_store, open_store
from mistcore.stores.base import Record
from mistcore.vault import Vault, is_sealed
from mistcore.vault_keys import Key, Passphrase, new_key_text


@pytest.fixture(params=["json", "memory", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "postgresql":
        server = request.getfixturevalue("postgresql")
        found: Store = open_store(server.url(server.new_schema()))
    else:
        found = MemoryStore() if request.param == "memory" else JsonStore(tmp_path / "backends.json")
    with found:
        yield found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "backends.json"


@pytest.fixture(params=["passphrase", "file", "environment", "keyring"])
def way(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, dict[str, str]]:
    """One way to keep a key, as arguments of `rewrite`."""
    monkeypatch.setenv(VARIABLE, new_key_text())
    if request.param == "keyring":
        request.getfixturevalue("secret_service")
        return "keyring", {}
    ways = {
        "passphrase": {"passphrase": PASSPHRASE},
        "file": {"key_file": str(tmp_path / "key")},
        "environment": {"key_env": VARIABLE},
    }
    return "sealed", ways[request.param]


@pytest.fixture
def sealed(path: Path) -> BackendManager:
    return sealed_manager(path)


# -- every way, in every store ----------------------------------------------------------------------------------------


def test_secrets_are_sealed_and_opened_again(store: Store, way: tuple[str, dict[str, str]]) -> None:
    kind, key = way
    manager = manager_of(store)
    before = add(manager, "before", endpoint="https://other.example")
    assert (manager.vault.kind, manager.vault.key_source) == ("plain", "")
    assert manager.vault.rewrite(kind, **key) == 1
    after = add(manager, "after")
    for backend in (before, after):
        assert is_sealed(backend.record.credentials["token"])
        assert backend.check().name == "me@acme.example"
        assert backend.info["secrets"] == ["token"]
        assert GOOD not in str(backend.info) + repr(backend.record.credentials)
    assert before.record.credentials["endpoint"] == "https://other.example"
    again = manager_of(store)
    assert again.vault.kind == kind
    sources = {"key_file": "file", "key_env": "environment", "passphrase": "passphrase"}
    assert again.vault.key_source == sources.get(next(iter(key), ""), "keyring")
    assert [each.check().id for each in again.backends()] == ["42", "42"]
    assert again.vault.rewrite("plain") == 2
    assert [each.record.credentials["token"] for each in manager.backends()] == [GOOD, GOOD]
    assert store.read_vault() is None
    assert manager.backend("after").check().id == "42"  # with what it knew of the vault


def test_whatever_is_changed_stays_sealed(store: Store) -> None:
    manager = manager_of(store)
    backend = add(manager)
    manager.vault.rewrite("sealed", passphrase=PASSPHRASE)
    manager_of(store, None).backend("one").rename("other")  # which needs no passphrase
    backend.disable()
    backend.update(check=False, port=444)
    backend.update(token="wrong", check=False)
    assert is_sealed(backend.record.credentials["token"])
    with pytest.raises(AuthenticationFailed):
        backend.check()
    with pytest.raises(AuthenticationFailed):
        backend.update(token="wrong too")
    backend.update(token=GOOD)
    assert (backend.check().id, backend.title, backend.record.credentials["port"]) == ("42", "other", 444)
    manager_of(store, None).backend("other").delete()
    assert not store.read()


def test_changing_the_passphrase(store: Store) -> None:
    manager = manager_of(store)
    backend = add(manager)
    manager.vault.rewrite("sealed", passphrase=PASSPHRASE)
    sealed = backend.record
    assert manager.vault.rewrite("sealed", passphrase="another passphrase") == 1
    assert backend.record.credentials != sealed.credentials
    assert backend.check().id == "42"
    assert manager_of(store, "another passphrase").backend("one").check().id == "42"
    refused("passphrase", manager_of(store).backend("one").check)


def test_what_goes_wrong_in_the_middle_changes_nothing(store: Store) -> None:
    manager = manager_of(store)
    good, bad = add(manager, "good"), add(manager, "bad")
    manager.vault.rewrite("sealed", passphrase=PASSPHRASE)
    with store.change() as changes:
        changes.put(attrs.evolve(bad.record, credentials={**bad.record.credentials, "token": {"sealed": "x"}}))
    before, vault = dict(store.read()), store.read_vault()
    for kind, key in (("plain", {}), ("sealed", {"passphrase": "another passphrase"})):
        refused("damaged", lambda: manager.vault.rewrite(kind, **key))  # noqa: B023
        assert (dict(store.read()), store.read_vault()) == (before, vault)
    assert good.check().id == "42"


def test_a_transaction_that_is_undone_takes_the_vault_with_it(store: Store) -> None:
    manager = manager_of(store)
    add(manager)
    with suppress(KeyError), store.change():
        with suppress(IndexError), store.change():
            manager.vault.rewrite("sealed", passphrase=PASSPHRASE)
            assert store.read_vault() is not None
            raise IndexError
        assert store.read_vault() is None
        manager.vault.rewrite("sealed", passphrase=PASSPHRASE)
        raise KeyError
    assert store.read_vault() is None
    assert manager.backend("one").record.credentials["token"] == GOOD


def test_backends_are_added_and_asked_while_the_key_is_changed(store: Store) -> None:
    manager = manager_of(store)
    add(manager, "first")
    stop = threading.Event()
    problems: list[BaseException] = []

    def work(task: Callable[[], object]) -> None:
        while not stop.is_set():
            try:
                task()
            except BaseException as error:
                problems.append(error)
                return

    tasks = [manager.backend("first").check, lambda: add(manager, "more").check()]
    threads = [threading.Thread(target=work, args=[task]) for task in tasks]
    for thread in threads:
        thread.start()
    for kind in ("sealed", "plain", "sealed", "sealed"):
        manager.vault.rewrite(kind, passphrase=PASSPHRASE if kind == "sealed" else None)
    stop.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert all(is_sealed(each.record.credentials["token"]) for each in manager.backends())


# -- references, unknown providers, stores of others -------------------------------------------------------------------


def test_references_stay_readable_and_secrets_of_unknown_providers_are_sealed_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_REFERENCE", GOOD)
    manager = manager_of(path)
    add(manager, token="env:ACME_REFERENCE")
    with manager.store.change() as changes:
        changes.put(Record("gone-1", "gone", "nobody", credentials={"user": "me", "password": "hidden-4711"}))
    assert manager.vault.rewrite("sealed", passphrase=PASSPHRASE) == 2
    assert manager.backend("one").record.credentials["token"] == "env:ACME_REFERENCE"
    assert manager.backend("one").check().id == "42"
    gone = manager.backend("gone")
    assert all(map(is_sealed, gone.record.credentials.values()))
    assert gone.info["secrets"] == ["password", "user"]
    assert manager.vault.rewrite("plain") == 2
    assert gone.record.credentials == {"user": "me", "password": "hidden-4711"}


class Somebodys(Store):
    """A store of a plugin that knows nothing of vaults."""

    location = "somebody://else"

    def __init__(self) -> None:
        self._inner = MemoryStore()

    def read(self) -> Any:
        return self._inner.read()

    def change(self) -> Any:
        return self._inner.change()


def test_a_store_without_a_place_for_it_keeps_secrets_plain() -> None:
    manager = manager_of(Somebodys())
    add(manager)
    assert manager.vault.kind == "plain"
    with pytest.raises(NotSupported, match="only keep secrets plain"):
        manager.vault.rewrite("sealed", passphrase=PASSPHRASE)
    assert manager.backend("one").record.credentials["token"] == GOOD
    assert manager.backend("one").check().id == "42"


# -- copying ----------------------------------------------------------------------------------------------------------


def test_an_empty_store_is_sealed_as_the_one_that_is_copied(sealed: BackendManager, tmp_path: Path) -> None:
    target = JsonStore(tmp_path / "target.json")
    assert copy_store(sealed.store, target) == 2
    assert target.read_vault() == sealed.store.read_vault()
    assert copy_store(sealed.store, target) == 0
    with pytest.raises(AuthenticationFailed):
        manager_of(target).backend("one").check()
    assert GOOD not in (tmp_path / "target.json").read_text()


def test_secrets_are_never_kept_in_a_weaker_way(sealed: BackendManager, tmp_path: Path) -> None:
    target = manager_of(tmp_path / "target.json")
    add(target, "three")
    before = (tmp_path / "target.json").read_bytes()
    with pytest.raises(Exception, match="would keep them plain") as caught:
        copy_store(sealed.store, target.store, vaults=(sealed.vault, target.vault))
    assert getattr(caught.value, "reason", "") == "weaker"
    assert (tmp_path / "target.json").read_bytes() == before


@pytest.mark.parametrize("plain", [False, True])
def test_a_sealed_store_takes_others_under_its_own_key(sealed: BackendManager, tmp_path: Path, plain: bool) -> None:
    if plain:
        sealed.vault.rewrite("plain")
    target = manager_of(tmp_path / "target.json", "the passphrase of the target")
    add(target, "three")
    target.vault.rewrite("sealed", passphrase="the passphrase of the target")
    with pytest.raises(Exception, match="same key"):
        copy_store(sealed.store, target.store)
    vaults = (sealed.vault, target.vault)
    assert copy_store(sealed.store, target.store, vaults=vaults) == 2
    assert copy_store(sealed.store, target.store, vaults=vaults) == 0
    found = {each.title: each.record.credentials["token"] for each in target.backends()}
    assert all(map(is_sealed, found.values()))
    opened = [target.vault.open(each.record).credentials["token"] for each in target.backends()]
    assert opened == [GOOD, "secret-of-one", "secret-of-two"]
    sealed.backend("one").update(token="changed", check=False)
    with pytest.raises(Exception, match="they differ"):
        copy_store(sealed.store, target.store, vaults=vaults)


# -- what shows -------------------------------------------------------------------------------------------------------


def test_nothing_of_it_shows(sealed: BackendManager, path: Path) -> None:
    key = Key(os.urandom(32))
    for hidden in (key, Passphrase(PASSPHRASE)):
        assert PASSPHRASE not in repr(hidden)
        assert "…" in repr(hidden)
        with pytest.raises(TypeError):
            pickle.dumps(hidden)
    assert PASSPHRASE not in repr(vars(sealed.vault))
    for call in (
        manager_of(path, "incorrect horse").backend("one").check,
        sealed.backend("one").check,
        lambda: sealed.vault.rewrite("sealed", passphrase="short 7"),
    ):
        with pytest.raises(Exception) as caught:  # noqa: PT011
            call()
        shown: traceback.TracebackException | None
        shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        while shown is not None:
            ours = [frame for frame in shown.stack if f"{os.sep}mistcore{os.sep}" in frame.filename]
            text = f"{[frame.locals for frame in ours]} {shown}"
            assert not [word for word in (PASSPHRASE, "incorrect horse", "short 7", "secret-of-one") if word in text]
            shown = shown.__cause__ or shown.__context__


def test_what_is_sealed_is_different_each_time(path: Path) -> None:
    manager = manager_of(path)
    add(manager, "one", "same")
    add(manager, "two", "same")
    manager.vault.rewrite("sealed", passphrase=PASSPHRASE)
    first, second = (each.record.credentials["token"]["sealed"] for each in manager.backends())
    assert first != second


def test_a_vault_may_be_used_without_a_manager() -> None:
    store = MemoryStore([Record("id-1", "one", "acme", credentials={"token": "t", "user": "u"})])
    vault = Vault(store, lambda provider: {"token"}, PASSPHRASE)
    assert vault.rewrite("sealed", passphrase=PASSPHRASE) == 1
    record = store.read()["id-1"]
    assert record.credentials["user"] == "u"
    assert vault.open(record).credentials == {"token": "t", "user": "u"}
