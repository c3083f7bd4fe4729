"""Listing the domains of a connection: one call for all of them, one for the saved ones, and the addresses apart."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from mistcore import Machine, MachineState
from mistcore.addresses import split_addresses
from mistcore_providers._libvirt_calls import binding, spread
from mistcore_providers._libvirt_xml import Details, details_of

__all__ = ["Listing"]

#: virDomainState (libvirt.org/html/libvirt-libvirt-domain.html#virDomainState).
STATES: dict[object, MachineState] = {
    0: MachineState.UNKNOWN,
    1: MachineState.RUNNING,
    2: MachineState.RUNNING,  # blocked: waits for something
    3: MachineState.PAUSED,
    4: MachineState.STOPPING,
    5: MachineState.STOPPED,
    6: MachineState.ERROR,  # crashed
    7: MachineState.SUSPENDED,
}
#: Where the reason says more than the state: virDomainPausedReason, virDomainShutoffReason.
REASONS: dict[tuple[object, object], MachineState] = {
    (3, 5): MachineState.ERROR,  # paused by an I/O error
    (3, 10): MachineState.ERROR,  # paused because the guest crashed
    (3, 11): MachineState.STARTING,
    (5, 5): MachineState.SUSPENDED,  # saved to a file
    (5, 6): MachineState.ERROR,  # could not be started
}
_ACTIVE = {1, 2, 3, 4, 7}
#: A domain's XML is read again after so many seconds: it changes seldom, and reading it is a call for each domain.
_DETAILS_SECONDS = 60.0
#: The longest that a listing waits for addresses: a guest's agent may answer late or never.
_ADDRESS_SECONDS = 5.0


@attrs.define(eq=False)
class Found:
    """One domain while it is being listed."""

    domain: Any
    uuid: str
    name: str
    stats: Mapping[str, Any]
    saved: bool = False
    details: Details | None = None
    addresses: list[str] = attrs.field(factory=list)

    @property
    def active(self) -> bool:
        """Whether it has a process now."""
        return self.stats.get("state.state") in _ACTIVE


@attrs.define(eq=False)
class Listing:
    """Lists domains, and remembers their XML for a minute."""

    _details: dict[str, tuple[float, object, Details]] = attrs.field(factory=dict, init=False)
    _no_agent: dict[str, float] = attrs.field(factory=dict, init=False)

    def forget(self, uuid: str = "") -> None:
        """Forget what is known of one domain, or of all."""
        if uuid:
            self._details.pop(uuid, None)
        else:
            self._details.clear()
            self._no_agent.clear()

    def machines(self, connection: Any, seconds: float) -> list[Machine]:
        """Return every domain; the addresses that are not known within a third of the time are left out."""
        libvirt = binding()
        end = time.monotonic() + seconds
        found = [
            Found(domain, domain.UUIDString(), domain.name(), stats)
            for domain, stats in _all_stats(libvirt, connection)
        ]
        saved = _saved(libvirt, connection)
        for one in found:
            one.saved = one.uuid in saved
        self._add_details(found, end - time.monotonic())
        self._add_addresses(libvirt, connection, found, min(_ADDRESS_SECONDS, seconds / 3))
        known = {one.uuid for one in found}
        for uuid in set(self._details) - known:
            self.forget(uuid)
        return [machine_of(one) for one in found]

    def machine(self, connection: Any, domain: Any, seconds: float) -> Machine:
        """Return one domain as it is now."""
        libvirt = binding()
        uuid = domain.UUIDString()
        try:
            stats = connection.domainListGetStats([domain], 0, _flags(libvirt))[0][1]
        except (libvirt.libvirtError, IndexError):
            stats = _plain_stats(domain)
        one = Found(domain, uuid, domain.name(), stats)
        if not one.active:
            try:
                one.saved = bool(domain.hasManagedSaveImage())
            except libvirt.libvirtError:
                one.saved = False
        self.forget(uuid)
        self._add_details([one], seconds)
        self._add_addresses(libvirt, connection, [one], min(_ADDRESS_SECONDS, seconds / 3))
        return machine_of(one)

    def _add_details(self, found: Iterable[Found], seconds: float) -> None:
        now = time.monotonic()
        unknown = []
        for one in found:
            kept = self._details.get(one.uuid)
            if kept is not None and kept[0] > now and kept[1] == _shape(one):
                one.details = kept[2]
            else:
                unknown.append(one)

        def read(one: Found) -> Details:
            return details_of(one.domain.XMLDesc())

        # A domain that is gone meanwhile, or whose XML is odd, has no details and is listed all the same.
        for one, details in zip(unknown, spread(read, unknown, seconds), strict=True):
            if details is not None:
                one.details = details
                self._details[one.uuid] = (now + _DETAILS_SECONDS, _shape(one), details)

    def _add_addresses(self, libvirt: Any, connection: Any, found: Iterable[Found], seconds: float) -> None:
        """Fill in the addresses: from the leases of the networks, then from guests' agents, then from ARP."""
        running = [one for one in found if one.active and one.details is not None and one.details.macs]
        if not running:
            return
        end = time.monotonic() + seconds
        names = sorted({name for one in running if one.details for name in one.details.networks})

        def leases(name: str) -> list[dict[str, Any]]:
            answer: list[dict[str, Any]] = connection.networkLookupByName(name).DHCPLeases()
            return answer

        by_mac: dict[str, list[str]] = {}
        asked = spread(leases, names, seconds)
        for lease in (lease for of_network in asked for lease in of_network or ()):
            by_mac.setdefault(str(lease.get("mac", "")).lower(), []).append(lease.get("ipaddr", ""))
        unknown_networks = {name for name, answer in zip(names, asked, strict=True) if answer is None}
        for one in running:
            for mac in one.details.macs if one.details else ():
                one.addresses += by_mac.get(mac.lower(), [])
        now = time.monotonic()
        with_agent = [one for one in running if one.details and one.details.has_agent]
        sources = [
            (libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT, with_agent),
            (
                libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
                [one for one in running if one.details and unknown_networks.intersection(one.details.networks)],
            ),
            (libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP, running),
        ]
        for source, candidates in sources:
            agent = source == libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT
            asked_now = [
                one for one in candidates if (self._no_agent.get(one.uuid, 0) < now if agent else not one.addresses)
            ]
            _ask(source, asked_now, end - time.monotonic())
            if agent:
                late = time.monotonic() + _DETAILS_SECONDS
                self._no_agent |= {one.uuid: late for one in asked_now if not one.addresses}


def _ask(source: int, candidates: list[Found], seconds: float) -> None:
    def ask(one: Found) -> list[str]:
        interfaces: Mapping[str, Any] = one.domain.interfaceAddresses(source) or {}
        return [
            address.get("addr", "")
            for interface in interfaces.values()
            for address in (interface or {}).get("addrs") or ()
        ]

    for one, addresses in zip(candidates, spread(ask, candidates, seconds), strict=True):
        one.addresses += addresses or []


def _shape(one: Found) -> object:
    """Return what changes when a domain's devices do, as far as the statistics of all domains tell."""
    disks = [value for key, value in one.stats.items() if key.startswith("block.") and key.endswith((".name", ".path"))]
    nics = [value for key, value in one.stats.items() if key.startswith("net.") and key.endswith(".name")]
    return one.domain.ID(), disks, nics


def _flags(libvirt: Any) -> int:
    return int(libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT)


def _all_stats(libvirt: Any, connection: Any) -> list[tuple[Any, Mapping[str, Any]]]:
    """Return every domain with its statistics; a driver that has none is asked for each domain's state."""
    wanted = (
        libvirt.VIR_DOMAIN_STATS_STATE
        | libvirt.VIR_DOMAIN_STATS_BALLOON
        | libvirt.VIR_DOMAIN_STATS_VCPU
        | libvirt.VIR_DOMAIN_STATS_INTERFACE
        | libvirt.VIR_DOMAIN_STATS_BLOCK
    )
    for groups, flags in ((wanted, _flags(libvirt)), (wanted, 0)):
        try:
            return list(connection.getAllDomainStats(groups, flags))
        except libvirt.libvirtError as error:
            if error.get_error_code() not in _UNSUPPORTED:
                raise
    domains = connection.listAllDomains(0)
    return [(domain, _plain_stats(domain)) for domain in domains]


#: VIR_ERR_NO_SUPPORT, VIR_ERR_INVALID_ARG (unknown flags), VIR_ERR_ARGUMENT_UNSUPPORTED, VIR_ERR_OPERATION_UNSUPPORTED.
_UNSUPPORTED = {3, 8, 74, 84}


def _plain_stats(domain: Any) -> Mapping[str, Any]:
    state, reason = domain.state()
    return {"state.state": state, "state.reason": reason}


def _saved(libvirt: Any, connection: Any) -> set[str]:
    """Return the ids of the domains that have a saved memory image."""
    try:
        return {d.UUIDString() for d in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE)}
    except libvirt.libvirtError as error:
        if error.get_error_code() not in _UNSUPPORTED:
            raise
        return set()


def state_of(state: object, reason: object, *, saved: bool = False) -> MachineState:
    """Return our state for libvirt's state and reason; a stopped domain with a saved image is suspended."""
    if saved and state == 5:
        return MachineState.SUSPENDED
    known = REASONS.get((state, reason))
    return known or STATES.get(state, MachineState.UNKNOWN)


def machine_of(one: Found) -> Machine:
    """Return the record of a domain."""
    stats, details = one.stats, one.details or Details()
    cpus = stats.get("vcpu.current") or details.cpus
    memory = stats["balloon.maximum"] // 1024 if stats.get("balloon.maximum") else details.memory
    public, private = split_addresses(one.addresses)
    extra: dict[str, Any] = {
        "cpus": cpus,
        "memory": memory,
        "disks": _disks(stats, details),
        "macs": list(details.macs),
        "networks": [*details.networks, *details.bridges],
        "domain_id": one.domain.ID() if one.active else None,
        "domain_type": details.domain_type,
        "architecture": details.architecture,
    }
    extra |= {key: value for key in ("title", "description") if (value := getattr(details, key))}
    return Machine(
        id=one.uuid,
        name=one.name,
        state=state_of(stats.get("state.state"), stats.get("state.reason"), saved=one.saved),
        public_ips=public,
        private_ips=private,
        size=f"{cpus}x{memory}" if cpus and memory else "",
        tags=dict(details.tags),
        extra=extra,
    )


def _disks(stats: Mapping[str, Any], details: Details) -> list[dict[str, Any]]:
    """Return the disks and media: the XML's, with the sizes (GiB) that the statistics know."""
    measured: dict[str, tuple[str, int]] = {}
    for index in range(stats.get("block.count", 0) or 0):
        name = stats.get(f"block.{index}.name", "")
        measured[name] = (stats.get(f"block.{index}.path", ""), stats.get(f"block.{index}.capacity", 0) or 0)
    disks = []
    for disk in details.disks:
        path, capacity = measured.get(disk.target, ("", 0))
        row = {"target": disk.target, "device": disk.device, "path": disk.path or path, "format": disk.format}
        if disk.pool:
            row |= {"pool": disk.pool, "volume": disk.volume}
        disks.append({**row, "size": round(capacity / 2**30, 3) if capacity else None})
    return disks
