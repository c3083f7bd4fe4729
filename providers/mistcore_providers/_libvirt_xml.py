"""Reading libvirt's XML descriptions (libvirt.org/format.html). A document with a DTD or entities is refused."""

from __future__ import annotations

from ipaddress import ip_interface, ip_network
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["TAGS", "Details", "Disk", "details_of", "guest_of", "network_of", "parse", "volume_of"]

#: The namespace of the tags that `create_machine` keeps in a domain's metadata.
TAGS = "urn:mistcore:tags"

_UNITS = {"b": 1, "bytes": 1, "kb": 10**3, "k": 2**10, "kib": 2**10, "mb": 10**6, "m": 2**20, "mib": 2**20}
_UNITS |= {"gb": 10**9, "g": 2**30, "gib": 2**30, "tb": 10**12, "t": 2**40, "tib": 2**40}
_AGENT = "org.qemu.guest_agent.0"


def parse(text: str) -> Element:
    """Return the root of a document, or raise `ValueError` when it is none, or has a DTD."""
    from defusedxml import ElementTree as Safe
    from defusedxml.common import DefusedXmlException

    try:
        root: Element = Safe.fromstring(text, forbid_dtd=True)
    except (Safe.ParseError, DefusedXmlException) as error:
        raise ValueError(f"libvirt gave XML that cannot be used: {error}") from error
    return root


@attrs.frozen
class Disk:
    """A disk or medium of a domain: where it is (a path, or a pool and a volume), and how the guest sees it."""

    target: str
    device: str
    path: str = ""
    pool: str = ""
    volume: str = ""
    format: str = ""
    read_only: bool = False
    shared: bool = False


@attrs.frozen
class Details:
    """What only a domain's XML tells."""

    cpus: int | None = None
    memory: int | None = None
    title: str = ""
    description: str = ""
    architecture: str = ""
    domain_type: str = ""
    disks: tuple[Disk, ...] = ()
    macs: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    bridges: tuple[str, ...] = ()
    has_agent: bool = False
    tags: dict[str, str] = attrs.field(factory=dict)


def details_of(text: str) -> Details:
    """Return what a domain's XML tells; what is not there is left out."""
    root = parse(text)
    cpus = root.find("vcpu")
    os_type = root.find("os/type")
    interfaces = root.findall("devices/interface")
    bridged = [interface for interface in interfaces if interface.get("type") == "bridge"]
    return Details(
        cpus=_integer(cpus.get("current") or cpus.text) if cpus is not None else None,
        memory=_mebibytes(root.find("memory")),
        title=root.findtext("title") or "",
        description=root.findtext("description") or "",
        architecture=(os_type.get("arch") or "") if os_type is not None else "",
        domain_type=root.get("type") or "",
        disks=tuple(_disk(disk) for disk in root.findall("devices/disk")),
        macs=tuple(_attributes(interfaces, "mac", "address")),
        networks=tuple(dict.fromkeys(_attributes(interfaces, "source", "network"))),
        bridges=tuple(dict.fromkeys(_attributes(bridged, "source", "bridge"))),
        has_agent=any(
            target.get("name") == _AGENT and target.get("state") != "disconnected"
            for target in root.findall("devices/channel/target")
        ),
        tags={
            tag.get("key", ""): tag.get("value", "") for tag in root.findall(f"metadata/{{{TAGS}}}tags/{{{TAGS}}}tag")
        },
    )


def _attributes(elements: list[Element], child: str, attribute: str) -> list[str]:
    found = [element.find(child) for element in elements]
    return [value for one in found if one is not None and (value := one.get(attribute))]


def _disk(disk: Element) -> Disk:
    source, target, driver = disk.find("source"), disk.find("target"), disk.find("driver")
    where = dict(source.attrib) if source is not None else {}
    return Disk(
        target=target.get("dev", "") if target is not None else "",
        device=disk.get("device", "disk"),
        path=where.get("file") or where.get("dev") or where.get("dir") or where.get("name") or "",
        pool=where.get("pool", ""),
        volume=where.get("volume", ""),
        format=driver.get("type", "") if driver is not None else "",
        read_only=disk.find("readonly") is not None,
        shared=disk.find("shareable") is not None,
    )


def _integer(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None


def _bytes(element: Element | None) -> int | None:
    number = _integer((element.text or "").strip()) if element is not None else None
    if element is None or number is None:
        return None
    unit = element.get("unit", "bytes" if element.tag in ("capacity", "allocation") else "KiB")
    return number * _UNITS.get(unit.lower(), 1)


def _mebibytes(element: Element | None) -> int | None:
    size = _bytes(element)
    return None if size is None else size // 2**20


def network_of(text: str) -> dict[str, Any]:
    """Return what a network's XML tells: `cidrs` (IPv4 first), `forward`, `bridge`, `domain`, `dhcp`."""
    root = parse(text)
    cidrs = [cidr for element in root.findall("ip") if (cidr := _cidr(element))]
    forward, bridge, domain = root.find("forward"), root.find("bridge"), root.find("domain")
    return {
        "cidrs": sorted(cidrs, key=lambda cidr: ":" in cidr),
        "forward": forward.get("mode", "nat") if forward is not None else "isolated",
        "bridge": (bridge.get("name") or "") if bridge is not None else "",
        "domain": (domain.get("name") or "") if domain is not None else "",
        "dhcp": root.find("ip/dhcp") is not None,
    }


def _cidr(element: Element) -> str:
    address = element.get("address", "")
    mask = element.get("prefix") or element.get("netmask")
    try:
        if mask is None and ":" not in address:
            return str(_class_of(address))
        return str(ip_interface(f"{address}/{mask or 64}").network)
    except ValueError:
        return ""


def _class_of(address: str) -> object:
    """Return the network of an IPv4 address without a mask by its class, as libvirt does."""
    first = int(address.partition(".")[0])
    return ip_network(f"{address}/{8 if first < 128 else 16 if first < 192 else 24}", strict=False)


def volume_of(text: str) -> dict[str, Any]:
    """Return what a volume's XML tells: `format`, `capacity` (bytes), `type` ("file", "block", "network" …), `path`."""
    root = parse(text)
    form = root.find("target/format")
    return {
        "format": (form.get("type") or "raw") if form is not None else "raw",
        "capacity": _bytes(root.find("capacity")) or 0,
        "type": root.get("type") or "file",
        "path": root.findtext("target/path") or "",
    }


def guest_of(capabilities: str, domain_type: str = "", architecture: str = "") -> dict[str, str]:
    """Return what a host runs best: `architecture` (the host's own), `domain_type` ("kvm" if it can), `os_type`.

    Returns an empty mapping when the host runs nothing that fits what is asked for.
    """
    root = parse(capabilities)
    host = root.findtext("host/cpu/arch") or ""
    choices = []
    for guest in root.findall("guest"):
        for arch in guest.findall("arch"):
            kinds = [domain.get("type", "") for domain in arch.findall("domain")]
            choices += [
                {
                    "architecture": arch.get("name", ""),
                    "domain_type": kind,
                    "os_type": guest.findtext("os_type") or "hvm",
                }
                for kind in kinds
                if domain_type in ("", kind) and architecture in ("", arch.get("name", ""))
            ]
    order = {"kvm": 0, "hvf": 1, "xen": 2, "qemu": 3}
    choices.sort(key=lambda one: (one["architecture"] != host, order.get(one["domain_type"], 4)))
    return choices[0] if choices else {}
