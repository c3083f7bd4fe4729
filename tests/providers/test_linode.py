"""Linode: its key, its limits and its declaration, against a stand-in that Linode's own library accepts."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import linode_fixtures as fixtures
from fakes.linode import TOKEN, FakeLinode, problem
from fakes.linode_fixtures import PUBLIC_KEY, WHOLE, asked

from mistcore import AuthenticationFailed, InvalidFields, PermissionDenied, RateLimited, Registry
from mistcore.deadline import deadline
from mistcore.testing.server import json_response
from mistcore_providers.linode import Linode

service = fixtures.service
linode = fixtures.linode


def with_scopes(service: FakeLinode, scopes: str) -> Linode:
    service.tokens["scoped"] = scopes
    return Linode(api_key="scoped", endpoint=service.url)


# -- the stand-in itself ----------------------------------------------------------------------------------------------


def test_linodes_own_library_leads_the_same_life_of_a_machine(service: FakeLinode, tmp_path: Path) -> None:
    import linode_api4

    client = linode_api4.LinodeClient(
        TOKEN, base_url=f"{service.url}/v4", ca_path=str(tmp_path / "ca.pem"), retry=False
    )
    assert client.profile().email == "example-user@example.com"
    instance = client.linode.instance_create(
        "g6-nanode-1",
        "eu-central",
        image="linode/debian12",
        label="web-1",
        root_pass="correct horse battery",
        authorized_keys=[PUBLIC_KEY],
    )
    assert instance.status == "provisioning"

    def status() -> str:
        return str(client.load(linode_api4.Instance, instance.id).status)

    assert status() == "running"
    for act, state in ((instance.shutdown, "offline"), (instance.boot, "running"), (instance.reboot, "running")):
        act()
        assert status() == state
    loaded = client.load(linode_api4.Instance, instance.id)
    loaded.label = "web-2"
    loaded.save()
    assert [one.label for one in client.linode.instances()] == ["web-2"]
    assert [one.label for one in client.linode.instances(linode_api4.Instance.label == "web-1")] == []
    assert client.linode.types()[0].id == "g6-nanode-1"
    assert len(client.images()) == 4
    assert [one.country for one in client.regions()] == ["us", "de"]
    assert [one.label for one in client.vpcs()] == ["cool-vpc", "empty"]
    assert len(client.networking.vlans()) == 2
    loaded.delete()
    assert len(client.linode.instances()) == 0
    with pytest.raises(linode_api4.ApiError, match="Invalid Token"):
        linode_api4.LinodeClient("wrong", base_url=f"{service.url}/v4", ca_path=str(tmp_path / "ca.pem")).profile()
    # The library sends a Linode back as it got it, and what only comes back has no place in a request.
    service.departs("PUT .*: backups.enabled: Tried to write read-only property")


# -- check ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", "/", "/v4", "/v4/"])
def test_check_says_whose_token_it_is(service: FakeLinode, suffix: str) -> None:
    linode = Linode(api_key=TOKEN, endpoint=service.url + suffix)
    account = linode.check()
    assert (account.id, account.name) == ("1234", "exampleUser")
    assert account.details == {
        "username": "exampleUser",
        "email": "example-user@example.com",
        "restricted": False,
        "two_factor_auth": True,
        "scopes": "*",
    }
    assert account.permissions == frozenset(Linode.operations())
    assert account.warnings == ()
    assert asked(service) == ["GET /v4/profile"]


READS = {"check", "list_machines", "get_machine", "list_sizes", "list_locations"}
CHANGES = {
    "start_machine", "stop_machine", "reboot_machine", "rename_machine", "destroy_machine", "create_machine",
}  # fmt: skip


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        ("linodes:read_only", READS),
        ("linodes:read_write", READS | CHANGES),
        ("linodes:read_only images:read_only vpc:read_write", READS | {"list_images", "list_networks"}),
        ("linodes:read_write,images:read_only", READS | CHANGES | {"list_images"}),
        ("linodes:* images:read_only", READS | CHANGES | {"list_images"}),
        ("domains:read_write", {"check", "list_sizes", "list_locations"}),
    ],
)
def test_scopes_become_permissions_and_are_true(service: FakeLinode, scopes: str, allowed: set[str]) -> None:
    linode = with_scopes(service, scopes)
    account = linode.check()
    assert account.permissions == allowed
    warned = [warning for warning in account.warnings if "linodes:read_only" in warning]
    assert bool(warned) == ("list_machines" not in allowed)
    # What the check says is what the service does.
    machine_id = str(service.add_instance()["id"])
    trials = {
        "list_machines": lambda: list(linode.list_machines()),
        "get_machine": lambda: linode.get_machine(machine_id),
        "list_sizes": lambda: list(linode.list_sizes()),
        "list_images": lambda: list(linode.list_images()),
        "list_locations": lambda: list(linode.list_locations()),
        "list_networks": lambda: list(linode.list_networks()),
        "stop_machine": lambda: linode.stop_machine(machine_id),
        "start_machine": lambda: linode.start_machine(machine_id),
        "create_machine": lambda: linode.create_machine(**WHOLE | {"name": "web-2"}),
        "destroy_machine": lambda: linode.destroy_machine(machine_id),
    }
    for name, trial in trials.items():
        if name in allowed:
            trial()
        else:
            with pytest.raises(PermissionDenied, match="not authorized to use.*needs the scope [a-z]+:read_"):
                trial()


def test_a_restricted_user_is_told_and_promised_only_reading(service: FakeLinode, linode: Linode) -> None:
    service.profile["restricted"] = True
    account = linode.check()
    assert account.permissions == READS | {"list_images", "list_networks"}
    assert "restricted" in account.warnings[0]


def test_without_the_header_nothing_is_known_of_permissions(service: FakeLinode, linode: Linode) -> None:
    service.fault(json_response(service.profile, headers={"X-OAuth-Scopes": ""}))
    account = linode.check()
    assert account.permissions is None
    assert account.warnings == ()


def test_wrong_credentials(service: FakeLinode) -> None:
    wrong = Linode(api_key="0" * 64, endpoint=service.url)
    for ask in (wrong.check, lambda: list(wrong.list_machines()), lambda: wrong.start_machine("7")):
        with pytest.raises(AuthenticationFailed, match="Invalid Token") as caught:
            ask()
        assert "0000" not in str(caught.value)
    assert caught.value.provider == "linode"


def test_a_user_without_the_grant_is_told_apart(service: FakeLinode, linode: Linode) -> None:
    service.fault(problem(403))
    with pytest.raises(PermissionDenied, match="and its user the grant"):
        linode.reboot_machine(str(service.add_instance()["id"]))


def test_rate_limits(service: FakeLinode, linode: Linode) -> None:
    service.quota, service.retry_after = 0, 3600
    with pytest.raises(RateLimited, match="Too many requests") as caught:
        linode.check()
    assert caught.value.retry_after == 3600
    assert len(service.requests) == 1

    service.quota, service.retry_after = 0, None
    with deadline(20), pytest.raises(RateLimited) as caught:
        linode.check()
    assert 20 < (caught.value.retry_after or 0) <= 60

    service.quota = None
    later = problem(429)
    later.headers["Retry-After"] = "1"
    service.fault(later)
    assert linode.check().name == "exampleUser"


# -- the declaration --------------------------------------------------------------------------------------------------


def test_the_declaration() -> None:
    provider = Registry()["linode"]
    assert provider.title == "Linode"
    assert [field.name for field in provider.fields()] == ["api_key", "endpoint"]
    assert "secret-token" not in repr(provider(api_key="secret-token"))
    with pytest.raises(InvalidFields) as caught:
        provider()
    assert set(caught.value.problems) == {"api_key"}


def test_plain_http_is_warned_about(service: FakeLinode) -> None:
    assert Linode(api_key="x", endpoint="http://linode.example")._session.warnings[0].startswith("Plain HTTP")
