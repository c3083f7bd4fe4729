"""DigitalOcean: its token, its limits and its declaration, against a stand-in that its own SDK accepts."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fakes import digitalocean_fixtures as fixtures
from fakes.digitalocean import TOKEN, FakeDigitalOcean, problem
from fakes.digitalocean_catalog import IMAGES
from fakes.digitalocean_fixtures import FINGERPRINT, PUBLIC_KEY, asked

from mistcore import AuthenticationFailed, InvalidFields, Machine, MachineState, PermissionDenied, RateLimited, Registry
from mistcore.deadline import deadline
from mistcore_providers.digitalocean import DigitalOcean

service = fixtures.service
digitalocean = fixtures.digitalocean


# -- the stand-in itself ----------------------------------------------------------------------------------------------


def test_digitaloceans_own_sdk_leads_the_same_life_of_a_machine(service: FakeDigitalOcean) -> None:
    import pydo

    client = pydo.Client(TOKEN, endpoint=service.url)
    assert client.account.get()["account"]["email"] == "sammy@example.com"
    key = client.ssh_keys.create({"name": "me", "public_key": PUBLIC_KEY})["ssh_key"]
    created = client.droplets.create(
        {"name": "web-1", "region": "fra1", "size": "s-1vcpu-1gb", "image": "debian-12-x64", "ssh_keys": [key["id"]]}
    )["droplet"]
    assert created["status"] == "new"
    assert client.droplets.get(created["id"])["droplet"]["status"] == "active"
    for kind, state in (("shutdown", "off"), ("power_on", "active"), ("reboot", "active")):
        action = client.droplet_actions.post(created["id"], {"type": kind})["action"]
        assert client.droplet_actions.get(created["id"], action["id"])["action"]["status"] == "completed"
        assert client.droplets.get(created["id"])["droplet"]["status"] == state
    client.droplet_actions.post(created["id"], {"type": "rename", "name": "web-2"})
    assert [droplet["name"] for droplet in client.droplets.list()["droplets"]] == ["web-2"]
    assert client.droplets.list(type="gpus")["droplets"] == []
    assert client.sizes.list()["meta"]["total"] == 3
    assert client.images.list(private=True)["images"][0]["id"] == 900
    assert client.regions.list()["regions"][1]["slug"] == "fra1"
    assert client.vpcs.list()["vpcs"][0]["ip_range"] == "10.114.0.0/20"
    client.droplets.destroy(created["id"])
    assert client.droplets.list()["meta"]["total"] == 0
    with pytest.raises(Exception, match="Unable to authenticate"):
        pydo.Client("wrong", endpoint=service.url).account.get()
    service.departs("the header 'x-ms-client-request-id' is not known")  # of the library that pydo is made with


# -- check ------------------------------------------------------------------------------------------------------------


def test_check_says_whose_token_it_is(service: FakeDigitalOcean, digitalocean: DigitalOcean) -> None:
    account = digitalocean.check()
    assert (account.id, account.name) == ("5df3e3004a17e242b7c20ca6c9fc25b701a47ece", "My Team")
    assert account.details == {
        "email": "sammy@example.com",
        "name": "Sammy the Shark",
        "team": "My Team",
        "status": "active",
        "droplet_limit": 25,
    }
    assert account.permissions is None
    assert account.warnings == ()
    assert asked(service) == ["GET /v2/account"]


def test_check_without_a_team(service: FakeDigitalOcean, digitalocean: DigitalOcean) -> None:
    del service.account["team"]
    account = digitalocean.check()
    assert (account.id, account.name) == (service.account["uuid"], "sammy@example.com")


def test_wrong_credentials(service: FakeDigitalOcean) -> None:
    wrong = DigitalOcean(token="dop_v1_" + "0" * 64, endpoint=service.url)
    for ask in (wrong.check, lambda: list(wrong.list_machines()), lambda: wrong.start_machine("7")):
        with pytest.raises(AuthenticationFailed, match="Unable to authenticate you") as caught:
            ask()
        assert "0000" not in str(caught.value)
    assert caught.value.provider == "digitalocean"


def test_a_least_privilege_token_is_good(service: FakeDigitalOcean) -> None:
    service.tokens["reader"] = {"droplet:read"}
    service.add_droplet(tags=["web"])
    reader = DigitalOcean(token="reader", endpoint=service.url)
    assert reader.check().details == {"scopes": "without account:read"}
    assert asked(service) == ["GET /v2/account", "GET /v2/droplets"]
    (machine,) = reader.list_machines()
    assert (machine.image, machine.tags, machine.size) == ("", {}, "s-1vcpu-1gb")
    with pytest.raises(PermissionDenied, match="Give the token the scope"):
        reader.stop_machine(machine.id)


def test_a_token_that_may_read_nothing_useful(service: FakeDigitalOcean) -> None:
    service.tokens |= {"none": {"sizes:read"}, "account": {"account:read"}}
    with pytest.raises(PermissionDenied, match="at least the scope droplet:read"):
        DigitalOcean(token="none", endpoint=service.url).check()
    account = DigitalOcean(token="account", endpoint=service.url).check()
    assert account.warnings == ("The token lacks the scope droplet:read, without which no machine can be listed.",)


@pytest.mark.parametrize(
    ("scopes", "options", "allowed"),
    [
        ("droplet:create", {}, False),
        ("droplet:create image:read", {}, True),
        ("droplet:create image:read", {"tags": {"web": ""}}, False),
        ("droplet:create image:read tag:create", {"tags": {"web": ""}}, True),
        ("droplet:create image:read", {"key": FINGERPRINT}, False),
        ("droplet:create image:read ssh_key:read", {"key": FINGERPRINT}, True),
        ("droplet:create image:read", {"network": "5a4981aa-9653-4bd1-bef5-d6bff52042e4"}, False),
        ("image:read tag:create", {}, False),
    ],
)
def test_what_a_limited_token_may_create(
    service: FakeDigitalOcean, scopes: str, options: dict[str, Any], allowed: bool
) -> None:
    service.keys[42] = {"id": 42, "name": "laptop", "fingerprint": FINGERPRINT, "public_key": PUBLIC_KEY}
    service.tokens["limited"] = set(scopes.split())
    limited = DigitalOcean(token="limited", endpoint=service.url)
    whole: dict[str, Any] = {"name": "web-1", "image": "debian-12-x64", "size": "s-1vcpu-1gb"} | options
    if allowed:
        assert limited.create_machine(**whole).state is MachineState.PENDING
    else:
        with pytest.raises(PermissionDenied, match="Give the token the scope"):
            limited.create_machine(**whole)
    assert len(service.droplets) == allowed


def said_to_need(point: str) -> set[str]:
    """Return the scopes that the declaration names for a purpose."""
    (line,) = (line for line in DigitalOcean.rights.split("\n- ") if line.startswith(point))
    return set(re.findall(r"`(\w+:\w+)`", line))


def test_what_the_declaration_says_is_needed_to_create_is_needed_and_enough(service: FakeDigitalOcean) -> None:
    needed = said_to_need("To create")
    options: dict[str, Any] = {
        "tags": {"web": ""},
        "network": "5a4981aa-9653-4bd1-bef5-d6bff52042e4",
        "key": PUBLIC_KEY,
    }

    def create(*without: str) -> Machine:
        service.keys.clear()
        service.tokens["limited"] = needed - set(without)
        limited = DigitalOcean(token="limited", endpoint=service.url)
        return limited.create_machine("web-1", image="debian-12-x64", size="s-1vcpu-1gb", **options)

    for scope in needed:
        with pytest.raises(PermissionDenied):
            create(scope)
    assert service.droplets == {}
    assert create().name == "web-1"


def test_what_the_declaration_says_is_needed_to_destroy_is_needed_and_enough(service: FakeDigitalOcean) -> None:
    needed = said_to_need("To destroy")
    service.volumes = {"v-1"}
    droplet = str(service.add_droplet(volume_ids=["v-1"])["id"])

    def destroy(*without: str) -> None:
        service.tokens["limited"] = needed - set(without)
        DigitalOcean(token="limited", endpoint=service.url).destroy_machine(droplet, storage=True)

    for scope in needed:
        with pytest.raises(PermissionDenied):
            destroy(scope)
    with pytest.raises(PermissionDenied, match="may not see which volumes.*scope block_storage:read"):
        destroy("block_storage:read")
    assert (len(service.droplets), service.volumes) == (1, {"v-1"})
    destroy()
    assert (service.droplets, service.volumes) == ({}, set())
    plain = str(service.add_droplet()["id"])
    service.tokens["limited"] = {"droplet:delete"}
    DigitalOcean(token="limited", endpoint=service.url).destroy_machine(plain)
    assert service.droplets == {}


@pytest.mark.parametrize(
    ("ask", "scopes"), [("list_sizes", 2), ("list_images", 1), ("list_locations", 1), ("list_networks", 1)]
)
def test_what_the_declaration_says_is_needed_to_look_around(service: FakeDigitalOcean, ask: str, scopes: int) -> None:
    needed = said_to_need("Sizes")

    def look(without: str = "") -> None:
        service.tokens["limited"] = needed - {without}
        assert list(getattr(DigitalOcean(token="limited", endpoint=service.url), ask)())

    look()
    refused = []
    for scope in needed:
        try:
            look(scope)
        except PermissionDenied:
            refused.append(scope)
    assert len(refused) == scopes


def test_a_locked_account_is_an_error_that_says_so(service: FakeDigitalOcean, digitalocean: DigitalOcean) -> None:
    service.account |= {"status": "locked", "status_message": "Please verify your payment method."}
    with pytest.raises(PermissionDenied, match="locked: Please verify your payment method") as caught:
        digitalocean.check()
    assert caught.value.reason == "account_locked"


def test_what_the_service_warns_about(service: FakeDigitalOcean, digitalocean: DigitalOcean) -> None:
    service.account |= {"status": "warning", "status_message": "A payment failed.", "email_verified": False}
    assert digitalocean.check().warnings == (
        "DigitalOcean warns about this account: A payment failed.",
        "The e-mail address of this account has not been verified.",
    )


def test_plain_http_is_warned_about() -> None:
    assert DigitalOcean(token="x", endpoint="http://do.example")._session.warnings[0].startswith("Plain HTTP")


def test_rate_limits(service: FakeDigitalOcean, digitalocean: DigitalOcean) -> None:
    service.quota, service.retry_after = 0, 3600
    with pytest.raises(RateLimited, match="API rate limit exceeded") as caught:
        digitalocean.check()
    assert caught.value.retry_after == 3600
    assert len(service.requests) == 1

    service.quota, service.retry_after = 0, None
    with deadline(20), pytest.raises(RateLimited) as caught:
        digitalocean.check()
    assert 20 < (caught.value.retry_after or 0) <= 60

    service.quota = None
    later = problem(429)
    later.headers["retry-after"] = "1"
    service.fault(later)
    assert digitalocean.check().name == "My Team"


# -- the declaration --------------------------------------------------------------------------------------------------


def test_the_declaration() -> None:
    provider = Registry()["digitalocean"]
    assert provider.title == "DigitalOcean"
    assert [field.name for field in provider.fields()] == ["token", "endpoint"]
    assert "secret-token" not in repr(provider(token="secret-token"))
    with pytest.raises(InvalidFields) as caught:
        provider()
    assert set(caught.value.problems) == {"token"}


def test_a_token_that_cannot_be_sent_is_told_without_showing_it(service: FakeDigitalOcean) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        DigitalOcean(token="geheim€\n", endpoint=service.url).check()
    assert "geheim" not in str(caught.value)
    assert service.requests == []


def test_images_of_the_stand_in_are_whole() -> None:
    assert {entry["slug"] for entry in IMAGES} == {"debian-12-x64", "ubuntu-24-04-x64", None}
