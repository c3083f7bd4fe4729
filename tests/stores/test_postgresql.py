"""The PostgreSQL store on a real server: what every store promises, and what is its own: connections, schema, URLs."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable

import attrs
import pytest
from peers.postgresql import PASSWORD, Postgresql
from peers.waiting import until
from stores.suite import StoreSuite, finish, put, start_worker
from stores.workers import record

from mistcore.errors import StoreError
from mistcore.stores import open_store
from mistcore.stores.postgresql import MIGRATIONS, PostgresqlStore


@pytest.fixture
def location(postgresql: Postgresql) -> str:
    return postgresql.url(postgresql.new_schema())


@pytest.fixture
def store(location: str):
    with open_store(location) as store:
        yield store


class TestPostgresqlStore(StoreSuite):
    @pytest.fixture
    def location(self, postgresql: Postgresql, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.setenv("PGPASSWORD", PASSWORD)  # for whom a store is sent to: the password does not travel
        return postgresql.url(postgresql.new_schema())


def failure(attempt: Callable[[], object]) -> StoreError:
    try:
        attempt()
    except StoreError as error:
        return error
    raise AssertionError


def refused(location: str, reason: str, words: str, *, also_reading: bool = True) -> None:
    for attempt in ([lambda store: store.read()] if also_reading else []) + [lambda store: put(store, record(1))]:
        with open_store(location) as store:
            error = failure(lambda store=store, attempt=attempt: attempt(store))
        assert error.reason == reason, str(error)
        assert words in str(error)
        assert error.location == store.location
        assert error.remedy
        told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
        for secret in ("s3cret", "wrong-pass", "secret-1"):
            assert secret not in told.replace(repr(location), "")
            assert secret not in repr(error.__dict__) + repr(pickle.dumps(error))


# --- where it is


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("postgresql://me:hunter2@host:5433/db", "postgresql://me@host:5433/db"),
        ("postgres://me:hun%40ter2@host/db?sslmode=require", "postgres://me@host/db?sslmode=require"),
        ("postgresql://me:hun@ter2@host/db", "postgresql://me@host/db"),
        ("postgresql://host/db?user=me&password=hunter2&sslpassword=hunter2", "postgresql://host/db?user=me"),
        ("postgresql:///db?host=/run/postgresql", "postgresql:///db?host=/run/postgresql"),
        ("postgresql://me@one:1,two:2/db", "postgresql://me@one:1,two:2/db"),
    ],
)
def test_the_location_holds_no_password(url: str, location: str) -> None:
    store = open_store(url)
    assert isinstance(store, PostgresqlStore)
    assert store.location == location
    assert location in repr(store)
    assert "hunter2" not in repr(store) + repr(pickle.dumps(store))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hun/ter2@host/db",
        "postgresql://me:hun#ter2@h",
        "postgresql://[me:hunter2",
        "postgresql://me:hunter2",
    ],
)
def test_a_url_that_might_show_its_password_is_refused(url: str) -> None:
    error = failure(lambda: open_store(url))
    assert error.reason == "name"
    assert "hun" not in str(error)
    assert "ter2" not in repr(error.__dict__)


def test_what_libpq_does_not_understand(postgresql: Postgresql) -> None:
    refused("postgresql://me:wrong-pass%zz@localhost/db", "name", "is no URL of a PostgreSQL database")
    refused("postgresql://me:wrong-pass@localhost/db?nonsense=1", "name", "is no URL of a PostgreSQL database")


def test_a_wrong_password(postgresql: Postgresql) -> None:
    refused(postgresql.url(password="wrong-pass"), "login", "Check the user name and the password")


def test_a_user_who_is_not_there(postgresql: Postgresql) -> None:
    refused(postgresql.url(user="nobody-of-that-name"), "login", "nobody-of-that-name")


def test_a_database_that_is_not_there(postgresql: Postgresql) -> None:
    refused(postgresql.url(database="nothing"), "unreachable", 'database "nothing" does not exist')


def test_a_server_that_is_not_there() -> None:
    pytest.importorskip("psycopg")
    refused("postgresql://me:wrong-pass@127.0.0.1:9/db", "unreachable", "onnection refused")


def test_a_schema_that_is_not_there(postgresql: Postgresql) -> None:
    refused(postgresql.url("nowhere"), "name", "Create the schema", also_reading=False)


@pytest.mark.parametrize("use", ["read()", "change().__enter__()"])
def test_without_the_library_the_error_says_how_to_install_it(use: str) -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from mistcore.stores import open_store\n"
        f"open_store('postgresql://me:hunter2@host/db').{use}"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "MissingDependency" in ended.stderr
    assert "pip install 'mistcore[postgresql]'" in ended.stderr


# --- rights


def test_a_user_who_may_only_read(postgresql: Postgresql) -> None:
    schema = postgresql.new_schema()
    with open_store(postgresql.url(schema)) as store:
        put(store, record(1))
    postgresql.execute(
        "CREATE ROLE reader LOGIN PASSWORD 'reading'; "
        f"GRANT USAGE ON SCHEMA {schema} TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader"
    )
    url = postgresql.url(schema, user="reader", password="reading")
    with open_store(url) as store:
        assert list(store.read()) == ["id-1"]
    refused(url, "permission", "permission denied", also_reading=False)


def test_a_server_that_takes_no_changes(location: str) -> None:
    url = f"{location}%20-cdefault_transaction_read_only%3Don"
    refused(url, "read_only", "read-only transaction", also_reading=False)


# --- the schema


def test_reading_makes_nothing(postgresql: Postgresql) -> None:
    schema = postgresql.new_schema()
    with open_store(postgresql.url(schema)) as store:
        assert dict(store.read()) == {}
    assert postgresql.execute(f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema}'") == []


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
@pytest.mark.parametrize("is_reader", [True, False])
def test_an_older_schema_is_brought_up_to_date(postgresql: Postgresql, version: int, is_reader: bool) -> None:
    schema = postgresql.new_schema()
    postgresql.execute(f"SET search_path = {schema}; " + "; ".join(MIGRATIONS[:version]))
    postgresql.execute(f"UPDATE {schema}.mistcore_store SET version = {version}, revision = 7")
    postgresql.execute(
        f"INSERT INTO {schema}.mistcore_backends (id, revision, record) VALUES ('old', 7, "
        """'{"id": "old", "title": "Old", "provider": "acme", "region": "", "enabled": true,"""
        """ "created_at": "2030-01-31T12:00:00Z", "credentials": {}}')"""
    )
    with open_store(postgresql.url(schema)) as store:
        if is_reader:
            assert list(store.read()) == ["old"]
        put(store, record(1))
        assert list(store.read()) == ["old", "id-1"]
    assert postgresql.execute(f"SELECT version, revision FROM {schema}.mistcore_store") == [(len(MIGRATIONS), 8)]
    indexes = postgresql.execute(f"SELECT indexname FROM pg_indexes WHERE schemaname = '{schema}'")
    assert ("mistcore_backends_revision",) in indexes


def test_a_newer_schema_is_refused(postgresql: Postgresql) -> None:
    schema = postgresql.new_schema()
    with open_store(postgresql.url(schema)) as store:
        put(store, record(1))
    postgresql.execute(f"UPDATE {schema}.mistcore_store SET version = 99")
    before = postgresql.execute(f"SELECT * FROM {schema}.mistcore_backends")
    refused(postgresql.url(schema), "newer", "it is of version 99")
    assert postgresql.execute(f"SELECT * FROM {schema}.mistcore_backends") == before


def test_many_who_come_first_make_one_schema(location: str) -> None:
    workers = [start_worker("add", location, name, 3) for name in range(6)]
    for each in workers:
        finish(each)
    with open_store(location) as store:
        assert len(store.read()) == 18


@pytest.mark.parametrize(
    "damage",
    ["record = '[]'", "record = '{}'", """record = '{"id": "id-1", "secret": "secret-1"}'""", "id = 'other'"],
)
def test_a_row_that_somebody_damaged_is_refused(postgresql: Postgresql, damage: str) -> None:
    schema = postgresql.new_schema()
    with open_store(postgresql.url(schema)) as store:
        put(store, record(1))
    postgresql.execute(f"UPDATE {schema}.mistcore_backends SET {damage}")
    with open_store(postgresql.url(schema)) as store:
        error = failure(store.read)
    assert error.reason == "damaged"
    assert "id-1" in str(error) or "other" in str(error)
    assert "secret" not in str(error)


# --- others, and the network


def test_readers_fetch_only_what_changed(store: PostgresqlStore, location: str) -> None:
    put(store, *map(record, range(5)))
    with open_store(location) as other:
        before = other.read()
        put(store, attrs.evolve(record(3), title="new"))
        after = other.read()
    assert [id for id in before if before[id] is not after[id]] == ["id-3"]


def test_a_removed_and_a_new_one_at_once_are_both_seen(store: PostgresqlStore, location: str) -> None:
    put(store, *map(record, range(4)))
    with open_store(location) as other:
        assert len(other.read()) == 4
        with store.change() as changes:
            changes.remove("id-1")
            changes.put(record(9))
            changes.remove("id-0")
            changes.put(record(0))
        assert list(other.read()) == ["id-2", "id-3", "id-9", "id-0"]
        with store.change() as changes:
            changes.remove("id-9")
        assert list(other.read()) == ["id-2", "id-3", "id-0"]


def test_a_restored_database_is_read_anew(postgresql: Postgresql) -> None:
    schema = postgresql.new_schema()
    with open_store(postgresql.url(schema)) as store:
        for number in range(3):
            put(store, record(number))
        assert len(store.read()) == 3
        postgresql.execute(f"UPDATE {schema}.mistcore_store SET revision = 1")
        postgresql.execute(f"DELETE FROM {schema}.mistcore_backends WHERE id <> 'id-0'")
        assert list(store.read()) == ["id-0"]
        postgresql.execute(f"DROP TABLE {schema}.mistcore_store, {schema}.mistcore_backends")
        assert dict(store.read()) == {}
        put(store, record(5))
        assert list(store.read()) == ["id-5"]


def test_reading_does_not_wait_for_a_writer(store: PostgresqlStore, location: str) -> None:
    put(store, record(1))
    with open_store(location) as other, store.change() as changes:
        changes.put(record(2))
        assert list(other.read()) == ["id-1"]


def test_a_writer_who_does_not_end_is_an_error_for_the_others(store: PostgresqlStore, location: str) -> None:
    put(store, record(1))
    with PostgresqlStore(location, timeout=0.3) as other, store.change():
        error = failure(lambda: put(other, record(2)))
    assert error.reason == "locked"
    assert "0.3 seconds" in str(error)
    put(store, record(3))
    assert list(store.read()) == ["id-1", "id-3"]


def test_a_server_that_was_started_anew(postgresql: Postgresql, store: PostgresqlStore) -> None:
    put(store, record(1))
    assert len(store.read()) == 1
    postgresql.stop()
    try:
        assert failure(store.read).reason == "unreachable"
        assert failure(lambda: put(store, record(2))).reason == "unreachable"
    finally:
        postgresql.start()
    assert list(store.read()) == ["id-1"]
    put(store, record(2))
    postgresql.stop()
    postgresql.start()
    put(store, record(3))
    assert list(store.read()) == ["id-1", "id-2", "id-3"]


def test_a_connection_that_breaks_in_a_change_keeps_nothing(postgresql: Postgresql, store: PostgresqlStore) -> None:
    put(store, record(1))

    def change() -> None:
        with store.change() as changes:
            changes.put(record(2))
            ours = "FROM pg_stat_activity WHERE application_name = 'mistcore'"
            postgresql.execute(f"SELECT pg_terminate_backend(pid) {ours}")
            until(lambda: not postgresql.execute(f"SELECT pid {ours}"), 60, 0.02)

    assert failure(change).reason in ("unreachable", "database")
    assert list(store.read()) == ["id-1"]
    put(store, record(3))
    assert list(store.read()) == ["id-1", "id-3"]


def test_an_error_of_the_database_that_is_caught_does_not_keep_half(postgresql: Postgresql) -> None:
    schema = postgresql.new_schema()
    with open_store(postgresql.url(schema)) as store:
        put(store, record(1))
        limit = "CHECK (length(record::text) < 1000)"
        postgresql.execute(f"ALTER TABLE {schema}.mistcore_backends ADD CONSTRAINT small {limit}")
        big = attrs.evolve(record(3), credentials={"key": "secret-1" * 200})

        def put_and_go_on() -> None:
            with store.change() as changes:
                changes.put(record(2))
                changes.put(big)
                assert failure(lambda: changes.get("id-2")).reason == "database"
                changes.put(record(4))

        error = failure(put_and_go_on)
        assert error.reason == "database"
        assert "secret-1" not in "".join(
            traceback.TracebackException.from_exception(error, capture_locals=True).format()
        )
        assert list(store.read()) == ["id-1"]

        with store.change() as changes:  # in a block of its own it can fail alone
            changes.put(record(2))
            assert failure(lambda: put(store, big)).reason == "database"
            changes.put(record(4))
        assert list(store.read()) == ["id-1", "id-2", "id-4"]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_leaves_the_connections_to_its_parent(store: PostgresqlStore) -> None:
    put(store, record(1))
    assert len(store.read()) == 1
    child = os.fork()
    if not child:
        try:
            put(store, record(2))
            status = int(list(store.read()) != ["id-1", "id-2"])
            store.close()
        except BaseException:
            status = 2
        os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    put(store, record(3))
    assert list(store.read()) == ["id-1", "id-2", "id-3"]


def test_threads_that_read_while_another_changes(store: PostgresqlStore) -> None:
    put(store, record(0))
    wrong: list[object] = []
    is_over = threading.Event()

    def read() -> None:
        while not is_over.is_set():
            found = list(store.read())
            if len(found) % 2 == 0:  # they are added in pairs
                wrong.append(found)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for each in readers:
        each.start()
    for number in range(1, 21):
        put(store, record(2 * number), record(2 * number + 1))
    is_over.set()
    for each in readers:
        each.join(200)
    assert wrong == []
    assert len(store.read()) == 41


def test_more_than_are_sent_at_once(store: PostgresqlStore) -> None:
    many = [record(number) for number in range(2500)]
    with store.change() as changes:
        for each in many:
            changes.put(each)
            changes.put(attrs.evolve(each, title="renamed"))
        changes.remove("id-7")
        assert changes.get("id-7") is None
        assert len(store.read()) == 2499
    assert [each.id for each in store] == [each.id for each in many if each.id != "id-7"]
    assert {each.title for each in store} == {"renamed"}


def test_an_id_that_the_database_cannot_hold(store: PostgresqlStore) -> None:
    for odd in ("a\0b", "half \ud83d"):
        error = failure(lambda odd=odd: put(store, attrs.evolve(record(1), id=odd)))
        assert error.reason == "value"
        with store.change() as changes:
            assert changes.get(odd) is None
            with pytest.raises(KeyError):
                changes.remove(odd)


def test_a_database_of_another_encoding(postgresql: Postgresql) -> None:
    postgresql.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    with open_store(postgresql.url(database="latin")) as store:
        put(store, attrs.evolve(record(1), title="🚀 Grüße"))
        assert store.read()["id-1"].title == "🚀 Grüße"
