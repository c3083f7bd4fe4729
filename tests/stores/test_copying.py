"""Copying from one store to another: whole or not at all."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from stores.suite import put
from stores.workers import record

from mistcore.errors import StoreError
from mistcore.stores import JsonStore, Record, Store, copy_store


@pytest.fixture(params=["json to json", "json to postgresql", "postgresql to json"])
def stores(request: pytest.FixtureRequest, tmp_path: Path):
    """Two empty stores."""

    def one(kind: str, name: str) -> Store:
        if kind == "json":
            return JsonStore(tmp_path / name / "backends.json")
        from mistcore.stores.postgresql import PostgresqlStore

        server = request.getfixturevalue("postgresql")
        return PostgresqlStore(server.url(server.new_schema()))

    source, _, target = request.param.split()
    with one(source, "source") as first, one(target, "target") as second:
        yield first, second


def odd(number: int) -> Record:
    return attrs.evolve(
        record(number),
        title=f"Nr. {number} 🚀 \0 \ud83d",
        unknown={"later": [1.5, {"x": None}]},
        enabled=bool(number % 2),
    )


def test_everything_is_copied(stores: tuple[Store, Store]) -> None:
    source, target = stores
    put(target, record("mine"))
    put(source, *map(odd, range(20)))
    assert copy_store(source, target) == 20
    assert list(target) == [target.read()["id-mine"], *source]
    assert len(source.read()) == 20


def test_copying_again_is_harmless(stores: tuple[Store, Store]) -> None:
    source, target = stores
    put(source, odd(1), odd(2))
    copy_store(source, target)
    put(source, odd(3))
    assert copy_store(source, target) == 1
    assert list(target) == list(source)


def test_a_conflict_copies_nothing(stores: tuple[Store, Store]) -> None:
    source, target = stores
    put(source, odd(1), record(2), odd(3))
    put(target, attrs.evolve(source.read()["id-2"], title="another", credentials={"token": "secret"}))
    before = dict(target.read())
    with pytest.raises(StoreError, match=r"already holds 1 of these backends.*'Backend 2'") as caught:
        copy_store(source, target)
    assert caught.value.reason == "conflict"
    assert "secret" not in str(caught.value)
    assert dict(target.read()) == before


def test_a_source_that_fails_leaves_the_target(stores: tuple[Store, Store], tmp_path: Path) -> None:
    _, target = stores
    put(target, record(1))
    (tmp_path / "damaged.json").write_text('{"version": 1, "backends": [')
    with pytest.raises(StoreError):
        copy_store(JsonStore(tmp_path / "damaged.json"), target)
    assert list(target.read()) == ["id-1"]


def test_a_target_that_fails_takes_nothing(stores: tuple[Store, Store], tmp_path: Path) -> None:
    source, _ = stores
    put(source, odd(1))
    damaged = tmp_path / "damaged.json"
    damaged.write_text('{"version": 1, "backends": [')
    with pytest.raises(StoreError):
        copy_store(source, JsonStore(damaged))
    assert damaged.read_text() == '{"version": 1, "backends": ['


def test_a_store_is_copied_to_itself_without_a_change(stores: tuple[Store, Store]) -> None:
    source, _ = stores
    put(source, odd(1), odd(2))
    before = list(source)
    assert copy_store(source, source) == 0
    assert list(source) == before
