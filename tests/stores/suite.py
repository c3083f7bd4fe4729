"""What every kind of store promises. A test class for each kind inherits from `StoreSuite` and says where one is."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import attrs
import pytest
from stores.workers import record

from mistcore.errors import StoreError
from mistcore.stores import Record, Store, open_store
from mistcore.vault import Vault
from mistcore.vault_keys import new_key_text

WORKERS = Path(__file__).with_name("workers.py")


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def start_worker(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WORKERS), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(worker: subprocess.Popen[str], timeout: float = 250) -> str:
    try:
        output, errors = worker.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.communicate()
        raise
    assert worker.returncode == 0, errors
    return output


def put(store: Store, *records: Record) -> None:
    with store.change() as changes:
        for each in records:
            changes.put(each)


class TransactionSuite:
    """What holds for every store, even one that ends with its object. Needs the fixtures `store` and `other`."""

    def test_a_new_store_is_empty(self, store: Store) -> None:
        assert dict(store.read()) == {}
        assert list(store) == []

    def test_order_is_that_of_adding(self, store: Store, other: Store) -> None:
        put(store, *map(record, "cab"))
        put(store, attrs.evolve(record("a"), title="renamed"))
        with store.change() as changes:
            changes.remove("id-c")
        put(store, record("c"))
        assert list(other.read()) == ["id-a", "id-b", "id-c"]
        assert other.read()["id-a"].title == "renamed"

    def test_two_stores_see_each_other(self, store: Store, other: Store) -> None:
        for number in range(5):
            put(store, record(f"mine-{number}"))
            assert f"id-mine-{number}" in other.read()
            put(other, record(f"theirs-{number}"))
            assert f"id-theirs-{number}" in store.read()
        assert len(store.read()) == len(other.read()) == 10

    def test_an_exception_rolls_everything_back(self, store: Store, other: Store) -> None:
        put(store, record(1), record(2))

        def fail() -> None:
            with store.change() as changes:
                changes.put(attrs.evolve(record(1), title="no"))
                changes.remove("id-2")
                changes.put(record(3))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        for each in (store, other):
            assert list(each.read()) == ["id-1", "id-2"]
            assert each.read()["id-1"].title == "Backend 1"
        put(store, record(4))
        assert list(other.read()) == ["id-1", "id-2", "id-4"]

    def test_removing_what_is_not_there_is_a_key_error(self, store: Store) -> None:
        with pytest.raises(KeyError), store.change() as changes:
            changes.remove("id-1")

    def test_a_nested_exception_that_goes_on_rolls_everything_back(self, store: Store) -> None:
        def fail() -> None:
            with store.change() as outer:
                outer.put(record(1))
                with store.change() as inner:
                    inner.put(record(2))
                    raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert list(store.read()) == []

    def test_a_nested_exception_that_is_caught_undoes_its_own_block(self, store: Store, other: Store) -> None:
        def fail() -> None:
            with store.change() as inner:
                inner.remove("id-1")
                inner.put(record(2))
                raise ZeroDivisionError

        with store.change() as outer:
            outer.put(record(1))
            with pytest.raises(ZeroDivisionError):
                fail()
            outer.put(record(3))
        assert list(store.read()) == list(other.read()) == ["id-1", "id-3"]

    def test_reading_inside_a_change_shows_it_to_that_thread_alone(self, store: Store) -> None:
        put(store, record(1))
        seen = []
        with store.change() as changes:
            changes.put(record(2))
            changes.remove("id-1")
            reader = threading.Thread(target=lambda: seen.extend(store.read()))
            reader.start()
            reader.join(60)
            assert list(store.read()) == ["id-2"]
        assert seen == ["id-1"]
        assert list(store.read()) == ["id-2"]

    def test_a_transaction_ends_with_its_block(self, store: Store) -> None:
        with store.change() as changes:
            changes.put(record(1))
        for use in (lambda: changes.get("id-1"), lambda: changes.put(record(2)), lambda: changes.remove("id-1")):
            with pytest.raises(StoreError):
                use()
        assert list(store.read()) == ["id-1"]

    def test_a_snapshot_does_not_change(self, store: Store) -> None:
        put(store, record(1))
        before = store.read()
        put(store, record(2))
        assert list(before) == ["id-1"]
        with pytest.raises(TypeError):
            before["id-2"] = record(2)  # type: ignore[index]

    def test_a_closed_store_opens_again(self, store: Store) -> None:
        put(store, record(1))
        store.close()
        assert list(store.read()) == ["id-1"]
        store.close()
        put(store, record(2))
        assert list(store.read()) == ["id-1", "id-2"]

    def test_threads_lose_nothing(self, store: Store) -> None:
        def work(name: int) -> None:
            for number in range(20):
                put(store, record(f"{name}-{number}"))
                assert f"id-{name}-{number}" in store.read()

        threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(200)
        assert len(store.read()) == 120


class StoreSuite(TransactionSuite):
    """What holds for every store that outlives its object. Needs the fixture `location`."""

    #: How often a writer is killed at random.
    kills = 200

    @pytest.fixture
    def location(self) -> str:
        """Where an empty store is that no other test uses."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, location: str) -> Iterator[Store]:
        with open_store(location) as store:
            yield store

    @pytest.fixture
    def other(self, location: str) -> Iterator[Store]:
        """The same store, opened a second time."""
        with open_store(location) as store:
            yield store

    def test_keeps_every_field(self, store: Store, other: Store) -> None:
        full = Record(
            id="4ukW6Juooqa8bTu2YgM4mE8RAsk7",
            title="Grüße 🚀 'quoted' \"twice\" \\ \t\n\x1b[31m \u2028",
            provider="ec2",
            region="eu-west-1",
            enabled=False,
            created_at=datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC),
            credentials={"text": "pä$$ \x00\x7f", "port": 22, "ratio": 0.5, "on": True, "none": None, "empty": ""},
            unknown={"labels": ["a", {"b": []}, {}], "weight": -1},
        )
        put(store, full, record(2))
        assert list(other.read().values()) == [full, other.read()["id-2"]]
        assert list(store.read().values()) == list(other.read().values())
        assert other.read()[full.id].created_at.tzinfo is UTC

    def test_half_a_surrogate_pair_survives(self, store: Store, other: Store) -> None:
        odd = attrs.evolve(record(1), title="half \ud83d of a rocket")
        put(store, odd)
        assert other.read()[odd.id].title == odd.title

    def test_times_are_kept_in_utc(self, store: Store, other: Store) -> None:
        there = datetime(2030, 1, 31, 1, 0, 0, 250, tzinfo=timezone(timedelta(hours=5, minutes=30)))
        put(store, attrs.evolve(record(1), created_at=there))
        kept = other.read()["id-1"].created_at
        assert kept == there
        assert kept.tzinfo is UTC

    def test_true_is_not_one(self, store: Store, other: Store) -> None:
        put(store, attrs.evolve(record(1), credentials={"on": True}))
        put(store, attrs.evolve(record(1), credentials={"on": 1}))
        assert other.read()["id-1"].credentials["on"] is not True

    def test_later_changes_to_what_was_put_stay_outside(self, store: Store) -> None:
        credentials = {"token": "first"}
        put(store, attrs.evolve(record(1), credentials=credentials))
        credentials["token"] = "second"
        assert store.read()["id-1"].credentials == {"token": "first"}

    @pytest.mark.parametrize(
        "wrong",
        [
            {"credentials": {"key": b"bytes-of-a-secret"}},
            {"credentials": {"key": float("nan")}},
            {"credentials": {"key": object()}},
            {"credentials": {"key": 10**5000}},
            {"credentials": {1: "a-secret"}},
            {"credentials": None},
            {"title": 7},
            {"id": ""},
            {"enabled": "yes"},
            {"created_at": datetime(2030, 1, 31)},
            {"unknown": {"title": "hidden"}},
        ],
    )
    def test_what_cannot_be_kept_is_refused(self, store: Store, wrong: dict[str, Any]) -> None:
        put(store, record(1))
        with pytest.raises(StoreError) as caught:
            put(store, record(2), attrs.evolve(record(3), **wrong))
        assert "secret" not in str(caught.value)
        assert list(store.read()) == ["id-1"]

    def test_what_nests_too_deeply_is_refused(self, store: Store) -> None:
        deep: Any = "end of a secret"
        for _ in range(5000):
            deep = [deep]
        with pytest.raises(StoreError):
            put(store, attrs.evolve(record(1), credentials={"key": deep}))
        assert dict(store.read()) == {}

    def test_a_change_starts_from_what_the_other_wrote(self, store: Store, other: Store) -> None:
        put(store, record(1))
        put(other, attrs.evolve(record(1), title="theirs"))
        with store.change() as changes:
            found = changes.get("id-1")
        assert found is not None
        assert found.title == "theirs"

    def test_a_nested_change_joins(self, store: Store, other: Store) -> None:
        with store.change() as outer:
            outer.put(record(1))
            with store.change() as inner:
                assert inner.get("id-1") is not None
                inner.put(record(2))
            assert outer.get("id-2") is not None
            assert list(other.read()) == []
        assert list(other.read()) == ["id-1", "id-2"]

    def test_a_store_can_be_sent_to_another_process_without_what_it_holds(self, store: Store) -> None:
        put(store, record(1))
        data = pickle.dumps(store)
        assert b"secret-1" not in data
        with pickle.loads(data) as copy:
            assert list(copy.read()) == ["id-1"]

    def test_repr_holds_no_secret(self, store: Store) -> None:
        put(store, record(1))
        assert "secret-1" not in repr(store) + repr(store.read()["id-1"])

    def test_eight_processes_adding_200_backends_each_lose_none(self, store: Store, location: str) -> None:
        workers = [start_worker("add", location, name, 200) for name in range(8)]
        while any(each.poll() is None for each in workers):
            len(store.read())  # a reader meanwhile never sees half a change
            threading.Event().wait(0.02)
        for each in workers:
            finish(each)
        expected = {f"id-{name}-{number}" for name in range(8) for number in range(200)}
        assert store.read().keys() == expected
        for name in range(8):  # each one's own in its own order
            mine = [each.id for each in store if each.id.startswith(f"id-{name}-")]
            assert mine == [f"id-{name}-{number}" for number in range(200)]

    @pytest.fixture(params=["plain", "sealed", "keyring"])
    def kept(self, request: pytest.FixtureRequest, location: str, monkeypatch: pytest.MonkeyPatch) -> str:
        """A store that keeps its secrets so from the beginning."""
        way: str = request.param
        if way == "keyring":
            request.getfixturevalue("secret_service")
        monkeypatch.setenv("TEST_KEY", new_key_text())
        with open_store(location) as store:
            Vault(store, lambda provider: {"token"}).rewrite(way, key_env="TEST_KEY" if way == "sealed" else "")
        return way

    @pytest.mark.timeout(600)
    def test_what_changes_the_way_of_keeping_secrets_does_all_or_nothing_wherever_it_is_killed(
        self, location: str, secret_service: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TEST_KEY", new_key_text())
        assert json.loads(finish(start_worker("rewrite", location), timeout=590))["kills"] > 40

    def test_a_writer_killed_at_random_instants_loses_nothing_acknowledged(self, location: str, kept: str) -> None:
        kills = self.kills if kept == "plain" else self.kills // 4
        result = json.loads(finish(start_worker("random", location, kills)))
        assert result["kills"] == kills
        assert result["acknowledged"] > kills / 10

    def test_a_writer_killed_at_each_line_loses_nothing_acknowledged(self, location: str, kept: str) -> None:
        result = json.loads(finish(start_worker("lines", location)))
        assert result["kills"] > 20
