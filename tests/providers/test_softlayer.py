"""SoftLayer, against a stand-in that IBM's own client accepts."""

from __future__ import annotations

import base64
import json
import ssl
import xmlrpc.client
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest
import trustme
from fakes.softlayer import API_KEY, USERNAME, FakeSoftLayer, missing, problem

from mistcore import (
    AuthenticationFailed,
    InvalidFields,
    Machine,
    MachineNotFound,
    MachineState,
    PermissionDenied,
    ProviderError,
    RateLimited,
    Registry,
    Rejected,
)
from mistcore.testing.server import FakeService, Request, Response, json_response
from mistcore_providers.softlayer import SoftLayer

PUBLIC_KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes(range(32))).decode() + " me@desk"
WHOLE: dict[str, Any] = {
    "name": "web-1.example.com", "image": "DEBIAN_12_64", "size": "B1_2X4X100", "location": "sjc01",
}  # fmt: skip


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def service(ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSoftLayer]:
    """SoftLayer over TLS; nobody ever asks it for a password."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    bundle = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(bundle))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(bundle))
    with FakeSoftLayer(tls=context) as fake:
        yield fake
        assert not any("password" in mask.lower() or "Account" in mask for mask in fake.masks)


@pytest.fixture
def softlayer(service: FakeSoftLayer) -> Iterator[SoftLayer]:
    with SoftLayer(username=USERNAME, api_key=API_KEY, endpoint=service.url) as provider:
        yield provider


def with_permissions(service: FakeSoftLayer, *permissions: str) -> SoftLayer:
    service.users["limited", "k" * 64] = set(permissions)
    return SoftLayer(username="limited", api_key="k" * 64, endpoint=service.url)


def asked(service: FakeSoftLayer) -> list[str]:
    return [f"{one.method} {one.path.removeprefix('/rest/v3.1/SoftLayer_')}" for one in service.requests]


# -- the stand-in itself ----------------------------------------------------------------------------------------------


def test_ibms_own_client_leads_the_same_life_of_a_machine(ca: trustme.CA, tmp_path: Path) -> None:
    # Not by the fixture: this client asks for passwords.
    import SoftLayer as Official

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    bundle = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(bundle))
    with FakeSoftLayer(tls=context) as service:

        def client_of(key: str) -> Any:
            transport = Official.RestTransport(endpoint_url=f"{service.url}/rest/v3.1", verify=str(bundle))
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


# -- the life of a machine --------------------------------------------------------------------------------------------


def test_the_whole_life_of_a_virtual_server(service: FakeSoftLayer, softlayer: SoftLayer) -> None:
    created = softlayer.create_machine(
        "web-1.example.com",
        image="DEBIAN_12_64",
        size="B1_2X4X100",
        location="sjc01",
        network=["501", "502"],
        key=PUBLIC_KEY,
        user_data="#cloud-config",
        tags={"web": "", "env": "prod"},
    )
    assert (created.name, created.state, created.region) == ("web-1", MachineState.PENDING, "sjc01")
    (key,) = service.keys.values()
    assert (key["label"], key["key"]) == ("me@desk", PUBLIC_KEY)
    assert service.guests[int(created.id)]["_body"] == {
        "hostname": "web-1",
        "domain": "example.com",
        "hourlyBillingFlag": True,
        "datacenter": {"name": "sjc01"},
        "supplementalCreateObjectOptions": {"flavorKeyName": "B1_2X4X100"},
        "operatingSystemReferenceCode": "DEBIAN_12_64",
        "primaryNetworkComponent": {"networkVlan": {"id": 501}},
        "primaryBackendNetworkComponent": {"networkVlan": {"id": 502}},
        "userData": [{"value": "#cloud-config"}],
        "sshKeys": [{"id": key["id"]}],
    }
    assert softlayer.get_machine(created.id).state is MachineState.PENDING
    with pytest.raises(Rejected, match="active transaction") as busy:
        softlayer.start_machine(created.id)
    assert busy.value.reason == "busy"
    service.finish(int(created.id))
    machine = softlayer.get_machine(created.id)
    assert machine.tags == {"web": "", "env": "prod"}

    def state() -> str:
        return str(softlayer.get_machine(created.id).state)

    assert state() == "running"
    softlayer.stop_machine(created.id)
    assert state() == "stopped"
    softlayer.start_machine(created.id)
    assert state() == "running"
    softlayer.reboot_machine(created.id)
    softlayer.reboot_machine(created.id, force=True)
    softlayer.pause_machine(created.id)
    assert state() == "paused"
    softlayer.resume_machine(created.id)
    assert state() == "running"
    softlayer.stop_machine(created.id, force=True)
    assert state() == "stopped"
    softlayer.rename_machine(created.id, "web-2")
    assert [(one.name, one.extra["fqdn"]) for one in softlayer.list_machines()] == [("web-2", "web-2.example.com")]
    softlayer.rename_machine(created.id, "web-3.example.org")
    assert softlayer.get_machine(created.id).extra["fqdn"] == "web-3.example.org"
    softlayer.destroy_machine(created.id)
    assert list(softlayer.list_machines()) == []
    with pytest.raises(MachineNotFound, match=created.id):
        softlayer.get_machine(created.id)
    prefix = f"GET Virtual_Guest/{created.id}/"
    methods = [one.removeprefix(prefix).removesuffix(".json") for one in asked(service) if one.startswith(prefix)]
    assert [method for method in methods if method != "getObject"] == [
        "powerOn", "powerOffSoft", "powerOn", "rebootSoft", "rebootHard", "pause", "resume", "powerOff", "deleteObject",
    ]  # fmt: skip


def test_the_life_of_a_bare_metal_server(service: FakeSoftLayer, softlayer: SoftLayer) -> None:
    raw = service.add_hardware("db-1")
    (machine,) = softlayer.list_machines()
    assert machine.id == f"hardware:{raw['id']}"
    assert machine.state is MachineState.RUNNING

    def state() -> str:
        return str(softlayer.get_machine(machine.id).state)

    with pytest.raises(Rejected, match="force=True") as caught:
        softlayer.stop_machine(machine.id)
    assert caught.value.reason == "bare_metal"
    assert state() == "running"
    softlayer.stop_machine(machine.id, force=True)
    assert state() == "stopped"
    softlayer.start_machine(machine.id)
    assert state() == "running"
    softlayer.reboot_machine(machine.id)
    softlayer.rename_machine(machine.id, "db-2")
    assert softlayer.get_machine(machine.id).name == "db-2"
    for operation in (softlayer.pause_machine, softlayer.resume_machine):
        with pytest.raises(Rejected, match="bare metal"):
            operation(machine.id)
    softlayer.destroy_machine(machine.id)
    assert service.cancelled == {raw["id"] + 1_000_000: True}
    assert list(softlayer.list_machines()) == []


def test_a_server_paid_by_the_month_goes_at_the_next_bill(service: FakeSoftLayer, softlayer: SoftLayer) -> None:
    raw = service.add_hardware("db-1", hourlyBillingFlag=False)
    machine_id = f"hardware:{raw['id']}"
    softlayer.destroy_machine(machine_id)
    assert service.cancelled == {raw["id"] + 1_000_000: False}
    assert softlayer.get_machine(machine_id).name == "db-1"
    with pytest.raises(Rejected, match="no open bill"):
        softlayer.destroy_machine(machine_id)


def test_the_same_number_in_both_kinds_is_two_machines(service: FakeSoftLayer, softlayer: SoftLayer) -> None:
    service.add_hardware("metal", id=7)
    service.add_guest("virtual", id=7)
    assert {machine.id: machine.name for machine in softlayer.list_machines()} == {
        "7": "virtual",
        "hardware:7": "metal",
    }
    assert (softlayer.get_machine("7").name, softlayer.get_machine("hardware:7").name) == ("virtual", "metal")


def test_what_the_service_does_not_do_without_a_reason(service: FakeSoftLayer, softlayer: SoftLayer) -> None:
    machine_id = str(service.add_guest()["id"])
    service.accepted = False
    with pytest.raises(Rejected, match="did not do powerOffSoft"):
        softlayer.stop_machine(machine_id)


def test_an_action_that_may_have_been_done_is_not_repeated_though_it_is_a_get(
    service: FakeSoftLayer, softlayer: SoftLayer
) -> None:
    machine_id = str(service.add_guest()["id"])
    service.fault(problem(500, "Internal Error", "SoftLayer_Exception"))
    with pytest.raises(ProviderError, match="Internal Error"):
        softlayer.reboot_machine(machine_id)
    assert asked(service) == [f"GET Virtual_Guest/{machine_id}/rebootSoft.json"]


def test_a_reading_fault_is_got_over(service: FakeSoftLayer, softlayer: SoftLayer) -> None:
    service.add_guest()
    service.fault(problem(500, "Internal Error", "SoftLayer_Exception"))
    assert len(list(softlayer.list_machines())) == 1


@pytest.mark.parametrize("machine_id", ["7", "hardware:7", "hardware:", "../7", "7/getObject", "web-1", ""])
@pytest.mark.parametrize("status", [404, 500])
def test_a_machine_that_is_not_there(
    service: FakeSoftLayer, softlayer: SoftLayer, machine_id: str, status: int
) -> None:
    refusal = missing("7")
    refusal.status = status
    service.fault(refusal, times=9)
    for operation in (
        softlayer.get_machine,
        softlayer.start_machine,
        lambda one: softlayer.stop_machine(one, force=True),
        softlayer.reboot_machine,
        softlayer.destroy_machine,
        lambda one: softlayer.rename_machine(one, "web-2"),
    ):
        with pytest.raises(MachineNotFound, match="no machine"):
            operation(machine_id)


# -- create -----------------------------------------------------------------------------------------------------------


def test_processors_and_memory_of_ones_own_and_an_image_of_ones_own(
    service: FakeSoftLayer, softlayer: SoftLayer
) -> None:
    uuid = "1a2b3c4d-1701-4a4b-8c8d-0123456789ab"
    created = softlayer.create_machine(
        "web-1", domain="example.com", image=uuid, size="2x4096", location="ams03", monthly=True, local_disk=True
    )
    assert service.guests[int(created.id)]["_body"] == {
        "hostname": "web-1",
        "domain": "example.com",
        "hourlyBillingFlag": False,
        "datacenter": {"name": "ams03"},
        "startCpus": 2,
        "maxMemory": 4096,
        "localDiskFlag": True,
        "blockDeviceTemplateGroup": {"globalIdentifier": uuid},
    }
    assert created.size == "2x4096"


@pytest.mark.parametrize("given", ["42", "laptop", "00:11", "MD5:00:11", PUBLIC_KEY])
def test_a_key_is_found_by_whatever_is_at_hand(service: FakeSoftLayer, softlayer: SoftLayer, given: str) -> None:
    service.keys[42] = {"id": 42, "label": "laptop", "fingerprint": "00:11", "key": PUBLIC_KEY.rpartition(" ")[0]}
    created = softlayer.create_machine(**WHOLE, key=given)
    assert service.guests[int(created.id)]["_body"]["sshKeys"] == [{"id": 42}]
    assert list(service.keys) == [42]


@pytest.mark.parametrize(
    ("options", "field", "words"),
    [
        ({"key": "nobody's"}, "key", 'no SSH key "nobody\'s"'),
        ({"key": "-----BEGIN OPENSSH PRIVATE KEY-----"}, "key", "give the public one"),
        ({"network": "front"}, "network", "a number"),
        ({"network": "999"}, "network", "no VLAN 999"),
        ({"name": "web-1"}, "name", "a domain"),
    ],
)
def test_what_is_malformed_is_refused_before_anything_is_made(
    service: FakeSoftLayer, softlayer: SoftLayer, options: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(InvalidFields, match=words) as caught:
        softlayer.create_machine(**WHOLE | options)
    assert list(caught.value.problems) == [field]
    assert service.guests == {}


@pytest.mark.parametrize(
    ("options", "words"),
    [({"image": "DEBIAN_2"}, "operatingSystemReferenceCode"), ({"size": "TINY"}, "flavorKeyName")],
)
def test_what_the_service_refuses_is_told_in_its_words_and_not_repeated(
    service: FakeSoftLayer, softlayer: SoftLayer, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(Rejected, match=words):
        softlayer.create_machine(**WHOLE | options)
    assert asked(service) == ["POST Virtual_Guest/createObject.json"]


def test_a_server_that_was_made_is_not_lost_for_want_of_its_tags(service: FakeSoftLayer, softlayer: SoftLayer) -> None:
    service.fault(problem(500, "Tags are not to be had"), where=lambda request: "setTags" in request.path)
    created = softlayer.create_machine(**WHOLE, tags={"web": ""})
    assert int(created.id) in service.guests


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


# -- listings ---------------------------------------------------------------------------------------------------------


def test_every_page_of_both_kinds_is_listed_in_order(service: FakeSoftLayer, softlayer: SoftLayer) -> None:
    for number in range(407, 0, -1):
        service.add_guest(f"web-{number}", id=number)
    for number in range(103, 0, -1):
        service.add_hardware(f"db-{number}", id=number)
    names = [machine.name for machine in softlayer.list_machines()]
    assert names == [f"web-{number}" for number in range(1, 408)] + [f"db-{number}" for number in range(1, 104)]
    limits = sorted(request.query["resultLimit"] for request in service.requests)
    assert limits == ["0,100", "0,100", "100,100", "100,100", "200,100", "300,100", "400,100"]


def test_all_addresses_and_all_facts_of_a_virtual_server(service: FakeSoftLayer, softlayer: SoftLayer) -> None:
    service.add_guest(
        "web-1",
        id=4660,
        tagReferences=[{"id": 1, "tag": {"id": 1, "name": "env:prod"}}, {"id": 2, "tag": {"id": 2, "name": "web"}}],
        billingItem={"id": 1, "orderItem": {"id": 2, "preset": {"id": 3, "keyName": "B1_2X4X100"}}},
    )
    (machine,) = softlayer.list_machines()
    assert machine == Machine(
        id="4660",
        name="web-1",
        state=MachineState.RUNNING,
        public_ips=("50.23.18.52", "2607:f0d0:1002:51::1234"),
        private_ips=("10.54.18.52",),
        size="B1_2X4X100",
        image="DEBIAN_12_64",
        region="sjc01",
        created_at=datetime(2024, 1, 2, 9, 4, 5, tzinfo=UTC),
        tags={"env": "prod", "web": ""},
        extra={
            "cpus": 2,
            "memory": 4096,
            "kind": "virtual",
            "fqdn": "web-1.example.com",
            "domain": "example.com",
            "uuid": "00000000-0000-0000-0000-000000001234",
            "hourly": True,
            "os": "Debian 12.0.0-64 Minimal",
        },
    )
    json.dumps(machine.to_dict())


def test_all_facts_of_a_bare_metal_server(service: FakeSoftLayer, softlayer: SoftLayer) -> None:
    service.add_hardware("db-1", id=4660)
    (machine,) = softlayer.list_machines()
    assert (machine.id, machine.name, machine.size, machine.region) == ("hardware:4660", "db-1", "16x65536", "sjc01")
    assert machine.public_ips == ("50.23.18.52", "2607:f0d0:1002:51::1234")
    assert machine.private_ips == ("10.54.18.52",)
    assert machine.created_at == datetime(2024, 1, 2, 9, 8, 5, tzinfo=UTC)
    assert (machine.extra["cpus"], machine.extra["memory"], machine.extra["status"]) == (16, 65536, "ACTIVE")


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({"powerState": {"keyName": "RUNNING"}}, "running"),
        ({"powerState": {"keyName": "HALTED"}}, "stopped"),
        ({"powerState": {"keyName": "PAUSED"}}, "paused"),
        ({"powerState": {"keyName": "SUSPENDED"}}, "suspended"),
        ({"powerState": {"keyName": "UNHEARD_OF"}}, "unknown"),
        ({"powerState": None}, "unknown"),
        ({"status": {"keyName": "DISCONNECTED"}}, "error"),
        ({"activeTransaction": {"transactionStatus": {"name": "X"}}, "provisionDate": None}, "pending"),
        ({"activeTransaction": {"transactionStatus": {"name": "X"}}}, "running"),
    ],
)
def test_states_of_virtual_servers(
    service: FakeSoftLayer, softlayer: SoftLayer, facts: dict[str, Any], state: str
) -> None:
    service.add_guest(**facts)
    assert [str(machine.state) for machine in softlayer.list_machines()] == [state]


@pytest.mark.parametrize(
    ("status", "state"),
    [("ACTIVE", "running"), ("DEPLOY", "pending"), ("DEPLOY2", "pending"), ("MACWAIT", "pending"),
     ("RECLAIM", "terminated"), ("UNHEARD_OF", "unknown")],
)  # fmt: skip
def test_states_of_bare_metal_servers(service: FakeSoftLayer, softlayer: SoftLayer, status: str, state: str) -> None:
    raw = service.add_hardware(hardwareStatus={"status": status})
    assert [str(machine.state) for machine in softlayer.list_machines()] == [state]
    assert softlayer.get_machine(f"hardware:{raw['id']}").state == state


def test_a_power_state_that_is_not_to_be_had_breaks_nothing(service: FakeSoftLayer, softlayer: SoftLayer) -> None:
    raw = service.add_hardware()
    service.fault(
        problem(500, "Unable to reach the management card"), where=lambda request: "PowerState" in request.path
    )
    assert softlayer.get_machine(f"hardware:{raw['id']}").state is MachineState.RUNNING


def test_odd_rows_break_no_listing(service: FakeSoftLayer, softlayer: SoftLayer) -> None:
    service.add_guest("good")
    odd: dict[str, Any] = {
        "primaryIpAddress": "none", "primaryNetworkComponent": 7, "powerState": "on", "datacenter": "here",
        "tagReferences": [{}], "createDate": "soon", "operatingSystem": "Debian", "maxMemory": "much",
    }  # fmt: skip
    for field, value in odd.items():
        service.add_guest(field.lower())[field] = value
        service.add_guest(f"no-{field.lower()}")[field] = None
    service.add_hardware("metal", memoryCapacity="much")
    machines = list(softlayer.list_machines())
    assert len(machines) == 18
    assert {machine.id for machine in machines if machine.extra.get("unreadable")} >= {
        str(guest["id"])
        for guest in service.guests.values()
        if guest["hostname"] in {"primarynetworkcomponent", "powerstate", "datacenter", "tagreferences"}
    }


def test_what_a_server_can_be_made_of(service: FakeSoftLayer, softlayer: SoftLayer) -> None:
    sizes = {size.id: size for size in softlayer.list_sizes()}
    assert list(sizes) == ["B1_2X4X100", "AC1_8X60X25", "1x1024", "1x4096", "2x1024", "2x4096"]
    flavor, custom = sizes["B1_2X4X100"], sizes["2x4096"]
    assert (flavor.cpus, flavor.memory, flavor.disk) == (2, 4096, 100)
    assert (flavor.price_hour, flavor.price_month, flavor.currency) == (0.072, 47.41, "USD")
    assert (custom.cpus, custom.memory, custom.price_hour, custom.price_month) == (2, 4096, 0.25, 155)
    assert [(image.id, image.name, image.os, image.architecture) for image in softlayer.list_images()] == [
        ("DEBIAN_12_64", "Debian GNU/Linux 12 Minimal (64 bit)", "Debian", "x86_64"),
        ("UBUNTU_24_64", "Ubuntu Linux 24.04 LTS Minimal (64 bit)", "Ubuntu", "x86_64"),
        ("1a2b3c4d-1701-4a4b-8c8d-0123456789ab", "before the upgrade", "", ""),
    ]
    assert [(place.id, place.name, place.country) for place in softlayer.list_locations()] == [
        ("ams03", "Amsterdam 3", "NL"),
        ("sjc01", "San Jose 1", "US"),
        ("xyz01", "xyz01", ""),
    ]
    assert [(net.id, net.name, net.cidr, net.extra["space"]) for net in softlayer.list_networks()] == [
        ("501", "front", "50.23.0.0/28", "public"),
        ("502", "bcr01a.sjc01.1800", "10.54.0.0/26", "private"),
    ]


# -- what others recorded ---------------------------------------------------------------------------------------------


class Recorded(FakeService):
    """Answers over REST what was recorded over XML-RPC: the same data."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def not_found(self, request: Request) -> Response:
        service, *_, method = request.path.removeprefix("/rest/v3.1/").removesuffix(".json").split("/")
        for name in (f"v3_{service}_{method}.xml", f"v3__{service}_{method}.xml"):
            if (path := self.folder / name).is_file():
                (data,), _ = xmlrpc.client.loads(path.read_bytes())
                return json_response(data, headers={"softlayer-total-items": str(len(data))})
        return json_response([], headers={"softlayer-total-items": "0"})


def test_recorded_responses_read_right(api_specs: Path) -> None:
    with Recorded(api_specs / "softlayer" / "libcloud_xmlrpc") as recorded:
        softlayer = SoftLayer(username="x", api_key="y", endpoint=recorded.url)
        machines = list(softlayer.list_machines())
        assert len(machines) == 3
        first = machines[0]
        assert (first.id, first.name, first.region) == ("2875152", "libcloud-testing1", "sjc01")
        assert (first.state, first.image, first.size) == (MachineState.RUNNING, "DEBIAN_7_64", "1x2048")
        assert first.created_at == datetime(2013, 11, 6, 13, 38, 36, tzinfo=UTC)
        assert first.public_ips
        assert first.private_ips
        assert not any(machine.extra.get("unreadable") for machine in machines)
        assert "L3TJVubf" not in repr(machines)
        assert softlayer.get_machine("2875152").id
        sizes = list(softlayer.list_sizes())
        assert all(size.cpus and size.memory and size.price_hour and size.price_month for size in sizes)
        assert len({image.id for image in softlayer.list_images()}) > 10
        places = {place.id: place.name for place in softlayer.list_locations()}
        assert places["dal05"] == "Dallas 5"
        created = softlayer.create_machine("hostname.domain.com", image="DEBIAN_7_64", size="2x2048", location="dal05")
        assert (created.id, created.name, created.state) == ("123456", "hostname", MachineState.PENDING)


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
