"""The connections of a PostgreSQL store, its address, and its errors in our words. Nothing of psycopg leaves here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from mistcore.errors import MissingDependency, StoreError
from mistcore.redaction import let_go

if TYPE_CHECKING:
    import psycopg

    Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

__all__ = ["Link"]

#: What the URL does not say otherwise: nothing waits without end, and text is text.
_PARAMETERS = {
    "application_name": "mistcore",
    "client_encoding": "UTF8",
    "connect_timeout": "10",
    "keepalives_count": "3",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "tcp_user_timeout": "30000",
}

_REMEDIES = {
    "25006": ("read_only", "This server takes no changes: connect to the one that does."),
    "3F000": ("name", "Create the schema that search_path names."),
    "42501": ("permission", "Let this user use and create tables in the schema (GRANT USAGE, CREATE ON SCHEMA …)."),
    "53100": ("disk_full", "Free some space on the disk of the database server, and try again."),
    "55P03": ("locked", "Wait until the others are done, and try again."),
}

#: Classes of errors whose message may quote what is kept: of data, rules, views, and what triggers say.
_QUOTING = ("22", "23", "44", "P0")

#: Connections that were a parent process's: closing them here would end them there.
_parents: list[object] = []


class Link:
    """Two connections to the database at a URL: one to change it, and one to read beside a change under way."""

    def __init__(self, url: str) -> None:
        self.location = _without_secrets(url)
        self._url = url
        self._process = os.getpid()
        self._writer: Connection | None = None
        self._reader: Connection | None = None

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()

    def writer(self) -> Connection:
        """Return the connection for changes, in which whatever is executed opens a transaction."""
        self._after_a_fork()
        if self._writer is None or self._writer.closed:
            self._writer = self._opened(is_reader=False)
        return self._writer

    def reader(self) -> Connection:
        """Return the connection for reading, which sees what is kept at each moment, or during a transaction of it."""
        self._after_a_fork()
        if self._reader is None or self._reader.closed:
            self._reader = self._opened(is_reader=True)
        return self._reader

    def close(self) -> None:
        """Close both."""
        self._after_a_fork()
        for connection in (self._writer, self._reader):
            if connection is not None:
                connection.close()
        self._writer = self._reader = None

    @contextmanager
    def explained(self, action: str) -> Iterator[None]:
        """Turn every error of the database into a `StoreError`, without what the server quotes of the data."""
        try:
            from psycopg import Error
        except ImportError as error:
            raise MissingDependency(
                "a store in PostgreSQL needs the library psycopg",
                remedy="Install it with: pip install 'mistcore[postgresql]'",
            ) from error
        try:
            yield
        except StoreError as error:
            let_go(error)
            raise
        except Error as error:
            # Details and frames may hold what was being written: they are left out, and with them the cause.
            state = error.sqlstate or ""
            said = error.diag.message_primary
            if state[:2] in _QUOTING:
                said = "the database refuses what is to be kept"
            what = f"{said} ({state})" if said else "the connection to the server broke"
            error.with_traceback(None).args = (what,)
        else:
            return
        reason, remedy = _REMEDIES.get(state, ("database", "Look at the log of the server."))
        if not state:
            reason, remedy = "unreachable", "See that the server runs, and look whether the change was kept."
        raise self.error(
            f"the store {self.location} could not be {action}: {what}", reason=reason, remedy=remedy
        ) from None

    def error(self, message: str, *, reason: str, remedy: str = "") -> StoreError:
        """Return an error that names this store."""
        return StoreError(message, location=self.location, reason=reason, remedy=remedy)

    def _after_a_fork(self) -> None:
        if self._process != os.getpid():
            _parents.extend(each for each in (self._writer, self._reader) if each is not None)
            self._writer = self._reader = None
            self._process = os.getpid()

    def _opened(self, *, is_reader: bool) -> Connection:
        found = self._open(is_reader=is_reader)
        if isinstance(found, StoreError):
            raise found
        return found

    def _open(self, *, is_reader: bool) -> Connection | StoreError:
        # Errors are returned, not raised: the frame of this function, which a traceback would keep, holds a password.
        import psycopg
        from psycopg.conninfo import conninfo_to_dict, make_conninfo

        try:
            given = conninfo_to_dict(self._url)
            more = {name: value for name, value in _PARAMETERS.items() if name not in given}
            address = make_conninfo(self._url, **more)
        except psycopg.Error:  # which would quote the part that it does not understand
            return _no_url(self.location)
        try:
            connection = psycopg.connect(address, autocommit=is_reader, prepare_threshold=None)
        except psycopg.Error as error:
            what = " ".join(str(error).split())
        else:
            level = psycopg.IsolationLevel
            connection.isolation_level = level.REPEATABLE_READ if is_reader else level.READ_COMMITTED
            connection.read_only = True if is_reader else None
            return connection
        reason = "unreachable"
        remedy = "See that the server runs, that host, port and database are right, and that it lets you in."
        if "authentication failed" in what or "no password supplied" in what:
            reason = "login"
            remedy = "Check the user name and the password (in the URL, PGPASSWORD or ~/.pgpass)."
        return self.error(f"the store {self.location} cannot be reached: {what}", reason=reason, remedy=remedy)


def _without_secrets(url: str) -> str:
    parts, query = None, []
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query)
    except ValueError:
        parts = None
    if parts is None:  # raised out here, so that no context of the error holds the URL
        raise _no_url()
    login, at, hosts = parts.netloc.rpartition("@")
    # A password that is not quoted, or that has no host behind it, looks like a port, a path or more.
    are_hosts = all(re.fullmatch(r"(\[[^]]*\]|[^:]*)(:\d*)?", host) for host in hosts.split(","))
    if not are_hosts or (not at and "@" in url):
        raise _no_url()
    public = [(name, value) for name, value in query if not re.search("password|secret", name)]
    rest = f"?{urlencode(public, safe='/', quote_via=quote)}" if public else ""
    return f"{parts.scheme}://{login.partition(':')[0]}{at}{hosts}{parts.path}{rest}"


def _no_url(location: str = "") -> StoreError:
    return StoreError(
        f"{location or 'that'} is no URL of a PostgreSQL database",
        location=location,
        reason="name",
        remedy="Write postgresql://user@host:port/database; quote special characters, as %2F for / and %40 for @.",
    )
