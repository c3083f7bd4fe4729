"""Where backends are kept."""

from __future__ import annotations

from pathlib import Path

from mistcore.stores.base import Record, Store, Transaction

__all__ = ["Record", "Store", "Transaction", "open_store"]


def open_store(location: str | Path | None) -> Store:
    raise NotImplementedError
