"""Copying all backends from one store to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mistcore.errors import StoreError
from mistcore.stores.base import Record, Store

if TYPE_CHECKING:
    from mistcore.vault import Vault

__all__ = ["copy_store"]


def copy_store(source: Store, target: Store, *, vaults: tuple[Vault, Vault] | None = None) -> int:
    """Copy every backend of one store to another, whole or not at all; return how many were not there yet.

    Backends that the target has besides stay, before the new ones. One that it has already, the same in everything, is
    left alone: copying again is harmless. An empty target keeps secrets as the source does, under the same key; another
    one keeps them in its own way, for which both vaults are needed, and never in a weaker one.

    Args:
        source: the store that is only read.
        target: the store that is written.
        vaults: that of the source and that of the target, where one of them seals secrets.

    Raises:
        StoreError: the target has another version of one of them (reason "conflict"), would keep secrets plain that are
            sealed in the source (reason "weaker"), or one of the stores fails. The target is then as it was; the source
            is only read.
        VaultError: the secrets of one of them cannot be opened.

    """
    settings, records = _snapshot(source)
    if settings != target.read_vault() and target.read_vault() is not None:
        for vault in vaults or ():  # now, since a person may have to be asked
            vault.unlock()
    count = 0
    with target.change() as changes:
        present = target.read()
        if settings is not None and target.read_vault() is None and not present and hasattr(changes, "put_vault"):
            changes.put_vault(settings)
        as_it_is = settings == target.read_vault()
        if not as_it_is and target.read_vault() is None:
            raise StoreError(
                f"{source.location} keeps its secrets sealed, and {target.location} would keep them plain",
                location=target.location,
                reason="weaker",
                remedy="Nothing was copied. Seal those of the target first: mist --store TO secrets sealed",
            )

        if not as_it_is and vaults is None:
            raise StoreError(
                f"{source.location} and {target.location} do not keep their secrets under the same key",
                location=target.location,
                reason="vault",
                remedy="Nothing was copied. Give both vaults, as `mist copy-store` does.",
            )

        def opened(record: Record, vault: int) -> Record:
            return record if as_it_is or vaults is None else vaults[vault].open(record)

        conflicts = []
        for record in records:
            if record.id not in present:
                changes.put(record if as_it_is or vaults is None else vaults[1].seal(opened(record, 0)))
                count += 1
            elif opened(present[record.id], 1) != opened(record, 0):
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


def _snapshot(store: Store) -> tuple[Mapping[str, Any] | None, list[Record]]:
    """Return how a store keeps its secrets, and its records, of the same moment."""
    while True:
        settings = store.read_vault()
        records = list(store.read().values())
        if store.read_vault() == settings:
            return settings, records
