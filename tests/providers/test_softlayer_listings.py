"""SoftLayer: listings, the facts in them, and answers that others recorded, against the stand-in."""

from __future__ import annotations

import json
import xmlrpc.client
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fakes import softlayer_fixtures as fixtures
from fakes.softlayer import FakeSoftLayer, problem

from mistcore import Machine, MachineState
from mistcore.testing.server import FakeService, Request, Response, json_response
from mistcore_providers.softlayer import SoftLayer

service = fixtures.service
softlayer = fixtures.softlayer


# -- listings ---------------------------------------------------------------------------------------------------------


def test_every_page_of_both_kinds_is_listed_in_order(service: FakeSoftLayer, softlayer: SoftLayer) -> None:
    for number in range(407, 0, -1):
        service.add_guest(f"web-{number}", id=number)
    for number in range(103, 0, -1):
        service.add_hardware(f"db-{number}", id=number)
    names = [machine.name for machine in softlayer.list_machines()]
    assert names == [f"web-{number}" for number in range(1, 408)] + [f"db-{number}" for number in range(1, 104)]
    limits = sorted(request.query["resultLimit"] for request in service.requests)
    assert limits == ["0,100", "0,100", "100,100", "100,100", "200,100", "300,100", "400,100"]


def test_all_addresses_and_all_facts_of_a_virtual_server(service: FakeSoftLayer, softlayer: SoftLayer) -> None:
    service.add_guest(
        "web-1",
        id=4660,
        tagReferences=[{"id": 1, "tag": {"id": 1, "name": "env:prod"}}, {"id": 2, "tag": {"id": 2, "name": "web"}}],
        billingItem={"id": 1, "orderItem": {"id": 2, "preset": {"id": 3, "keyName": "B1_2X4X100"}}},
    )
    (machine,) = softlayer.list_machines()
    assert machine == Machine(
        id="4660",
        name="web-1",
        state=MachineState.RUNNING,
        public_ips=("50.23.18.52", "2607:f0d0:1002:51::1234"),
        private_ips=("10.54.18.52",),
        size="B1_2X4X100",
        image="DEBIAN_12_64",
        region="sjc01",
        created_at=datetime(2024, 1, 2, 9, 4, 5, tzinfo=UTC),
        tags={"env": "prod", "web": ""},
        extra={
            "cpus": 2,
            "memory": 4096,
            "kind": "virtual",
            "fqdn": "web-1.example.com",
            "domain": "example.com",
            "uuid": "00000000-0000-0000-0000-000000001234",
            "hourly": True,
            "os": "Debian 12.0.0-64 Minimal",
        },
    )
    json.dumps(machine.to_dict())


def test_all_facts_of_a_bare_metal_server(service: FakeSoftLayer, softlayer: SoftLayer) -> None:
    service.add_hardware("db-1", id=4660)
    (machine,) = softlayer.list_machines()
    assert (machine.id, machine.name, machine.size, machine.region) == ("hardware:4660", "db-1", "16x65536", "sjc01")
    assert machine.public_ips == ("50.23.18.52", "2607:f0d0:1002:51::1234")
    assert machine.private_ips == ("10.54.18.52",)
    assert machine.created_at == datetime(2024, 1, 2, 9, 8, 5, tzinfo=UTC)
    assert (machine.extra["cpus"], machine.extra["memory"], machine.extra["status"]) == (16, 65536, "ACTIVE")


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({"powerState": {"keyName": "RUNNING"}}, "running"),
        ({"powerState": {"keyName": "HALTED"}}, "stopped"),
        ({"powerState": {"keyName": "PAUSED"}}, "paused"),
        ({"powerState": {"keyName": "SUSPENDED"}}, "suspended"),
        ({"powerState": {"keyName": "UNHEARD_OF"}}, "unknown"),
        ({"powerState": None}, "unknown"),
        ({"status": {"keyName": "DISCONNECTED"}}, "error"),
        ({"activeTransaction": {"transactionStatus": {"name": "X"}}, "provisionDate": None}, "pending"),
        ({"activeTransaction": {"transactionStatus": {"name": "X"}}}, "running"),
    ],
)
def test_states_of_virtual_servers(
    service: FakeSoftLayer, softlayer: SoftLayer, facts: dict[str, Any], state: str
) -> None:
    service.add_guest(**facts)
    assert [str(machine.state) for machine in softlayer.list_machines()] == [state]


@pytest.mark.parametrize(
    ("status", "state"),
    [("ACTIVE", "running"), ("DEPLOY", "pending"), ("DEPLOY2", "pending"), ("MACWAIT", "pending"),
     ("RECLAIM", "terminated"), ("UNHEARD_OF", "unknown")],
)  # fmt: skip
def test_states_of_bare_metal_servers(service: FakeSoftLayer, softlayer: SoftLayer, status: str, state: str) -> None:
    raw = service.add_hardware(hardwareStatus={"status": status})
    assert [str(machine.state) for machine in softlayer.list_machines()] == [state]
    assert softlayer.get_machine(f"hardware:{raw['id']}").state == state


def test_a_power_state_that_is_not_to_be_had_breaks_nothing(service: FakeSoftLayer, softlayer: SoftLayer) -> None:
    raw = service.add_hardware()
    service.fault(
        problem(500, "Unable to reach the management card"), where=lambda request: "PowerState" in request.path
    )
    assert softlayer.get_machine(f"hardware:{raw['id']}").state is MachineState.RUNNING


def test_odd_rows_break_no_listing(service: FakeSoftLayer, softlayer: SoftLayer) -> None:
    service.add_guest("good")
    odd: dict[str, Any] = {
        "primaryIpAddress": "none", "primaryNetworkComponent": 7, "powerState": "on", "datacenter": "here",
        "tagReferences": [{}], "createDate": "soon", "operatingSystem": "Debian", "maxMemory": "much",
    }  # fmt: skip
    for field, value in odd.items():
        service.add_guest(field.lower())[field] = value
        service.add_guest(f"no-{field.lower()}")[field] = None
    service.add_hardware("metal", memoryCapacity="much")
    machines = list(softlayer.list_machines())
    assert len(machines) == 18
    assert {machine.id for machine in machines if machine.extra.get("unreadable")} >= {
        str(guest["id"])
        for guest in service.guests.values()
        if guest["hostname"] in {"primarynetworkcomponent", "powerstate", "datacenter", "tagreferences"}
    }


def test_what_a_server_can_be_made_of(service: FakeSoftLayer, softlayer: SoftLayer) -> None:
    sizes = {size.id: size for size in softlayer.list_sizes()}
    assert list(sizes) == ["B1_2X4X100", "AC1_8X60X25", "1x1024", "1x4096", "2x1024", "2x4096"]
    flavor, custom = sizes["B1_2X4X100"], sizes["2x4096"]
    assert (flavor.cpus, flavor.memory, flavor.disk) == (2, 4096, 100)
    assert (flavor.price_hour, flavor.price_month, flavor.currency) == (0.072, 47.41, "USD")
    assert (custom.cpus, custom.memory, custom.price_hour, custom.price_month) == (2, 4096, 0.25, 155)
    assert [(image.id, image.name, image.os, image.architecture) for image in softlayer.list_images()] == [
        ("DEBIAN_12_64", "Debian GNU/Linux 12 Minimal (64 bit)", "Debian", "x86_64"),
        ("UBUNTU_24_64", "Ubuntu Linux 24.04 LTS Minimal (64 bit)", "Ubuntu", "x86_64"),
        ("1a2b3c4d-1701-4a4b-8c8d-0123456789ab", "before the upgrade", "", ""),
    ]
    assert [(place.id, place.name, place.country) for place in softlayer.list_locations()] == [
        ("ams03", "Amsterdam 3", "NL"),
        ("sjc01", "San Jose 1", "US"),
        ("xyz01", "xyz01", ""),
    ]
    assert [(net.id, net.name, net.cidr, net.extra["space"]) for net in softlayer.list_networks()] == [
        ("501", "front", "50.23.0.0/28", "public"),
        ("502", "bcr01a.sjc01.1800", "10.54.0.0/26", "private"),
    ]


# -- what others recorded ---------------------------------------------------------------------------------------------


class Recorded(FakeService):
    """Answers over REST what was recorded over XML-RPC: the same data."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def not_found(self, request: Request) -> Response:
        service, *_, method = request.path.removeprefix("/rest/v3.1/").removesuffix(".json").split("/")
        for name in (f"v3_{service}_{method}.xml", f"v3__{service}_{method}.xml"):
            if (path := self.folder / name).is_file():
                (data,), _ = xmlrpc.client.loads(path.read_bytes())
                return json_response(data, headers={"softlayer-total-items": str(len(data))})
        return json_response([], headers={"softlayer-total-items": "0"})


def test_recorded_responses_read_right(api_specs: Path) -> None:
    with Recorded(api_specs / "softlayer" / "libcloud_xmlrpc") as recorded:
        softlayer = SoftLayer(username="x", api_key="y", endpoint=recorded.url)
        machines = list(softlayer.list_machines())
        assert len(machines) == 3
        first = machines[0]
        assert (first.id, first.name, first.region) == ("2875152", "libcloud-testing1", "sjc01")
        assert (first.state, first.image, first.size) == (MachineState.RUNNING, "DEBIAN_7_64", "1x2048")
        assert first.created_at == datetime(2013, 11, 6, 13, 38, 36, tzinfo=UTC)
        assert first.public_ips
        assert first.private_ips
        assert not any(machine.extra.get("unreadable") for machine in machines)
        assert "L3TJVubf" not in repr(machines)
        assert softlayer.get_machine("2875152").id
        sizes = list(softlayer.list_sizes())
        assert all(size.cpus and size.memory and size.price_hour and size.price_month for size in sizes)
        assert len({image.id for image in softlayer.list_images()}) > 10
        places = {place.id: place.name for place in softlayer.list_locations()}
        assert places["dal05"] == "Dallas 5"
        created = softlayer.create_machine("hostname.domain.com", image="DEBIAN_7_64", size="2x2048", location="dal05")
        assert (created.id, created.name, created.state) == ("123456", "hostname", MachineState.PENDING)
