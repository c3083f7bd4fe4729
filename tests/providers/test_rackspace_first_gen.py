"""Rackspace's first generation: retired without an address, and whole with one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from fakes.rackspace import FakeFirstGen

from mistcore import MachineState
from mistcore.errors import (
    AuthenticationFailed,
    InvalidFields,
    MachineNotFound,
    NotSupported,
    ProviderError,
    RateLimited,
    Rejected,
    ServiceRetired,
)
from mistcore.testing.server import Response, json_response
from mistcore_providers.rackspace import Rackspace

REGIONS = ["rackspace_first_gen:us", "rackspace_first_gen:uk"]


@pytest.fixture
def service() -> Iterator[FakeFirstGen]:
    with FakeFirstGen() as fake:
        yield fake


@pytest.fixture
def account(service: FakeFirstGen) -> Iterator[Rackspace]:
    with Rackspace(username="slice", api_key="right", region=REGIONS[0], endpoint=service.url) as found:
        yield found


@pytest.mark.parametrize("region", REGIONS)
def test_without_an_address_nothing_is_sent(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("something was sent"))
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: pytest.fail("something was looked up"))
    with Rackspace(username="slice", api_key="right", region=region) as account:
        for use in (
            account.check,
            lambda: list(account.list_machines()),
            lambda: list(account.list_sizes()),
            lambda: account.get_machine("1"),
            lambda: account.reboot_machine("1"),
            lambda: account.create_machine("x", image="2", size="1"),
        ):
            with pytest.raises(ServiceRetired, match="dfw, ord or iad") as caught:
                use()
            assert "Nothing was sent" in caught.value.remedy


@pytest.mark.parametrize("tail", ["", "/", "/v1.0", "/v1.0/"])
def test_a_login_by_headers(service: FakeFirstGen, tail: str) -> None:
    with Rackspace(username="slice", api_key="right", region=REGIONS[1], endpoint=service.url + tail) as account:
        found = account.check()
    assert (found.id, found.details["region"]) == ("slice", "uk")
    (request,) = service.requests
    assert (request.method, request.path) == ("GET", "/v1.0")
    assert request.headers["X-Auth-User"] == "slice"
    assert request.headers["X-Auth-Key"] == "right"


def test_a_wrong_key(service: FakeFirstGen) -> None:
    with (
        Rackspace(username="slice", api_key="wr0ng-key", region=REGIONS[0], endpoint=service.url) as account,
        pytest.raises(AuthenticationFailed) as caught,
    ):
        account.check()
    assert "wr0ng-key" not in str(caught.value)


def test_the_token_stays_where_the_login_was(service: FakeFirstGen, account: Rackspace) -> None:
    service.named = "https://servers.api.rackspacecloud.com:444"
    assert account.check().details["compute_endpoint"] == f"{service.url}/v1.0/10"
    assert list(account.list_machines()) == []


def test_the_life_of_a_server(service: FakeFirstGen, account: Rackspace) -> None:
    created = account.create_machine("racktest", image="Debian 5.0 (lenny)", size="256 slice", tags={"env": "old"})
    sent = next(request for request in service.requests if request.method == "POST").json()
    assert sent == {"server": {"name": "racktest", "imageId": 4, "flavorId": 1, "metadata": {"env": "old"}}}
    assert created.state is MachineState.PENDING
    assert created.extra["admin_password"] == "GFf1j9aP"
    with pytest.raises(Rejected) as caught:
        account.reboot_machine(created.id)
    assert caught.value.reason == "state"
    service.made[int(created.id)]["status"] = "ACTIVE"
    (listed,) = account.list_machines()
    assert listed.id == created.id
    assert listed.state is MachineState.RUNNING
    assert (listed.size, listed.image, listed.region) == ("256 slice", "Debian 5.0 (lenny)", "us")
    assert listed.public_ips == ("67.23.10.100",)
    assert listed.private_ips == ("10.176.42.100",)
    assert listed.tags == {"env": "old"}
    login = {"username": "slice", "api_key": "right", "region": REGIONS[0], "endpoint": service.url}
    with Rackspace(**login, name_lookup=False) as other:
        assert [(machine.size, machine.image) for machine in other.list_machines()] == [("1", "4")]
    account.reboot_machine(created.id, force=True)
    assert account.get_machine(created.id).state is MachineState.REBOOTING
    assert service.made[int(created.id)]["status"] == "HARD_REBOOT"
    account.rename_machine(created.id, "new-name")
    assert account.get_machine(created.id).name == "new-name"
    account.destroy_machine(created.id)
    with pytest.raises(MachineNotFound):
        account.get_machine(created.id)
    with pytest.raises(MachineNotFound):
        account.destroy_machine(created.id)


def test_a_server_that_was_made_is_never_lost(service: FakeFirstGen, account: Rackspace) -> None:
    broken = json_response({"computeFault": {"code": 500, "message": "x"}}, status=500)
    service.fault(broken, where=lambda request: request.path.endswith("/servers/1000"))
    created = account.create_machine("racktest", image="4", size="1")
    assert (created.id, created.name, created.state) == ("1000", "racktest", "pending")
    assert created.extra["admin_password"] == "GFf1j9aP"


def test_what_it_never_could(account: Rackspace) -> None:
    for operation in (account.start_machine, account.stop_machine, account.pause_machine, account.suspend_machine):
        with pytest.raises(NotSupported):
            operation("1")
    with pytest.raises(NotSupported):
        list(account.list_networks())
    with pytest.raises(InvalidFields) as caught:
        account.create_machine("x", image="2", size="1", key="ssh-ed25519 AAAA", network="private")
    assert set(caught.value.problems) == {"key", "network"}
    assert [location.id for location in account.list_locations()] == ["us"]


@pytest.mark.parametrize("page", [1, 2, 3, 1000])
def test_pages_are_followed_to_the_end(service: FakeFirstGen, account: Rackspace, page: int) -> None:
    service.page = page
    service.raw = [{"id": number, "name": f"s{number}", "status": "ACTIVE"} for number in range(1, 6)]
    assert [machine.id for machine in account.list_machines()] == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("ACTIVE", "running"), ("BUILD", "pending"), ("REBUILD", "pending"), ("SUSPENDED", "suspended"),
        ("QUEUE_RESIZE", "pending"), ("PREP_RESIZE", "pending"), ("RESIZE", "pending"), ("VERIFY_RESIZE", "running"),
        ("PASSWORD", "pending"), ("RESCUE", "running"), ("REBOOT", "rebooting"), ("HARD_REBOOT", "rebooting"),
        ("SHARE_IP", "pending"), ("SHARE_IP_NO_CONFIG", "pending"), ("DELETE_IP", "pending"), ("UNKNOWN", "unknown"),
        ("A_NEW_ONE", "unknown"), (None, "unknown"),
    ],
)  # fmt: skip
def test_every_state(service: FakeFirstGen, account: Rackspace, status: str, state: str) -> None:
    service.raw = [{"id": 1, "name": "x", "status": status}]
    assert [machine.state for machine in account.list_machines()] == [state]


def test_an_expired_token_is_renewed(service: FakeFirstGen, account: Rackspace) -> None:
    account.check()
    service.tokens.clear()
    assert list(account.list_machines()) == []
    assert [request.path for request in service.requests].count("/v1.0") == 2


def test_413_is_a_rate_limit(service: FakeFirstGen, account: Rackspace) -> None:
    limit = {"overLimit": {"code": 413, "message": "Too many requests...", "details": "Error Details..."}}
    service.fault(json_response(limit, status=413, headers={"Retry-After": "12"}))
    with pytest.raises(RateLimited) as caught:
        account.check()
    assert caught.value.retry_after == 12


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Response(404, b"not here"), "wrong_path"),
        (Response(200, b"<html>log in</html>", {"Content-Type": "text/html"}), "not_openstack"),
        (Response(302, b"", {"Location": "http://elsewhere.invalid/"}), "redirect"),
        (Response(500, b"oh"), ""),
    ],
)
def test_an_address_that_is_something_else(
    service: FakeFirstGen, account: Rackspace, answer: Response, reason: str
) -> None:
    service.fault(answer)
    with pytest.raises(ProviderError) as caught:
        account.check()
    assert caught.value.reason == reason
    assert len(service.requests) == 1
    assert requests.get(f"{service.url}/v1.0", timeout=60).status_code == 401
