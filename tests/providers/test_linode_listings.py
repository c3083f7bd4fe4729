"""Linode: listings, the facts in them, and answers that others recorded, against the stand-in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fakes import linode_fixtures as fixtures
from fakes.described import DescribedService, Foreign
from fakes.linode import FakeLinode
from fakes.linode_fixtures import WHOLE
from fakes.patience import patient

from mistcore import Machine, MachineState
from mistcore.testing.server import Request, Response
from mistcore_providers.linode import Linode

SPEC = "linode/spec/openapi.yaml"

service = fixtures.service
linode = fixtures.linode


# -- listings ---------------------------------------------------------------------------------------------------------


def test_every_page_is_listed(service: FakeLinode, linode: Linode) -> None:
    for number in range(1203):
        service.add_instance(f"web-{number}")
    assert [machine.name for machine in patient(linode).list_machines()] == [f"web-{n}" for n in range(1203)]
    assert len(service.requests) == 3


def test_more_types_than_one_answer_holds(service: FakeLinode, linode: Linode, monkeypatch: pytest.MonkeyPatch) -> None:
    import fakes.linode as stand_in

    whole = [{"id": f"g9-{number}", "price": {}} for number in range(230)]
    monkeypatch.setattr(stand_in, "TYPES", whole)
    service.departs("GET /v4/linode/types: the parameter 'page' is not known")  # by the document there is one page
    assert [size.id for size in linode.list_sizes()] == [entry["id"] for entry in whole]
    assert len(service.requests) == 3


def test_all_addresses_and_all_facts(service: FakeLinode, linode: Linode) -> None:
    raw = service.add_instance(
        "web-1", id=4660, tags=["web", "env:prod", "env:old"], group="Linode-Group", capabilities=["SMTP Enabled"]
    )
    raw["ipv4"].append("139.162.9.9")
    (machine,) = linode.list_machines()
    assert machine == Machine(
        id="4660",
        name="web-1",
        state=MachineState.RUNNING,
        public_ips=("139.162.18.52", "139.162.9.9", "2a01:7e00::f03c:92ff:fe48:1234"),
        private_ips=("192.168.146.52",),
        size="g6-nanode-1",
        image="linode/debian12",
        region="eu-central",
        created_at=datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        tags={"web": "", "env": "prod", "env:old": ""},
        extra={
            "status": "running",
            "group": "Linode-Group",
            "capabilities": ["SMTP Enabled"],
            "vcpus": 1,
            "memory": 1024,
            "disk": 25600,
        },
    )
    json.dumps(machine.to_dict())


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("running", "running"), ("offline", "stopped"), ("stopped", "stopped"), ("booting", "starting"),
        ("rebooting", "rebooting"), ("shutting_down", "stopping"), ("provisioning", "pending"),
        ("deleting", "terminated"), ("migrating", "pending"), ("rebuilding", "pending"), ("cloning", "pending"),
        ("restoring", "pending"), ("busy", "pending"), ("billing_suspension", "suspended"), ("odd", "unknown"),
    ],
)  # fmt: skip
def test_states(service: FakeLinode, linode: Linode, status: str, state: str) -> None:
    if status == "odd":
        service.departs(r"data\.0\.status: 'odd' is not one of")
    service.add_instance(status=status)
    assert [str(machine.state) for machine in linode.list_machines()] == [state]


def test_every_state_of_the_document_is_known(api_specs: Path) -> None:
    from mistcore_providers import linode as module

    text = (api_specs / SPEC).read_text(encoding="utf-8")
    start = text.index("- billing_suspension")
    listed = text[text.rindex("enum:", 0, start) : start].split()
    assert {word for word in listed if word not in {"enum:", "-"}} | {"billing_suspension"} <= set(module._STATES)


def test_odd_rows_break_no_listing(service: FakeLinode, linode: Linode) -> None:
    service.add_instance("good")
    odd: dict[str, Any] = {
        "ipv4": 7, "ipv6": "none", "image": 7, "region": [], "tags": 5, "created": "soon", "status": None, "type": 1,
        "specs": "many",
    }  # fmt: skip
    for field, value in odd.items():
        service.add_instance(field)[field] = value
    for field in ("ipv4", "ipv6", "region", "tags", "created", "specs", "image"):
        service.add_instance(f"no-{field}")[field] = None
    fields = "ipv4|ipv6|image|region|tags|created|status|type|specs"
    service.departs(rf"GET /v4/linode/instances: the answer 200: data\.\d+\.({fields}): ")
    machines = list(linode.list_machines())
    assert len(machines) == 17
    assert {machine.name for machine in machines if machine.extra.get("unreadable")} == {
        "ipv4", "image", "tags", "type", "specs",
    }  # fmt: skip


def test_what_a_linode_can_be_made_of(linode: Linode) -> None:
    small, standard, gpu = linode.list_sizes()
    assert (small.id, small.name, small.cpus, small.memory, small.disk) == ("g6-nanode-1", "Nanode 1GB", 1, 1024, 25)
    assert (small.price_hour, small.price_month, small.currency) == (0.0075, 5, "USD")
    assert standard.extra["region_prices"] == [{"id": "id-cgk", "hourly": 0.043, "monthly": 28.8}]
    assert gpu.extra["gpus"] == 1
    images = list(linode.list_images())
    assert [(image.id, image.name, image.os, image.extra["deprecated"]) for image in images] == [
        ("linode/debian12", "Debian 12", "Debian", False),
        ("linode/ubuntu24.04", "Ubuntu 24.04 LTS", "Ubuntu", False),
        ("linode/alpine3.12", "Alpine 3.12", "Alpine", True),
        ("private/12345", "before the upgrade", "", False),
    ]
    assert images[0].created_at == datetime(2023, 6, 12, 15, 11, 23, tzinfo=UTC)
    assert [(place.id, place.name, place.country, place.extra["site_type"]) for place in linode.list_locations()] == [
        ("us-east", "Newark, NJ", "US", "core"),
        ("eu-central", "Frankfurt, DE", "DE", "core"),
    ]
    assert [(net.id, net.name, net.cidr, net.extra["region"]) for net in linode.list_networks()] == [
        ("5678", "cool-vpc/cool-subnet", "10.0.1.0/24", "eu-central"),
        ("vlan:us-east/vlan-example", "vlan-example", "", "us-east"),
        ("vlan:eu-central/vlan-example", "vlan-example", "", "eu-central"),
    ]


# -- what others recorded ---------------------------------------------------------------------------------------------


class Recorded(DescribedService):
    """Answers from a folder of recorded responses, of other years than the document: only requests are held."""

    DOCUMENT, CORRECTIONS = FakeLinode.DOCUMENT, FakeLinode.CORRECTIONS

    def __init__(self, folder: Path, pages: dict[str, str]) -> None:
        super().__init__()
        self.folder, self.pages = folder, pages

    def not_found(self, request: Request) -> Response:
        name = self.pages[request.path].format(**{"page": 1, **request.query})
        return Foreign(200, (self.folder / f"{name}.json").read_bytes(), {"Content-Type": "application/json"})


def test_recorded_responses_read_right(api_specs: Path) -> None:
    pages = {
        "/v4/linode/instances": "list_nodes", "/v4/linode/instances/22344420": "ex_get_node",
        "/v4/linode/types": "list_types", "/v4/images": "list_images_paginated_page_{page}",
        "/v4/regions": "list_locations",
    }  # fmt: skip
    folder = api_specs / "linode" / "libcloud_v4"
    with Recorded(folder, pages) as recorded:
        linode = Linode(api_key="x", endpoint=recorded.url)
        machines = list(linode.list_machines())
        rows = json.loads((folder / "list_nodes.json").read_text())["data"]
        assert [machine.name for machine in machines] == [row["label"] for row in rows]
        first = machines[0]
        assert first.public_ips == ("138.89.34.81", "2a01:7e00::f03c:92ff:fe48:dc47")
        assert first.private_ips == ("192.168.1.230",)
        assert (first.image, first.region, first.size) == ("linode/centos7", "eu-west", "g6-nanode-1")
        assert first.created_at == datetime(2020, 10, 8, 18, 51, 29, tzinfo=UTC)
        assert not any(machine.extra.get("unreadable") for machine in machines)
        assert linode.get_machine("22344420").id
        assert all(size.price_month and size.memory and size.disk for size in linode.list_sizes())
        images = list(linode.list_images())
        parts = [json.loads((folder / f"list_images_paginated_page_{page}.json").read_text()) for page in (1, 2)]
        assert [image.id for image in images] == [row["id"] for part in parts for row in part["data"]]
        assert {place.country for place in linode.list_locations()} >= {"IN", "US"}


def test_recorded_answers_to_what_is_done_read_right(service: FakeLinode, linode: Linode, api_specs: Path) -> None:
    def recorded(name: str) -> Foreign:
        body = (api_specs / "linode" / "libcloud_v4" / f"{name}.json").read_bytes()
        return Foreign(200, body, {"Content-Type": "application/json"})

    service.fault(recorded("create_node"))
    created = linode.create_machine(**WHOLE)
    assert (created.id, created.name, created.state) == ("45501392", "TestNode", MachineState.PENDING)
    assert created.public_ips == ("45.32.179.25", "2a39:7b00::f03c:92dd:f277:4ff4")
    assert created.private_ips == ("192.168.206.100",)
    service.fault(recorded("create_node_no_image"))
    assert linode.get_machine("33431975").image == ""
    service.fault(recorded("ex_rename_node"))
    linode.rename_machine("22344420", "new_name")
    service.fault(recorded("list_key_pairs"))
    linode.create_machine(**WHOLE, key="My SSH Key")
    sent = service.requests[-1].json()["authorized_keys"]
    assert sent == ["ssh-rsa AAAA_valid_public_ssh_key_123456785== user@their-computer"]
    service.fault(recorded("list_images"))
    assert all(image.id and image.name for image in linode.list_images())
