"""A store that lives as long as its object: for tests, and for tools that keep backends elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from mistcore.errors import StoreError
from mistcore.stores.base import Record, Store, Transaction

__all__ = ["MemoryStore"]


class MemoryStore(Store):
    """Records in memory. Several managers may share one."""

    location = "(memory)"

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._records = {record.id: record for record in records}
        self._lock = threading.RLock()
        self._changes: _Changes | None = None

    def read(self) -> Mapping[str, Record]:
        """Return all records by id, in the order in which they were added."""
        changes = self._changes
        if changes is not None and changes.thread == threading.get_ident():
            return MappingProxyType(dict(changes.records))
        return MappingProxyType(self._records)

    @contextmanager
    def change(self) -> Iterator[Transaction]:
        """Open a transaction; a nested one joins it."""
        with self._lock:
            if self._changes is not None:
                yield from self._savepoint(self._changes)
                return
            self._changes = changes = _Changes(dict(self._records))
            try:
                yield changes
            finally:
                self._changes = None
                changes.is_over = True
            self._records = changes.records

    def _savepoint(self, changes: _Changes) -> Iterator[Transaction]:
        before = dict(changes.records)
        try:
            yield changes
        except BaseException:
            changes.records = before
            raise


class _Changes:
    def __init__(self, records: dict[str, Record]) -> None:
        self.records = records
        self.thread = threading.get_ident()
        self.is_over = False

    def get(self, id: str) -> Record | None:
        return self._open().get(id)

    def put(self, record: Record) -> None:
        self._open()[record.id] = record

    def remove(self, id: str) -> None:
        del self._open()[id]

    def _open(self) -> dict[str, Record]:
        if self.is_over:
            raise StoreError("the change has ended already", location=MemoryStore.location, reason="closed")
        return self.records
