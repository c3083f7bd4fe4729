"""HP's cloud: retired without an address; with one, over Keystone v2.0 and v3."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes.openstack import FakeOpenStack
from peers.openstack_cloud import OpenStackCloud
from peers.waiting import until

from mistcore.errors import AuthenticationFailed, MachineNotFound, ServiceRetired, UnknownRegion
from mistcore_providers.hpcloud import Hpcloud
from mistcore_providers.openstack import Openstack

LOGIN = {"username": "me", "password": "right", "tenant_name": "demo", "region": "region-a.geo-1"}


@pytest.fixture
def service() -> Iterator[FakeOpenStack]:
    with FakeOpenStack() as fake:
        yield fake


def test_without_an_address_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("something was sent"))
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: pytest.fail("something was looked up"))
    with Hpcloud(**LOGIN) as account:
        for use in (
            account.check,
            lambda: list(account.list_machines()),
            lambda: list(account.list_images()),
            lambda: account.stop_machine("1"),
            lambda: account.create_machine("x", image="i", size="s"),
        ):
            with pytest.raises(ServiceRetired, match="January 2016") as caught:
                use()
            assert "Nothing was sent" in caught.value.remedy
    assert "openstack" in Hpcloud.retired


@pytest.mark.parametrize("versions", [{"v2.0"}, {"v3"}, {"v2.0", "v3"}])
@pytest.mark.parametrize("tail", ["", "/v2.0", "/v2.0/", "/v3", "/v2.0/tokens"])
def test_either_version_by_whatever_address(service: FakeOpenStack, versions: set[str], tail: str) -> None:
    service.versions = versions
    service.servers = [{"id": "s1", "name": "one", "status": "ACTIVE(networking)", "flavor": {"id": "100"},
                        "image": {"id": "8419"}}]  # fmt: skip
    service.flavors = [{"id": "100", "name": "standard.xsmall"}]
    service.images = [{"id": "8419", "name": "Ubuntu Lucid"}]
    with Hpcloud(**LOGIN, auth_url=service.url + tail) as account:
        found = account.check()
        assert found.details["project"] == "demo"
        assert found.details["regions"] == ["region-a.geo-1", "region-b.geo-1"]
        assert len(service.requests) <= 3
        (machine,) = account.list_machines()
    assert (machine.state, machine.size, machine.image) == ("running", "standard.xsmall", "Ubuntu Lucid")


def test_without_name_lookup_there_are_ids(service: FakeOpenStack) -> None:
    service.servers = [{"id": "s1", "status": "ACTIVE", "flavor": {"id": "100"}, "image": {"id": "8419"}}]
    with Hpcloud(**LOGIN, auth_url=service.url, name_lookup=False) as account:
        (machine,) = account.list_machines()
    assert (machine.size, machine.image) == ("100", "8419")
    assert len(service.requests) == 2


def test_the_region_chooses_the_endpoint(service: FakeOpenStack) -> None:
    with Hpcloud(**{**LOGIN, "region": "region-b.geo-1"}, auth_url=service.url) as account:
        list(account.list_machines())
    assert service.requests[-1].path.startswith("/region-b.geo-1/compute/")
    service.regions = ["lab"]
    with Hpcloud(**{**LOGIN, "region": "lab"}, auth_url=service.url) as account:
        assert account.check().details["region"] == "lab"
    with Hpcloud(**LOGIN, auth_url=service.url) as account, pytest.raises(UnknownRegion, match="there is lab"):
        account.check()
    with pytest.raises(UnknownRegion):
        Hpcloud(**{**LOGIN, "region": "lab"})


@pytest.mark.parametrize("version", ["v2.0", "v3"])
def test_wrong_credentials_are_told_apart(service: FakeOpenStack, version: str) -> None:
    service.versions = {version}
    with (
        Hpcloud(**{**LOGIN, "password": "wr0ng"}, auth_url=service.url) as account,
        pytest.raises(AuthenticationFailed) as caught,
    ):
        account.check()
    assert caught.value.reason == ""
    assert "wr0ng" not in str(caught.value)
    with (
        Hpcloud(**{**LOGIN, "tenant_name": "other"}, auth_url=service.url) as account,
        pytest.raises(AuthenticationFailed, match="open to this user: demo") as caught,
    ):
        account.check()
    assert caught.value.reason == "project"


@pytest.mark.timeout(300, func_only=True)
def test_a_real_keystone_v2(keystone12_cloud: OpenStackCloud) -> None:
    assert keystone12_cloud.auth_url_v2 is not None
    login = {"username": "demo", "password": "demo-secret", "tenant_name": "demo", "region": "RegionOne"}
    with Hpcloud(**login, auth_url=keystone12_cloud.auth_url_v2) as account:
        assert account.check().details["roles"] == ["member", "reader"]
        machine = account.create_machine("old-way", image="debian-12", size="m1.tiny", network="private")
        until(lambda: account.get_machine(machine.id).state == "running")
        assert [found.name for found in account.list_machines()] == ["old-way"]
        account.stop_machine(machine.id)
        until(lambda: account.get_machine(machine.id).state == "stopped")
        account.destroy_machine(machine.id)

        def gone() -> bool:
            try:
                account.get_machine(machine.id)
            except MachineNotFound:
                return True
            return False

        until(gone)
    with Hpcloud(**{**login, "password": "wrong"}, auth_url=keystone12_cloud.auth_url_v2) as account:
        with pytest.raises(AuthenticationFailed) as caught:
            account.check()
        assert caught.value.reason == ""
    with Hpcloud(**{**login, "tenant_name": "admin"}, auth_url=keystone12_cloud.auth_url_v2) as account:
        with pytest.raises(AuthenticationFailed, match="open to this user: demo") as caught:
            account.check()
        assert caught.value.reason == "project"
    with Openstack(**{**keystone12_cloud.login(), "auth_url": keystone12_cloud.auth_url_v2}) as account:
        assert account.check().details["project"] == "demo"
