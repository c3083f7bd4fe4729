"""Rackspace's cloud against Mimic, its own stand-in, and against loopback where Mimic says nothing of the kind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from fakes.openstack import FakeOpenStack
from peers.mimic import Mimic

from mistcore import MachineState
from mistcore.errors import (
    AuthenticationFailed,
    InvalidFields,
    MachineNotFound,
    PermissionDenied,
    ProviderError,
    RateLimited,
    Rejected,
    UnknownRegion,
)
from mistcore.testing.server import json_response
from mistcore_providers.rackspace import Rackspace

real = pytest.mark.timeout(300, func_only=True)


# -- Mimic ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def account(mimic: Mimic) -> Iterator[Rackspace]:
    """An account that nobody had before: Mimic makes one for every new user name."""
    with Rackspace(
        username=f"user{time.monotonic_ns()}", api_key="key", region="dfw", endpoint=mimic.identity
    ) as found:
        yield found


@real
def test_an_api_key_proves_user_and_region(account: Rackspace) -> None:
    found = account.check()
    assert found.details["user"] == account.username
    assert found.details["region"] == "DFW"
    assert {"DFW", "ORD", "IAD"} <= set(found.details["regions"])
    assert "/v2/" in found.details["compute_endpoint"]
    assert list(account.list_machines()) == []


@real
@pytest.mark.parametrize("tail", ["", "/", "/v2.0", "/v2.0/tokens"])
def test_the_address_with_or_without_the_version(mimic: Mimic, tail: str) -> None:
    address = mimic.identity.removesuffix("/v2.0") + tail
    with Rackspace(username="someone", api_key="key", region="ord", endpoint=address) as account:
        assert account.check().details["region"] == "ORD"


@real
def test_a_wrong_api_key(mimic: Mimic) -> None:
    with Rackspace(username="bad-user", api_key="s3cret-key", region="dfw", endpoint=mimic.identity) as account:
        for use in (account.check, lambda: list(account.list_machines())):
            with pytest.raises(AuthenticationFailed, match="API key") as caught:
                use()
            assert "s3cret-key" not in str(caught.value)


@real
def test_a_region_that_the_account_does_not_have(mimic: Mimic) -> None:
    with Rackspace(username="someone", api_key="key", region="hkg", endpoint=mimic.identity) as account:
        regions = {"HKG"} & set(_regions(mimic))
        if regions:
            pytest.skip("this Mimic has Hong Kong")
        with pytest.raises(UnknownRegion, match="DFW"):
            account.check()


def _regions(mimic: Mimic) -> list[str]:
    body = {"auth": {"passwordCredentials": {"username": "someone", "password": "x"}}}
    catalog = requests.post(f"{mimic.identity}/tokens", json=body, timeout=30).json()["access"]["serviceCatalog"]
    return [end["region"] for service in catalog if service["type"] == "compute" for end in service["endpoints"]]


@real
def test_the_life_of_a_server(account: Rackspace) -> None:
    size, image = next(iter(account.list_sizes())), next(iter(account.list_images()))
    assert size.memory
    created = account.create_machine("web-1", image=image.id, size=size.name, tags={"env": "test"})
    assert created.extra["admin_password"]
    machine = account.get_machine(created.id)
    assert machine.state is MachineState.RUNNING
    assert machine.name == "web-1"
    assert machine.tags == {"env": "test"}
    assert (machine.size, machine.image) == (size.name, image.name)
    assert machine.region == "DFW"
    assert machine.created_at is not None
    assert [address for address in machine.public_ips if "." in address]
    assert [address for address in machine.private_ips if address.startswith("10.")]
    assert not set(machine.public_ips) & set(machine.private_ips)
    assert [found.id for found in account.list_machines()] == [created.id]
    account.reboot_machine(created.id)
    account.destroy_machine(created.id)
    with pytest.raises(MachineNotFound):
        account.get_machine(created.id)
    assert list(account.list_machines()) == []


@real
def test_a_server_that_fails(account: Rackspace) -> None:
    size, image = next(iter(account.list_sizes())), next(iter(account.list_images()))
    created = account.create_machine("doomed", image=image.id, size=size.id, tags={"server_error": "1"})
    assert account.get_machine(created.id).state is MachineState.ERROR


@real
def test_each_region_has_its_own_servers(mimic: Mimic, account: Rackspace) -> None:
    size, image = next(iter(account.list_sizes())), next(iter(account.list_images()))
    account.create_machine("here", image=image.id, size=size.id)
    with Rackspace(username=account.username, api_key="key", region="ord", endpoint=mimic.identity) as elsewhere:
        assert list(elsewhere.list_machines()) == []
    assert [location.id for location in account.list_locations()] == ["DFW"]


# -- loopback ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def service() -> Iterator[FakeOpenStack]:
    fake = FakeOpenStack()
    fake.regions = ["DFW", "LON"]
    fake.service_name = "cloudServersOpenStack"
    fake.versions = {"v2.0"}
    fake.kinds = ["compute"]
    with fake:
        yield fake


@pytest.fixture
def loopback(service: FakeOpenStack) -> Iterator[Rackspace]:
    with Rackspace(username="someone", api_key="right", region="lon", endpoint=service.url) as account:
        yield account


def test_a_check_is_one_request(service: FakeOpenStack, loopback: Rackspace) -> None:
    account = loopback.check()
    assert account.details["regions"] == ["DFW", "LON"]
    (request,) = service.requests
    assert (request.method, request.path) == ("POST", "/v2.0/tokens")
    assert request.json() == {"auth": {"RAX-KSKEY:apiKeyCredentials": {"username": "someone", "apiKey": "right"}}}
    service.requests.clear()
    list(loopback.list_machines())
    assert [request.path for request in service.requests] == ["/LON/compute/v2/p1/servers/detail"]
    assert not any("API-Version" in name for name in service.requests[0].headers), "it has no microversions"


def test_names_take_a_request_each_and_can_be_done_without(service: FakeOpenStack, loopback: Rackspace) -> None:
    service.servers = [{"id": "s", "status": "ACTIVE", "flavor": {"id": "2"}, "image": {"id": "i1"}}]
    service.flavors = [{"id": "2", "name": "512MB Standard"}]
    service.images = [{"id": "i1", "name": "Debian 12"}]
    (machine,) = loopback.list_machines()
    assert (machine.size, machine.image) == ("512MB Standard", "Debian 12")
    assert len(service.requests) == 4
    service.requests.clear()
    login = {"username": "someone", "api_key": "right", "region": "lon", "endpoint": service.url}
    with Rackspace(**login, name_lookup=False) as account:
        (machine,) = account.list_machines()
    assert (machine.size, machine.image) == ("2", "i1")
    assert len(service.requests) == 2


def test_413_is_a_rate_limit(service: FakeOpenStack, loopback: Rackspace) -> None:
    body = {"overLimit": {"code": 413, "message": "This request was rate-limited.", "retryAfter": 29}}
    service.fault(json_response(body, status=413, headers={"Retry-After": "29"}))
    with pytest.raises(RateLimited) as caught:
        loopback.check()
    assert caught.value.retry_after == 29
    loopback.check()
    service.fault(json_response(body, status=413, headers={"Retry-After": "29"}))
    with pytest.raises(RateLimited):
        list(loopback.list_machines())


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"badRequest": {"code": 400, "message": "nope"}}, Rejected),
        (403, {"forbidden": {"code": 403, "message": "User not authorized."}}, PermissionDenied),
        (413, {"overLimit": {"code": 413, "message": "Instances quota exceeded. You cannot run any more."}}, Rejected),
        (409, {"NeutronError": {"message": "Quota exceeded for resources: floatingip."}}, Rejected),
        (500, {"computeFault": {"code": 500, "message": "it broke"}}, ProviderError),
        (503, {"serviceUnavailable": {"code": 503, "message": "later"}}, ProviderError),
    ],
)
def test_each_kind_of_fault(
    service: FakeOpenStack, loopback: Rackspace, status: int, body: dict[str, Any], kind: type[Exception]
) -> None:
    loopback.check()
    service.fault(json_response(body, status=status))
    with pytest.raises(kind, match=next(iter(body.values()))["message"].split(".")[0]):
        list(loopback.list_machines())


def test_the_first_generation_in_the_catalog_is_not_taken_for_the_second(service: FakeOpenStack) -> None:
    service.service_name = "cloudServers"
    with (
        Rackspace(username="someone", api_key="right", region="lon", endpoint=service.url) as account,
        pytest.raises(ProviderError) as caught,
    ):
        account.check()
    assert caught.value.reason == "no_compute"


def test_the_regions_and_fields_are_those_of_the_listing() -> None:
    assert [(region.id, region.location) for region in Rackspace.regions] == [
        ("dfw", "Dallas"),
        ("ord", "Chicago"),
        ("iad", "N. Virginia"),
        ("lon", "London"),
        ("syd", "Sydney"),
        ("hkg", "Hong Kong"),
        ("rackspace_first_gen:us", "US-First Gen"),
        ("rackspace_first_gen:uk", "UK-First Gen"),
    ]
    assert [field.name for field in Rackspace.fields() if field.required] == ["region", "username", "api_key"]
    with pytest.raises(InvalidFields) as caught:
        Rackspace(username="x", region="dfw", endpoint="ftp://x")
    assert set(caught.value.problems) == {"api_key", "endpoint"}
