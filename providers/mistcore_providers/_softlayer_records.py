"""What SoftLayer's servers become. The masks say what is asked for: never a password."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from sys import intern
from typing import Any

from mistcore import Machine, MachineState
from mistcore.addresses import split_addresses
from mistcore.rows import parse_time, tags_of

#: What the ids of bare metal servers begin with; their numbers are not those of virtual servers.
BARE_METAL = "hardware:"

_SHARED = (
    "id,globalIdentifier,hostname,domain,fullyQualifiedDomainName,primaryIpAddress,primaryBackendIpAddress,"
    "provisionDate,datacenter[name],tagReferences[tag[name]],"
    "operatingSystem[softwareLicense[softwareDescription[name,version,referenceCode]]]"
)
_TRANSACTION = "activeTransaction[transactionStatus[name,friendlyName]]"
_VERSION_6 = "primaryNetworkComponent[primaryVersion6IpAddressRecord[ipAddress]]"
GUEST_MASK = (
    f"mask[{_SHARED},{_TRANSACTION},{_VERSION_6},createDate,powerState[keyName],status[keyName],maxCpu,maxMemory,"
    "hourlyBillingFlag,billingItem[orderItem[preset[keyName]]]]"
)
HARDWARE_MASK = (
    f"[mask[{_SHARED},processorPhysicalCoreAmount,memoryCapacity,hardwareStatus[status]],"
    f"mask(SoftLayer_Hardware_Server)[{_TRANSACTION},{_VERSION_6}]]"
)

_STATES = {
    "RUNNING": MachineState.RUNNING,
    "HALTED": MachineState.STOPPED,
    "PAUSED": MachineState.PAUSED,
    "SUSPENDED": MachineState.SUSPENDED,
}
#: Where the status of the instance says more than its power.
_STATUSES = {"DISCONNECTED": MachineState.ERROR, "INACTIVE": MachineState.STOPPED}
_HARDWARE_STATES = {
    "ACTIVE": MachineState.RUNNING,
    "DEPLOY": MachineState.PENDING,
    "DEPLOY2": MachineState.PENDING,
    "MACWAIT": MachineState.PENDING,
    "RECLAIM": MachineState.TERMINATED,
}
_POWER = {"on": MachineState.RUNNING, "off": MachineState.STOPPED}

_EITHER_VIEW = ("VIRTUAL_GUEST_VIEW", "HARDWARE_VIEW")
_NEEDS = {
    "list_machines": _EITHER_VIEW,
    "get_machine": _EITHER_VIEW,
    "start_machine": ("REMOTE_MANAGEMENT",),
    "stop_machine": ("REMOTE_MANAGEMENT",),
    "reboot_machine": ("REMOTE_MANAGEMENT",),
    "pause_machine": ("REMOTE_MANAGEMENT",),
    "resume_machine": ("REMOTE_MANAGEMENT",),
    "rename_machine": ("HOSTNAME_EDIT",),
    "destroy_machine": ("SERVER_CANCEL",),
    "create_machine": ("SERVER_ADD",),
}


def permissions(user: Mapping[str, Any], operations: Iterable[str]) -> list[str] | None:
    """Return the operations that the user's permissions allow, or None where the service did not tell them."""
    if user.get("isMasterUserFlag"):
        return list(operations)
    rows = user.get("permissions")
    if not isinstance(rows, list):
        return None
    held = {row.get("keyName") for row in rows if isinstance(row, dict)}
    return [name for name in operations if name not in _NEEDS or not held.isdisjoint(_NEEDS[name])]


def guest_machine(raw: Mapping[str, Any]) -> Machine:
    """Return a virtual server."""
    power = str((raw.get("powerState") or {}).get("keyName"))
    status = str((raw.get("status") or {}).get("keyName"))
    state = _STATUSES.get(status) or _STATES.get(power, MachineState.UNKNOWN)
    if raw.get("new") or (raw.get("activeTransaction") and not raw.get("provisionDate")):
        state = MachineState.PENDING
    preset = ((raw.get("billingItem") or {}).get("orderItem") or {}).get("preset") or {}
    cpus, memory = raw.get("maxCpu"), raw.get("maxMemory")
    size = preset.get("keyName") or (f"{cpus}x{memory}" if cpus and memory else "")
    return _machine(raw, str(raw["id"]), state, size, {"cpus": cpus, "memory": memory, "kind": "virtual"})


def hardware_machine(raw: Mapping[str, Any]) -> Machine:
    """Return a bare metal server. `powerState` is added to the record where it has been asked for."""
    status = str((raw.get("hardwareStatus") or {}).get("status"))
    state = _HARDWARE_STATES.get(status, MachineState.UNKNOWN)
    if state is MachineState.RUNNING:
        if raw.get("activeTransaction") and not raw.get("provisionDate"):
            state = MachineState.PENDING
        elif isinstance(power := raw.get("powerState"), str):
            state = _POWER.get(power.lower(), MachineState.UNKNOWN)
    cores, memory = raw.get("processorPhysicalCoreAmount"), raw.get("memoryCapacity")  # GiB here, MiB there
    facts = {"cpus": cores, "memory": memory * 1024 if memory else None, "kind": "bare metal", "status": status}
    size = f"{cores}x{memory * 1024}" if cores and memory else ""
    return _machine(raw, f"{BARE_METAL}{raw['id']}", state, size, facts)


def _machine(
    raw: Mapping[str, Any], machine_id: str, state: MachineState, size: str, facts: Mapping[str, Any]
) -> Machine:
    version6 = ((raw.get("primaryNetworkComponent") or {}).get("primaryVersion6IpAddressRecord") or {}).get("ipAddress")
    addresses = [raw.get("primaryIpAddress"), raw.get("primaryBackendIpAddress"), version6]
    public, private = split_addresses([address for address in addresses if address])
    software = ((raw.get("operatingSystem") or {}).get("softwareLicense") or {}).get("softwareDescription") or {}
    described = " ".join(str(software[part]) for part in ("name", "version") if software.get(part))
    transaction = (raw.get("activeTransaction") or {}).get("transactionStatus") or {}
    extra = dict(facts) | {
        "fqdn": raw.get("fullyQualifiedDomainName"),
        "domain": raw.get("domain"),
        "uuid": raw.get("globalIdentifier"),
        "hourly": raw.get("hourlyBillingFlag"),
        "os": described,
        "transaction": transaction.get("friendlyName") or transaction.get("name"),
    }
    return Machine(
        id=machine_id,
        name=raw.get("hostname") or raw.get("fullyQualifiedDomainName") or "",
        state=state,
        public_ips=public,
        private_ips=private,
        size=intern(size),
        image=intern(software.get("referenceCode") or described),
        region=intern((raw.get("datacenter") or {}).get("name") or ""),
        created_at=parse_time(raw.get("createDate") or raw.get("provisionDate")),
        tags=tags_of(reference["tag"]["name"] for reference in raw.get("tagReferences") or ()),
        extra={name: value for name, value in extra.items() if value not in (None, "")},
    )
