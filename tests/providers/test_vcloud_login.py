"""What vcloud takes to log in, its sessions and the versions that it agrees on, in JSON and in XML."""

from __future__ import annotations

import base64
import threading

import pytest
from fakes import vcloud_accounts
from fakes.patience import HANGS, patient
from fakes.vcloud import FakeVcloud, uuid_of
from fakes.vcloud_accounts import account, running

from mistcore import AuthenticationFailed, InvalidFields, Registry, Rejected
from mistcore.testing.server import json_response
from mistcore_providers._vcloud_session import base_address
from mistcore_providers.indonesian_vcloud import IndonesianVcloud
from mistcore_providers.vcloud import Vcloud

cloud = vcloud_accounts.cloud
new_cloud = vcloud_accounts.new_cloud

# -- the declaration --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "bad"),
    [
        ({"host": "x", "organization": "o"}, {"username", "password"}),
        ({"host": "x", "organization": "o", "username": "u"}, {"password"}),
        ({"host": "x", "organization": "o", "api_token": "t", "password": "p"}, {"api_token"}),
        ({"username": "u", "password": "p"}, {"host", "organization"}),
    ],
)
def test_fields_that_do_not_fit(fields: dict[str, str], bad: set[str]) -> None:
    with pytest.raises(InvalidFields) as caught:
        Vcloud(**fields)
    assert set(caught.value.problems) == bad


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("vcd.example.com", "https://vcd.example.com"),
        ("vcd.example.com:8443/", "https://vcd.example.com:8443"),
        ("https://vcd.example.com/tenant/acme/vdcs", "https://vcd.example.com"),
        ("https://vcd.example.com/cloud/org/Acme", "https://vcd.example.com"),
        ("http://vcd.example.com/api/", "http://vcd.example.com"),
        ("https://proxy.example.com/vcd/api", "https://proxy.example.com/vcd"),
        ("https://hpc.example.host", "https://hpc.example.host"),
        ("[fd00::1]:444", "https://[fd00::1]:444"),
    ],
)
def test_hosts_are_taken_as_people_write_them(host: str, address: str) -> None:
    assert base_address(host) == address


@pytest.mark.parametrize("host", ["not a host", "ftp://vcd.example.com", "https://"])
def test_hosts_that_are_none(host: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        Vcloud(host=host, organization="o", api_token="t").check()
    assert list(caught.value.problems) == ["host"]


def test_indonesian_cloud_is_a_vcloud_with_an_address() -> None:
    assert Registry()["indonesian_vcloud"] is IndonesianVcloud
    fields = {field.name: field for field in IndonesianVcloud.fields()}
    assert fields["host"].default == "compute.idcloudonline.com"
    assert not fields["host"].required
    assert [field.name for field in IndonesianVcloud.fields() if field.required] == ["organization"]
    assert IndonesianVcloud.operations() == Vcloud.operations()
    with FakeVcloud() as cloud:
        machine = running(cloud)
        provider = IndonesianVcloud(host=cloud.url, organization="acme", username="jane", password="s3cret")
        assert [one.id for one in provider.list_machines()] == [machine.id]


# -- logging in -------------------------------------------------------------------------------------------------------


def test_the_newest_version_that_is_not_deprecated_is_spoken(new_cloud: FakeVcloud) -> None:
    new_cloud.versions = (("9.0", False), ("38.1", False), ("37.3", False), ("39.0", True), ("nonsense", False))
    assert account(new_cloud).check().details["api_version"] == "38.1"
    accepted = {request.headers["Accept"] for request in new_cloud.requests[1:]}
    assert all(accept.endswith("version=38.1") for accept in accepted)
    new_cloud.versions = (("35.0", True), ("36.1", True))
    assert account(new_cloud).check().details["api_version"] == "36.1"


def test_check(cloud: FakeVcloud) -> None:
    running(cloud)
    cloud.add_template("debian")
    found = account(cloud).check()
    assert found.name == "jane@Acme"
    assert found.details["organization"] == "Acme"
    assert found.details["machines"] == 1
    assert found.warnings == ()


def test_check_tells_what_the_role_allows(new_cloud: FakeVcloud) -> None:
    found = account(new_cloud).check()
    assert found.id == f"urn:vcloud:user:{uuid_of('user', 'jane')}"
    assert found.details["roles"] == ["vApp User"]
    assert found.permissions is not None
    assert {"start_machine", "destroy_machine", "list_machines"} <= found.permissions
    assert not {"create_machine", "rename_machine"} & found.permissions
    new_cloud.rights = None  # most users may not read their own role
    assert account(new_cloud).check().permissions is None


@pytest.mark.parametrize("wrong", [{"password": "wr0ng-one"}, {"username": "joe"}, {"organization": "Other"}])
def test_wrong_credentials(cloud: FakeVcloud, wrong: dict[str, str]) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        account(cloud, **wrong).check()
    assert "wr0ng-one" not in str(caught.value)
    assert base64.b64encode(b"jane@Acme:wr0ng-one").decode() not in str(caught.value)


def test_letters_of_any_language_in_a_password(new_cloud: FakeVcloud) -> None:
    new_cloud.users[("jane", "acme")] = "пароль:with:colons"
    assert account(new_cloud, password="пароль:with:colons").check()


@pytest.mark.parametrize("vcfa", [False, True])
def test_api_tokens(vcfa: bool) -> None:
    with FakeVcloud(vcfa=vcfa) as cloud:
        found = account(cloud, api_token="api-token-1").check()
        assert found.name == "jane@Acme"
        token = "api-token-of-nobody"
        with pytest.raises(AuthenticationFailed) as caught:
            account(cloud, api_token=token).check()
        assert token not in str(caught.value)


def test_the_installations_own_administrators(new_cloud: FakeVcloud) -> None:
    machine = running(new_cloud)
    system = account(new_cloud, organization="System", username="admin", password="pr0vider")
    assert system.check().name == "admin@System"
    assert [one.id for one in system.list_machines()] == [machine.id]
    assert new_cloud.requests[1].path == "/cloudapi/1.0.0/sessions/provider"
    assert [one.name for one in system.list_locations()] == ["east"]
    by_token = account(new_cloud, organization="System", api_token="api-token-2")
    assert by_token.check().name == "admin@System"
    new_cloud.sessions.clear()
    assert [one.id for one in by_token.list_machines()] == [machine.id]


def test_sessions_are_closed_when_done(cloud: FakeVcloud) -> None:
    provider = account(cloud)
    provider.check()
    assert len(cloud.sessions) == 1
    provider.close()
    assert cloud.sessions == {}
    provider.close()
    assert list(provider.list_machines()) == []  # and made anew when needed


def test_a_logout_that_is_not_answered_is_not_waited_for(new_cloud: FakeVcloud) -> None:
    provider = patient(account(new_cloud))
    provider.check()
    new_cloud.latency = HANGS
    provider.close()
    assert len(new_cloud.sessions) == 1


def test_one_login_for_everything(cloud: FakeVcloud) -> None:
    provider = account(cloud)
    provider.check()
    threads = [threading.Thread(target=lambda: list(provider.list_machines())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(request.path.endswith("/sessions") for request in cloud.requests) == 1


def test_a_session_that_is_over_is_made_anew(cloud: FakeVcloud) -> None:
    machine = running(cloud)
    provider = account(cloud)
    provider.check()
    cloud.sessions.clear()
    assert [one.id for one in provider.list_machines()] == [machine.id]
    cloud.sessions.clear()
    provider.suspend_machine(machine.id)
    assert machine.status == "SUSPENDED"


def test_credentials_that_stop_being_good(cloud: FakeVcloud) -> None:
    provider = account(cloud)
    provider.check()
    cloud.sessions.clear()
    cloud.users.clear()
    with pytest.raises(AuthenticationFailed):
        list(provider.list_machines())


def test_a_version_that_is_taken_back_is_agreed_on_again(new_cloud: FakeVcloud) -> None:
    machine = running(new_cloud)
    provider = account(new_cloud)
    assert provider.check().details["api_version"] == "38.1"
    new_cloud.versions = (("36.0", False), ("37.3", False))
    assert [one.id for one in provider.list_machines()] == [machine.id]
    assert provider.check().details["api_version"] == "37.3"
    assert len(new_cloud.sessions) == 1


def test_a_version_that_is_never_taken(new_cloud: FakeVcloud) -> None:
    refusal = json_response({"minorErrorCode": "NOT_ACCEPTABLE", "message": "The version is not supported"}, 406)
    provider = account(new_cloud)
    provider.check()
    new_cloud.fault(refusal, times=50, where=lambda request: request.path == "/api/query")
    with pytest.raises(Rejected) as caught:
        list(provider.list_machines())
    assert caught.value.reason == "version"
