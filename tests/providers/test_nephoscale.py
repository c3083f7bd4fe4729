"""NephoScale: the service has closed, so it is a stand-in made from recorded answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fakes.nephoscale import PASSWORD, USERNAME, FakeNephoScale, listing

from mistcore import (
    AuthenticationFailed,
    BackendManager,
    InvalidFields,
    MachineNotFound,
    MachineState,
    ProviderError,
    RateLimited,
    Rejected,
    ServiceRetired,
    Unreachable,
)
from mistcore.stores.memory import MemoryStore
from mistcore.testing.server import Response, json_response
from mistcore_providers.nephoscale import NephoScale


@pytest.fixture
def service() -> Iterator[FakeNephoScale]:
    with FakeNephoScale() as fake:
        yield fake


@pytest.fixture
def nephoscale(service: FakeNephoScale) -> Iterator[NephoScale]:
    with NephoScale(username=USERNAME, password=PASSWORD, endpoint=service.url) as provider:
        yield provider


def test_without_an_address_every_use_says_that_it_has_closed() -> None:
    closed = NephoScale(username=USERNAME, password=PASSWORD)
    uses = [
        closed.check,
        lambda: list(closed.list_machines()),
        lambda: closed.start_machine("1"),
        lambda: closed.create_machine("x", image="1", size="1"),
        lambda: list(closed.list_sizes()),
    ]
    for use in uses:
        with pytest.raises(ServiceRetired, match="NephoScale has closed"):
            use()
    client = BackendManager(MemoryStore())
    with pytest.raises(ServiceRetired, match="Nothing was sent"):
        client.add_backend("nephoscale", username=USERNAME, password=PASSWORD)


def test_check_with_the_right_and_the_wrong_password(service: FakeNephoScale, nephoscale: NephoScale) -> None:
    account = nephoscale.check()
    assert account.name == USERNAME
    for wrong in ({"password": "wrong"}, {"username": "nobody"}):
        fields = {"username": USERNAME, "password": PASSWORD, "endpoint": service.url, **wrong}
        with pytest.raises(AuthenticationFailed, match="Authentication failed"):
            NephoScale(**fields).check()
    with pytest.raises(InvalidFields) as caught:
        NephoScale()
    assert set(caught.value.problems) == {"username", "password"}


def test_the_whole_life_of_a_machine(service: FakeNephoScale, nephoscale: NephoScale) -> None:
    created = nephoscale.create_machine(
        "web", image="49", size="3", location="87729", key="desk", console_key="console"
    )
    assert (created.name, created.state) == ("web", MachineState.STOPPED)
    assert service.created == {
        "name": "web",
        "hostname": "web",
        "image": "49",
        "service_type": "3",
        "server_key": "72209",
        "console_key": "72211",
        "zone": "87729",
    }
    nephoscale.start_machine(created.id)
    assert nephoscale.get_machine(created.id).state is MachineState.RUNNING
    nephoscale.reboot_machine(created.id)
    nephoscale.stop_machine(created.id)
    nephoscale.rename_machine(created.id, "web-2")
    machine = nephoscale.get_machine(created.id)
    assert (machine.name, machine.state) == ("web-2", MachineState.STOPPED)
    assert machine.public_ips == ("198.89.117.16",)
    assert machine.private_ips == ("10.1.2.3",)
    nephoscale.destroy_machine(created.id)
    assert [each.name for each in nephoscale.list_machines()] == ["mongodb"]


def test_a_machine_that_is_not_there(nephoscale: NephoScale) -> None:
    for use in (
        nephoscale.get_machine,
        nephoscale.start_machine,
        nephoscale.stop_machine,
        nephoscale.reboot_machine,
        nephoscale.destroy_machine,
        lambda machine: nephoscale.rename_machine(machine, "x"),
    ):
        for machine in ("404", "../../datacenter/zone"):
            with pytest.raises(MachineNotFound):
                use(machine)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("on", "running"),
        ("off", "stopped"),
        ("unknown", "unknown"),
        ("melting", "unknown"),
        (None, "unknown"),
        ("ON", "running"),
    ],
)
def test_states(service: FakeNephoScale, nephoscale: NephoScale, word: object, state: str) -> None:
    service.servers[88241]["power_status"] = word
    assert next(iter(nephoscale.list_machines())).state == state


def test_odd_rows_break_nothing(service: FakeNephoScale, nephoscale: NephoScale) -> None:
    odd = [{}, {"id": 1}, {"id": 2, "image": "x"}, {"id": 3, "ipaddresses": None, "create_time": "never"}, 7]
    service.fault(listing([*odd, *service.servers.values()]))  # type: ignore[list-item]
    assert [machine.id for machine in nephoscale.list_machines()] == ["1", "2", "3", "88241"]


def test_the_catalog(nephoscale: NephoScale) -> None:
    (size,) = nephoscale.list_sizes()
    assert (size.id, size.cpus, size.memory, size.disk) == ("3", 1, 1024, 50)
    (image,) = nephoscale.list_images()
    assert (image.id, image.os, image.architecture) == ("49", "linux", "x86_64")
    assert [place.name for place in nephoscale.list_locations()] == ["RIC-1"]
    assert [network.name for network in nephoscale.list_networks()] == ["default_private_network_RIC"]


def test_what_cannot_be_created_says_why(nephoscale: NephoScale) -> None:
    with pytest.raises(Rejected, match="Invalid image"):
        nephoscale.create_machine("web", image="1", size="3")
    with pytest.raises(InvalidFields, match="no such key"):
        nephoscale.create_machine("web", image="49", size="3", key="nobody")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Response(429, headers={"Retry-After": "1000"}), RateLimited),
        (Response(500), ProviderError),
        (Response(200, b"<html>log in</html>", {"Content-Type": "text/html"}), ProviderError),
        (json_response({"unexpected": 1}), ProviderError),
        (json_response({"data": {}}), ProviderError),
        (json_response({"success": False, "data": [], "message": "no"}), Rejected),
        (Response(200, b'{"data": [', cut=4), (ProviderError, Unreachable)),
    ],
)
def test_faults(service: FakeNephoScale, nephoscale: NephoScale, answer: Response, kind) -> None:
    service.fault(answer, times=9)
    with pytest.raises(kind):
        list(nephoscale.list_machines())


def test_recorded_answers_read_right(service: FakeNephoScale, nephoscale: NephoScale, api_specs: Path) -> None:
    def recorded(name: str) -> Response:
        return json_response(json.loads((api_specs / "nephoscale" / "libcloud" / f"{name}.json").read_text()))

    service.fault(recorded("list_nodes"))
    first, second = nephoscale.list_machines()
    assert (first.id, first.name, first.state, first.region) == ("88241", "mongodb-staging", "running", "RIC-1")
    assert first.public_ips == ("198.89.117.16",)
    assert first.created_at == datetime(2013, 9, 25, 7, 38, 53, tzinfo=UTC)
    assert second.image
    service.fault(recorded("list_sizes"))
    assert len(list(nephoscale.list_sizes())) == 13
    service.fault(recorded("list_images"))
    assert len(list(nephoscale.list_images())) == 18
    service.fault(recorded("list_locations"))
    assert [place.extra["airport_code"] for place in nephoscale.list_locations()] == ["SJC", "RIC"]
    service.fault(recorded("success_action"))
    nephoscale.start_machine("88241")
