"""A store that lives as long as its object: for tests, and for tools that keep backends elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from mistcore.stores.base import Record, Store

__all__ = ["MemoryStore"]


class MemoryStore(Store):
    """Records in memory. Several managers may share one."""

    location = "(memory)"

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._records = {record.id: record for record in records}
        self._lock = threading.RLock()
        self._changing: dict[str, Record] | None = None

    def read(self) -> Mapping[str, Record]:
        """Return all records by id."""
        return self._records

    @contextmanager
    def change(self) -> Iterator[_Changes]:
        """Open a transaction; a nested one joins it."""
        with self._lock:
            if self._changing is not None:
                yield _Changes(self._changing)
                return
            self._changing = dict(self._records)
            try:
                yield _Changes(self._changing)
                self._records = self._changing
            finally:
                self._changing = None


class _Changes:
    def __init__(self, records: dict[str, Record]) -> None:
        self._records = records

    def get(self, id: str) -> Record | None:
        return self._records.get(id)

    def put(self, record: Record) -> None:
        self._records[record.id] = record

    def remove(self, id: str) -> None:
        del self._records[id]
