"""How secrets are kept, and all that can be wrong: the passphrase, what is sealed, and what stands around it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.acme import GOOD
from fakes.vault import PASSPHRASE, VARIABLE, add, manager_of, refused, sealed_manager

from mistcore import AuthenticationFailed, BackendManager, InvalidFields, VaultError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "backends.json"


@pytest.fixture
def sealed(path: Path) -> BackendManager:
    return sealed_manager(path)


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


def other_id(id: str) -> str:
    return id[:-1] + ("1" if id[-1] != "1" else "2")


def test_a_secret_at_another_backend_or_field_is_told_from_a_damaged_one(sealed: BackendManager, path: Path) -> None:
    def swap(content: Any) -> None:
        one, two = content["backends"]
        one["credentials"], two["credentials"] = two["credentials"], one["credentials"]

    edit(path, swap)
    error = refused("swapped", sealed.backend("one").check)
    assert "'two'" in str(error)
    edit(path, swap)
    edit(path, lambda content: content["backends"][0].update(id=other_id(content["backends"][0]["id"])))
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
