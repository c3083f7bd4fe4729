"""Backends in a PostgreSQL database: the store that many machines share."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs

from mistcore.errors import StoreError
from mistcore.stores.base import Record, Store, Transaction
from mistcore.stores.format import Problem, decode, encode
from mistcore.stores.postgresql_link import Link
from mistcore.stores.scan import read_json

if TYPE_CHECKING:
    from mistcore.stores.postgresql_link import Connection

__all__ = ["MIGRATIONS", "PostgresqlStore"]

#: What leads from each version of the schema to the next. Version 0 is a database without our tables.
#:
#: `revision` of the store grows with every change, and each backend has that of its last one: who knows the backends as
#: of one revision asks for those with a later one. `json` keeps what it is given; `jsonb` would refuse some texts.
MIGRATIONS = (
    """
    CREATE TABLE mistcore_store (
        single boolean PRIMARY KEY DEFAULT true CHECK (single),
        version integer NOT NULL,
        revision bigint NOT NULL
    );
    INSERT INTO mistcore_store (version, revision) VALUES (1, 0);
    CREATE TABLE mistcore_backends (
        id text PRIMARY KEY,
        position bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
        revision bigint NOT NULL,
        record json NOT NULL
    )
    """,
    "CREATE INDEX mistcore_backends_revision ON mistcore_backends (revision)",
    "ALTER TABLE mistcore_store ADD COLUMN vault json",
)
_VERSION = len(MIGRATIONS)

_STATE = "SELECT version, revision FROM mistcore_store"
_PUT = """
    INSERT INTO mistcore_backends AS old (id, revision, record) VALUES (%s, %s, %s)
    ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, record = excluded.record
    WHERE old.record::text <> excluded.record::text
"""
_SINCE = "SELECT id, position, record::text FROM mistcore_backends WHERE revision > %s ORDER BY position"

#: How many backends are sent together, at most.
_AT_ONCE = 1000

#: The lock that whoever makes or changes the tables holds ("mistcore" as a number).
_MIGRATING = int.from_bytes(b"mistcore")


class PostgresqlStore(Store):
    """Backends in a PostgreSQL database, at `postgresql://user:password@host:port/database?parameter=value`.

    Parameters are those of libpq; `options=-csearch_path%3DSCHEMA` chooses a schema, so that one database can hold
    several stores. The tables are made with the first change. Without a password in the URL, libpq looks in PGPASSWORD
    and in `~/.pgpass`. A writer waits for the others, up to `timeout` seconds.
    """

    def __init__(self, url: str, *, timeout: float = 30.0) -> None:
        self._link = Link(url)
        self.location = self._link.location
        self.timeout = timeout
        self._mutex = threading.RLock()
        self._changes: _Changes | None = None
        self._reading = threading.Lock()
        self._snapshot = _Snapshot()

    def __repr__(self) -> str:
        return f"PostgresqlStore({self.location!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # The address alone: whoever unpickles it elsewhere has the password in PGPASSWORD or ~/.pgpass, or has none.
        return _rebuild, (self.location, self.timeout)

    def close(self) -> None:
        """Close the connections. The next use opens new ones."""
        self._link.close()

    def read(self) -> Mapping[str, Record]:
        """Return all records by id, in the order in which they were added.

        Raises:
            StoreError: the database does not answer or refuses, or holds what this version of mistcore does not know.

        """
        return MappingProxyType(self._current().records)

    def read_vault(self) -> Mapping[str, Any] | None:
        """Return how the secrets are kept: the column `vault` of mistcore_store. Raises as `read` does."""
        return self._current().vault

    def _current(self) -> _Snapshot:
        changes = self._changes
        if changes is not None and changes.thread == threading.get_ident():
            before = self._snapshot if self._snapshot.revision < changes.revision else _Snapshot()
            with self._link.explained("read"):
                return self._apply(before, changes.up_to_date(), changes.revision)
        for _ in range(2):
            with self._reading, self._link.explained("read"):
                if self._refresh():
                    return self._snapshot
            with self.change():  # brings the tables up to date
                pass
        raise AssertionError("the tables are of this version")

    @contextmanager
    def change(self) -> Iterator[Transaction]:
        """Open a transaction of the database.

        Raises:
            StoreError: the database does not answer or refuses, or somebody else changes the store for too long.

        """
        limit = time.monotonic() + self.timeout
        if not self._mutex.acquire(timeout=self.timeout):
            raise self._locked()
        try:
            if self._changes is None:
                yield from self._transaction(limit - time.monotonic())
            else:
                yield from self._savepoint(self._changes)
        finally:
            self._mutex.release()

    def _transaction(self, seconds: float) -> Iterator[Transaction]:
        with self._link.explained("changed"):
            connection, revision = self._begin(seconds)
        self._changes = changes = _Changes(self, connection, revision + 1)
        try:
            yield changes
            with self._link.explained("changed"):
                changes.finish()
        except BaseException:
            self._drop(connection)
            raise
        finally:
            self._changes = None
            changes.is_over = True

    def _savepoint(self, changes: _Changes) -> Iterator[Transaction]:
        with self._link.explained("changed"):
            changes.up_to_date().execute("SAVEPOINT nested")
        try:
            yield changes
            with self._link.explained("changed"):
                changes.up_to_date().execute("RELEASE SAVEPOINT nested")
        except BaseException:
            with self._link.explained("changed"):
                changes.forget().execute("ROLLBACK TO SAVEPOINT nested")
                changes.forget().execute("RELEASE SAVEPOINT nested")
            raise

    # --- writing

    def _begin(self, seconds: float) -> tuple[Connection, int]:
        """Begin a transaction, alone; return it with the revision that it starts from."""
        from psycopg import OperationalError
        from psycopg.errors import LockNotAvailable, UndefinedTable

        for is_last in (False, False, True):
            connection = self._link.writer()
            try:
                limit = f"{max(int(seconds * 1000), 1)}ms"
                connection.execute("SELECT set_config('lock_timeout', %s, true)", [limit])
                found = connection.execute(f"{_STATE} FOR UPDATE").fetchone()
                version, revision = found or (0, 0)
            except LockNotAvailable:
                connection.rollback()
                raise self._locked() from None
            except UndefinedTable:
                connection.rollback()
                version, revision = 0, 0
            except OperationalError:
                if is_last or not connection.broken:  # the server was started anew since the last time, perhaps
                    raise
                self._drop(connection)
                continue
            if version == _VERSION:
                return connection, revision
            connection.rollback()
            self._migrate(connection, seconds)
        raise AssertionError("the tables are of this version")

    def _migrate(self, connection: Connection, seconds: float) -> None:
        from psycopg.errors import LockNotAvailable

        try:
            with connection.transaction():
                limit = f"{max(int(seconds * 1000), 1)}ms"
                connection.execute("SELECT set_config('lock_timeout', %s, true)", [limit])
                connection.execute("SELECT pg_advisory_xact_lock(%s)", [_MIGRATING])
                is_new = connection.execute("SELECT to_regclass('mistcore_store') IS NULL").fetchone() == (True,)
                found = None if is_new else connection.execute(f"{_STATE} FOR UPDATE").fetchone()
                version = found[0] if found else 0
                self._refuse_newer(version)
                for step in MIGRATIONS[version:]:
                    connection.execute(step.encode())
                connection.execute("UPDATE mistcore_store SET version = %s", [_VERSION])
        except LockNotAvailable:
            raise self._locked() from None

    @staticmethod
    def _drop(connection: Connection) -> None:
        """Undo what a transaction did; if that is not possible, the server does so when the connection ends."""
        try:
            connection.rollback()
        except Exception:  # noqa: BLE001 - whatever it is, the connection is of no use any more
            with suppress(Exception):
                connection.close()

    # --- reading

    def _refresh(self) -> bool:
        """Bring the snapshot up to date; return whether that was possible with the tables as they are."""
        from psycopg import OperationalError
        from psycopg.errors import UndefinedTable

        for is_last in (False, True):
            connection = self._link.reader()
            try:
                found = connection.execute(_STATE).fetchone()
                if found is None or found[0] < _VERSION:
                    return False
                self._refuse_newer(found[0])
                if found[1] != self._snapshot.revision:
                    with connection.transaction():  # one view of the database for all that follows
                        revision = (connection.execute(_STATE).fetchone() or (0, 0))[1]
                        before = self._snapshot if revision > self._snapshot.revision else _Snapshot()
                        self._snapshot = self._apply(before, connection, revision)
            except UndefinedTable:
                self._snapshot = _Snapshot()
            except OperationalError:
                if is_last or not connection.broken:
                    raise
                continue
            return True
        return True

    def _apply(self, before: _Snapshot, connection: Connection, revision: int) -> _Snapshot:
        """Return the snapshot that follows another one: what was put since, without what was removed since."""
        records, positions = dict(before.records), dict(before.positions)
        for id, position, text in connection.execute(_SINCE, [before.revision]):
            if positions.get(id) != position:  # new, or removed and added again: it comes last
                records.pop(id, None)
            positions[id] = position
            records[id] = self._decoded(id, text)
        count = (connection.execute("SELECT count(*) FROM mistcore_backends").fetchone() or (0,))[0]
        if count != len(records):
            kept = {row[0] for row in connection.execute("SELECT id FROM mistcore_backends")}
            records = {id: record for id, record in records.items() if id in kept}
            positions = {id: position for id, position in positions.items() if id in kept}
        text = (connection.execute("SELECT vault::text FROM mistcore_store").fetchone() or (None,))[0]
        return _Snapshot(revision, records, positions, self._decoded_vault(text) if text else None)

    def _decoded_vault(self, text: str) -> dict[str, Any]:
        with suppress(ValueError, RecursionError):
            vault = read_json(text)
            if type(vault) is dict:
                return vault
        raise self._link.error(
            f"the store {self.location} is damaged: the column vault of mistcore_store holds no object",
            reason="damaged",
            remedy="It was left untouched. Put back what stood there.",
        )

    def _decoded(self, id: str, text: str) -> Record:
        try:
            record = decode(read_json(text))
            if record.id == id:
                return record
            what = "has another id inside"
        except Problem as problem:
            what = str(problem)
        except (ValueError, RecursionError):
            what = "is not JSON of ours"
        raise self._link.error(
            f"the store {self.location} is damaged: the backend with the id {id!r} {what}",
            reason="damaged",
            remedy="It was left untouched. Correct or delete that row of the table mistcore_backends.",
        )

    def _refuse_newer(self, version: int) -> None:
        if version > _VERSION:
            raise self._link.error(
                f"the store {self.location} was made by a newer mistcore: it is of version {version}, and this one "
                f"reads up to {_VERSION}",
                reason="newer",
                remedy="It was left untouched. Install a newer mistcore: pip install --upgrade mistcore",
            )

    def _locked(self) -> StoreError:
        return self._link.error(
            f"somebody else has been changing the store {self.location} for over {self.timeout:g} seconds",
            reason="locked",
            remedy="Wait until they are done; the view pg_locks tells who holds the row of mistcore_store.",
        )


@attrs.frozen(repr=False)
class _Snapshot:
    revision: int = -1
    records: dict[str, Record] = attrs.field(factory=dict)
    positions: dict[str, int] = attrs.field(factory=dict)
    vault: Mapping[str, Any] | None = None


class _Changes:
    """The transaction. What is put is gathered and sent together; nobody else sees any of it before the end."""

    def __init__(self, store: PostgresqlStore, connection: Connection, revision: int) -> None:
        self.revision = revision
        self.thread = threading.get_ident()
        self.is_over = False
        self._connection = connection
        self._store = store
        self._link = store._link
        self._pending: list[tuple[str, int, str]] = []
        self._is_changed = False

    def get(self, id: str) -> Record | None:
        self._check()
        if not _can_be_asked_for(id):
            return None
        with self._link.explained("read"):
            query = "SELECT record::text FROM mistcore_backends WHERE id = %s"
            found = self.up_to_date().execute(query, [id]).fetchone()
        return self._store._decoded(id, found[0]) if found else None

    def put(self, record: Record) -> None:
        self._check()
        if len(self._pending) >= _AT_ONCE:
            with self._link.explained("changed"):
                self.up_to_date()
        try:
            self._pending.append(self._row(record))
        except Problem as problem:
            what = str(problem)
        else:
            return
        title = f" {record.title!r}" if isinstance(record.title, str) else ""
        location = self._store.location
        raise self._link.error(f"backend{title} cannot be kept in the store {location}: it {what}", reason="value")

    def remove(self, id: str) -> None:
        self._check()
        if _can_be_asked_for(id):
            with self._link.explained("changed"):
                query = "DELETE FROM mistcore_backends WHERE id = %s"
                count = self.up_to_date().execute(query, [id]).rowcount
            if count:
                self._is_changed = True
                return
        raise KeyError(id)

    def put_vault(self, settings: Mapping[str, Any] | None) -> None:
        self._check()
        with self._link.explained("changed"):
            value = None if settings is None else json.dumps(settings)
            self.up_to_date().execute("UPDATE mistcore_store SET vault = %s", [value])
            self._is_changed = True

    def up_to_date(self) -> Connection:
        """Send what was put, and return the connection."""
        if self._pending:
            with self._connection.cursor() as cursor:
                cursor.executemany(_PUT, self._pending)
                self._is_changed |= cursor.rowcount > 0
            self._pending.clear()
        return self._connection

    def forget(self) -> Connection:
        """Drop what was put and not sent, and return the connection."""
        self._pending.clear()
        return self._connection

    def finish(self) -> None:
        connection = self.up_to_date()
        if self._is_changed:
            connection.execute("UPDATE mistcore_store SET revision = %s", [self.revision])
        connection.commit()

    def _row(self, record: Record) -> tuple[str, int, str]:
        new, text = encode(record)
        if not _can_be_asked_for(new.id):
            raise Problem("has an id that PostgreSQL cannot hold", "id")
        return new.id, self.revision, json.dumps(json.loads(text))  # escaped, it fits databases of any encoding

    def _check(self) -> None:
        if self.is_over:
            raise self._link.error(f"a change of the store {self._store.location} has ended already", reason="closed")


def _can_be_asked_for(id: str) -> bool:
    try:
        return b"\0" not in id.encode()
    except UnicodeEncodeError:
        return False


def _rebuild(url: str, timeout: float) -> PostgresqlStore:
    return PostgresqlStore(url, timeout=timeout)
