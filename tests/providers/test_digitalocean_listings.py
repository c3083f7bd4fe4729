"""DigitalOcean: listings, the facts in them, and answers that others recorded, against the stand-in."""

from __future__ import annotations

import functools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fakes import digitalocean_fixtures as fixtures
from fakes.described import DescribedService, Foreign
from fakes.digitalocean import FakeDigitalOcean
from fakes.digitalocean_fixtures import asked
from fakes.patience import patient

from mistcore import AuthenticationFailed, Machine, MachineState, Rejected
from mistcore.testing.server import Request, Response, route
from mistcore_providers.digitalocean import DigitalOcean

service = fixtures.service
digitalocean = fixtures.digitalocean


# -- listings ---------------------------------------------------------------------------------------------------------


def test_every_page_and_the_gpus_are_listed(service: FakeDigitalOcean, digitalocean: DigitalOcean) -> None:
    for number in range(1003):
        service.add_droplet(f"web-{number}")
    service.add_droplet("gpu", size_slug="gpu-h100x1-80gb")
    machines = list(patient(digitalocean).list_machines())
    assert [machine.name for machine in machines] == [f"web-{number}" for number in range(1003)] + ["gpu"]
    assert machines[-1].extra["gpu_info"]["model"] == "nvidia_h100"
    assert len(service.requests) == 7


def test_an_emulator_that_ignores_the_type_lists_nothing_twice() -> None:
    class Old(DescribedService):
        DOCUMENT = FakeDigitalOcean.DOCUMENT

        @route("GET", "/v2/droplets")
        def droplets(self, request: Request) -> Response:
            body = b'{"droplets": [{"id": 7, "name": "a"}], "meta": {"total": 1}}'
            return Foreign(200, body, {"Content-Type": "application/json"})

    with Old() as old:
        assert [machine.id for machine in DigitalOcean(token="x", endpoint=old.url).list_machines()] == ["7"]


def test_all_addresses_and_all_facts(service: FakeDigitalOcean, digitalocean: DigitalOcean) -> None:
    droplet = service.add_droplet("web-1", tags=["web", "env:prod", "env:old"])
    droplet["networks"]["v4"].append(
        {"ip_address": "104.236.9.9", "netmask": "255.255.192.0", "gateway": "104.236.0.1", "type": "public"}
    )
    (machine,) = digitalocean.list_machines()
    networks = droplet["networks"]
    assert machine == Machine(
        id=str(droplet["id"]),
        name="web-1",
        state=MachineState.RUNNING,
        public_ips=(networks["v4"][1]["ip_address"], "104.236.9.9", networks["v6"][0]["ip_address"]),
        private_ips=(networks["v4"][0]["ip_address"],),
        size="s-1vcpu-1gb",
        image="debian-12-x64",
        region="fra1",
        created_at=datetime(2020, 7, 21, 18, 37, 44, tzinfo=UTC),
        tags={"web": "", "env": "prod", "env:old": ""},
        extra={
            "vcpus": 1,
            "memory": 1024,
            "disk": 25,
            "locked": False,
            "vpc_uuid": droplet["vpc_uuid"],
            "features": ["ipv6"],
            "image_id": 101,
        },
    )
    json.dumps(machine.to_dict())


@pytest.mark.parametrize(
    ("status", "state"),
    [("new", "pending"), ("active", "running"), ("off", "stopped"), ("archive", "terminated"), ("odd", "unknown")],
)
def test_states(service: FakeDigitalOcean, digitalocean: DigitalOcean, status: str, state: str) -> None:
    if status == "odd":
        service.departs(r"droplets\.0\.status: 'odd' is not one of")
    service.add_droplet(status=status)
    assert [str(machine.state) for machine in digitalocean.list_machines()] == [state]


def test_odd_rows_break_no_listing(service: FakeDigitalOcean, digitalocean: DigitalOcean) -> None:
    service.add_droplet("good")
    odd: dict[str, Any] = {
        "networks": "none", "image": "gone", "region": 7, "tags": 5, "created_at": "soon", "status": None,
        "size_slug": 1,
    }  # fmt: skip
    for field, value in odd.items():
        service.add_droplet(field)[field] = value
    for field in ("networks", "image", "region", "tags", "created_at", "size_slug", "size"):
        service.add_droplet(f"no {field}")[field] = None
    fields = "networks|image|region|tags|created_at|status|size_slug|size"
    service.departs(rf"GET /v2/droplets: the answer 200: droplets\.\d+\.({fields}): ")
    machines = list(digitalocean.list_machines())
    assert len(machines) == 15
    assert {machine.name for machine in machines if machine.extra.get("unreadable")} == {
        "networks", "image", "region", "tags", "size_slug",
    }  # fmt: skip


def test_what_a_droplet_can_be_made_of(digitalocean: DigitalOcean) -> None:
    small, _, gpu = digitalocean.list_sizes()
    assert (small.id, small.cpus, small.memory, small.disk) == ("s-1vcpu-1gb", 1, 1024, 25)
    assert (small.price_hour, small.price_month, small.currency) == (0.00893, 6.0, "USD")
    assert gpu.extra["gpu_info"]["count"] == 1
    images = list(digitalocean.list_images())
    assert [(image.id, image.name, image.os) for image in images] == [
        ("debian-12-x64", "Debian 12 x64", "Debian"),
        ("ubuntu-24-04-x64", "Ubuntu 24.04 (LTS) x64", "Ubuntu"),
        ("900", "Debian before the upgrade", "Debian"),
    ]
    assert images[0].architecture == "x86_64"
    assert [(place.id, place.name, place.country) for place in digitalocean.list_locations()][1:] == [
        ("fra1", "Frankfurt 1", "DE"),
        ("nyc3", "New York 3", "US"),
    ]
    (network,) = digitalocean.list_networks()
    assert (network.name, network.cidr, network.extra["region"]) == ("default-fra1", "10.114.0.0/20", "fra1")


# -- what others recorded ---------------------------------------------------------------------------------------------


class Recorded(DescribedService):
    """Answers from a folder of recorded responses, of other years than the document: only requests are held."""

    DOCUMENT = FakeDigitalOcean.DOCUMENT

    def __init__(self, folder: Path, pages: dict[str, str]) -> None:
        super().__init__()
        self.folder, self.pages = folder, pages

    def not_found(self, request: Request) -> Response:
        name = self.pages.get(request.path)
        if name is None or request.query.get("type") == "gpus" or request.query.get("private"):
            body = b'{"droplets": [], "images": [], "meta": {"total": 0}}'
        else:
            body = (self.folder / f"{name}.json").read_bytes()
        return Foreign(200, body, {"Content-Type": "application/json"})


def test_recorded_responses_read_right(api_specs: Path) -> None:
    pages = {
        "/v2/droplets": "list_nodes", "/v2/droplets/3164444": "list_node", "/v2/sizes": "list_sizes",
        "/v2/images": "list_images", "/v2/regions": "list_locations",
    }  # fmt: skip
    with Recorded(api_specs / "digitalocean" / "libcloud_v2", pages) as recorded:
        digitalocean = DigitalOcean(token="x", endpoint=recorded.url)
        (machine,) = digitalocean.list_machines()
        assert machine.name == "ubuntu-s-1vcpu-1gb-sfo3-01"
        assert machine.public_ips == ("128.199.13.158", "2604:a880:4:1d0::142:9000")
        assert machine.private_ips == ("10.124.0.2",)
        assert (machine.image, machine.region, machine.size) == ("ubuntu-20-04-x64", "sfo3", "s-1vcpu-1gb")
        sizes = {size.id: size for size in digitalocean.list_sizes()}
        assert all(size.price_month for size in sizes.values())
        assert {place.id for place in digitalocean.list_locations()} >= {"nyc1"}
        assert all(image.id and image.name for image in digitalocean.list_images())


def test_recorded_answers_to_what_is_done_read_right(
    service: FakeDigitalOcean, digitalocean: DigitalOcean, api_specs: Path
) -> None:
    def recorded(name: str, status: int = 200) -> Foreign:
        body = (api_specs / "digitalocean" / "libcloud_v2" / f"{name}.json").read_bytes()
        return Foreign(status, body, {"Content-Type": "application/json"})

    for name, act in {
        "ex_power_on_node": digitalocean.start_machine,
        "ex_shutdown_node": digitalocean.stop_machine,
        "reboot_node": digitalocean.reboot_machine,
        "ex_hard_reboot": functools.partial(digitalocean.reboot_machine, force=True),
        "ex_rename_node": functools.partial(digitalocean.rename_machine, name="web-2"),
    }.items():
        service.requests.clear()
        answer = recorded(name, 201)
        service.fault(answer)
        service.fault(recorded("create_node"), where=lambda request: request.method == "GET")  # a completed action
        act("12345")
        action = json.loads(answer.body)["action"]
        assert action["status"] == "in-progress"
        assert asked(service)[1] == f"GET /v2/droplets/12345/actions/{action['id']}"
    service.fault(recorded("list_nodes_empty"), times=2)
    assert list(digitalocean.list_machines()) == []
    service.fault(recorded("list_nodes_page_1"), where=lambda request: "type" not in request.query)
    assert [machine.name for machine in digitalocean.list_machines()] == ["example.com"]
    assert "2" in [request.query.get("page") for request in service.requests]  # of two droplets, one is gone by then
    service.fault(recorded("list_key_pairs"))
    with pytest.raises(Rejected, match="7717 are invalid key identifiers"):  # found by its name, unknown to the rest
        digitalocean.create_machine("web-1", image="debian-12-x64", size="s-1vcpu-1gb", key="test1")
    service.fault(recorded("error_invalid_image", 422))
    with pytest.raises(Rejected, match="You specified an invalid image"):
        digitalocean.create_machine("web-1", image="debian-12-x64", size="s-1vcpu-1gb")
    service.fault(recorded("error", 401))
    with pytest.raises(AuthenticationFailed, match="Unable to authenticate you"):
        digitalocean.check()
