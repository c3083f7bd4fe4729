"""The store in memory: the same transactions as everywhere."""

from __future__ import annotations

import pytest
from stores.suite import TransactionSuite
from stores.workers import record

from mistcore.stores.memory import MemoryStore


class TestMemoryStore(TransactionSuite):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    @pytest.fixture
    def other(self, store: MemoryStore) -> MemoryStore:
        return store


def test_it_may_start_with_records() -> None:
    assert list(MemoryStore([record(2), record(1)]).read()) == ["id-2", "id-1"]
