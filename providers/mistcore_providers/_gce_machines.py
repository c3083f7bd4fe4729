"""What Compute Engine says about instances, turned into records.

Facts: the REST reference of `instances` and "VM instance lifecycle" (Google's docs).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mistcore import Machine, MachineState
from mistcore.addresses import only_addresses
from mistcore.rows import parse_time

_STATES = {
    "PENDING": MachineState.PENDING,
    "PROVISIONING": MachineState.PENDING,
    "STAGING": MachineState.STARTING,
    "RUNNING": MachineState.RUNNING,
    "PENDING_STOP": MachineState.STOPPING,
    "STOPPING": MachineState.STOPPING,
    "DEPROVISIONING": MachineState.STOPPING,
    "TERMINATED": MachineState.STOPPED,
    "STOPPED": MachineState.STOPPED,
    "SUSPENDING": MachineState.SUSPENDED,
    "SUSPENDED": MachineState.SUSPENDED,
    "REPAIRING": MachineState.ERROR,
}
#: Warnings of a zone that say nothing is wrong.
_HARMLESS = {"NO_RESULTS_ON_PAGE", ""}


def machine(raw: Any) -> Machine | None:
    """Return the record of an instance, or None where what came is none."""
    if not isinstance(raw, Mapping) or not raw.get("id"):
        return None
    public, private = _addresses(raw)
    boot = next((disk for disk in _mappings(raw.get("disks")) if disk.get("boot")), {})
    licenses = [last(one) for one in boot.get("licenses") or () if isinstance(one, str)]
    return Machine(
        id=str(raw["id"]),
        name=str(raw.get("name") or raw["id"]),
        state=_STATES.get(str(raw.get("status")), MachineState.UNKNOWN),
        public_ips=public,
        private_ips=private,
        size=last(raw.get("machineType")),
        image=licenses[0] if licenses else "",
        region=zone_of(raw),
        created_at=parse_time(raw.get("creationTimestamp")),
        tags={str(key): str(value or "") for key, value in _mapping(raw.get("labels")).items()},
        extra={
            name: value
            for name, value in {
                "status": raw.get("status"),
                "status_message": raw.get("statusMessage"),
                "network_tags": _mapping(raw.get("tags")).get("items"),
                "networks": [last(one.get("network")) for one in _mappings(raw.get("networkInterfaces"))],
                "architecture": boot.get("architecture"),
                "cpu_platform": raw.get("cpuPlatform"),
                "provisioning_model": _mapping(raw.get("scheduling")).get("provisioningModel"),
                "deletion_protection": raw.get("deletionProtection"),
                "last_started": raw.get("lastStartTimestamp"),
                "self_link": raw.get("selfLink"),
            }.items()
            if value
        },
    )


def instances(body: Any) -> list[Any]:
    """Return the instances of a page of the aggregated list."""
    return [one for scope in _scopes(body).values() for one in _list(_mapping(scope).get("instances"))]


def missing(body: Any) -> Iterator[tuple[str, str]]:
    """Yield the zones whose instances a page of the aggregated list lacks, and why."""
    for scope, found in _scopes(body).items():
        warning = _mapping(_mapping(found).get("warning"))
        if str(warning.get("code") or "") not in _HARMLESS:
            yield last(scope), str(warning.get("message") or warning["code"])
    for scope in _list(_mapping(body).get("unreachables")):
        yield last(scope), "it cannot be reached"


def zone_of(raw: Any) -> str:
    """Return the name of the zone that a resource is in."""
    return last(_mapping(raw).get("zone"))


def last(link: Any) -> str:
    """Return the name at the end of a resource's address."""
    return str(link or "").rpartition("/")[2]


def loose_disks(raw: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the instance's disks that stay when it is deleted."""
    for disk in _mappings(raw.get("disks")):
        if disk.get("type") == "PERSISTENT" and not disk.get("autoDelete") and disk.get("source"):
            yield last(disk["source"])


def _addresses(raw: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    public: list[Any] = []
    private: list[Any] = []
    for interface in _mappings(raw.get("networkInterfaces")):
        private += [interface.get(name) for name in ("networkIP", "ipv6Address")]
        public += [one.get("natIP") for one in _mappings(interface.get("accessConfigs"))]
        public += [one.get("externalIpv6") for one in _mappings(interface.get("ipv6AccessConfigs"))]
    public = only_addresses(public)
    return public, [address for address in only_addresses(private) if address not in public]


def _scopes(body: Any) -> Mapping[str, Any]:
    return _mapping(_mapping(body).get("items"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}  # what JSON is read into: much faster to tell than any mapping


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
