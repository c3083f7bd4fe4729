"""What OpenStack's services answer, turned into mistcore's records.

Sources: the Compute, Image and Networking API references (docs.openstack.org/api-ref) and Rackspace's developer guide
for the states that only it has. Nothing here raises for an odd row: what is missing or malformed is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from mistcore import Image, Machine, MachineState, Network, Size
from mistcore.addresses import only_addresses, split_addresses

STATES = {
    "ACTIVE": MachineState.RUNNING,
    "BUILD": MachineState.PENDING,
    "REBUILD": MachineState.PENDING,
    "PASSWORD": MachineState.PENDING,
    "MIGRATING": MachineState.PENDING,
    "RESIZE": MachineState.PENDING,
    "REVERT_RESIZE": MachineState.PENDING,
    "QUEUE_RESIZE": MachineState.PENDING,
    "PREP_RESIZE": MachineState.PENDING,
    "SHARE_IP": MachineState.PENDING,
    "SHARE_IP_NO_CONFIG": MachineState.PENDING,
    "DELETE_IP": MachineState.PENDING,
    "VERIFY_RESIZE": MachineState.RUNNING,
    "RESCUE": MachineState.RUNNING,
    "REBOOT": MachineState.REBOOTING,
    "HARD_REBOOT": MachineState.REBOOTING,
    "SHUTOFF": MachineState.STOPPED,
    "STOPPED": MachineState.STOPPED,
    "SHELVED": MachineState.STOPPED,
    "SHELVED_OFFLOADED": MachineState.STOPPED,
    "PAUSED": MachineState.PAUSED,
    "SUSPENDED": MachineState.SUSPENDED,
    "SOFT_DELETED": MachineState.TERMINATED,
    "DELETED": MachineState.TERMINATED,
    "ERROR": MachineState.ERROR,
}
#: What a server is about to become. Nova writes the task when it accepts an action, and the status when it is done.
TASKS = {
    "powering-off": MachineState.STOPPING,
    "powering-on": MachineState.STARTING,
    "rebooting": MachineState.REBOOTING,
    "reboot_pending": MachineState.REBOOTING,
    "reboot_started": MachineState.REBOOTING,
    "rebooting_hard": MachineState.REBOOTING,
    "reboot_pending_hard": MachineState.REBOOTING,
    "reboot_started_hard": MachineState.REBOOTING,
    "resuming": MachineState.STARTING,
    "unshelving": MachineState.STARTING,
    "restoring": MachineState.STARTING,
    "shelving": MachineState.STOPPING,
    "deleting": MachineState.STOPPING,
    "soft-deleting": MachineState.STOPPING,
}
_POWER = {0: "no state", 1: "running", 3: "paused", 4: "shut down", 6: "crashed", 7: "suspended"}
_PLAIN_EXTRAS = (
    ("key_name", "key_name"),
    ("tenant_id", "project_id"),
    ("user_id", "user_id"),
    ("hostId", "host_id"),
    ("updated", "updated_at"),
    ("OS-SRV-USG:launched_at", "launched_at"),
    ("description", "description"),
    ("locked", "locked"),
    ("progress", "progress"),
    ("config_drive", "config_drive"),
)


def state_of(raw: Mapping[str, Any]) -> MachineState:
    """Return the state of a server: what it is about to become if a task is under way, else its status."""
    status = str(raw.get("status") or "").partition("(")[0].strip().upper()
    state = STATES.get(status, MachineState.UNKNOWN)
    task = TASKS.get(str(raw.get("OS-EXT-STS:task_state") or ""))
    return task if task is not None and state is not MachineState.TERMINATED else state


def machine(raw: Any, *, region: str, sizes: Mapping[str, str], images: Mapping[str, str]) -> Machine | None:
    """Return the machine in a row of servers/detail; None for a row that names none.

    Args:
        sizes, images: names by id, for clouds that only tell ids.

    """
    if not isinstance(raw, dict) or not _has_id(raw):
        return None
    public, private, by_network = addresses_of(raw)
    flavor = _mapping(raw.get("flavor"))
    size_id, image_id = flavor_id(raw), image_id_of(raw)
    status = raw.get("status")
    extra: dict[str, Any] = {"status": status}
    if raw.get("OS-EXT-STS:task_state"):
        extra["task_state"] = raw["OS-EXT-STS:task_state"]
    power = raw.get("OS-EXT-STS:power_state")
    if isinstance(power, int):
        extra["power_state"] = _POWER.get(power, str(power))
    if by_network:
        extra["addresses"] = by_network
    if "vcpus" in flavor:
        extra |= {"cpus": flavor["vcpus"], "memory": flavor.get("ram"), "disk": flavor.get("disk")}
    if size_id:
        extra["size_id"] = size_id
    if image_id:
        extra["image_id"] = image_id
    fault = fault_of(raw)
    if fault:
        extra["fault"] = fault
    for theirs, ours in _PLAIN_EXTRAS:
        value = raw.get(theirs)
        if value not in (None, ""):
            extra[ours] = value
    groups = [str(group.get("name")) for group in _mappings(raw.get("security_groups"))]
    if groups:
        extra["security_groups"] = list(dict.fromkeys(groups))
    volumes = [volume.get("id") for volume in _mappings(raw.get("os-extended-volumes:volumes_attached"))]
    if volumes:
        extra["volumes"] = volumes
    return Machine(
        id=raw["id"],
        name=str(raw.get("name") or ""),
        state=state_of(raw),
        public_ips=tuple(public),
        private_ips=tuple(private),
        size=str(flavor.get("original_name") or sizes.get(size_id) or size_id),
        image=images.get(image_id) or image_id,
        region=str(raw.get("OS-EXT-AZ:availability_zone") or region),
        created_at=time_of(raw.get("created")),
        tags=_tags(raw),
        extra=extra,
    )


def _has_id(raw: Mapping[str, Any]) -> bool:
    return isinstance(raw.get("id"), (str, int)) and raw["id"] != ""


def fault_of(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return why a server is in the state ERROR: message, code and created_at, as far as the cloud tells."""
    fault = _mapping(raw.get("fault"))
    if not fault:
        return {}
    found = {"message": fault.get("message"), "code": fault.get("code"), "created_at": fault.get("created")}
    return {key: value for key, value in found.items() if value not in (None, "")}


def flavor_id(raw: Mapping[str, Any]) -> str:
    """Return the id of a server's flavor; "" where the flavor itself is embedded (microversion 2.47 and later)."""
    return str(_mapping(raw.get("flavor")).get("id") or "")


def image_id_of(raw: Mapping[str, Any]) -> str:
    """Return the id of a server's image; "" for a server that boots from a volume."""
    return str(_mapping(raw.get("image")).get("id") or "")


def addresses_of(raw: Mapping[str, Any]) -> tuple[list[str], list[str], dict[str, list[dict[str, str]]]]:
    """Return the public addresses, the private ones, and all of them by network with their kind and MAC address.

    A floating address is public. A fixed one is public if it is globally routable. Clouds that do not tell the kind
    (Rackspace, old ones) call their networks "public" and "private".
    """
    public: list[str] = []
    private: list[str] = []
    by_network: dict[str, list[dict[str, str]]] = {}
    for network, entries in _mapping(raw.get("addresses")).items():
        for entry in entries if isinstance(entries, list) else ():
            entry = {"addr": entry} if isinstance(entry, str) else entry
            if not isinstance(entry, dict) or not entry.get("addr"):
                continue
            address = str(entry["addr"])
            kind = str(entry.get("OS-EXT-IPS:type") or "")
            of_all = _is_public(address, kind, str(network))
            if of_all is None:
                continue
            (public if of_all else private).append(address)
            told = {"address": address}
            if kind:
                told["kind"] = kind
            if mac := str(entry.get("OS-EXT-IPS-MAC:mac_addr") or ""):
                told["mac"] = mac
            by_network.setdefault(str(network), []).append(told)
    for name in ("accessIPv4", "accessIPv6"):
        address = str(raw.get(name) or "")
        if address and address not in public and address not in private:
            of_all = _is_public(address, "", "")
            if of_all is not None:
                (public if of_all else private).append(address)
    return public, private, by_network


def _is_public(address: str, kind: str, network: str) -> bool | None:
    """Tell whether an address is public; None for what is no address."""
    public, private = split_addresses([address])
    if address not in (*public, *private) and not only_addresses([address]):
        return None
    if kind == "floating":
        return True
    if not kind and network in ("public", "private"):
        return network == "public"
    if address[:2].lower() == "fe":
        return False  # link-local or site-local
    return bool(public)


def size(raw: Any) -> Size | None:
    """Return the size in a row of flavors/detail."""
    if not isinstance(raw, Mapping) or not _has_id(raw):
        return None
    extra = {
        "ephemeral_disk": raw.get("OS-FLV-EXT-DATA:ephemeral"),
        "swap": raw.get("swap") or None,
        "public": raw.get("os-flavor-access:is_public"),
        "description": raw.get("description"),
        "specs": raw.get("extra_specs") or raw.get("OS-FLV-WITH-EXT-SPECS:extra_specs"),
    }
    return Size(
        id=raw["id"],
        name=str(raw.get("name") or ""),
        cpus=_number(raw.get("vcpus")),
        memory=_whole(raw.get("ram")),
        disk=_whole(raw.get("disk")),
        extra={key: value for key, value in extra.items() if value not in (None, "", {})},
    )


def image(raw: Any) -> Image | None:
    """Return the image in a row of Glance's images, or of Nova's images/detail."""
    if not isinstance(raw, Mapping) or not _has_id(raw):
        return None
    properties = {**_mapping(raw.get("metadata")), **raw}
    distribution = properties.get("os_distro") or properties.get("org.openstack__1__os_distro") or ""
    version = properties.get("os_version") or properties.get("org.openstack__1__os_version") or ""
    extra = {key: raw.get(key) for key in ("status", "visibility", "size", "disk_format", "tags", "owner")}
    extra |= {
        "min_disk": raw.get("min_disk", raw.get("minDisk")),
        "min_memory": raw.get("min_ram", raw.get("minRam")),
    }
    return Image(
        id=raw["id"],
        name=str(raw.get("name") or ""),
        os=" ".join(str(word) for word in (distribution or properties.get("os_type"), version) if word),
        architecture=str(properties.get("hw_architecture") or properties.get("architecture") or ""),
        created_at=time_of(raw.get("created_at") or raw.get("created")),
        extra={key: value for key, value in extra.items() if value not in (None, "", [])},
    )


def network(raw: Any, subnets: Iterable[Any]) -> Network | None:
    """Return the network in a row of Neutron's networks, with its subnets."""
    if not isinstance(raw, Mapping) or not _has_id(raw):
        return None
    ranges = [
        str(subnet["cidr"])
        for subnet in _mappings(list(subnets))
        if subnet.get("network_id") == raw["id"] and subnet.get("cidr")
    ]
    ranges.sort(key=lambda cidr: ":" in cidr)
    extra = {
        "external": raw.get("router:external"),
        "shared": raw.get("shared"),
        "status": raw.get("status"),
        "project_id": raw.get("project_id") or raw.get("tenant_id"),
        "cidrs": ranges,
        "zones": raw.get("availability_zones"),
    }
    return Network(
        id=raw["id"],
        name=str(raw.get("name") or ""),
        cidr=ranges[0] if ranges else "",
        extra={key: value for key, value in extra.items() if value not in (None, "", [])},
    )


def time_of(value: Any) -> datetime | None:
    """Return an ISO 8601 time; one without an offset is UTC, as all of OpenStack's are."""
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None


def is_uuid(text: str) -> bool:
    """Tell whether this is an id rather than a name."""
    return re.fullmatch(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}", text) is not None


def _tags(raw: Mapping[str, Any]) -> dict[str, str]:
    tags = raw.get("tags")
    found = {str(tag): "" for tag in tags} if isinstance(tags, list) else {}
    if metadata := _mapping(raw.get("metadata")):
        found.update((str(key), str(value)) for key, value in metadata.items())
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
