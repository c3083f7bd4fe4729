"""Where the key to secrets comes from: a passphrase, a file, a variable, and the operating system's keyring."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.acme import GOOD
from fakes.vault import PASSPHRASE, VARIABLE, add, manager_of, refused
from peers.secret_service import SecretService

from mistcore.vault_keys import new_key_text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "backends.json"


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


def test_a_keyring_that_fails(path: Path) -> None:
    import keyring
    from keyring.errors import InitError, PasswordSetError

    class Failing(keyring.backend.KeyringBackend):
        def get_password(self, service: str, username: str) -> str | None:
            raise AssertionError("not asked")

        def set_password(self, service: str, username: str, password: str) -> None:
            raise errors.pop(0)

    errors = [InitError("Failed to create the collection"), PasswordSetError("the very key")]
    before = keyring.get_keyring()
    keyring.set_keyring(Failing())  # type: ignore[no-untyped-call]
    try:
        manager = manager_of(path)
        add(manager)
        content = path.read_bytes()
        error = refused("keyring", lambda: manager.vault.rewrite("keyring"))
        assert str(error).startswith("the keyring failed: Failed to create the collection. ")
        error = refused("keyring", lambda: manager.vault.rewrite("keyring"))
        assert str(error).startswith("the keyring failed: PasswordSetError. ")
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
