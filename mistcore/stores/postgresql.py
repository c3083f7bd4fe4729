"""Backends in a PostgreSQL database: the store that many machines share."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import attrs

from mistcore.errors import MissingDependency, StoreError
from mistcore.stores.base import Record, Store, Transaction
from mistcore.stores.format import Problem, decode, encode
from mistcore.stores.scan import read_json

if TYPE_CHECKING:
    import psycopg

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
)
_VERSION = len(MIGRATIONS)

_STATE = "SELECT version, revision FROM mistcore_store"
_PUT = """
    INSERT INTO mistcore_backends AS old (id, revision, record) VALUES (%s, %s, %s)
    ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, record = excluded.record
    WHERE old.record::text <> excluded.record::text
"""
_SINCE = "SELECT id, position, record::text FROM mistcore_backends WHERE revision > %s ORDER BY position"

#: The lock that whoever makes or changes the tables holds ("mistcore" as a number).
_MIGRATING = int.from_bytes(b"mistcore")


class PostgresqlStore(Store):
    """Backends in a PostgreSQL database, at `postgresql://user:password@host:port/database?parameter=value`.

    Parameters are those of libpq; `options=-csearch_path%3DSCHEMA` chooses a schema, so that one database can hold
    several stores. The tables are made with the first change. Without a password in the URL, libpq looks in PGPASSWORD
    and in `~/.pgpass`. A writer waits for the others, up to `timeout` seconds.
    """

    def __init__(self, url: str, *, timeout: float = 30.0) -> None:
        self.location = _without_secrets(url)
        self.timeout = timeout
        self._url = url
        self._mutex = threading.RLock()
        self._changes: _Changes | None = None
        self._writer: psycopg.Connection[tuple[Any, ...]] | None = None
        self._reading = threading.Lock()
        self._reader: psycopg.Connection[tuple[Any, ...]] | None = None
        self._snapshot = _Snapshot()
        self._process = os.getpid()

    def __repr__(self) -> str:
        return f"PostgresqlStore({self.location!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # The address alone: whoever unpickles it elsewhere has the password in PGPASSWORD or ~/.pgpass, or has none.
        return _rebuild, (self.location, self.timeout)

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()

    def close(self) -> None:
        """Close the connections. The next use opens new ones."""
        if self._process == os.getpid():
            for connection in (self._writer, self._reader):
                if connection is not None:
                    connection.close()
        self._writer = self._reader = None

    def read(self) -> Mapping[str, Record]:
        """Return all records by id, in the order in which they were added.

        Raises:
            StoreError: the database does not answer or refuses, or holds what this version of mistcore does not know.

        """
        changes = self._changes
        if changes is not None and changes.thread == threading.get_ident():
            before = self._snapshot if self._snapshot.revision < changes.revision else _Snapshot()
            with self._explained("read"):
                return MappingProxyType(self._apply(before, changes.connection, changes.revision).records)
        for _ in range(2):
            with self._reading, self._explained("read"):
                if self._refresh():
                    return MappingProxyType(self._snapshot.records)
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
        with self._explained("changed"):
            connection, revision = self._begin(seconds)
        self._changes = changes = _Changes(self, connection, revision + 1)
        try:
            yield changes
            with self._explained("changed"):
                changes.finish()
        except BaseException:
            self._drop(connection)
            raise
        finally:
            self._changes = None
            changes.is_over = True

    def _savepoint(self, changes: _Changes) -> Iterator[Transaction]:
        with self._explained("changed"):
            changes.connection.execute("SAVEPOINT nested")
        try:
            yield changes
        except BaseException:
            with self._explained("changed"):
                changes.connection.execute("ROLLBACK TO SAVEPOINT nested")
                changes.connection.execute("RELEASE SAVEPOINT nested")
            raise
        with self._explained("changed"):
            changes.connection.execute("RELEASE SAVEPOINT nested")

    # --- writing

    def _begin(self, seconds: float) -> tuple[psycopg.Connection[tuple[Any, ...]], int]:
        """Begin a transaction, alone; return it with the revision that it starts from."""
        from psycopg import OperationalError
        from psycopg.errors import LockNotAvailable, UndefinedTable

        for is_last in (False, False, True):
            connection = self._connection("_writer")
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

    def _migrate(self, connection: psycopg.Connection[tuple[Any, ...]], seconds: float) -> None:
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
    def _drop(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
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
            connection = self._connection("_reader")
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

    def _apply(self, before: _Snapshot, connection: psycopg.Connection[tuple[Any, ...]], revision: int) -> _Snapshot:
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
        return _Snapshot(revision, records, positions)

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
        raise self._error(
            f"the store {self.location} is damaged: the backend with the id {id!r} {what}",
            reason="damaged",
            remedy="It was left untouched. Correct or delete that row of the table mistcore_backends.",
        )

    def _refuse_newer(self, version: int) -> None:
        if version > _VERSION:
            raise self._error(
                f"the store {self.location} was made by a newer mistcore: it is of version {version}, and this one "
                f"reads up to {_VERSION}",
                reason="newer",
                remedy="It was left untouched. Install a newer mistcore: pip install --upgrade mistcore",
            )

    # --- connections and errors

    def _connection(self, which: str) -> psycopg.Connection[tuple[Any, ...]]:
        if (
            self._process != os.getpid()
        ):  # a fork: the connections are the parent's, and closing them here would end them
            _parents.extend(each for each in (self._writer, self._reader) if each is not None)
            self._writer = self._reader = None
            self._process = os.getpid()
        connection: psycopg.Connection[tuple[Any, ...]] | None = getattr(self, which)
        if connection is None or connection.closed:
            found = self._connect(is_reader=which == "_reader")
            if isinstance(found, StoreError):
                raise found
            connection = found
            setattr(self, which, connection)
        return connection

    def _connect(self, *, is_reader: bool) -> psycopg.Connection[tuple[Any, ...]] | StoreError:
        # The error is returned, not raised: the frame of this function, which a traceback would keep, holds a password.
        import psycopg
        from psycopg.conninfo import conninfo_to_dict, make_conninfo

        try:
            given = conninfo_to_dict(self._url)
            address = make_conninfo(
                self._url, **{name: _PARAMETERS[name] for name in _PARAMETERS.keys() - given.keys()}
            )
        except psycopg.Error:
            address = ""
        if not address:  # libpq would quote the part that it does not understand
            return self._error(
                f"{self.location} is no URL of a PostgreSQL database",
                reason="name",
                remedy="Write postgresql://user@host:port/database; quote special characters, as %40 for @.",
            )
        try:
            connection = psycopg.connect(address, autocommit=is_reader, prepare_threshold=None)
            if is_reader:
                connection.read_only = True
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            else:
                connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        except psycopg.Error as error:
            what = " ".join(str(error).split())
        else:
            return connection
        is_login = "authentication failed" in what or "no password supplied" in what
        return self._error(
            f"the store {self.location} cannot be reached: {what}",
            reason="login" if is_login else "unreachable",
            remedy="Check the user name and the password (in the URL, PGPASSWORD or ~/.pgpass)."
            if is_login
            else "See that the server runs, that host, port and database are right, and that it lets you in.",
        )

    @contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        try:
            from psycopg import Error
        except ImportError as error:
            raise MissingDependency(
                "a store in PostgreSQL needs the library psycopg",
                remedy="Install it with: pip install 'mistcore[postgresql]'",
            ) from error
        try:
            yield
        except Error as error:
            # The server's details and context may quote what was being written: they are left out, and so is the cause.
            state = error.sqlstate or ""
            said = error.diag.message_primary
            what = f"{said} ({state})" if said else "the connection to the server broke"
        else:
            return
        reason, remedy = _REMEDIES.get(state, ("database", "Look at the log of the server."))
        if not state:
            reason, remedy = "unreachable", "See that the server runs, and look whether the change was kept."
        raise self._error(f"the store {self.location} could not be {action}: {what}", reason=reason, remedy=remedy)

    def _locked(self) -> StoreError:
        return self._error(
            f"somebody else has been changing the store {self.location} for over {self.timeout:g} seconds",
            reason="locked",
            remedy="Wait until they are done; the view pg_locks tells who holds the row of mistcore_store.",
        )

    def _error(self, message: str, *, reason: str, remedy: str = "") -> StoreError:
        return StoreError(message, location=self.location, reason=reason, remedy=remedy)


@attrs.frozen(repr=False)
class _Snapshot:
    revision: int = -1
    records: dict[str, Record] = attrs.field(factory=dict)
    positions: dict[str, int] = attrs.field(factory=dict)


class _Changes:
    """The transaction: each change is sent at once, and nobody else sees it before the end."""

    def __init__(self, store: PostgresqlStore, connection: psycopg.Connection[tuple[Any, ...]], revision: int) -> None:
        self.connection = connection
        self.revision = revision
        self.thread = threading.get_ident()
        self.is_over = False
        self._store = store
        self._is_changed = False

    def get(self, id: str) -> Record | None:
        self._check()
        if not _can_be_asked_for(id):
            return None
        with self._store._explained("read"):
            query = "SELECT record::text FROM mistcore_backends WHERE id = %s"
            found = self.connection.execute(query, [id]).fetchone()
        return self._store._decoded(id, found[0]) if found else None

    def put(self, record: Record) -> None:
        self._check()
        try:
            new, text = encode(record)
            if not _can_be_asked_for(new.id):
                raise Problem("has an id that PostgreSQL cannot hold", "id")
        except Problem as problem:
            what = str(problem)
        else:
            # Escaped, it fits databases of any encoding.
            with self._store._explained("changed"):
                row = [new.id, self.revision, json.dumps(json.loads(text))]
                self._is_changed |= self.connection.execute(_PUT, row).rowcount > 0
            return
        title = f" {record.title!r}" if isinstance(record.title, str) else ""
        location = self._store.location
        raise self._store._error(f"backend{title} cannot be kept in the store {location}: it {what}", reason="value")

    def remove(self, id: str) -> None:
        self._check()
        if _can_be_asked_for(id):
            with self._store._explained("changed"):
                count = self.connection.execute("DELETE FROM mistcore_backends WHERE id = %s", [id]).rowcount
            if count:
                self._is_changed = True
                return
        raise KeyError(id)

    def finish(self) -> None:
        if self._is_changed:
            self.connection.execute("UPDATE mistcore_store SET revision = %s", [self.revision])
        self.connection.commit()

    def _check(self) -> None:
        if self.is_over:
            raise self._store._error(f"a change of the store {self._store.location} has ended already", reason="closed")


def _can_be_asked_for(id: str) -> bool:
    try:
        return b"\0" not in id.encode()
    except UnicodeEncodeError:
        return False


def _without_secrets(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    login, at, host = parts.netloc.rpartition("@")
    if not parts.scheme or (not at and "@" in url):  # a password that is not quoted looks like a host and a path
        raise StoreError(
            "that is no URL of a PostgreSQL database",
            reason="name",
            remedy="Write postgresql://user@host:port/database; quote special characters, as %2F for / and %40 for @.",
        )
    known = [(name, value) for name, value in parse_qsl(parts.query) if not re.search("password|secret", name)]
    query = f"?{urlencode(known, safe='/', quote_via=quote)}" if known else ""
    return f"{parts.scheme}://{login.partition(':')[0]}{at}{host}{parts.path}{query}"


def _rebuild(url: str, timeout: float) -> PostgresqlStore:
    return PostgresqlStore(url, timeout=timeout)


#: Connections of a parent process that must not be closed here.
_parents: list[object] = []

#: What the URL does not say otherwise: nothing waits without end, and text is text.
_PARAMETERS = {
    "application_name": "mistcore",
    "client_encoding": "UTF8",
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}

_REMEDIES = {
    "25006": ("read_only", "This server takes no changes: connect to the one that does."),
    "3F000": ("name", "Create the schema that search_path names."),
    "42501": ("permission", "Let this user use and create tables in the schema (GRANT USAGE, CREATE ON SCHEMA …)."),
    "53100": ("disk_full", "Free some space on the disk of the database server, and try again."),
    "55P03": ("locked", "Wait until the others are done, and try again."),
}
