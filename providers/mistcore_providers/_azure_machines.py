"""What Azure says about machines, joined from its four listings and turned into records.

Facts: "Virtual Machines - List All" and "States and billing status of Azure Virtual Machines" (Microsoft Learn). IDs
of resources are to be compared without regard to case: the listings spell resource groups differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mistcore import Machine, MachineState
from mistcore.addresses import only_addresses
from mistcore.rows import parse_time

_POWER = {
    "running": MachineState.RUNNING,
    "starting": MachineState.STARTING,
    "stopping": MachineState.STOPPING,
    "deallocating": MachineState.STOPPING,
    "stopped": MachineState.STOPPED,
    "deallocated": MachineState.STOPPED,
}
#: Where the power state is not known (yet), or no longer means anything.
_PROVISIONING = {
    "creating": MachineState.PENDING,
    "deleting": MachineState.TERMINATED,
    "failed": MachineState.ERROR,
}
_MACHINE_ID = re.compile(
    r"/subscriptions/(?P<subscription>[^/?#]+)/resourcegroups/(?P<group>[^/?#]+)"
    r"/providers/microsoft\.compute/virtualmachines/(?P<name>[^/?#]+)",
    re.IGNORECASE,
)


def machine_parts(machine_id: str, subscription_id: str) -> tuple[str, str] | None:
    """Return resource group and name of a machine of this subscription, or None if the text is no such ID."""
    match = _MACHINE_ID.fullmatch(machine_id)
    if match is None or match["subscription"].lower() != subscription_id.lower() or ".." in machine_id:
        return None
    return match["group"], match["name"]


class Join:
    """Interfaces, addresses and run-time status by ID, to look up what a machine refers to."""

    def __init__(self, statuses: Iterable[Any] = (), interfaces: Iterable[Any] = (), addresses: Iterable[Any] = ()):
        self._views = {key: _dig(row, "properties", "instanceView") for key, row in _by_id(statuses)}
        self._interfaces = dict(_by_id(interfaces))
        self._addresses = {key: _dig(row, "properties", "ipAddress") for key, row in _by_id(addresses)}

    def machine(self, raw: Any, *, machine_id: str = "") -> Machine | None:
        """Return the record of a machine, or None where what came is none.

        Args:
            raw: the machine as the service describes it.
            machine_id: the ID to give it, where it was asked for by one (the service may spell it otherwise).

        """
        key = _key(raw)
        if not key:
            return None
        properties = _mapping(raw.get("properties"))
        view = self._views.get(key) or properties.get("instanceView")
        power, provisioning = _states(view, properties)
        public, private = self._addresses_of(properties)
        state = _PROVISIONING.get(provisioning) if provisioning == "deleting" or not power else None
        allocated: dict[str, Any] = {"power_state": power} if power else {}
        if power in {"stopped", "deallocated"}:
            allocated |= {"billed": power == "stopped"}
        return Machine(
            id=machine_id or str(raw["id"]),
            name=str(raw.get("name") or key.rpartition("/")[2]),
            state=state or _POWER.get(power, MachineState.UNKNOWN),
            public_ips=public,
            private_ips=private,
            size=str(_dig(properties, "hardwareProfile", "vmSize") or ""),
            image=image_name(_dig(properties, "storageProfile", "imageReference")),
            region=str(raw.get("location") or ""),
            created_at=parse_time(properties.get("timeCreated")),
            tags={str(name): str(value or "") for name, value in _mapping(raw.get("tags")).items()},
            extra={
                "resource_group": str(raw["id"]).split("/")[4] if str(raw["id"]).count("/") >= 4 else "",
                "vm_id": properties.get("vmId", ""),
                "provisioning_state": provisioning,
                **allocated,
                **_given(
                    zones=raw.get("zones"),
                    os=_dig(properties, "storageProfile", "osDisk", "osType"),
                    computer_name=_dig(properties, "osProfile", "computerName"),
                    user=_dig(properties, "osProfile", "adminUsername"),
                    priority=properties.get("priority"),
                    scale_set=_dig(properties, "virtualMachineScaleSet", "id"),
                ),
            },
        )

    def _addresses_of(self, properties: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
        public: list[Any] = []
        private: list[Any] = []
        for key in interface_ids(properties):
            for configuration in ip_configurations(self._interfaces.get(key.lower())):
                private.append(configuration.get("privateIPAddress"))
                address = _mapping(configuration.get("publicIPAddress"))
                known = self._addresses.get(_key(address)) or _dig(address, "properties", "ipAddress")
                public.append(known)
        return only_addresses(public), only_addresses(private)


def interface_ids(properties: Mapping[str, Any]) -> Iterator[str]:
    """Yield the IDs of a machine's interfaces, the primary one first."""
    found = [row for row in _list(_dig(properties, "networkProfile", "networkInterfaces")) if _key(row)]
    yield from (str(row["id"]) for row in sorted(found, key=lambda row: not _dig(row, "properties", "primary")))


def ip_configurations(interface: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the properties of an interface's IP configurations, the primary one first."""
    rows = [_mapping(_dig(row, "properties")) for row in _list(_dig(interface, "properties", "ipConfigurations"))]
    yield from sorted(rows, key=lambda row: not row.get("primary"))


def address_ids(interface: Any) -> Iterator[str]:
    """Yield the IDs of the public addresses that an interface has."""
    for configuration in ip_configurations(interface):
        if _key(configuration.get("publicIPAddress")):
            yield str(configuration["publicIPAddress"]["id"])


def disk_ids(properties: Mapping[str, Any]) -> Iterator[str]:
    """Yield the IDs of the managed disks that are a machine's own: the system disk, then the others."""
    profile = _mapping(properties.get("storageProfile"))
    for disk in [profile.get("osDisk"), *_list(profile.get("dataDisks"))]:
        found = _dig(disk, "managedDisk", "id")
        if isinstance(found, str) and found:
            yield found


def image_name(reference: Any) -> str:
    """Return an image as it is given to create a machine: its URN, or its ID where it is not Azure's own."""
    reference = _mapping(reference)
    if reference.get("publisher"):
        version = reference.get("exactVersion") or reference.get("version") or "latest"
        return ":".join(str(reference.get(key, "")) for key in ("publisher", "offer", "sku")) + f":{version}"
    found = next((reference.get(key) for key in ("id", "sharedGalleryImageId", "communityGalleryImageId")), "")
    return str(found or "")


def _states(view: Any, properties: Mapping[str, Any]) -> tuple[str, str]:
    """Return the power state and the provisioning state, each "" where it is not known."""
    power, provisioning = "", str(properties.get("provisioningState") or "").lower()
    for status in _list(_mapping(view).get("statuses")):
        kind, _, word = str(_mapping(status).get("code") or "").lower().partition("/")
        if kind == "powerstate":
            power = word
        elif kind == "provisioningstate":
            provisioning = word.partition("/")[0]
    return power, provisioning


def _by_id(rows: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    yield from ((key, row) for row in rows if (key := _key(row)))


def _key(row: Any) -> str:
    found = row.get("id") if isinstance(row, Mapping) else None
    return found.lower() if isinstance(found, str) else ""


def _dig(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}
