"""A store that lives as long as its object: for tests, and for tools that keep backends elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

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
        self._vault: Mapping[str, Any] | None = None

    def read(self) -> Mapping[str, Record]:
        """Return all records by id, in the order in which they were added."""
        changes = self._changes
        if changes is not None and changes.thread == threading.get_ident():
            return MappingProxyType(dict(changes.records))
        return MappingProxyType(self._records)

    def read_vault(self) -> Mapping[str, Any] | None:
        """Return how the secrets of all records are kept."""
        changes = self._changes
        return changes.vault if changes is not None and changes.thread == threading.get_ident() else self._vault

    def strangers(self) -> str:
        """Return "": the program that made this store wrote all that is in it."""
        return ""

    @contextmanager
    def change(self) -> Iterator[Transaction]:
        """Open a transaction; a nested one joins it."""
        with self._lock:
            if self._changes is not None:
                yield from self._savepoint(self._changes)
                return
            self._changes = changes = _Changes(dict(self._records), self._vault)
            try:
                yield changes
            finally:
                self._changes = None
                changes.is_over = True
            self._records, self._vault = changes.records, changes.vault

    def _savepoint(self, changes: _Changes) -> Iterator[Transaction]:
        before = dict(changes.records), changes.vault
        try:
            yield changes
        except BaseException:
            changes.records, changes.vault = before
            raise


class _Changes:
    def __init__(self, records: dict[str, Record], vault: Mapping[str, Any] | None) -> None:
        self.records = records
        self.vault = vault
        self.thread = threading.get_ident()
        self.is_over = False

    def get(self, id: str) -> Record | None:
        return self._open().get(id)

    def put(self, record: Record) -> None:
        self._open()[record.id] = record

    def remove(self, id: str) -> None:
        del self._open()[id]

    def put_vault(self, settings: Mapping[str, Any] | None) -> None:
        self._open()
        self.vault = settings

    def _open(self) -> dict[str, Record]:
        if self.is_over:
            raise StoreError("the change has ended already", location=MemoryStore.location, reason="closed")
        return self.records
