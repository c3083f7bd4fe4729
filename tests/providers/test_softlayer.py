"""SoftLayer: its key, its limits and its declaration, against a stand-in that IBM's own client accepts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from fakes import softlayer_fixtures as fixtures
from fakes.authority import throwaway_authority
from fakes.softlayer import API_KEY, USERNAME, FakeSoftLayer, missing, problem
from fakes.softlayer_fixtures import PUBLIC_KEY, WHOLE, asked

from mistcore import (
    AuthenticationFailed,
    InvalidFields,
    MachineNotFound,
    PermissionDenied,
    RateLimited,
    Registry,
    Rejected,
)
from mistcore_providers.softlayer import SoftLayer

service = fixtures.service
softlayer = fixtures.softlayer


def with_permissions(service: FakeSoftLayer, *permissions: str) -> SoftLayer:
    service.users["limited", "k" * 64] = set(permissions)
    return SoftLayer(username="limited", api_key="k" * 64, endpoint=service.url)


# -- the stand-in itself ----------------------------------------------------------------------------------------------


def test_ibms_own_client_leads_the_same_life_of_a_machine(tmp_path: Path) -> None:
    # Not by the fixture: this client asks for passwords.
    import SoftLayer as Official

    context, bundle = throwaway_authority(tmp_path)
    with FakeSoftLayer(tls=context) as service:

        def client_of(key: str) -> Any:
            transport = Official.RestTransport(endpoint_url=f"{service.url}/rest/v3.1", verify=bundle)
            return Official.BaseClient(
                auth=Official.BasicHTTPAuthentication(USERNAME, key),
                transport=transport,
                config_file=str(tmp_path / "none"),
            )

        client = client_of(API_KEY)
        manager = Official.VSManager(client)
        key = Official.SshKeyManager(client).add_key(PUBLIC_KEY, "me")
        created = manager.create_instance(
            hostname="web-1", domain="example.com", flavor="B1_2X4X100", datacenter="sjc01", os_code="DEBIAN_12_64",
            hourly=True, ssh_keys=[key["id"]], tags="web, env:prod",
        )  # fmt: skip
        number = created["id"]
        assert service.guests[number]["_body"]["sshKeys"] == [{"id": key["id"]}]
        assert manager.get_instance(number)["activeTransaction"]["transactionStatus"]["name"] == "ASSIGN_HOST"
        service.finish(number)

        def power() -> str:
            return str(client.call("Virtual_Guest", "getPowerState", id=number)["keyName"])

        steps = (
            ("powerOffSoft", "HALTED"), ("powerOn", "RUNNING"), ("rebootSoft", "RUNNING"), ("pause", "PAUSED"),
            ("resume", "RUNNING"), ("powerOff", "HALTED"),
        )  # fmt: skip
        for method, state in steps:
            assert client.call("Virtual_Guest", method, id=number) is True
            assert power() == state
        assert manager.edit(number, hostname="web-2") is True
        (listed,) = manager.list_instances()
        assert listed["fullyQualifiedDomainName"] == "web-2.example.com"
        whole = manager.get_instance(number)
        assert [reference["tag"]["name"] for reference in whole["tagReferences"]] == ["web", " env:prod"]
        assert whole["operatingSystem"]["passwords"][0]["password"]
        hardware = service.add_hardware()
        bare_metal = Official.HardwareManager(client)
        assert [row["hostname"] for row in bare_metal.list_hardware()] == ["db-1"]
        assert bare_metal.get_hardware(hardware["id"])["hardwareStatus"]["status"] == "ACTIVE"
        assert client.call("Hardware_Server", "powerOff", id=hardware["id"]) is True
        assert client.call("Hardware_Server", "getServerPowerState", id=hardware["id"]) == "off"
        assert len(Official.NetworkManager(client).list_vlans()) == 2
        assert client.call("Virtual_Guest", "getCreateObjectOptions")["processors"][0]["template"]["startCpus"] == 1
        assert manager.cancel_instance(number) is True
        assert manager.list_instances() == []
        with pytest.raises(Official.SoftLayerAPIError, match="Unable to find object"):
            client.call("Virtual_Guest", "getObject", id=number)
        with pytest.raises(Official.SoftLayerAPIError, match="Invalid API token"):
            client_of("wrong").call("Account", "getCurrentUser")


# -- check ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", "/", "/rest/v3.1", "/rest/v3.1/"])
def test_check_says_whose_key_it_is(service: FakeSoftLayer, suffix: str) -> None:
    softlayer = SoftLayer(username=USERNAME, api_key=API_KEY, endpoint=service.url + suffix)
    service.masks = []
    account = softlayer.check()
    assert (account.id, account.name) == ("282402", "Example Ltd")
    assert account.details == {"username": USERNAME, "email": "ops@example.com", "company": "Example Ltd"}
    assert account.permissions == frozenset(SoftLayer.operations())
    assert "master user" in account.warnings[0]
    assert asked(service) == ["GET Account/getCurrentUser.json"]


def test_a_user_who_may_not_see_the_company_is_good(service: FakeSoftLayer, softlayer: SoftLayer) -> None:
    service.fault(
        problem(500, "You do not have permission"), where=lambda one: "companyName" in one.query["objectMask"]
    )
    account = with_permissions(service, "HARDWARE_VIEW").check()
    assert (account.id, account.name, account.permissions) == ("282402", "limited", None)


def test_a_limit_of_the_account_is_told_apart(service: FakeSoftLayer, softlayer: SoftLayer) -> None:
    service.fault(problem(500, "The account has reached its limit of virtual servers", "SoftLayer_Exception_Order"))
    with pytest.raises(Rejected, match="reached its limit") as caught:
        softlayer.create_machine(**WHOLE)
    assert caught.value.reason == "quota"


def test_an_ibm_cloud_api_key_goes_with_the_word_apikey(service: FakeSoftLayer) -> None:
    service.users["apikey", "iam-key"] = {"HARDWARE_VIEW"}
    assert SoftLayer(username="apikey", api_key="iam-key", endpoint=service.url).check().id == "282402"


FREE = {"check", "list_sizes", "list_images", "list_locations", "list_networks"}
POWER = {"start_machine", "stop_machine", "reboot_machine", "pause_machine", "resume_machine"}


@pytest.mark.parametrize(
    ("held", "allowed"),
    [
        ({"VIRTUAL_GUEST_VIEW"}, {"list_machines", "get_machine"}),
        ({"HARDWARE_VIEW", "REMOTE_MANAGEMENT"}, {"list_machines", "get_machine"} | POWER),
        ({"HOSTNAME_EDIT", "SERVER_ADD"}, {"rename_machine", "create_machine"}),
        ({"SERVER_CANCEL"}, {"destroy_machine"}),
    ],
)
def test_permissions_become_operations_and_are_true(service: FakeSoftLayer, held: set[str], allowed: set[str]) -> None:
    softlayer = with_permissions(service, *held)
    account = softlayer.check()
    assert account.permissions == FREE | allowed
    assert bool(account.warnings) == ("list_machines" not in allowed)
    machine_id = str(service.add_guest()["id"])
    trials = {
        "stop_machine": lambda: softlayer.stop_machine(machine_id),
        "start_machine": lambda: softlayer.start_machine(machine_id),
        "rename_machine": lambda: softlayer.rename_machine(machine_id, "web-2"),
        "create_machine": lambda: softlayer.create_machine(**WHOLE),
        "destroy_machine": lambda: softlayer.destroy_machine(machine_id),
    }
    for name, trial in trials.items():
        if name in allowed:
            trial()
        else:
            with pytest.raises(PermissionDenied, match="do not have permission"):
                trial()


def test_wrong_credentials(service: FakeSoftLayer) -> None:
    wrong = SoftLayer(username=USERNAME, api_key="0" * 64, endpoint=service.url)
    for ask in (wrong.check, lambda: list(wrong.list_machines()), lambda: wrong.start_machine("7")):
        with pytest.raises(AuthenticationFailed, match="Invalid API token.*user name apikey") as caught:
            ask()
        assert "0000" not in str(caught.value)
    assert caught.value.provider == "softlayer"


def test_rate_limits(service: FakeSoftLayer, softlayer: SoftLayer) -> None:
    refusal = problem(429, "Too many requests", "SoftLayer_Exception_WebService_RateLimitExceeded")
    refusal.headers["Retry-After"] = "3600"
    service.fault(refusal)
    with pytest.raises(RateLimited) as caught:
        softlayer.check()
    assert caught.value.retry_after == 3600
    refusal = problem(500, "Rate limit exceeded", "SoftLayer_Exception_WebService_RateLimitExceeded")
    refusal.headers["Retry-After"] = "3600"
    service.fault(refusal)
    with pytest.raises(RateLimited):
        softlayer.check()


# -- the declaration --------------------------------------------------------------------------------------------------


def test_the_declaration() -> None:
    provider = Registry()["softlayer"]
    assert provider.title == "SoftLayer"
    assert [field.name for field in provider.fields()] == ["username", "api_key", "endpoint"]
    assert "secret-key" not in repr(SoftLayer(username="me", api_key="secret-key"))
    with pytest.raises(InvalidFields) as caught:
        provider()
    assert set(caught.value.problems) == {"username", "api_key"}


def test_what_is_not_there_is_a_machine_only_where_one_was_asked_for(
    service: FakeSoftLayer, softlayer: SoftLayer
) -> None:
    for status in (404, 500):
        answer = attrs.evolve(missing("1"), status=status)
        service.fault(answer, times=2)
        with pytest.raises(Rejected) as caught:
            softlayer.check()
        assert caught.value.reason == "not_found"
        service.fault(answer)
        with pytest.raises(MachineNotFound):
            softlayer.start_machine("1")
