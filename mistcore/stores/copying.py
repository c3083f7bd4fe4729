"""Copying all backends from one store to another."""

from __future__ import annotations

from mistcore.errors import StoreError
from mistcore.stores.base import Store

__all__ = ["copy_store"]


def copy_store(source: Store, target: Store) -> int:
    """Copy every backend of one store to another, whole or not at all; return how many were not there yet.

    Backends that the target has besides stay, before the new ones. One that it has already, the same in everything, is
    left alone: copying again is harmless.

    Raises:
        StoreError: the target has another version of one of them (reason "conflict"), or one of the stores fails. The
            target is then as it was; the source is only read.

    """
    records = list(source.read().values())
    count = 0
    with target.change() as changes:
        present = target.read()
        conflicts = []
        for record in records:
            if record.id not in present:
                changes.put(record)
                count += 1
            elif present[record.id] != record:
                conflicts.append(record)
        if conflicts:
            titles = ", ".join(repr(each.title) for each in conflicts[:5]) + (", …" if len(conflicts) > 5 else "")
            raise StoreError(
                f"{target.location} already holds {len(conflicts)} of these backends, but they differ: {titles}",
                location=target.location,
                reason="conflict",
                remedy="Nothing was copied. Remove them there first, or copy to an empty store.",
            )
    return count
