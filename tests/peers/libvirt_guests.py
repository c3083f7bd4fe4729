"""Guests and a storage pool on a libvirt daemon of the tests, gone without a trace afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from peers.libvirtd import LibvirtDaemon, binding

_DOMAIN = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/>
<target dev='hda' bus='ide'/></disk><serial type='null'/><controller type='usb' model='none'/>
<memballoon model='none'/>{more}</devices></domain>"""


def domain_xml(name: str, disk: Path, more: str = "") -> str:
    """Return the definition of a guest that is as small as can be; `more` are further devices."""
    return _DOMAIN.format(name=name, disk=disk, more=more)


class Guests:
    """What a test makes on the daemon, by the binding itself: behind the provider's back.

    Attributes:
        raw: the binding's connection.
        folder: of the storage pool, once there is one.
    """

    def __init__(self, daemon: LibvirtDaemon) -> None:
        self.daemon = daemon
        self.folder = daemon.pool / f"p-{uuid4().hex[:8]}"
        self._made: list[str] = []
        self._pools: list[Any] = []

    def __enter__(self) -> Self:
        self.raw: Any = binding().open(self.daemon.uri)
        return self

    def __exit__(self, *exc: object) -> None:
        for domain in self.raw.listAllDomains():
            if domain.UUIDString() in self._made or str(self.folder) in domain.XMLDesc():
                _remove(domain)
        for pool in self._pools:
            pool.destroy()
        self.raw.close()

    def define(self, name: str = "", disk: Path | None = None) -> str:
        """Define a guest and return its id."""
        text = domain_xml(name or f"t-{uuid4().hex[:8]}", disk or self.daemon.guest)
        self._made.append(str(self.raw.defineXML(text).UUIDString()))
        return self._made[-1]

    def pool(self) -> Any:
        """Start a storage pool with one image in it, `guest.img`, and return it."""
        self.folder.mkdir()
        (self.folder / "guest.img").write_bytes(self.daemon.guest.read_bytes())
        target = f"<target><path>{self.folder}</path></target>"
        pool = self.raw.storagePoolCreateXML(f"<pool type='dir'><name>{self.folder.name}</name>{target}</pool>", 0)
        self._pools.append(pool)
        return pool


def _remove(domain: Any) -> None:
    libvirt = binding()
    if domain.isActive():
        domain.destroy()
    domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA)
