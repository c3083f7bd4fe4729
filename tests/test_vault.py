"""How secrets are kept: every way of keeping them, in every kind of store, and all that can be wrong with it."""

from __future__ import annotations

import json
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
from fakes.acme import GOOD, Acme
from peers.secret_service import SecretService

from mistcore import AuthenticationFailed, Backend, BackendManager, InvalidFields, NotSupported, VaultError
from mistcore.registry import Registry
from mistcore.stores import JsonStore, MemoryStore, Store, copy_store, open_store
from mistcore.stores.base import Record
from mistcore.vault import Vault, is_sealed
from mistcore.vault_keys import Key, Passphrase, new_key_text

PASSPHRASE = "correct horse battery staple"
VARIABLE = "TEST_OF_THE_VAULT"


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


def manager_of(store: Store | Path, passphrase: str | Callable[[], str] | None = PASSPHRASE) -> BackendManager:
    return BackendManager(store, registry=Registry([Acme]), passphrase=passphrase, installed_plugins=False)


def add(manager: BackendManager, title: str = "one", token: str = GOOD, **fields: Any) -> Backend:
    return manager.add_backend("acme", title, "fra", check=False, token=token, **fields)


def refused(reason: str, call: Callable[[], object]) -> VaultError:
    with pytest.raises(VaultError) as caught:
        call()
    assert caught.value.reason == reason
    assert caught.value.remedy
    return caught.value


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


# -- what can be wrong ------------------------------------------------------------------------------------------------


@pytest.fixture
def sealed(path: Path) -> BackendManager:
    """Two backends, sealed with a passphrase."""
    manager = manager_of(path)
    add(manager, "one", "secret-of-one")
    add(manager, "two", "secret-of-two")
    manager.vault.rewrite("sealed", passphrase=PASSPHRASE)
    return manager


def edit(path: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_wrong_passphrase_and_none(sealed: BackendManager, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()
    refused("passphrase", manager_of(path, "incorrect horse").backend("one").check)
    refused("passphrase_missing", manager_of(path, None).backend("one").check)
    monkeypatch.setenv("MISTCORE_PASSPHRASE", "incorrect horse")
    refused("passphrase", manager_of(path, None).backend("one").check)
    monkeypatch.setenv("MISTCORE_PASSPHRASE", PASSPHRASE)
    with pytest.raises(AuthenticationFailed):
        manager_of(path, None).backend("one").check()
    assert path.read_bytes() == before


def test_the_passphrase_is_asked_for_once_and_not_before_it_is_needed(sealed: BackendManager, path: Path) -> None:
    asked = []

    def ask() -> str:
        asked.append(1)
        return PASSPHRASE

    manager = manager_of(path, ask)
    assert [each.title for each in manager.backends()] == ["one", "two"]
    assert asked == []
    assert len([result for result in manager.check() if isinstance(result.error, AuthenticationFailed)]) == 2
    manager.vault.unlock()
    assert asked == [1]
    manager.vault.lock()
    manager.vault.unlock()
    assert asked == [1, 1]


def test_a_wrong_passphrase_is_tried_once_for_all_backends(sealed: BackendManager, path: Path) -> None:
    asked = []
    manager = manager_of(path, lambda: asked.append(1) or "incorrect horse")  # type: ignore[func-returns-value]
    results = list(manager.check())
    assert [result.error.reason for result in results if isinstance(result.error, VaultError)] == ["passphrase"] * 2
    assert {result.error.backend for result in results if result.error} == {"one", "two"}
    assert asked == [1]


@pytest.mark.parametrize("text", ["", "7 chars"])
def test_a_passphrase_that_is_too_short(path: Path, text: str) -> None:
    manager = manager_of(path)
    add(manager)
    before = path.read_bytes()
    with pytest.raises(InvalidFields, match="passphrase"):
        manager.vault.rewrite("sealed", passphrase=text)
    assert path.read_bytes() == before


@pytest.mark.parametrize("key", [{}, {"passphrase": PASSPHRASE, "key_env": VARIABLE}])
def test_one_key_is_needed_and_only_one(path: Path, key: dict[str, str]) -> None:
    with pytest.raises(InvalidFields, match="either"):
        manager_of(path).vault.rewrite("sealed", **key)
    with pytest.raises(InvalidFields, match="one of"):
        manager_of(path).vault.rewrite("burnt")
    assert not path.exists()


def test_a_secret_at_another_backend_or_field_is_told_from_a_damaged_one(sealed: BackendManager, path: Path) -> None:
    def swap(content: Any) -> None:
        one, two = content["backends"]
        one["credentials"], two["credentials"] = two["credentials"], one["credentials"]

    edit(path, swap)
    error = refused("swapped", sealed.backend("one").check)
    assert "'two'" in str(error)
    edit(path, swap)
    edit(path, lambda content: content["backends"][0].update(id=content["backends"][0]["id"][:-1] + "1"))
    assert refused("damaged", sealed.backend("one").check).message == "'one': the sealed token is damaged"
    assert sealed.backend("two").record.title == "two"


def test_a_damaged_secret(sealed: BackendManager, path: Path) -> None:
    def damage(content: Any) -> None:
        text = content["backends"][0]["credentials"]["token"]["sealed"]
        content["backends"][0]["credentials"]["token"]["sealed"] = (
            text[:-8] + ("A" if text[-8] != "A" else "B") + text[-7:]
        )

    edit(path, damage)
    before = path.read_bytes()
    refused("damaged", sealed.backend("one").check)
    with pytest.raises(AuthenticationFailed):
        sealed.backend("two").check()
    refused("damaged", lambda: sealed.backend("one").update(port=444, check=False))
    assert path.read_bytes() == before
    sealed.backend("one").update(token=GOOD)  # the remedy
    assert sealed.backend("one").check().id == "42"


@pytest.mark.parametrize(("field", "value"), [("endpoint", "https://evil.example"), ("token2", "x")])
def test_a_secret_does_not_go_where_the_address_was_changed_to(
    sealed: BackendManager, path: Path, field: str, value: str
) -> None:
    edit(path, lambda content: content["backends"][0]["credentials"].update({field: value}))
    error = refused("changed", sealed.backend("one").check)
    assert "token" in error.message
    edit(path, lambda content: content["backends"][0]["credentials"].pop(field))
    with pytest.raises(AuthenticationFailed):  # nothing was lost
        sealed.backend("one").check()


@pytest.mark.parametrize(
    ("key", "value"),
    [("check", "AAAA"), ("key", {"from": "file", "path": "/nonexistent"}), ("sum", ""), ("kind", 7), ("id", "other")],
)
def test_a_damaged_vault_is_not_taken_for_a_wrong_passphrase(
    sealed: BackendManager, path: Path, key: str, value: object
) -> None:
    edit(path, lambda content: content["vault"].update({key: value}))
    before = path.read_bytes()
    refused("damaged", manager_of(path).backend("one").check)
    refused("damaged", lambda: manager_of(path).vault.rewrite("plain"))
    refused("damaged", lambda: add(manager_of(path), "three"))
    assert path.read_bytes() == before


def test_a_vault_that_is_gone(sealed: BackendManager, path: Path) -> None:
    edit(path, lambda content: content.pop("vault"))
    refused("damaged", manager_of(path).backend("one").check)


@pytest.mark.parametrize("cost", [{"n": 2**40}, {"n": 3}, {"r": 0}, {"p": True}, {"kdf": "none"}, {"salt": "x"}])
def test_no_key_is_made_dearer_than_this_machine_can_bear(path: Path, cost: dict[str, object]) -> None:
    from mistcore.vault_keys import find_key

    how = {"from": "passphrase", "kdf": "scrypt", "salt": "AAAAAAAAAAAAAAAAAAAAAA==", "n": 2, "r": 8, "p": 1, **cost}
    refused("damaged", lambda: find_key(how, "id", lambda: PASSPHRASE))


def test_the_key_of_a_file_and_of_a_variable(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tmp_path / "folder" / "key"
    manager = manager_of(path)
    backend = add(manager)
    assert "cannot be made" in str(refused("key", lambda: manager.vault.rewrite("sealed", key_file=str(key))))
    key.parent.mkdir()
    manager.vault.rewrite("sealed", key_file=str(key))
    assert key.stat().st_mode & 0o777 == 0o600
    text = key.read_text()
    for content, words in (
        (None, "cannot be read"),
        ("", "is empty"),
        ("short", "holds no key"),
        ("é", "holds no key"),
    ):
        key.unlink(missing_ok=True)
        if content is not None:
            key.write_text(content)
        assert words in str(refused("key", manager_of(path).backend("one").check))
    key.write_text(new_key_text())
    assert "not the one" in str(refused("key", manager_of(path).backend("one").check))
    key.write_text(text)
    assert backend.check().id == "42"
    monkeypatch.delenv(VARIABLE, raising=False)
    assert VARIABLE in str(refused("key", lambda: manager.vault.rewrite("sealed", key_env=VARIABLE)))
    monkeypatch.setenv(VARIABLE, text)
    manager.vault.rewrite("sealed", key_env=VARIABLE)
    monkeypatch.setenv(VARIABLE, new_key_text())
    refused("key", manager_of(path).backend("one").check)
    monkeypatch.setenv(VARIABLE, text)
    assert manager_of(path).backend("one").check().id == "42"


def test_a_key_that_comes_back_is_used(path: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    manager = manager_of(path)
    add(manager)
    manager.vault.rewrite("sealed", key_file=str(key))
    other = manager_of(path)
    hidden = key.rename(tmp_path / "away")
    refused("key", other.backend("one").check)
    hidden.rename(key)
    assert other.backend("one").check().id == "42"


# -- the operating system's keyring -----------------------------------------------------------------------------------


def test_a_locked_keyring_and_one_without_the_key(secret_service: SecretService, path: Path) -> None:
    import keyring

    manager = manager_of(path)
    backend = add(manager)
    manager.vault.rewrite("keyring")
    id = json.loads(path.read_text())["vault"]["id"]
    assert keyring.get_password("mistcore", id)
    assert GOOD not in path.read_text()
    secret_service.lock()
    before = path.read_bytes()
    refused("locked", manager_of(path).backend("one").check)
    refused("locked", lambda: manager_of(path).vault.rewrite("plain"))
    assert backend.check().id == "42"  # whoever has the key already goes on
    assert path.read_bytes() == before


def test_a_keyring_that_has_lost_the_key(secret_service: SecretService, path: Path) -> None:
    import keyring

    manager = manager_of(path)
    add(manager)
    manager.vault.rewrite("keyring")
    id = json.loads(path.read_text())["vault"]["id"]
    text = keyring.get_password("mistcore", id)
    keyring.set_password("mistcore", id, new_key_text())
    refused("key", manager_of(path).backend("one").check)
    keyring.set_password("mistcore", id, "junk")
    refused("key", manager_of(path).backend("one").check)
    keyring.delete_password("mistcore", id)
    refused("key", manager_of(path).backend("one").check)
    assert text is not None
    keyring.set_password("mistcore", id, text)
    assert manager_of(path).backend("one").check().id == "42"


def test_no_keyring_at_all(path: Path) -> None:
    import keyring
    import keyring.backends.fail

    before = keyring.get_keyring()
    keyring.set_keyring(keyring.backends.fail.Keyring())  # type: ignore[no-untyped-call]
    try:
        manager = manager_of(path)
        add(manager)
        content = path.read_bytes()
        refused("no_keyring", lambda: manager.vault.rewrite("keyring"))
        assert path.read_bytes() == content
    finally:
        keyring.set_keyring(before)


def test_a_key_of_the_keyring_is_kept_for_older_copies_of_the_store(
    secret_service: SecretService, path: Path, tmp_path: Path
) -> None:
    manager = manager_of(path)
    add(manager)
    manager.vault.rewrite("keyring")
    copy = tmp_path / "copy.json"
    copy.write_bytes(path.read_bytes())
    manager.vault.rewrite("plain")
    assert manager_of(copy).backend("one").check().id == "42"


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
