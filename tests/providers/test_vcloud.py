"""vcloud and indonesian_vcloud against a stand-in that VMware's own client gets along with, in JSON and in XML."""

from __future__ import annotations

import base64
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import trustme
from fakes.patience import HANGS, hold, patient
from fakes.vcloud import FakeVcloud, Vm, uuid_of
from peers import waiting

from mistcore import (
    AuthenticationFailed,
    InvalidFields,
    MachineNotFound,
    NotSupported,
    PermissionDenied,
    ProviderError,
    Registry,
    Rejected,
    Unreachable,
)
from mistcore.deadline import deadline
from mistcore.testing.server import Response, json_response
from mistcore_providers._vcloud_session import base_address
from mistcore_providers.indonesian_vcloud import IndonesianVcloud
from mistcore_providers.vcloud import Vcloud

#: What installations speak: JSON with the cloud API's login; XML for want of JSON; the old API alone.
KINDS: dict[str, dict[str, Any]] = {
    "json": {},
    "xml": {"json_since": 99},
    "old": {"versions": (("5.1", False), ("5.5", False)), "cloud_login": False},
}


@pytest.fixture(params=KINDS)
def cloud(request: pytest.FixtureRequest) -> Iterator[FakeVcloud]:
    with FakeVcloud(**KINDS[request.param]) as cloud:
        yield cloud


@pytest.fixture
def new_cloud() -> Iterator[FakeVcloud]:
    with FakeVcloud() as cloud:
        yield cloud


def account(cloud: FakeVcloud, **fields: Any) -> Vcloud:
    given = {"host": cloud.url, "organization": "Acme"}
    if "api_token" not in fields:
        given |= {"username": "jane", "password": "s3cret"}
    return Vcloud(**{**given, **fields})


def running(cloud: FakeVcloud, name: str = "web", **fields: Any) -> Vm:
    return cloud.add_vm(name, status="POWERED_ON", **fields)


# -- the stand-in itself ----------------------------------------------------------------------------------------------

OFFICIAL = """
import sys
from pyvcloud.vcd.client import BasicLoginCredentials, Client, QueryResultFormat
from pyvcloud.vcd.exceptions import UnauthorizedException
from pyvcloud.vcd.vm import VM

url, vm_id = sys.argv[1:]
client = Client(url, verify_ssl_certs=False)
client.set_credentials(BasicLoginCredentials("jane", "Acme", "s3cret"))
query = client.get_typed_query("vm", query_result_format=QueryResultFormat.RECORDS, qfilter="isVAppTemplate==false")
print(client.get_api_version(), len(list(query.execute())))
vm = VM(client, href=f"{url}/api/vApp/vm-{vm_id}")
for action in (vm.power_on, vm.suspend, vm.power_on, vm.power_off):
    client.get_task_monitor().wait_for_status(action(), timeout=5, poll_frequency=0.05)
    vm.reload()
    print(action.__name__, vm.get_power_state())
client.logout()
try:
    Client(url, verify_ssl_certs=False).set_credentials(BasicLoginCredentials("jane", "Acme", "wrong"))
except UnauthorizedException:
    print("refused")
"""


@pytest.fixture
def secure() -> Iterator[tuple[FakeVcloud, trustme.CA]]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with FakeVcloud(tls=context) as cloud:
        yield cloud, authority


def test_the_official_client_gets_along_with_the_stand_in(
    secure: tuple[FakeVcloud, trustme.CA], tmp_path: Path
) -> None:
    pytest.importorskip("pyvcloud")
    cloud, _ = secure
    vms = [cloud.add_vm(f"vm{number}") for number in range(130)]
    cloud.add_template("debian")
    arguments = [sys.executable, "-W", "ignore", "-c", OFFICIAL, cloud.url, vms[3].id]
    done = subprocess.run(
        arguments, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path
    )  # it writes a log there
    assert done.stdout.splitlines() == [
        "36.0 130",
        "power_on 4",
        "suspend 3",
        "power_on 4",
        "power_off 8",
        "refused",
    ], done.stderr
    assert cloud.sessions == {}


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


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_something_else_at_the_address(new_cloud: FakeVcloud) -> None:
    page = Response(200, b"<html><body>Welcome</body></html>", {"Content-Type": "text/html"})
    for answer in (page, json_response({"hello": 1}), Response(404, b"nothing"), Response(200, b"<a/>")):
        new_cloud.clear_faults()
        new_cloud.fault(answer, times=9)
        with pytest.raises(ProviderError) as caught:
            account(new_cloud).check()
        assert caught.value.reason == "not_vcloud"


def test_a_certificate_that_signed_itself(secure: tuple[FakeVcloud, trustme.CA]) -> None:
    cloud, authority = secure
    with pytest.raises(Unreachable, match="ca_cert") as caught:
        account(cloud).check()
    assert caught.value.reason == "tls"
    assert f"openssl s_client -connect {cloud.url.removeprefix('https://')}" in str(caught.value)
    assert account(cloud, ca_cert=authority.cert_pem.bytes().decode()).check().warnings == ()
    assert "not verified" in account(cloud, verify=False).check().warnings[0]
    with pytest.raises(Unreachable):
        account(cloud, ca_cert=trustme.CA().cert_pem.bytes().decode()).check()


def test_a_user_who_may_not_list(cloud: FakeVcloud) -> None:
    cloud.forbidden.add("vm")
    with pytest.raises(PermissionDenied, match="Access to the query vm is forbidden"):
        account(cloud).check()


@pytest.mark.parametrize("body", [b"<", b"<a>", b"{", b"\xff\xfe"])
def test_garbage(new_cloud: FakeVcloud, body: bytes) -> None:
    provider = account(new_cloud)
    provider.check()
    kind = "application/vnd.x+xml" if body[:1] == b"<" else "application/json"
    new_cloud.fault(Response(200, body, {"Content-Type": kind}), times=9)
    with pytest.raises(ProviderError) as caught:
        list(provider.list_machines())
    assert caught.value.reason == "garbled"


BOMB = b"""<!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]>
<QueryResultRecords total="1"><VMRecord name="&c;"/></QueryResultRecords>"""
OUTSIDE = b"""<!DOCTYPE x [<!ENTITY secret SYSTEM "file:///etc/passwd">]>
<QueryResultRecords total="1"><VMRecord name="&secret;"/></QueryResultRecords>"""


@pytest.mark.parametrize("body", [BOMB, OUTSIDE])
def test_bombs_and_entities_are_refused(body: bytes) -> None:
    with FakeVcloud(**KINDS["old"]) as cloud:
        provider = account(cloud)
        provider.check()
        cloud.fault(Response(200, body, {"Content-Type": "application/vnd.vmware.vcloud.query.records+xml"}), times=9)
        with pytest.raises(ProviderError, match="XML that is not read") as caught:
            list(provider.list_machines())
        assert caught.value.reason == "garbled"
        cloud.clear_faults()
        cloud.fault(Response(403, body, {"Content-Type": "application/vnd.vmware.vcloud.error+xml"}), times=9)
        with pytest.raises(PermissionDenied):
            list(provider.list_machines())


def test_nothing_hangs(new_cloud: FakeVcloud) -> None:
    provider = patient(account(new_cloud))
    provider.check()
    new_cloud.latency = HANGS
    with pytest.raises(Unreachable) as caught, deadline(0.5):
        list(provider.list_machines())
    assert caught.value.reason == "timeout"


def test_a_thread_in_a_hurry_does_not_wait_for_the_login_of_another(new_cloud: FakeVcloud) -> None:
    release = hold(new_cloud)
    provider = patient(account(new_cloud))
    thread = threading.Thread(target=provider.check, daemon=True)
    thread.start()
    waiting.until(lambda: new_cloud.requests, interval=0.02)
    with pytest.raises(Unreachable) as caught, deadline(0.3):
        provider.check()
    assert caught.value.reason == "timeout"
    assert thread.is_alive()
    release.set()
    thread.join()


# -- listing ----------------------------------------------------------------------------------------------------------


def test_what_a_machine_says(cloud: FakeVcloud) -> None:
    vm = running(cloud, vapp="shop", cpus=2, memory=4096, ips=["10.1.0.5", "8.8.8.8", "fd00::5"], network="lan")
    (machine,) = account(cloud).list_machines()
    assert machine.id == vm.id
    assert (machine.name, machine.state, machine.size, machine.region) == ("web", "running", "2x4096", "east")
    assert machine.private_ips == ("10.1.0.5",)
    assert machine.created_at is not None
    assert machine.created_at.isoformat() == "2024-05-06T07:08:09.123000+00:00"
    assert machine.extra["cpus"] == 2
    assert machine.extra["memory"] == 4096
    assert machine.extra["guest_os"].startswith("Debian")
    assert machine.extra["containerName"] == "shop"
    assert machine.extra["isDeployed"] is True
    assert machine.extra["vapp_id"] == vm.vapp
    whole = account(cloud).get_machine(vm.id)
    assert whole.private_ips == ("10.1.0.5", "fd00::5")
    assert whole.public_ips == ("8.8.8.8",)
    assert (whole.name, whole.state, whole.size, whole.region) == ("web", "running", "2x4096", "east")


def test_a_machine_whose_name_no_filter_takes(cloud: FakeVcloud) -> None:
    vm = running(cloud, name="my web (1);a==b", cpus=4, memory=512, ips=["10.1.0.5"])
    machine = account(cloud).get_machine(vm.id)
    assert (machine.name, machine.size, machine.state) == ("my web (1);a==b", "4x512", "running")
    assert machine.private_ips == ("10.1.0.5",)


def test_data_centres_that_may_not_be_listed(cloud: FakeVcloud) -> None:
    vm = running(cloud)
    cloud.forbidden.add("orgVdc")
    for machine in (*account(cloud).list_machines(), account(cloud).get_machine(vm.id)):
        assert machine.region in ("east", uuid_of("vdc", "east"))


def test_pages_to_the_end_and_no_templates(cloud: FakeVcloud) -> None:
    vms = {cloud.add_vm(f"vm{number}", ips=["10.0.0.1"]).id for number in range(300)}
    cloud.add_template("debian")
    provider = account(cloud)
    provider.check()
    before = len(cloud.requests)
    assert {machine.id for machine in provider.list_machines()} == vms
    # Three pages. Where there is no JSON, the first is asked for twice; where records name no data centre, these, too.
    assert len(cloud.requests) - before <= 5


def test_a_service_that_gives_smaller_pages_than_asked_for(cloud: FakeVcloud) -> None:
    cloud.page_limit = 25
    vms = {cloud.add_vm(f"vm{number}").id for number in range(61)}
    assert {machine.id for machine in account(cloud).list_machines()} == vms


def test_addresses_that_records_lack_cost_one_request_a_vapp(cloud: FakeVcloud) -> None:
    for number in range(9):
        running(cloud, f"vm{number}", vapp=f"app{number % 2}", ips=[f"10.0.0.{number}"], ip_in_record=False)
    running(cloud, "known", vapp="other", ips=["10.9.9.9"])
    cloud.add_vm("off", vapp="third")
    provider = account(cloud)
    machines = {machine.name: machine for machine in provider.list_machines()}
    assert len(machines) == 11
    assert [machines[f"vm{number}"].private_ips for number in range(9)] == [
        (f"10.0.0.{number}",) for number in range(9)
    ]
    assert sum("/api/vApp/vapp-" in request.path for request in cloud.requests) == 2
    del cloud.vapps[uuid_of("vapp", "app0")]  # gone between two requests
    assert len(list(provider.list_machines())) == 11


@pytest.mark.parametrize(
    ("status", "task", "state"),
    [
        ("POWERED_ON", "", "running"),
        ("POWERED_OFF", "", "stopped"),
        ("SUSPENDED", "", "suspended"),
        ("UNRESOLVED", "", "pending"),
        ("FAILED_CREATION", "", "error"),
        ("MIXED", "", "unknown"),
        ("SOMETHING_NEW", "", "unknown"),
        ("POWERED_OFF", "vappPowerOn", "starting"),
        ("POWERED_ON", "vappUndeployPowerOff", "stopping"),
        ("POWERED_ON", "vappShutdownGuest", "stopping"),
        ("POWERED_ON", "vappReset", "rebooting"),
        ("POWERED_ON", "vappCreateSnapshot", "running"),
    ],
)
def test_states(new_cloud: FakeVcloud, status: str, task: str, state: str) -> None:
    new_cloud.add_vm("web", status=status, task=task)
    (machine,) = account(new_cloud).list_machines()
    assert machine.state == state


def test_odd_rows_break_nothing(new_cloud: FakeVcloud) -> None:
    good = running(new_cloud)
    rows: list[Any] = [
        {
            "href": f"{new_cloud.url}/api/vApp/vm-{good.id}",
            "name": "good",
            "status": "POWERED_ON",
            "ipAddress": "10.0.0.1",
        },
        {"href": f"{new_cloud.url}/api/vApp/vm-{uuid4()}", "name": None, "status": None, "numberOfCpus": "many"},
        {"href": f"{new_cloud.url}/api/vApp/vm-{uuid4()}", "name": "odd", "dateCreated": "yesterday", "ipAddress": "x"},
        {"name": "nameless"},
    ]
    provider = account(new_cloud)
    provider.check()
    new_cloud.fault(json_response({"total": 4, "page": 1, "pageSize": 128, "record": rows}))
    machines = list(provider.list_machines())
    assert len(machines) == 3
    assert [machine.name for machine in machines] == ["good", "", "odd"]
    assert [str(machine.state) for machine in machines] == ["running", "unknown", "unknown"]


# -- doing things -----------------------------------------------------------------------------------------------------


def test_power(cloud: FakeVcloud) -> None:
    cloud.task_seconds = 0.15
    vm = cloud.add_vm("web")
    provider = account(cloud)
    for action, after in [
        ("start_machine", "POWERED_ON"),
        ("reboot_machine", "POWERED_ON"),
        ("suspend_machine", "SUSPENDED"),
        ("resume_machine", "POWERED_ON"),
        ("stop_machine", "POWERED_OFF"),
    ]:
        getattr(provider, action)(vm.id)
        assert vm.status == after, action
    provider.start_machine(vm.id)
    provider.reboot_machine(vm.id, force=True)
    assert cloud.tasks[list(cloud.tasks)[-1]].name == "vappReset"
    provider.stop_machine(vm.id, force=True)
    assert (vm.status, vm.deployed) == ("POWERED_OFF", False)


def test_a_guest_without_tools_cannot_be_asked(cloud: FakeVcloud) -> None:
    vm = running(cloud, tools=False)
    with pytest.raises(Rejected, match="use force") as caught:
        account(cloud).stop_machine(vm.id)
    assert caught.value.reason == "tools"
    assert vm.status == "POWERED_ON"


def test_states_that_forbid_an_action(cloud: FakeVcloud) -> None:
    provider = account(cloud)
    with pytest.raises(Rejected) as caught:
        provider.start_machine(running(cloud).id)
    assert caught.value.reason == "state"
    with pytest.raises(Rejected):
        provider.stop_machine(cloud.add_vm("off").id)


@pytest.mark.parametrize("machine_id", ["nonsense", "../../admin", "", str(uuid4()), "vm-1"])
def test_machines_that_are_not_there(cloud: FakeVcloud, machine_id: str) -> None:
    provider = account(cloud)
    provider.check()
    for call in (provider.get_machine, provider.start_machine, provider.destroy_machine):
        with pytest.raises(MachineNotFound):
            call(machine_id)
    with pytest.raises(MachineNotFound):
        provider.stop_machine(machine_id, force=True)


def test_rename(cloud: FakeVcloud) -> None:
    vm = running(cloud)
    provider = account(cloud)
    provider.rename_machine(vm.id, "shop & <co>")
    assert vm.name == "shop & <co>"
    with pytest.raises(InvalidFields):
        provider.rename_machine(vm.id, " ")


def test_destroy(cloud: FakeVcloud) -> None:
    alone = running(cloud, "alone")
    one, two = running(cloud, "one", vapp="pair"), cloud.add_vm("two", vapp="pair", deployed=True)
    only = cloud.add_vm("only", vapp="somebody's vApp")
    provider = account(cloud)
    with pytest.raises(Rejected) as caught:
        provider.destroy_machine(alone.id)
    assert caught.value.reason == "state"
    provider.destroy_machine(alone.id, force=True)
    assert alone.vapp not in cloud.vapps  # made for it alone
    provider.destroy_machine(two.id)
    assert set(cloud.vms) == {one.id, only.id}
    assert one.vapp in cloud.vapps
    provider.destroy_machine(only.id)
    assert only.vapp in cloud.vapps  # has a name of its own, so it stays
    assert set(cloud.vms) == {one.id}


def test_create(cloud: FakeVcloud) -> None:
    cloud.task_seconds = 0.1
    cloud.add_template("debian")
    provider = account(cloud)
    script = "#!/bin/sh\necho '<&>' > /etc/motd\n"
    machine = provider.create_machine("new web", image="debian", network="lan", user_data=script)
    vm = cloud.vms[machine.id]
    assert (machine.name, machine.state, machine.private_ips) == ("new web", "running", ("10.1.0.50",))
    assert vm.script == script.strip() or vm.script == script
    assert (vm.network, vm.computer_name) == ("lan", "new-web")
    for address, ip in (("dhcp", "10.1.0.77"), ("10.1.0.9", "10.1.0.9")):
        made = provider.create_machine(ip, image="debian", network="lan", address=address)
        assert made.private_ips == (ip,)
    off = provider.create_machine("off", image=uuid_of("template", "Linux", "debian"), location="east", start=False)
    assert off.state == "stopped"
    with pytest.raises(Rejected) as caught:
        provider.create_machine("off", image="debian")
    assert caught.value.reason == "exists"


def test_create_with_a_size(new_cloud: FakeVcloud) -> None:
    new_cloud.add_template("debian")
    machine = account(new_cloud).create_machine("new", image="debian", size="small")
    assert machine.size == "2x4096"
    assert new_cloud.vms[machine.id].policy == next(iter(new_cloud.policies))


def test_create_refuses_what_is_not_there(new_cloud: FakeVcloud) -> None:
    new_cloud.add_template("debian")
    new_cloud.add_template("pair", machines=2)
    new_cloud.add_template("twice", catalog="A")
    new_cloud.add_template("twice", catalog="B")
    new_cloud.vdcs[uuid_of("vdc", "west")] = "west"
    provider = account(new_cloud)
    good = {"image": "debian", "location": "west"}
    for wrong, field in [
        ({"image": "nothing"}, "image"),
        ({"image": "twice"}, "image"),
        ({"image": "pair"}, "image"),
        ({"location": "north"}, "location"),
        ({"location": ""}, "location"),
        ({"network": "wan"}, "network"),
        ({"size": "huge"}, "size"),
        ({"network": "lan", "address": "any"}, "address"),
    ]:
        with pytest.raises(InvalidFields) as caught:
            provider.create_machine("new", **{**good, **wrong})
        assert list(caught.value.problems) == [field], wrong
    assert not any(vm.name == "new" for vm in new_cloud.vms.values())


def test_what_machines_are_made_of(cloud: FakeVcloud) -> None:
    cloud.add_template("debian")
    provider = account(cloud)
    (image,) = provider.list_images()
    assert (image.name, image.extra["catalogName"]) == ("debian", "Linux")
    assert list(provider.list_images(search="DEB")) == [image]
    assert list(provider.list_images(search="bsd")) == []
    (location,) = provider.list_locations()
    assert (location.id, location.name) == (uuid_of("vdc", "east"), "east")
    (network,) = provider.list_networks()
    assert (network.id, network.name, network.cidr) == (uuid_of("net", "lan"), "lan", "10.1.0.0/24")


def test_sizes(new_cloud: FakeVcloud) -> None:
    (size,) = account(new_cloud).list_sizes()
    assert (size.name, size.cpus, size.memory) == ("small", 2, 4096)
    with FakeVcloud(**KINDS["old"]) as old, pytest.raises(NotSupported):
        account(old).list_sizes()
