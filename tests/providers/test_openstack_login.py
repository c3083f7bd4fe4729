"""Logins, catalogs and answers that no healthy OpenStack gives: on loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fakes.openstack import FakeOpenStack
from fakes.patience import HANGS, hold, patient
from peers import waiting

from mistcore.deadline import deadline
from mistcore.errors import (
    AuthenticationFailed,
    InvalidFields,
    MistError,
    PermissionDenied,
    ProviderError,
    RateLimited,
    Rejected,
    UnknownRegion,
    Unreachable,
)
from mistcore.testing.server import Request, Response, json_response
from mistcore_providers._openstack_login import split_auth_url
from mistcore_providers.openstack import Openstack

RECEIPT = {
    "receipt": {"methods": ["password"], "expires_at": "2030-01-01T00:00:00Z"},
    "required_auth_methods": [["password", "totp"]],
}
LOGIN = {"username": "me", "password": "right", "tenant_name": "demo", "region": "region-a.geo-1"}


@pytest.fixture
def service() -> Iterator[FakeOpenStack]:
    with FakeOpenStack() as fake:
        yield fake


@pytest.fixture
def account(service: FakeOpenStack) -> Iterator[Openstack]:
    with Openstack(**LOGIN, auth_url=service.url) as found:
        yield found


# -- fields -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({}, {"auth_url", "username", "password", "tenant_name"}),
        ({"auth_url": "http://x", "username": "me"}, {"password", "tenant_name"}),
        ({"auth_url": "http://x", "username": "me", "password": "p", "project_id": "1"}, set()),
        ({"auth_url": "http://x", "application_credential_id": "i"}, {"application_credential_secret"}),
        ({"auth_url": "http://x", "application_credential_secret": "s"}, {"application_credential_id"}),
        ({"auth_url": "http://x", "application_credential_secret": "s", "application_credential_name": "n"},
         {"username"}),
        ({"application_credential_id": "i", "application_credential_secret": "s"}, {"auth_url"}),
        ({"auth_url": "http://x", "token": "t"}, set()),
        ({"token": "t"}, {"auth_url"}),
        ({"cloud": "mine"}, set()),
        ({"auth_url": "keystone.example.org", "token": "t"}, {"auth_url"}),
        ({"auth_url": "http://", "token": "t"}, {"auth_url"}),
        ({"auth_url": "http://x", "token": "t", "interface": "sideways"}, {"interface"}),
        ({"auth_url": "http://x", "token": "t", "compute_endpoint": "nova"}, {"compute_endpoint"}),
    ],
)  # fmt: skip
def test_all_that_is_missing_is_named_at_once(fields: dict[str, Any], missing: set[str]) -> None:
    if not missing:
        Openstack(**fields)
        return
    with pytest.raises(InvalidFields) as caught:
        Openstack(**fields)
    assert set(caught.value.problems) == missing


def test_secrets_do_not_show() -> None:
    secrets = {"token": "s3cret-t", "password": "s3cret-p", "application_credential_secret": "s3cret-a"}
    account = Openstack(auth_url="http://x", application_credential_id="i", **secrets)
    assert "s3cret" not in repr(account)


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("http://k:5000", ("http://k:5000", "")),
        ("http://k:5000/", ("http://k:5000", "")),
        ("http://k:5000/v3", ("http://k:5000", "v3")),
        ("https://k/identity/v3/", ("https://k/identity", "v3")),
        ("https://k/identity//v2.0", ("https://k/identity", "v2.0")),
        ("https://k/v2.0/tokens", ("https://k", "v2.0")),
        ("https://k/v3/auth/tokens/", ("https://k", "v3")),
        ("https://k/v3.14", ("https://k", "v3")),
        ("https://v3.example.org", ("https://v3.example.org", "")),
    ],
)
def test_addresses_are_taken_apart(address: str, found: tuple[str, str]) -> None:
    assert split_auth_url(address) == found


# -- versions ---------------------------------------------------------------------------------------------------------


def test_a_version_document_never_says_where_the_password_goes(service: FakeOpenStack) -> None:
    service.versions = {"v2.0"}  # its document names elsewhere.invalid
    with Openstack(**LOGIN, auth_url=f"{service.url}/v3") as account:
        assert account.check().details["project"] == "demo"
    assert [request.path for request in service.requests] == ["/v3/auth/tokens", "", "/v2.0/tokens"] or [
        request.path for request in service.requests
    ] == ["/v3/auth/tokens", "/", "/v2.0/tokens"]


def test_application_credentials_need_v3(service: FakeOpenStack) -> None:
    service.versions = {"v2.0"}
    fields = {"application_credential_id": "i", "application_credential_secret": "s"}
    with Openstack(auth_url=service.url, **fields) as account, pytest.raises((Rejected, ProviderError)) as caught:
        account.check()
    assert caught.value.reason in ("version", "wrong_path")


def test_a_domain_that_is_wanted(service: FakeOpenStack, account: Openstack) -> None:
    message = "Expecting to find domain in project. The server could not comply with the request"
    service.fault(json_response({"error": {"code": 400, "message": message, "title": "Bad Request"}}, status=400))
    with pytest.raises(Rejected) as caught:
        account.check()
    assert caught.value.reason == "domain"
    assert "user_domain_name" in caught.value.remedy


# -- catalogs ---------------------------------------------------------------------------------------------------------


def test_no_compute_service(service: FakeOpenStack, account: Openstack) -> None:
    service.kinds = ["image", "network"]
    for use in (account.check, lambda: list(account.list_machines())):
        with pytest.raises(ProviderError, match="only: image, network") as caught:
            use()
        assert caught.value.reason == "no_compute"


def test_no_compute_service_at_that_interface(service: FakeOpenStack) -> None:
    with Openstack(**LOGIN, auth_url=service.url, interface="internal") as account:
        with pytest.raises(ProviderError, match="internal interface") as caught:
            account.check()
        assert caught.value.reason == "no_compute"


def test_a_wrong_region_and_none(service: FakeOpenStack) -> None:
    with Openstack(**{**LOGIN, "region": "mars"}, auth_url=service.url) as account:
        with pytest.raises(UnknownRegion) as caught:
            account.check()
        assert "there is region-a.geo-1, region-b.geo-1" in caught.value.problems["region"]
    with Openstack(**{**LOGIN, "region": ""}, auth_url=service.url) as account:
        with pytest.raises(UnknownRegion, match="choose one: region-a.geo-1, region-b.geo-1"):
            account.check()
        service.regions = ["only"]
        account.close()
        assert account.check().details["region"] == "only"


# -- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (Response(200, b"<html>Horizon</html>", {"Content-Type": "text/html"}), ProviderError, ""),
        (Response(302, b"", {"Location": "https://elsewhere.invalid/v3/auth/tokens"}), ProviderError, "redirect"),
        (Response(301, b"", {"Location": "https://elsewhere.invalid/"}), ProviderError, "redirect"),
        (Response(500, b"oh"), ProviderError, ""),
        (Response(502, b"<html>bad gateway</html>", {"Content-Type": "text/html"}), ProviderError, ""),
        (Response(503, b"", {"Retry-After": "5"}), ProviderError, ""),
        (json_response({"error": {"code": 403, "message": "no"}}, status=403), PermissionDenied, ""),
        (json_response({"error": {"message": "slow down"}}, status=429, headers={"Retry-After": "7"}), RateLimited, ""),
        (json_response({"overLimit": {"message": "x"}}, status=413, headers={"Retry-After": "7"}), RateLimited, ""),
        (Response(200, b'{"token": {}}', {"Content-Type": "application/json"}), ProviderError, ""),
        (Response(201, b"[]", {"Content-Type": "application/json"}), ProviderError, ""),
        (json_response(RECEIPT, 401, {"Openstack-Auth-Receipt": "x"}), AuthenticationFailed, "mfa"),
        (Response(401, b"{", {"Openstack-Auth-Receipt": "x"}), ProviderError, "not_openstack"),
        (json_response({"error": {"message": "The password is expired and needs to be changed"}}, status=401),
         AuthenticationFailed, "expired"),
    ],
)  # fmt: skip
def test_what_a_login_may_be_answered_with(
    service: FakeOpenStack, account: Openstack, answer: Response, kind: type[MistError], reason: str
) -> None:
    service.versions = {"v3"}
    service.fault(answer, times=3)
    with pytest.raises(kind) as caught:
        account.check()
    assert type(caught.value) is kind
    if reason:
        assert caught.value.reason == reason
    if kind is RateLimited:
        assert caught.value.retry_after == 7  # type: ignore[attr-defined]
    assert len(service.requests) <= 3


@pytest.mark.parametrize(
    "answer",
    [
        Response(200, b"<html>log in first</html>", {"Content-Type": "text/html"}),
        Response(200, b"{", {"Content-Type": "application/json"}),
        Response(200, b"[]", {"Content-Type": "application/json"}),
        Response(200, b'{"servers": null}', {"Content-Type": "application/json"}),
        Response(302, b"", {"Location": "https://elsewhere.invalid/"}),
        Response(204, b""),
    ],
)
def test_a_listing_that_is_none(service: FakeOpenStack, account: Openstack, answer: Response) -> None:
    account.check()
    service.fault(answer)
    with pytest.raises(ProviderError):
        list(account.list_machines())
    assert list(account.list_machines()) == []


def test_the_token_is_renewed_before_it_expires_and_after(service: FakeOpenStack, account: Openstack) -> None:
    list(account.list_machines())
    list(account.list_machines())
    assert service.logins == 1
    service.good_tokens.clear()
    list(account.list_machines())
    assert service.logins == 2
    service.lifetime = 30  # within a minute of its end it is not used any more
    service.good_tokens.clear()
    list(account.list_machines())
    used = service.logins
    list(account.list_machines())
    assert service.logins > used > 2
    service.lifetime = 3600
    list(account.list_machines())
    used = service.logins
    list(account.list_machines())
    assert service.logins == used


def test_a_token_that_is_never_good_ends(service: FakeOpenStack, account: Openstack) -> None:
    service._new_token = lambda: "bad"  # type: ignore[method-assign]
    with pytest.raises(AuthenticationFailed) as caught:
        list(account.list_machines())
    assert caught.value.reason == "token"
    assert len(service.requests) == 4


# -- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["/v3/auth/tokens", "servers/detail"])
@pytest.mark.parametrize("how", ["silent", "trickling"])
def test_nothing_hangs(service: FakeOpenStack, account: Openstack, where: str, how: str) -> None:
    slow = Response(200, b"x", delay=HANGS) if how == "silent" else Response(200, b"x" * 10_000, chunk_delay=0.05)
    service.fault(slow, where=lambda request: request.path.endswith(where))
    with deadline(0.6), pytest.raises(Unreachable) as caught:
        list(patient(account).list_machines())
    assert caught.value.reason == "timeout"


def test_a_login_that_hangs_does_not_hold_others_up(service: FakeOpenStack, account: Openstack) -> None:
    release = hold(service)
    first = threading.Thread(target=patient(account).check, daemon=True)
    first.start()
    waiting.until(lambda: service.requests, interval=0.02)
    with deadline(0.5), pytest.raises(Unreachable) as caught:
        account.check()
    assert caught.value.reason == "timeout"
    assert first.is_alive()
    release.set()
    first.join()
    account.check()
    assert service.logins == 1


def test_nobody_there() -> None:
    with Openstack(**LOGIN, auth_url="http://127.0.0.1:1") as account, pytest.raises(Unreachable) as caught:
        account.check()
    assert caught.value.reason == "refused"
    with Openstack(**LOGIN, auth_url="http://no-such-host.invalid") as account, pytest.raises(Unreachable) as caught:
        account.check()
    assert caught.value.reason == "dns"


# -- listings ---------------------------------------------------------------------------------------------------------


def listing(service: FakeOpenStack) -> list[Request]:
    return [request for request in service.requests if "detail" in request.path or "images" in request.path]


def embedded(name: str = "m1.tiny") -> dict[str, Any]:
    return {"original_name": name, "vcpus": 1, "ram": 512, "disk": 1}


def test_a_listing_is_two_requests_and_the_next_is_one(service: FakeOpenStack, account: Openstack) -> None:
    service.servers = [
        {"id": f"s{number}", "status": "ACTIVE", "flavor": embedded(), "image": {"id": f"i{number % 3}"}}
        for number in range(30)
    ]
    service.images = [{"id": f"i{number}", "name": f"image-{number}"} for number in range(3)]
    found = list(account.list_machines())
    assert [machine.image for machine in found[:3]] == ["image-0", "image-1", "image-2"]
    assert {machine.size for machine in found} == {"m1.tiny"}
    servers, images = listing(service)
    assert servers.headers["OpenStack-API-Version"] == "compute 2.69"
    assert images.query["id"] == "in:i0,i1,i2"
    list(account.list_machines())
    assert len(listing(service)) == 3


def test_without_name_lookup_a_listing_is_one_request(service: FakeOpenStack) -> None:
    service.servers = [{"id": "s", "status": "ACTIVE", "flavor": {"id": "1"}, "image": {"id": "i1"}}]
    service.flavors = [{"id": "1", "name": "m1.tiny"}]
    service.images = [{"id": "i1", "name": "debian"}]
    with Openstack(**LOGIN, auth_url=service.url, name_lookup=False) as account:
        (machine,) = account.list_machines()
        assert (machine.size, machine.image) == ("1", "i1")
        assert account.get_machine("s") == machine
        assert [image.name for image in account.list_images()] == ["debian"], "what is asked for has its name"
    login, servers, server, _ = service.requests
    assert [login.path, servers.path.rpartition("v2.1")[2]] == ["/v3/auth/tokens", "/servers/detail"]
    for request in (servers, server):
        assert "OpenStack-API-Version" not in request.headers, "higher ones are more work for Nova"


@pytest.mark.parametrize(("highest", "used"), [((2, 96), "2.69"), ((2, 60), "2.60"), ((2, 1), None)])
def test_older_novas_get_what_they_know(
    service: FakeOpenStack, account: Openstack, highest: tuple[int, int], used: str | None
) -> None:
    service.microversion = highest
    service.servers = [{"id": "s", "status": "ACTIVE", "flavor": {"id": "1"}, "image": ""}]
    service.flavors = [{"id": "1", "name": "m1.tiny"}]
    (machine,) = account.list_machines()
    assert machine.size == "m1.tiny"
    assert machine.image == ""
    asked = [request.headers.get("OpenStack-API-Version") for request in listing(service) if "servers" in request.path]
    assert asked[-1] == (f"compute {used}" if used else None)
    before = len(listing(service))
    list(account.list_machines())
    assert len(listing(service)) == before + 1, "what was learned is kept"


def test_names_that_cannot_be_had_leave_the_ids(service: FakeOpenStack, account: Openstack) -> None:
    service.servers = [{"id": "s", "status": "ACTIVE", "flavor": embedded(), "image": {"id": "i1"}}]
    service.images = [{"id": "i1", "name": "debian"}]
    account.check()
    broken = json_response({"message": "x"}, status=500)
    service.fault(broken, where=lambda request: request.path.endswith("/images"))
    assert [machine.image for machine in account.list_machines()] == ["i1"]
    assert [machine.image for machine in account.list_machines()] == ["debian"], "a failure is not remembered"


def test_pages_of_every_size(service: FakeOpenStack, account: Openstack) -> None:
    service.servers = [{"id": f"s{number}", "status": "ACTIVE", "flavor": embedded()} for number in range(7)]
    for page in (1, 2, 7, 8):
        service.page = page
        assert [machine.id for machine in account.list_machines()] == [f"s{number}" for number in range(7)]


def test_pages_that_go_in_circles_end(service: FakeOpenStack, account: Openstack) -> None:
    body = {"servers": [{"id": "s1"}], "servers_links": [{"rel": "next", "href": "http://x/?marker=s1"}]}
    service.fault(json_response(body), times=50, where=lambda request: request.path.endswith("servers/detail"))
    with pytest.raises(ProviderError) as caught:
        list(account.list_machines())
    assert caught.value.reason == "paging"


def test_a_page_that_leads_back_to_itself_once_is_asked_for_again(service: FakeOpenStack, account: Openstack) -> None:
    service.servers = [{"id": f"s{number}", "status": "ACTIVE", "flavor": embedded()} for number in range(6)]
    service.page = 2
    again = {"servers": [{"id": "s1"}], "servers_links": [{"rel": "next", "href": "http://x/?marker=s1"}]}
    service.fault(json_response(again), where=lambda request: request.query.get("marker") == "s1")
    assert [machine.id for machine in account.list_machines()] == [f"s{number}" for number in range(6)]
    gone = json_response({"badRequest": {"code": 400, "message": "marker [s3] not found"}}, status=400)
    service.fault(gone, where=lambda request: request.query.get("marker") == "s3")
    assert [machine.id for machine in account.list_machines()] == [f"s{number}" for number in range(6)]


def test_image_and_network_addresses_with_version_and_project(service: FakeOpenStack, account: Openstack) -> None:
    service.images = [{"id": "1", "name": "one"}]
    for version in ("v2.0", "v3"):
        service.versions = {version}
        account.close()
        assert [image.name for image in account.list_images()] == ["one"]
    paths = [request.path for request in service.requests if "images" in request.path]
    assert paths == ["/region-a.geo-1/image/v2/p1/images", "/region-a.geo-1/image/v2/images"]
