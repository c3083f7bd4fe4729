"""Every way into a real Keystone, and every wrong way."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from fakes.openstack import Forwarder
from fakes.patience import patient
from peers.openstack_cloud import OpenStackCloud

from mistcore import Machine
from mistcore.errors import AuthenticationFailed, MistError, ProviderError, UnknownRegion, Unreachable
from mistcore.testing.server import FakeService
from mistcore_providers.openstack import Openstack

pytestmark = pytest.mark.timeout(300, func_only=True)

Opener = Callable[..., Openstack]


@pytest.fixture
def opened(openstack_cloud: OpenStackCloud) -> Iterator[Opener]:
    """Make accounts of the demo user, with fields changed or (None) left out; closed in the end."""
    made: list[Openstack] = []

    def make(**fields: Any) -> Openstack:
        given = {**openstack_cloud.login(), **fields}
        made.append(patient(Openstack(**{name: value for name, value in given.items() if value is not None})))
        return made[-1]

    yield make
    for account in made:
        account.close()


@pytest.fixture(scope="module")
def keystone(openstack_cloud: OpenStackCloud) -> Any:
    return openstack_cloud.api("identity")


@pytest.fixture(scope="module")
def far_domain(openstack_cloud: OpenStackCloud) -> dict[str, str]:
    """A user and a project outside the default domain."""
    return openstack_cloud.add_user("far", project="far-project", domain="far-domain")


@pytest.fixture(scope="module")
def app_credential(openstack_cloud: OpenStackCloud) -> dict[str, str]:
    return openstack_cloud.add_application_credential("ci")


def root(cloud: OpenStackCloud) -> str:
    return cloud.auth_url.removesuffix("/v3")


# -- ways in ----------------------------------------------------------------------------------------------------------


def test_a_password_proves_user_project_and_region_in_one_request(
    openstack_cloud: OpenStackCloud, opened: Opener
) -> None:
    with Forwarder(root(openstack_cloud)) as front:
        account = opened(auth_url=f"{front.url}/v3", region="RegionOne").check()
        assert [(request.method, request.path) for request in front.requests] == [("POST", "/v3/auth/tokens")]
    assert account.name == "demo / demo"
    assert account.id == account.details["user_id"]
    assert account.details["project"] == "demo"
    assert account.details["roles"] == ["member", "reader"]
    assert account.details["regions"] == ["RegionOne"]
    assert account.details["region"] == "RegionOne"
    assert account.details["compute_endpoint"] == openstack_cloud.compute_url
    assert account.permissions is None
    assert account.warnings == ("Credentials and tokens go over plain HTTP, readable by everybody in between.",)


@pytest.mark.parametrize(
    ("tail", "requests"),
    [("", 1), ("/", 1), ("/v3", 1), ("/v3/", 1), ("/v3/auth/tokens", 1), ("/v2.0", 3), ("/v2.0/", 3)],
)
def test_the_address_may_name_any_version_or_none(
    openstack_cloud: OpenStackCloud, opened: Opener, tail: str, requests: int
) -> None:
    with Forwarder(root(openstack_cloud)) as front:
        account = opened(auth_url=front.url + tail)
        assert account.check().details["project"] == "demo"
        assert len(front.requests) == requests, [request.path for request in front.requests]
        assert list(account.list_machines()) == []
        assert len(front.requests) == requests, "the token is kept"


def test_the_region_is_found_in_whatever_case(opened: Opener) -> None:
    assert opened(region="regionone").check().details["region"] == "RegionOne"


def test_domains_by_name_and_by_id(opened: Opener, far_domain: dict[str, str]) -> None:
    login = {"username": "far", "password": "far-secret", "tenant_name": "far-project"}
    by_name = opened(**login, user_domain_name="far-domain").check()
    assert by_name.details["project_domain"] == "far-domain", "a project is looked for in the user's domain"
    by_id = opened(**login, user_domain_id=far_domain["domain_id"], project_domain_id=far_domain["domain_id"]).check()
    assert by_id.id == by_name.id
    crossed = opened(**login, user_domain_name="far-domain", project_domain_name="Default")
    with pytest.raises(AuthenticationFailed) as caught:
        crossed.check()
    assert caught.value.reason == "project"


def test_a_project_by_its_id(opened: Opener) -> None:
    project = opened().check().details["project_id"]
    assert opened(tenant_name=None, project_id=project).check().details["project"] == "demo"


def test_an_application_credential(opened: Opener, app_credential: dict[str, str]) -> None:
    none: dict[str, Any] = dict.fromkeys(("username", "password", "tenant_name"))
    secret = {"application_credential_secret": app_credential["secret"]}
    by_id = opened(**none, **secret, application_credential_id=app_credential["id"])
    assert by_id.check().details["project"] == "demo"
    assert list(by_id.list_machines()) == []
    named = {**none, "username": "demo"}
    assert opened(**named, **secret, application_credential_name="ci").check().details["project"] == "demo"
    with pytest.raises(AuthenticationFailed, match="application credential"):
        opened(**none, application_credential_id=app_credential["id"], application_credential_secret="wrong").check()


def test_a_token_is_used_as_it_is(openstack_cloud: OpenStackCloud, opened: Opener) -> None:
    token = openstack_cloud.api("compute", "demo").session.get_token()
    none: dict[str, Any] = dict.fromkeys(("username", "password", "tenant_name"))
    with Forwarder(root(openstack_cloud)) as front:
        account = opened(**none, auth_url=front.url, token=token)
        assert account.check().details["project"] == "demo"
        assert [request.method for request in front.requests] == ["GET"], "no token is made"
    assert list(account.list_machines()) == []
    assert opened(**{**none, "tenant_name": "demo"}, token=token).check().details["project"] == "demo"


def test_an_unscoped_token_is_traded_for_one_of_the_project(openstack_cloud: OpenStackCloud, opened: Opener) -> None:
    none: dict[str, Any] = dict.fromkeys(("username", "password", "tenant_name"))
    token = openstack_cloud.unscoped_token("demo")
    assert opened(**{**none, "tenant_name": "demo"}, token=token).check().details["project"] == "demo"
    with pytest.raises(ProviderError) as caught:
        opened(**none, token=token).check()
    assert caught.value.reason == "no_project"
    assert "tenant_name" in caught.value.remedy
    with pytest.raises(AuthenticationFailed):
        opened(**{**none, "tenant_name": "no-such"}, token=token).check()


def test_an_entry_of_clouds_yaml(
    openstack_cloud: OpenStackCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    auth = {"auth_url": openstack_cloud.auth_url, "username": "demo", "project_name": "demo",
            "user_domain_name": "Default", "project_domain_id": "default"}  # fmt: skip
    config = tmp_path / "home" / ".config" / "openstack"
    config.mkdir(parents=True)
    (config / "clouds.yaml").write_text(json.dumps({"clouds": {"mine": {"auth": auth, "region_name": "RegionOne"}}}))
    (config / "secure.yaml").write_text(json.dumps({"clouds": {"mine": {"auth": {"password": "demo-secret"}}}}))
    with Openstack(cloud="mine") as account:
        assert account.check().details["project"] == "demo"
        assert list(account.list_machines()) == []
    with Openstack(cloud="mine", password="wrong") as account, pytest.raises(AuthenticationFailed):
        account.check()
    with Openstack(cloud="mine", region="Nowhere") as account, pytest.raises(UnknownRegion, match="RegionOne"):
        account.check()


def test_a_compute_endpoint_takes_the_place_of_the_catalog(openstack_cloud: OpenStackCloud, opened: Opener) -> None:
    host = openstack_cloud.compute_url.removesuffix("/v2.1")
    with Forwarder(host) as front:
        for address in (front.url, f"{front.url}/v2.1"):
            account = opened(compute_endpoint=address)
            assert account.check().details["compute_endpoint"] == f"{front.url}/v2.1"
            assert list(account.list_machines()) == []
        assert [request.path for request in front.requests] == ["/v2.1/servers/detail"] * 2
        front.stop()
        with pytest.raises(Unreachable) as caught:
            list(opened(compute_endpoint=front.url).list_machines())
    assert caught.value.reason == "refused"


# -- wrong ways in ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "kind", "reason", "words"),
    [
        ({"password": "wrong"}, AuthenticationFailed, "", "does not accept the user name and password"),
        ({"username": "nobody"}, AuthenticationFailed, "", "does not accept the user name and password"),
        ({"username": "far", "password": "far-secret", "tenant_name": "far-project"}, AuthenticationFailed, "",
         "give user_domain_name"),
        ({"user_domain_name": "no-such-domain"}, AuthenticationFailed, "", "and the domain"),
        ({"tenant_name": "no-such"}, AuthenticationFailed, "project", "there is no project 'no-such' for this user"),
        ({"tenant_name": "admin"}, AuthenticationFailed, "project", "Projects open to this user: demo."),
        ({"tenant_name": None, "project_id": "0" * 32}, AuthenticationFailed, "project", "open to this user: demo."),
        ({"region": "Nowhere"}, UnknownRegion, "", "there is no region 'Nowhere' for this account; there is RegionOne"),
        ({"token": "gAAAAA-not-a-token"}, AuthenticationFailed, "expired", "Get a new token"),
        ({"interface": "internal"}, None, "", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_apart(
    opened: Opener,
    far_domain: dict[str, str],
    fields: dict[str, Any],
    kind: type[MistError] | None,
    reason: str,
    words: str,
) -> None:
    account = opened(**fields)
    if kind is None:
        assert account.check().name == "demo / demo"
        return
    with pytest.raises(kind) as caught:
        account.check()
    assert caught.value.reason == reason
    assert words in str(caught.value)
    assert "demo-secret" not in str(caught.value)
    assert caught.value.provider == account.id
    with pytest.raises(kind):
        list(account.list_machines())


@pytest.mark.parametrize("tail", ["/identity", "/no/such/path/v3", "/v3/users"])
def test_a_wrong_path(openstack_cloud: OpenStackCloud, opened: Opener, tail: str) -> None:
    with pytest.raises(ProviderError) as caught:
        opened(auth_url=root(openstack_cloud) + tail).check()
    assert caught.value.reason == "wrong_path"
    assert "OS_AUTH_URL" in caught.value.remedy


def test_the_address_of_another_service(openstack_cloud: OpenStackCloud, opened: Opener) -> None:
    for address in (openstack_cloud.compute_url, openstack_cloud.compute_url.removesuffix("/v2.1")):
        with pytest.raises((ProviderError, AuthenticationFailed)) as caught:
            opened(auth_url=address).check()
        assert caught.value.reason in ("wrong_path", "not_openstack"), caught.value


def test_a_disabled_user_and_a_deleted_credential(
    openstack_cloud: OpenStackCloud, opened: Opener, keystone: Any
) -> None:
    user = openstack_cloud.add_user("leaver", project="demo")
    login = {"username": "leaver", "password": "leaver-secret"}
    assert opened(**login).check().name == "leaver / demo"
    keystone.patch(f"/users/{user['user_id']}", json={"user": {"enabled": False}})
    with pytest.raises(AuthenticationFailed):
        opened(**login).check()


# -- tokens -----------------------------------------------------------------------------------------------------------


def test_a_revoked_token_is_renewed_by_itself(openstack_cloud: OpenStackCloud, opened: Opener, keystone: Any) -> None:
    with Forwarder(root(openstack_cloud)) as front:
        account = opened(auth_url=front.url)
        account.check()
        token = account._cloud().access().auth_token
        keystone.delete("/auth/tokens", headers={"X-Subject-Token": token})
        # Nova has not seen this token yet: it keeps what Keystone says about one for five minutes.
        assert list(account.list_machines()) == []
        assert len(front.requests) == 2
        assert account._cloud().access().auth_token != token


def test_nothing_is_written_to_disk(opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    account = opened()
    account.check()
    list(account.list_machines())
    account.close()
    assert sorted(tmp_path.rglob("*")) == before


# -- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_keystone(openstack_cloud: OpenStackCloud, authority: trustme.CA) -> Iterator[FakeService]:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with Forwarder(root(openstack_cloud), tls=context) as front:
        yield front


def test_a_certificate_of_its_own(
    opened: Opener, tls_keystone: FakeService, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unreachable) as caught:
        opened(auth_url=tls_keystone.url).check()
    assert caught.value.reason == "tls"
    assert "ca_cert" in caught.value.remedy
    assert tls_keystone.requests == [], "no password is sent before the certificate is known to be right"

    pem = authority.cert_pem.bytes().decode()
    path = tmp_path / "ca.pem"
    path.write_text(pem)
    other = trustme.CA()
    wrong = tmp_path / "other.pem"
    wrong.write_bytes(other.cert_pem.bytes())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(wrong))
    for ca_cert in (str(path), pem):
        account = opened(auth_url=tls_keystone.url, ca_cert=ca_cert).check()
        assert account.warnings == ()
    with pytest.raises(Unreachable):
        opened(auth_url=tls_keystone.url, ca_cert=str(wrong)).check()
    loose = opened(auth_url=tls_keystone.url, verify=False).check()
    assert any("not verified" in warning for warning in loose.warnings)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    assert opened(auth_url=tls_keystone.url).check().warnings == ()


# -- from the manager -------------------------------------------------------------------------------------------------


def test_through_the_manager(openstack_cloud: OpenStackCloud) -> None:
    from mistcore import BackendManager

    client = BackendManager()
    with pytest.raises(AuthenticationFailed):
        client.add_backend(provider="openstack", **{**openstack_cloud.login(), "password": "wrong"})
    assert client.backends() == []
    backend = client.add_backend(provider="openstack", title="Lab", region="RegionOne", **openstack_cloud.login())
    assert backend.check().name == "demo / demo"
    created = backend.create_machine(name="managed", image="debian-12", size="m1.tiny", network="none")
    running = created.wait_for("running", timeout=180, interval=0.3)
    assert isinstance(running, Machine)
    assert [machine.name for machine in client.machines(search="managed")] == ["managed"]
    assert "stop" in running.actions
    running.destroy()
    assert created.wait_for("terminated", timeout=180, interval=0.3).id == created.id


def test_the_password_is_nowhere_in_an_error(opened: Opener) -> None:
    password = "hunter2-" + base64.b64encode(b"x" * 12).decode()
    account = opened(password=password)
    assert password not in repr(account)
    with pytest.raises(AuthenticationFailed) as caught:
        account.check()
    error: BaseException | None = caught.value
    while error is not None:
        assert password not in repr(error)
        assert password not in str(error)
        error = error.__cause__ or error.__context__
