"""libvirt against a real daemon: its networks, and the addresses that they lease to machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

from peers import libvirt_accounts
from peers.libvirt_accounts import find
from peers.libvirt_guests import domain_xml
from peers.libvirtd import binding

from mistcore_providers.libvirt import Libvirt

provider = libvirt_accounts.provider
guests = libvirt_accounts.guests
raw = libvirt_accounts.raw


def test_networks(provider: Libvirt, raw: Any) -> None:
    name = f"n-{uuid4().hex[:8]}"
    network = raw.networkDefineXML(
        f"<network><name>{name}</name><bridge name='{name[:10]}'/><ip family='ipv6' address='fd00:77::1' prefix='64'/>"
        "<ip address='10.77.0.1' netmask='255.255.255.0'><dhcp><range start='10.77.0.2' end='10.77.0.9'/></dhcp></ip>"
        "</network>"
    )
    try:
        found = next(one for one in provider.list_networks() if one.name == name)
    finally:
        network.undefine()
    assert found.cidr == "10.77.0.0/24"
    assert found.id == network.UUIDString()
    assert found.extra["cidrs"] == ["10.77.0.0/24", "fd00:77::/64"]
    assert found.extra["active"] is False
    assert found.extra["forward"] == "isolated"
    assert found.extra["dhcp"] is True


def test_addresses_from_the_leases_of_a_network(isolated_libvirtd: tuple[str, Path]) -> None:
    uri, folder = isolated_libvirtd
    raw = binding().open(uri)
    network = raw.networkCreateXML(
        "<network><name>lan</name><bridge name='virbr-t'/><dns enable='no'/>"
        "<ip address='10.88.0.1' prefix='24'/><ip family='ipv6' address='fd00:88::1' prefix='64'/></network>"
    )
    # What libvirt's own lease helper writes for the network's dnsmasq.
    leases = [
        {"ip-address": address, "mac-address": "52:54:00:00:00:01", "expiry-time": 4102444800, "iaid": "1"}
        for address in ("fd00:88::5", "10.88.0.5")
    ]
    (folder / "lib/dnsmasq").mkdir(exist_ok=True)
    (folder / "lib/dnsmasq/virbr-t.status").write_text(json.dumps(leases))
    uuids = {}
    for number in (1, 2, 3):
        disk = folder / f"{number}.img"
        disk.write_bytes((folder / "acpi.img").read_bytes())
        interface = (
            f"<interface type='network'><mac address='52:54:00:00:00:0{number}'/><source network='lan'/></interface>"
        )
        uuids[number] = raw.defineXML(domain_xml(f"net{number}", disk, interface)).UUIDString()
    with Libvirt(uri=uri) as provider:
        assert find(provider, uuids[1]).private_ips == ()  # it does not run
        for number in (1, 2):
            provider.start_machine(uuids[number])
        machines = {machine.id: machine for machine in provider.list_machines()}
        assert machines[uuids[1]].private_ips == ("10.88.0.5", "fd00:88::5")
        assert machines[uuids[2]].private_ips == ()
        assert machines[uuids[3]].private_ips == ()
        assert machines[uuids[1]].extra["networks"] == ["lan"]
        assert provider.get_machine(uuids[1]).private_ips == ("10.88.0.5", "fd00:88::5")
    network.destroy()
