"""What a store is: ordered backend records that can be read at any time, and changed a transaction at a time."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, Protocol, Self

import attrs

__all__ = ["Record", "Store", "Transaction"]


@attrs.frozen
class Record:
    """One stored backend, as written: references unresolved, secrets as the store keeps them.

    Attributes:
        id: 28 letters and digits, the same for ever.
        title: what its owner calls it.
        provider: the id of its provider.
        region: the vendor's id of its region, or "".
        enabled: whether it is asked when all backends are.
        created_at: when it was added, aware UTC.
        credentials: the fields by name, as the store keeps them.
        unknown: keys of the stored form that this version does not know; they are kept.

    """

    id: str
    title: str
    provider: str
    region: str = ""
    enabled: bool = True
    created_at: datetime = attrs.field(factory=lambda: datetime.now(UTC).replace(microsecond=0))
    credentials: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    unknown: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


class Transaction(Protocol):
    """The records during an exclusive change. Nothing is kept until the block that opened it ends without an error."""

    def get(self, id: str) -> Record | None:
        """Return the record with this id as it is now, or None."""
        ...

    def put(self, record: Record) -> None:
        """Add a record at the end, or replace the one with its id in its place."""
        ...

    def remove(self, id: str) -> None:
        """Remove the record with this id. Raises `KeyError` if there is none."""
        ...

    def put_vault(self, settings: Mapping[str, Any] | None) -> None:
        """Keep what `Store.read_vault` is to return from now on. A store without it can only keep secrets plain."""
        ...


class Store(abc.ABC):
    """Where a manager keeps its backends. Instances are safe to use from several threads.

    Every failure is a `StoreError`, and leaves what was stored before as it was.
    """

    #: What a person calls this store: a path, or a URL without its password.
    location: str

    @abc.abstractmethod
    def read(self) -> Mapping[str, Record]:
        """Return all records by id, in the order in which they were added. Never blocks on a writer.

        The mapping is a snapshot and must not be changed. In a thread that has a transaction open, it shows what that
        transaction has done so far; everywhere else, what has been kept.
        """

    @abc.abstractmethod
    def change(self) -> AbstractContextManager[Transaction]:
        """Open a transaction, alone among all threads and processes. Nothing of a block that raises is kept.

        A nested call in the same thread joins the outer transaction: what it did is kept if the outer block ends well,
        and is undone when its own block raises, even if the outer one goes on.
        """

    def read_vault(self) -> Mapping[str, Any] | None:
        """Return how the secrets of all records are kept, as JSON values; None where they are kept as they are.

        In a thread that has a transaction open, it shows what that transaction has done so far.
        """
        return None

    def exposure(self) -> list[str]:
        """Return in plain sentences who besides its owner can read or replace the store; empty if nobody can."""
        return []

    def repair(self) -> None:
        """Take the rights away that `exposure` tells of, as far as this kind of store can. Raises `StoreError`."""

    def strangers(self) -> str:
        """Return why this is not a store that the user alone can write, and so may name commands in; "" if it is."""
        return f"{self.location} is not a file of yours"

    def close(self) -> None:
        """Let go of connections. The store may be used again afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Record]:
        return iter(self.read().values())
