"""What vCloud Director says, in JSON or XML, as the same plain values; and what its records become.

The forms are those of the XML schemas of the API (github.com/vmware/vcd-api-schemas): JSON has the same names, the
first letter small.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from mistcore import Image, Location, Machine, MachineState, Network, ProviderError, Size
from mistcore.addresses import split_addresses
from mistcore.rows import parse_time

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = [
    "address_rows",
    "flag",
    "href_id",
    "image_of",
    "listed_machine",
    "location_of",
    "machine_of",
    "network_of",
    "number",
    "parse_xml",
    "record_of",
    "rows",
    "size_of",
    "state_of",
]

log = logging.getLogger(__name__)

_NUMERIC = {
    -1: MachineState.ERROR,
    0: MachineState.PENDING,
    1: MachineState.PENDING,
    2: MachineState.PENDING,
    3: MachineState.SUSPENDED,
    4: MachineState.RUNNING,
    5: MachineState.PENDING,
    8: MachineState.STOPPED,
    11: MachineState.PENDING,
    12: MachineState.PENDING,
    13: MachineState.PENDING,
    14: MachineState.PENDING,
    15: MachineState.ERROR,
}
_STATES = {
    "FAILED_CREATION": MachineState.ERROR,
    "UNRESOLVED": MachineState.PENDING,
    "RESOLVED": MachineState.PENDING,
    "DEPLOYED": MachineState.PENDING,
    "SUSPENDED": MachineState.SUSPENDED,
    "POWERED_ON": MachineState.RUNNING,
    "WAITING_FOR_INPUT": MachineState.PENDING,
    "POWERED_OFF": MachineState.STOPPED,
    "INCONSISTENT_STATE": MachineState.ERROR,
}
#: What a task that runs on a machine makes of its state; by the beginning of the task's name.
_TASKS = (
    ("vapppoweron", MachineState.STARTING),
    ("vappdeploy", MachineState.STARTING),
    ("vapppoweroff", MachineState.STOPPING),
    ("vappshutdown", MachineState.STOPPING),
    ("vappundeploy", MachineState.STOPPING),
    ("vappreboot", MachineState.REBOOTING),
    ("vappreset", MachineState.REBOOTING),
)
_ID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_EXTRA = (
    "containerName", "isDeployed", "isBusy", "networkName", "storageProfileName", "hardwareVersion", "vmToolsVersion",
    "vmToolsStatus", "totalStorageAllocatedMb", "taskStatusName", "taskStatus", "isInMaintenanceMode", "hostName",
    "vmSizingPolicyId", "ownerName", "description", "catalogName",
)  # fmt: skip
_TRUE = {"true": True, "false": False}


def parse_xml(text: bytes | str) -> Any:
    """Return an XML document as the plain values that the same answer has in JSON.

    Attributes and children become entries of a mapping; a child that comes more than once, a list; one with text
    only, that text. The records of a query all become the list `record`.

    Raises:
        ProviderError: (reason "garbled") it is no XML, or has a DTD or entities, which are never read.

    """
    from defusedxml import ElementTree as Safe
    from defusedxml.common import DefusedXmlException

    try:
        root = Safe.fromstring(text, forbid_dtd=True)
    except (Safe.ParseError, DefusedXmlException, ValueError) as error:
        raise ProviderError(
            f"the answer holds XML that is not read: {error}", reason="garbled", remedy="Is the address right?"
        ) from error
    plain = _plain(root)
    if _name(root.tag) == "queryResultRecords":
        plain = {name: value for name, value in plain.items() if not name.endswith("Record")}
        plain["record"] = [{**_plain(child), "_type": _local(child.tag)} for child in root if _is_record(child)]
    return plain


def _is_record(element: Element) -> bool:
    return _local(element.tag).endswith("Record")


def _local(tag: Any) -> str:
    return str(tag).rpartition("}")[2]


def _name(tag: Any) -> str:
    local = _local(tag)
    return local[:1].lower() + local[1:]


def _plain(element: Element) -> Any:
    found: dict[str, Any] = {_name(name): _TRUE.get(value, value) for name, value in element.attrib.items()}
    children: dict[str, list[Any]] = {}
    for child in element:
        if isinstance(child.tag, str):
            children.setdefault(_name(child.tag), []).append(_plain(child))
    for name, values in children.items():
        found[name] = values[0] if len(values) == 1 else values
    text = (element.text or "").strip()
    if not found:
        return _TRUE.get(text, text)
    if text:
        found["value"] = text
    return found


def rows(value: Any) -> list[Any]:
    """Return a list: XML that has one child and JSON that has a list of one are the same."""
    if value in (None, ""):
        return []
    return list(value) if isinstance(value, list) else [value]


def flag(value: Any) -> bool:
    """Return a truth value, also one written as text."""
    return value is True or str(value).lower() == "true"


def number(value: Any) -> int | None:
    """Return a whole number, also one written as text; None for what is none."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def href_id(href: Any) -> str:
    """Return the UUID at the end of an address or URN, or ""."""
    found = _ID.findall(str(href or ""))
    return str(found[-1]).lower() if found else ""


def state_of(status: Any, task: str = "", task_status: str = "") -> MachineState:
    """Return our state for a status, a word as in queries or a number as in entities, and for a task under way."""
    if task_status.lower() in ("running", "queued", "prerunning"):
        for beginning, state in _TASKS:
            if task.lower().startswith(beginning):
                return state
    code = number(status)
    if code is not None:
        return _NUMERIC.get(code, MachineState.UNKNOWN)
    return _STATES.get(str(status).upper(), MachineState.UNKNOWN)


def address_rows(vm: Mapping[str, Any]) -> list[str]:
    """Return every address of an entity `Vm`: inner and outer, of all its connections."""
    sections = [*rows(vm.get("section")), *rows(vm.get("networkConnectionSection"))]
    found: list[str] = []
    for section in sections:
        for connection in rows(section.get("networkConnection") if isinstance(section, Mapping) else None):
            if isinstance(connection, Mapping):
                names = ("ipAddress", "secondaryIpAddress", "externalIpAddress")
                found += [str(connection[name]) for name in names if connection.get(name)]
    return found


def machine_of(record: Mapping[str, Any], addresses: Iterable[Any] = ()) -> Machine:
    """Return the machine that a record of a query (`vm`, `adminVM`) describes."""
    public, private = split_addresses([record.get("ipAddress"), *addresses])
    cpus, memory = number(record.get("numberOfCpus")), number(record.get("memoryMB"))
    extra: dict[str, Any] = {"cpus": cpus, "memory": memory, "guest_os": record.get("guestOs") or ""}
    extra |= {name: record[name] for name in _EXTRA if record.get(name) not in (None, "", " ")}
    extra["vapp_id"] = href_id(record.get("container"))
    extra["vdc_id"] = href_id(record.get("vdc"))
    return Machine(
        id=href_id(record["href"]),
        name=record.get("name") or "",
        state=state_of(
            record.get("status"), str(record.get("taskStatusName") or ""), str(record.get("taskStatus") or "")
        ),
        public_ips=public,
        private_ips=private,
        size=f"{cpus}x{memory}" if cpus and memory else "",
        region=str(record.get("vdcName") or href_id(record.get("vdc"))),
        created_at=parse_time(record.get("dateCreated")),
        extra=extra,
    )


def listed_machine(record: Mapping[str, Any]) -> Machine | None:
    """Return the machine of a record; one that cannot be read is left as id and name, or out when it has no id."""
    try:
        machine = machine_of(record)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        log.warning("a machine's record cannot be read: %s", type(error).__name__)
        vm_id = href_id(record.get("href")) if isinstance(record, Mapping) else ""
        machine = Machine(id=vm_id, name=record.get("name") if vm_id else "", extra={"unreadable": True})
    return machine if machine.id else None


def record_of(vm: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entity `Vm` in the form of a record, as far as it tells."""
    none: Mapping[str, Any] = {}
    spec = next((s for s in [*rows(vm.get("section")), *rows(vm.get("vmSpecSection"))] if "numCpus" in s), none)
    memory = spec.get("memoryResourceMb")
    container = next((link.get("href") for link in rows(vm.get("link")) if link.get("rel") == "up"), "")
    return {
        "href": vm.get("href"),
        "name": vm.get("name"),
        "status": vm.get("status"),
        "numberOfCpus": spec.get("numCpus"),
        "memoryMB": memory.get("configured") if isinstance(memory, Mapping) else None,
        "container": container,
        "isDeployed": vm.get("deployed"),
        "dateCreated": vm.get("dateCreated"),
    }


def image_of(record: Mapping[str, Any]) -> Image:
    """Return the image that a record of a query (`vAppTemplate`) describes."""
    names = ("catalogName", "status", "numberOfVMs", "storageKB", "description", "isPublished", "version")
    return Image(
        id=href_id(record["href"]),
        name=record.get("name") or "",
        created_at=parse_time(record.get("creationDate")),
        extra={name: record[name] for name in names if record.get(name) not in (None, "")},
    )


def location_of(record: Mapping[str, Any]) -> Location:
    """Return the location that a record of a query (`orgVdc`) describes."""
    names = ("isEnabled", "orgName", "numberOfVMs", "status", "cpuLimitMhz", "memoryLimitMB", "storageLimitMB")
    return Location(
        id=href_id(record["href"]),
        name=record.get("name") or "",
        extra={name: record[name] for name in names if record.get(name) not in (None, "")},
    )


def network_of(raw: Mapping[str, Any]) -> Network:
    """Return a network of an organisation, as the cloud API or as a query describes it."""
    subnets = rows((raw.get("subnets") or {}).get("values")) if "subnets" in raw else [raw]
    cidrs = [cidr for subnet in subnets if (cidr := _cidr(subnet))]
    names = ("networkType", "description", "status", "linkType", "isShared", "shared", "vdcName")
    extra: dict[str, Any] = {name: raw[name] for name in names if raw.get(name) not in (None, "")}
    return Network(
        id=href_id(raw.get("id") or raw.get("href")),
        name=raw.get("name") or "",
        cidr=cidrs[0] if cidrs else "",
        extra={**extra, "cidrs": cidrs},
    )


def _cidr(subnet: Mapping[str, Any]) -> str:
    gateway = subnet.get("gateway") or subnet.get("defaultGateway")
    mask = subnet.get("prefixLength") or subnet.get("netmask") or subnet.get("subnetPrefixLength")
    try:
        return str(ip_network(f"{gateway}/{mask}", strict=False)) if gateway and mask else ""
    except ValueError:
        return ""


def size_of(raw: Mapping[str, Any]) -> Size:
    """Return the size that a sizing policy stands for."""
    return Size(
        id=raw["id"],
        name=raw.get("name") or "",
        cpus=number(raw.get("cpuCount")),
        memory=number(raw.get("memory")),
        extra={name: raw[name] for name in ("description", "cpuSpeed", "coresPerSocket") if raw.get(name)},
    )
