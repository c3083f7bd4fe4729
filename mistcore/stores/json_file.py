"""Backends in one JSON file: the store that needs no server."""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs

from mistcore.errors import StoreError
from mistcore.stores import access, atomic
from mistcore.stores.base import Record, Store, Transaction
from mistcore.stores.format import Damaged, Document, Problem, compose, encode, parse

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["JsonStore"]

#: Which file it is, and its time of change: while this stays the same, so does what it holds. Two versions written here
#: never share it: the time grows with each (see `atomic.write`), even where the number of the file is used again.
_Signature = tuple[int, int, int, int]


class JsonStore(Store):
    """Backends in a JSON file.

    The file appears with the first change, for its owner alone to read. Readers never wait; a writer waits for the
    others, up to `timeout` seconds. A symbolic link stays one: what it points to is replaced. A person or a program may
    edit the file, as long as it stays a store: one that is damaged or newer is refused, and never written over.
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout: float = 30.0) -> None:
        self.location = os.fspath(path)
        self.timeout = timeout
        self._mutex = threading.RLock()
        self._file_lock: BaseFileLock | None = None
        self._process = os.getpid()
        self._changes: _Changes | None = None
        self._snapshot = _Snapshot(Document())
        if not self.location or "\0" in self.location:
            raise self._error(f"{self.location!r} is no name for a file", reason="name")
        try:
            self._path = Path(path).expanduser().absolute()
        except RuntimeError as error:  # ~somebody, who does not exist
            raise self._error(f"{self.location}: {error}", reason="name", remedy="Write out the whole path.") from error
        self.location = str(self._path)

    def __repr__(self) -> str:
        return f"JsonStore({self.location!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.location, self.timeout)

    def read(self) -> Mapping[str, Record]:
        """Return all records by id, in the order in which they were added.

        Raises:
            StoreError: the file cannot be read, is damaged, or is newer than this version of mistcore.

        """
        changes = self._changes
        if changes is not None and changes.thread == threading.get_ident():
            return MappingProxyType(dict(changes.document.records))
        return MappingProxyType(self._current().document.records)

    def read_vault(self) -> Mapping[str, Any] | None:
        """Return how the secrets are kept: the value of "vault" in the file. Raises as `read` does."""
        changes = self._changes
        if changes is not None and changes.thread == threading.get_ident():
            return changes.document.vault
        return self._current().document.vault

    def exposure(self) -> list[str]:
        """Return in plain sentences who else can read the file, or write it or its folder."""
        return access.exposure(self._path)

    def repair(self) -> None:
        """Make the file its owner's alone, and its folder one that only its owner can write."""
        with self._explained("repaired"):
            access.repair(self._path)

    def strangers(self) -> str:
        """Return why the file is not one that the user alone can write, or ""."""
        return access.strangers(self._path)

    @contextmanager
    def change(self) -> Iterator[Transaction]:
        """Open a transaction; the file is written once, at its end, and only if something changed.

        Raises:
            StoreError: the file cannot be read or written, or somebody else kept it locked for too long.

        """
        limit = time.monotonic() + self.timeout
        if not self._mutex.acquire(timeout=self.timeout):
            raise self._locked()
        try:
            if self._changes is None:
                path = Path(os.path.realpath(self._path))
                with self._lock(path, limit - time.monotonic()):
                    yield from self._transaction(path)
            else:
                yield from self._savepoint(self._changes)
        finally:
            self._mutex.release()

    def _transaction(self, path: Path) -> Iterator[Transaction]:
        before = self._current()
        self._changes = changes = _Changes(self, before.document.copy())
        try:
            yield changes
        finally:
            self._changes = None
            changes.is_over = True
        self._keep(path, before, changes.document)

    def _savepoint(self, changes: _Changes) -> Iterator[Transaction]:
        before = changes.document.copy()
        try:
            yield changes
        except BaseException:
            changes.document = before
            raise

    def _keep(self, path: Path, before: _Snapshot, document: Document) -> None:
        if document.is_like(before.document):
            return
        with self._explained("written"):
            if _signature(self._status()) != before.signature:
                raise self._error(
                    f"the store {self.location} was edited by a program that does not respect its lock, so the change "
                    "was not written",
                    reason="conflict",
                    remedy="Try again.",
                )
            atomic.remove_leftovers(path)
            status = atomic.write(path, compose(document), before.status)
        self._snapshot = _Snapshot(document, status)

    def _current(self) -> _Snapshot:
        """Return what the file holds now; read it only if it is not the one that was read or written last."""
        snapshot = self._snapshot
        with self._explained("read"):
            status = self._status()
            if _signature(status) == snapshot.signature:
                return snapshot
            found = self._read_file() if status else _Snapshot(Document())
        if isinstance(found, StoreError):
            raise found
        self._snapshot = found
        return found

    def _status(self) -> os.stat_result | None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        if stat.S_ISREG(status.st_mode):
            return status
        raise self._error(
            f"the store {self.location} is {'a folder' if stat.S_ISDIR(status.st_mode) else 'not a regular file'}",
            reason="not_a_file",
            remedy=f"Name a file, for example {self._path / 'backends.json'}.",
        )

    def _read_file(self) -> _Snapshot | StoreError:
        # The error is returned, not raised: the frame of this function, which a traceback would keep, holds secrets.
        try:
            with self._path.open("rb", buffering=0) as file:
                status = os.fstat(file.fileno())
                data = file.read()
        except FileNotFoundError:
            return _Snapshot(Document())
        try:
            return _Snapshot(parse(data), status)
        except Damaged as damaged:
            what, newer = str(damaged), damaged.newer
        if newer:
            return self._error(
                f"the store {self.location} was written by a newer mistcore: {what}",
                reason="newer",
                remedy="It was left untouched. Install a newer mistcore: pip install --upgrade mistcore",
            )
        return self._error(
            f"the store {self.location} is damaged: {what}",
            reason="damaged",
            remedy="It was left untouched. Correct it, put a copy in its place, or move it away to start anew.",
        )

    @contextmanager
    def _lock(self, path: Path, seconds: float) -> Iterator[None]:
        from filelock import FileLock, Timeout

        lock_path = path.with_name(f"{path.name}.lock")
        lock = self._file_lock
        # One for all changes: each that is dropped runs its `__del__`, and a Ctrl-C that comes in there is lost.
        if lock is None or lock.lock_file != str(lock_path) or self._process != os.getpid():
            lock = self._file_lock = FileLock(lock_path, mode=0o600, thread_local=False)
            self._process = os.getpid()  # a forked child needs one of its own
        with self._explained("locked"):
            atomic.make_folder(path.parent)
            try:
                lock.acquire(timeout=max(seconds, 0), poll_interval=0.01)
            except Timeout:
                raise self._locked() from None
            except NotImplementedError as error:  # some network file systems
                raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK)) from error
        try:
            with self._explained("locked"):
                atomic.hand_over(lock_path, path.parent.stat())
            yield
        finally:
            lock.release()

    def _locked(self) -> StoreError:
        return self._error(
            f"somebody else has been changing the store {self.location} for over {self.timeout:g} seconds",
            reason="locked",
            remedy=f"Wait until they are done, or end the program that holds the lock {self.location}.lock.",
        )

    @contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            cause = error.with_traceback(None)  # its frames hold what was being written
        else:
            return
        folder = os.path.realpath(self._path.parent)
        reason, remedy = _REMEDIES.get(cause.errno or 0, ("io", "What was stored before is still in {folder}."))
        raise self._error(
            f"the store {self.location} could not be {action}: {cause.strerror or cause}",
            reason=reason,
            remedy=remedy.format(folder=folder),
        ) from cause

    def _error(self, message: str, *, reason: str, remedy: str = "") -> StoreError:
        return StoreError(message, location=self.location, reason=reason, remedy=remedy)


@attrs.frozen(repr=False)
class _Snapshot:
    document: Document
    status: os.stat_result | None = None

    @property
    def signature(self) -> _Signature | None:
        return _signature(self.status)


class _Changes:
    """The transaction: a copy of everything, to be kept or dropped as a whole."""

    def __init__(self, store: JsonStore, document: Document) -> None:
        self.document = document
        self.thread = threading.get_ident()
        self.is_over = False
        self._store = store

    def get(self, id: str) -> Record | None:
        return self._open().records.get(id)

    def put(self, record: Record) -> None:
        document = self._open()
        try:
            new, text = encode(record)
            old = document.records.get(new.id)
            if old is None or encode(old)[1] != text:  # a person may have laid it out otherwise: that stays
                document.put(new, text)
        except Problem as problem:
            what = str(problem)
        else:
            return
        title = f" {record.title!r}" if isinstance(record.title, str) else ""
        location = self._store.location
        raise self._store._error(f"backend{title} cannot be kept in the store {location}: it {what}", reason="value")

    def remove(self, id: str) -> None:
        self._open().remove(id)

    def put_vault(self, settings: Mapping[str, Any] | None) -> None:
        self._open().vault = settings

    def _open(self) -> Document:
        if self.is_over:
            raise self._store._error(f"a change of the store {self._store.location} has ended already", reason="closed")
        return self.document


def _signature(status: os.stat_result | None) -> _Signature | None:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns) if status else None


def _rebuild(path: str, timeout: float) -> JsonStore:
    return JsonStore(path, timeout=timeout)


_REMEDIES = {
    errno.ENOSPC: ("disk_full", "Free some space on the disk of {folder}, and try again."),
    errno.EDQUOT: ("disk_full", "Your quota on the disk of {folder} is used up: free some space, and try again."),
    errno.EFBIG: ("disk_full", "The limit on the size of files is too low: see `ulimit -f`."),
    errno.EROFS: ("read_only", "Mount {folder} writable, or choose another store with MISTCORE_STORE or --store."),
    errno.EACCES: ("permission", "See whose it is: ls -la {folder}"),
    errno.EPERM: ("permission", "See whose it is: ls -la {folder}"),
    errno.ENOTDIR: ("not_a_folder", "A part of its path is a file where a folder should be: choose another path."),
    errno.EISDIR: ("not_a_file", "A folder stands there: name a file in it."),
    errno.ELOOP: ("link_loop", "The symbolic links there lead in a circle: remove one of them."),
    errno.ENOLCK: ("no_locks", "The file system of {folder} has no locks: choose another place for the store."),
    errno.ENAMETOOLONG: ("name", "Choose a shorter name for the store."),
}
