"""Making a domain from a volume (libvirt.org/formatdomain.html, formatstorage.html)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4
from xml.etree import ElementTree as ET

import attrs

from mistcore import InvalidFields, Rejected
from mistcore_providers._libvirt_calls import binding
from mistcore_providers._libvirt_seed import seed_image
from mistcore_providers._libvirt_xml import TAGS, guest_of, volume_of

__all__ = ["SEED_SUFFIX", "NewMachine", "create"]

_SIZE = re.compile(r"\s*(\d+)\s*[xX]\s*(\d+)\s*")
SEED_SUFFIX = "-seed.iso"
_VOLUME_TYPES = {0: "file", 1: "block"}
_PC = ("x86_64", "i686")


@attrs.frozen
class NewMachine:
    """What `create_machine` was asked for."""

    name: str
    image: str
    size: str
    network: str
    key: str
    user_data: str
    tags: Mapping[str, str]
    disk: int
    pool: str
    linked: bool
    start: bool
    firmware: str
    machine_type: str
    domain_type: str

    @property
    def cpus_and_memory(self) -> tuple[int, int]:
        """The number of CPUs, and MiB."""
        match = _SIZE.fullmatch(self.size)
        if not match or not int(match[1]) or not int(match[2]):
            raise InvalidFields({"size": 'must be CPUs and MiB of memory, as in "2x2048"'})
        return int(match[1]), int(match[2])


def create(connection: Any, wanted: NewMachine) -> str:
    """Make the machine and return its UUID. What was made is removed again when a later step fails."""
    libvirt = binding()
    cpus, memory = wanted.cpus_and_memory
    if any(domain.name() == wanted.name for domain in connection.listAllDomains(0)):
        raise Rejected(f"there is a machine {wanted.name!r} already", reason="exists", remedy="Choose another name.")
    guest = guest_of(connection.getCapabilities(), wanted.domain_type)
    if not guest:
        raise InvalidFields({"domain_type": f"this host cannot run {wanted.domain_type or 'anything'}"})
    interface = _interface(connection, wanted.network)
    image = _find_image(connection, wanted.image)
    pool = _find_pool(connection, wanted.pool) if wanted.pool else image.storagePoolLookupByVolume()
    uuid = str(uuid4())
    made: list[Any] = []
    try:
        disk = _copy(libvirt, pool, image, wanted)
        made.append(disk)
        seed = None
        if wanted.key or wanted.user_data:
            seed = _upload_seed(connection, pool, wanted, uuid)
            made.append(seed)
        root = _domain_xml(wanted, uuid, guest, (cpus, memory))
        devices = root.find("devices")
        assert devices is not None  # noqa: S101 - made a line above
        devices.append(_disk_xml(disk, pool, "disk", _disk_target(guest)))
        if seed is not None:
            devices.append(_disk_xml(seed, pool, "cdrom", ("sda", "sata" if guest["architecture"] in _PC else "scsi")))
        if interface is not None:
            devices.append(interface)
        domain = connection.defineXML(ET.tostring(root, encoding="unicode"))
        if wanted.start:
            try:
                domain.create()
            except libvirt.libvirtError:
                with contextlib.suppress(libvirt.libvirtError):
                    domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
                raise
    except BaseException:
        for volume in made:
            with contextlib.suppress(libvirt.libvirtError):
                volume.delete(0)
        raise
    return uuid


def _pools(connection: Any) -> list[Any]:
    return [pool for pool in connection.listAllStoragePools(0) if pool.isActive()]


def _find_pool(connection: Any, name: str) -> Any:
    pools = _pools(connection)
    for pool in pools:
        if name in (pool.name(), pool.UUIDString()):
            return pool
    raise InvalidFields(
        {"pool": f"there is no running storage pool {name!r}; one of {', '.join(p.name() for p in pools) or 'none'}"}
    )


def _find_image(connection: Any, image: str) -> Any:
    found = []
    for pool in _pools(connection):
        for volume in pool.listAllVolumes(0):
            if volume.key() == image:
                return volume
            if image in (volume.name(), f"{pool.name()}/{volume.name()}"):
                found.append((f"{pool.name()}/{volume.name()}", volume))
    if len(found) == 1:
        return found[0][1]
    if found:
        raise InvalidFields({"image": f"several have this name: {', '.join(name for name, _ in found)}"})
    raise InvalidFields({"image": f"there is no volume {image!r} in a running storage pool"})


def _copy(libvirt: Any, pool: Any, image: Any, wanted: NewMachine) -> Any:
    """Make the machine's disk from the image, in the image's format, and as big as asked for."""
    facts = volume_of(image.XMLDesc(0))
    if facts["format"] == "iso":
        raise InvalidFields({"image": "is the image of an installation medium, not of a disk"})
    capacity = max(facts["capacity"], wanted.disk * 2**30)
    if wanted.disk and wanted.disk * 2**30 < facts["capacity"]:
        raise InvalidFields({"disk": f"the image needs {-(-facts['capacity'] // 2**30)} GiB"})
    form = "qcow2" if wanted.linked else facts["format"]
    root = ET.Element("volume")
    ET.SubElement(root, "name").text = f"{wanted.name}.{'img' if form == 'raw' else form}"
    ET.SubElement(root, "capacity", unit="bytes").text = str(capacity if wanted.linked else facts["capacity"])
    if not wanted.linked:
        ET.SubElement(root, "allocation", unit="bytes").text = "0"
    ET.SubElement(ET.SubElement(root, "target"), "format", type=form)
    if wanted.linked:
        backing = ET.SubElement(root, "backingStore")
        ET.SubElement(backing, "path").text = facts["path"] or image.path()
        ET.SubElement(backing, "format", type=facts["format"])
    text = ET.tostring(root, encoding="unicode")
    if wanted.linked:
        return pool.createXML(text, 0)
    volume = pool.createXMLFrom(text, image, 0)
    if capacity > facts["capacity"]:
        try:
            volume.resize(capacity, 0)
        except libvirt.libvirtError:
            with contextlib.suppress(libvirt.libvirtError):
                volume.delete(0)
            raise
    return volume


def _upload_seed(connection: Any, pool: Any, wanted: NewMachine, uuid: str) -> Any:
    """Put the medium that cloud-init reads into the pool."""
    data = seed_image(wanted.name, uuid, wanted.key, wanted.user_data)
    root = ET.Element("volume")
    ET.SubElement(root, "name").text = f"{wanted.name}{SEED_SUFFIX}"
    ET.SubElement(root, "capacity", unit="bytes").text = str(len(data))
    ET.SubElement(ET.SubElement(root, "target"), "format", type="raw")
    volume = pool.createXML(ET.tostring(root, encoding="unicode"), 0)
    stream = connection.newStream(0)
    try:
        volume.upload(stream, 0, len(data), 0)
        sent = 0
        while sent < len(data):
            sent += stream.send(data[sent : sent + 65536])
        stream.finish()
    except BaseException:
        libvirt = binding()
        with contextlib.suppress(libvirt.libvirtError):
            stream.abort()
        with contextlib.suppress(libvirt.libvirtError):
            volume.delete(0)
        raise
    return volume


def _interface(connection: Any, network: str) -> ET.Element | None:
    if network in ("", "none"):
        return None
    kind, _, bridge = network.partition(":")
    element = ET.Element("interface")
    if kind == "bridge" and bridge:
        element.set("type", "bridge")
        ET.SubElement(element, "source", bridge=bridge)
    else:
        element.set("type", "network")
        ET.SubElement(element, "source", network=_network_name(connection, network))
    ET.SubElement(element, "model", type="virtio")
    return element


def _network_name(connection: Any, network: str) -> str:
    networks = connection.listAllNetworks(0)
    for one in networks:
        if network in (one.UUIDString(), one.name()):
            name: str = one.name()
            return name
    known = ", ".join(one.name() for one in networks) or "no network"
    raise InvalidFields({"network": f'there is no network {network!r}, but {known}; "bridge:NAME" and "none" work too'})


def _domain_xml(wanted: NewMachine, uuid: str, guest: Mapping[str, str], size: tuple[int, int]) -> ET.Element:
    """Return the description of the machine, without disks and interfaces."""
    cpus, memory = size
    root = ET.Element("domain", type=guest["domain_type"])
    ET.SubElement(root, "name").text = wanted.name
    ET.SubElement(root, "uuid").text = str(UUID(uuid))
    if wanted.tags:
        tags = ET.SubElement(ET.SubElement(root, "metadata"), f"{{{TAGS}}}tags")
        for key, value in wanted.tags.items():
            ET.SubElement(tags, f"{{{TAGS}}}tag", key=str(key), value=str(value))
    ET.SubElement(root, "memory", unit="MiB").text = str(memory)
    ET.SubElement(root, "vcpu").text = str(cpus)
    os_element = ET.SubElement(root, "os")
    kind = ET.SubElement(os_element, "type", arch=guest["architecture"])
    kind.text = guest["os_type"]
    if wanted.machine_type:
        kind.set("machine", wanted.machine_type)
    if wanted.firmware:
        os_element.set("firmware", wanted.firmware)
    elif guest["architecture"] == "aarch64":
        os_element.set("firmware", "efi")
    ET.SubElement(os_element, "boot", dev="hd")
    if guest["architecture"] in (*_PC, "aarch64"):
        ET.SubElement(ET.SubElement(root, "features"), "acpi")
    if guest["domain_type"] == "kvm":
        ET.SubElement(root, "cpu", mode="host-passthrough")
    ET.SubElement(root, "on_reboot").text = "restart"
    devices = ET.SubElement(root, "devices")
    if guest["domain_type"] in ("kvm", "qemu", "hvf"):
        ET.SubElement(devices, "console", type="pty")
        agent = ET.SubElement(devices, "channel", type="unix")
        ET.SubElement(agent, "target", type="virtio", name="org.qemu.guest_agent.0")
        ET.SubElement(ET.SubElement(devices, "rng", model="virtio"), "backend", model="random").text = "/dev/urandom"
    return root


def _disk_target(guest: Mapping[str, str]) -> tuple[str, str]:
    return ("xvda", "xen") if guest["domain_type"] == "xen" else ("vda", "virtio")


def _disk_xml(volume: Any, pool: Any, device: str, target: tuple[str, str]) -> ET.Element:
    facts = volume_of(volume.XMLDesc(0))
    kind = _VOLUME_TYPES.get(volume.info()[0], "volume")
    element = ET.Element("disk", type=kind, device=device)
    ET.SubElement(element, "driver", name="qemu", type=facts["format"] if device == "disk" else "raw")
    if kind == "volume":
        ET.SubElement(element, "source", pool=pool.name(), volume=volume.name())
    else:
        ET.SubElement(element, "source", {"file" if kind == "file" else "dev": volume.path()})
    ET.SubElement(element, "target", dev=target[0], bus=target[1])
    if device == "cdrom":
        ET.SubElement(element, "readonly")
    return element
