"""What is done to a domain in more than one call."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from mistcore import MachineState, Rejected
from mistcore_providers._libvirt_calls import binding
from mistcore_providers._libvirt_create import SEED_SUFFIX
from mistcore_providers._libvirt_listing import state_of
from mistcore_providers._libvirt_xml import details_of

__all__ = ["destroy", "rename", "resume"]

_PAUSED = 3


def resume(domain: Any) -> None:
    """Let a domain go on, whichever way it was stopped from going on."""
    number, reason = domain.state(0)
    state = state_of(number, reason, saved=bool(domain.hasManagedSaveImage(0)))
    if state is MachineState.SUSPENDED:
        if domain.isActive():
            domain.pMWakeup(0)
        else:
            domain.create()
    elif number == _PAUSED:
        domain.resume()
    else:
        raise Rejected(
            f"the machine is {state}, neither paused nor suspended",
            reason="state",
            remedy="Start it, if it is stopped.",
        )


def rename(domain: Any, name: str) -> None:
    """Give a domain another name."""
    if domain.isActive():
        raise Rejected("a running domain cannot be renamed", reason="state", remedy="Stop it first.")
    domain.rename(name, 0)


def destroy(connection: Any, domain: Any, *, force: bool, storage: bool) -> None:
    """Delete a domain, with its volumes where asked; these are found before anything is changed."""
    active = bool(domain.isActive())
    if active and not force:
        raise Rejected("the machine runs", reason="state", remedy="Stop it first, or use force.")
    volumes = _volumes_to_delete(connection, domain) if storage else []
    persistent = bool(domain.isPersistent())
    if active:
        domain.destroy()
    if persistent:
        _undefine(domain)
    for volume in volumes:
        volume.delete(0)


def _undefine(domain: Any) -> None:
    """Undefine a domain with all that belongs to it; drivers know different flags, so the most is tried first."""
    libvirt = binding()
    save = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    snapshots = libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    every = save | snapshots | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    for flags in (every, every & ~libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA, save | snapshots, save):
        try:
            domain.undefineFlags(flags)
        except libvirt.libvirtError as error:
            if error.get_error_code() not in (3, 8, 74):
                raise
        else:
            return
    domain.undefine()


def _volumes_to_delete(connection: Any, domain: Any) -> list[Any]:
    """Return the volumes that go when a domain goes with its storage.

    Raises:
        Rejected: (reason "storage") a disk of it is in no storage pool.

    """
    libvirt = binding()
    uuid, name = domain.UUIDString(), domain.name()
    others: set[str] = set()
    for other in connection.listAllDomains(0):
        if other.UUIDString() == uuid:
            continue
        try:
            others |= {_place(disk) for disk in details_of(other.XMLDesc(0)).disks}
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise
    volumes = []
    nowhere = []
    for disk in details_of(domain.XMLDesc(0)).disks:
        place = _place(disk)
        seed = disk.device == "cdrom" and PurePosixPath(place).name == f"{name}{SEED_SUFFIX}"
        own = disk.device in ("disk", "lun") and not disk.read_only and not disk.shared
        if not place or place in others or not (own or seed):
            continue
        try:
            volumes.append(_volume_of_disk(connection, disk))
        except libvirt.libvirtError as error:
            if error.get_error_code() not in (libvirt.VIR_ERR_NO_STORAGE_VOL, libvirt.VIR_ERR_NO_STORAGE_POOL):
                raise
            nowhere.append(place)
    if nowhere:
        raise Rejected(
            f"libvirt cannot delete {', '.join(nowhere)}, which is in no storage pool",
            reason="storage",
            remedy="Nothing was changed. Destroy the machine without storage, then delete the files on the host.",
        )
    return volumes


def _place(disk: Any) -> str:
    return disk.path or (f"{disk.pool}/{disk.volume}" if disk.pool else "")


def _volume_of_disk(connection: Any, disk: Any) -> Any:
    if disk.pool:
        return connection.storagePoolLookupByName(disk.pool).storageVolLookupByName(disk.volume)
    return connection.storageVolLookupByPath(disk.path)
