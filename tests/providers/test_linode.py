"""Linode, against a stand-in that Linode's own library accepts and Linode's own document describes."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from fakes.described import DescribedService, Foreign
from fakes.linode import TOKEN, FakeLinode, problem
from fakes.patience import HANGS, deadline_once, looked_after, patient
from peers.waiting import until

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
    Unreachable,
)
from mistcore.deadline import deadline
from mistcore.testing.server import Request, Response, json_response
from mistcore_providers.linode import Linode

PUBLIC_KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes(range(32))).decode() + " me@desk"
SPEC = "linode/spec/openapi.yaml"
WHOLE: dict[str, Any] = {"name": "web-1", "image": "linode/debian12", "size": "g6-nanode-1", "location": "us-east"}


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def service(ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLinode]:
    """Linode over TLS, its document held against everything that is said."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    bundle = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(bundle))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(bundle))
    with FakeLinode(tls=context) as fake:
        yield fake


@pytest.fixture
def linode(service: FakeLinode) -> Iterator[Linode]:
    with Linode(api_key=TOKEN, endpoint=service.url) as provider:
        yield provider


def with_scopes(service: FakeLinode, scopes: str) -> Linode:
    service.tokens["scoped"] = scopes
    return Linode(api_key="scoped", endpoint=service.url)


def asked(service: FakeLinode) -> list[str]:
    return [f"{request.method} {request.path}" for request in service.requests]


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


# -- the life of a machine --------------------------------------------------------------------------------------------


def test_the_whole_life_of_a_machine(service: FakeLinode, linode: Linode) -> None:
    service.job_seconds = 0.1
    created = linode.create_machine(
        "web-1",
        image="linode/debian12",
        size="g6-nanode-1",
        location="eu-central",
        network="5678",
        key=PUBLIC_KEY,
        user_data="#cloud-config",
        tags={"web": "", "env": "prod"},
        backups=True,
        private_ip=True,
        firewall="12",
    )
    assert (created.name, created.state, created.region) == ("web-1", MachineState.PENDING, "eu-central")
    body = service.instances[int(created.id)]["_body"]
    assert len(body.pop("root_pass")) > 30
    assert body == {
        "label": "web-1",
        "image": "linode/debian12",
        "type": "g6-nanode-1",
        "region": "eu-central",
        "interfaces": [{"purpose": "public"}, {"purpose": "vpc", "subnet_id": 5678}],
        "authorized_keys": [PUBLIC_KEY],
        "metadata": {"user_data": base64.b64encode(b"#cloud-config").decode()},
        "tags": ["web", "env:prod"],
        "backups_enabled": True,
        "private_ip": True,
        "firewall_id": 12,
    }

    def state() -> str:
        return str(linode.get_machine(created.id).state)

    while state() == "pending":
        pass
    assert state() == "running"
    linode.stop_machine(created.id)
    assert state() == "stopped"
    linode.start_machine(created.id)
    assert state() == "running"
    linode.reboot_machine(created.id)
    assert state() == "running"
    linode.rename_machine(created.id, "web-2")
    assert [found.name for found in linode.list_machines()] == ["web-2"]
    linode.destroy_machine(created.id)
    assert list(linode.list_machines()) == []
    with pytest.raises(MachineNotFound, match=created.id):
        linode.get_machine(created.id)
    jobs = [request.path.rpartition("/")[2] for request in service.requests if request.method == "POST"]
    assert jobs == ["instances", "shutdown", "boot", "reboot"]


def test_an_action_is_awaited_and_its_failure_told(service: FakeLinode, linode: Linode) -> None:
    machine_id = str(service.add_instance()["id"])
    service.job_seconds = 0.4
    linode.stop_machine(machine_id)
    assert service.instances[int(machine_id)]["status"] == "offline"
    service.failing.add("boot")
    with pytest.raises(Rejected, match="could not do the boot: the Linode is offline again") as caught:
        linode.start_machine(machine_id)
    assert caught.value.reason == "action_failed"
    service.failing.clear()
    service.job_seconds = 60
    goes_on = "boot was accepted and goes on by itself"
    with deadline_once(looked_after(service)), pytest.raises(Unreachable, match=goes_on) as timed_out:
        linode.start_machine(machine_id)
    assert timed_out.value.reason == "timeout"
    with pytest.raises(Rejected, match="Linode busy") as busy:
        linode.start_machine(machine_id)
    assert busy.value.reason == "busy"


def test_a_reboot_that_has_yet_to_begin_is_not_taken_for_done(service: FakeLinode, linode: Linode) -> None:
    machine_id = service.add_instance()["id"]
    service.queue_seconds, service.job_seconds = 0.6, 0.8
    linode.reboot_machine(str(machine_id))
    assert "_end" not in service.instances[machine_id]


def test_one_that_is_deleted_while_it_is_waited_for(service: FakeLinode, linode: Linode) -> None:
    machine_id = service.add_instance()["id"]
    service.job_seconds = 60
    looked = looked_after(service)

    def delete() -> None:
        until(looked, HANGS, 0.02)
        with service.lock:
            del service.instances[machine_id]

    threading.Thread(target=delete, daemon=True).start()
    with pytest.raises(Rejected, match="deleted before the shutdown was done"):
        linode.stop_machine(str(machine_id))


def test_what_is_done_already_is_told_in_the_services_words(service: FakeLinode, linode: Linode) -> None:
    machine_id = str(service.add_instance()["id"])
    with pytest.raises(Rejected, match="already booted"):
        linode.start_machine(machine_id)


def test_an_action_that_may_have_been_done_is_not_repeated(service: FakeLinode, linode: Linode) -> None:
    machine_id = str(service.add_instance()["id"])
    service.fault(problem(500), where=lambda request: request.method == "POST")
    with pytest.raises(ProviderError):
        linode.reboot_machine(machine_id)
    assert asked(service) == [f"POST /v4/linode/instances/{machine_id}/reboot"]


def test_a_reading_fault_is_got_over(service: FakeLinode, linode: Linode) -> None:
    service.add_instance()
    service.fault(problem(500))
    assert len(list(linode.list_machines())) == 1


@pytest.mark.parametrize("machine_id", ["7", "0", "07", "../profile", "7/boot", "web-1", ""])
def test_a_machine_that_is_not_there(linode: Linode, machine_id: str) -> None:
    for operation in (
        linode.get_machine,
        linode.start_machine,
        linode.stop_machine,
        linode.reboot_machine,
        linode.destroy_machine,
    ):
        with pytest.raises(MachineNotFound):
            operation(machine_id)
    with pytest.raises(MachineNotFound):
        linode.rename_machine(machine_id, "web-2")


# -- create -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["42", "laptop", PUBLIC_KEY, f"  {PUBLIC_KEY}\n"])
def test_a_key_is_found_by_whatever_is_at_hand(service: FakeLinode, linode: Linode, given: str) -> None:
    service.keys[42] = {"id": 42, "label": "laptop", "ssh_key": PUBLIC_KEY, "created": "2018-01-01T00:01:01"}
    created = linode.create_machine(**WHOLE, key=[given])
    assert service.instances[int(created.id)]["_body"]["authorized_keys"] == [PUBLIC_KEY]


@pytest.mark.parametrize(
    ("options", "field", "words"),
    [
        ({"key": "nobody's"}, "key", 'no SSH key "nobody\'s"'),
        ({"key": "-----BEGIN OPENSSH PRIVATE KEY-----"}, "key", "give the public one"),
        ({"network": "cool-vpc"}, "network", "numbers"),
        ({"network": "vlan:not this"}, "network", "vlan:REGION/NAME"),
        ({"network": "vlan:" + "x" * 65}, "network", "vlan:REGION/NAME"),
        ({"network": "vlan:eu-central/back"}, "network", "no id of a network there"),
        ({"firewall": "front"}, "firewall", "a number"),
        ({"root_password": "short1"}, "root_password", "7 to 128 characters"),
        ({"root_password": "x" * 129}, "root_password", "7 to 128 characters"),
    ],
)
def test_what_is_malformed_is_refused_before_anything_is_made(
    service: FakeLinode, linode: Linode, options: dict[str, str], field: str, words: str
) -> None:
    with pytest.raises(InvalidFields, match=words) as caught:
        linode.create_machine(**WHOLE, **options)
    assert list(caught.value.problems) == [field]
    assert service.instances == {}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image": "linode/debian2"}, "image: You do not have access"),
        ({"size": "tiny"}, "type: A valid plan type"),
        ({"location": "moon"}, "region: region is not valid"),
        ({"network": "9"}, "Subnet not found"),
        ({"root_password": "aaaaaaaaaaaa"}, "strength requirement"),
    ],
)
def test_what_the_service_refuses_is_told_in_its_words(linode: Linode, options: dict[str, str], words: str) -> None:
    with pytest.raises(Rejected, match=words):
        linode.create_machine(**WHOLE | options)


def test_a_label_that_is_taken(service: FakeLinode, linode: Linode) -> None:
    service.add_instance("web-1")
    with pytest.raises(Rejected, match="label: Label must be unique"):
        linode.create_machine(**WHOLE)


@pytest.mark.parametrize("name", ["no spaces", "", "ab", "1web", "we--b", "we..b", "a" * 65, "web-1\n"])
def test_a_label_that_linode_does_not_take_is_not_sent(service: FakeLinode, linode: Linode, name: str) -> None:
    machine_id = str(service.add_instance()["id"])
    for ask in (
        lambda: linode.create_machine(**WHOLE | {"name": name}),
        lambda: linode.rename_machine(machine_id, name),
    ):
        with pytest.raises(InvalidFields, match="no label that Linode takes.*Use 3 to 64 letters") as caught:
            ask()
        assert list(caught.value.problems) == ["name"]
    assert service.requests == []


@pytest.mark.parametrize("network", ["vlan:vlan-example", "vlan:us-east/vlan-example"])
def test_a_vlan_and_a_password_of_ones_own(service: FakeLinode, linode: Linode, network: str) -> None:
    created = linode.create_machine(**WHOLE, network=network, root_password="correct horse battery")
    body = service.instances[int(created.id)]["_body"]
    assert body["interfaces"] == [{"purpose": "public"}, {"purpose": "vlan", "label": "vlan-example"}]
    assert body["root_pass"] == "correct horse battery"
    assert set(body) == {"label", "image", "type", "region", "root_pass", "interfaces"}


def test_the_limit_of_the_account_is_told_apart(service: FakeLinode, linode: Linode) -> None:
    service.limit = 0
    with pytest.raises(Rejected, match="Account Limit reached") as caught:
        linode.create_machine(**WHOLE)
    assert caught.value.reason == "quota"


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

    service.quota, service.retry_after = 0, 1
    threading.Timer(0.5, setattr, (service, "quota", None)).start()
    assert linode.check().name == "exampleUser"


# -- listings ---------------------------------------------------------------------------------------------------------


def test_every_page_is_listed(service: FakeLinode, linode: Linode) -> None:
    for number in range(1203):
        service.add_instance(f"web-{number}")
    assert [machine.name for machine in patient(linode).list_machines()] == [f"web-{n}" for n in range(1203)]
    assert len(service.requests) == 3


def test_more_types_than_one_answer_holds(service: FakeLinode, linode: Linode, monkeypatch: pytest.MonkeyPatch) -> None:
    import fakes.linode as stand_in

    whole = [{"id": f"g9-{number}", "price": {}} for number in range(230)]
    monkeypatch.setattr(stand_in, "TYPES", whole)
    service.departs("GET /v4/linode/types: the parameter 'page' is not known")  # by the document there is one page
    assert [size.id for size in linode.list_sizes()] == [entry["id"] for entry in whole]
    assert len(service.requests) == 3


def test_all_addresses_and_all_facts(service: FakeLinode, linode: Linode) -> None:
    raw = service.add_instance(
        "web-1", id=4660, tags=["web", "env:prod", "env:old"], group="Linode-Group", capabilities=["SMTP Enabled"]
    )
    raw["ipv4"].append("139.162.9.9")
    (machine,) = linode.list_machines()
    assert machine == Machine(
        id="4660",
        name="web-1",
        state=MachineState.RUNNING,
        public_ips=("139.162.18.52", "139.162.9.9", "2a01:7e00::f03c:92ff:fe48:1234"),
        private_ips=("192.168.146.52",),
        size="g6-nanode-1",
        image="linode/debian12",
        region="eu-central",
        created_at=datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        tags={"web": "", "env": "prod", "env:old": ""},
        extra={
            "status": "running",
            "group": "Linode-Group",
            "capabilities": ["SMTP Enabled"],
            "vcpus": 1,
            "memory": 1024,
            "disk": 25600,
        },
    )
    json.dumps(machine.to_dict())


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("running", "running"), ("offline", "stopped"), ("stopped", "stopped"), ("booting", "starting"),
        ("rebooting", "rebooting"), ("shutting_down", "stopping"), ("provisioning", "pending"),
        ("deleting", "terminated"), ("migrating", "pending"), ("rebuilding", "pending"), ("cloning", "pending"),
        ("restoring", "pending"), ("busy", "pending"), ("billing_suspension", "suspended"), ("odd", "unknown"),
    ],
)  # fmt: skip
def test_states(service: FakeLinode, linode: Linode, status: str, state: str) -> None:
    if status == "odd":
        service.departs(r"data\.0\.status: 'odd' is not one of")
    service.add_instance(status=status)
    assert [str(machine.state) for machine in linode.list_machines()] == [state]


def test_every_state_of_the_document_is_known(api_specs: Path) -> None:
    from mistcore_providers import linode as module

    text = (api_specs / SPEC).read_text(encoding="utf-8")
    start = text.index("- billing_suspension")
    listed = text[text.rindex("enum:", 0, start) : start].split()
    assert {word for word in listed if word not in {"enum:", "-"}} | {"billing_suspension"} <= set(module._STATES)


def test_odd_rows_break_no_listing(service: FakeLinode, linode: Linode) -> None:
    service.add_instance("good")
    odd: dict[str, Any] = {
        "ipv4": 7, "ipv6": "none", "image": 7, "region": [], "tags": 5, "created": "soon", "status": None, "type": 1,
        "specs": "many",
    }  # fmt: skip
    for field, value in odd.items():
        service.add_instance(field)[field] = value
    for field in ("ipv4", "ipv6", "region", "tags", "created", "specs", "image"):
        service.add_instance(f"no-{field}")[field] = None
    fields = "ipv4|ipv6|image|region|tags|created|status|type|specs"
    service.departs(rf"GET /v4/linode/instances: the answer 200: data\.\d+\.({fields}): ")
    machines = list(linode.list_machines())
    assert len(machines) == 17
    assert {machine.name for machine in machines if machine.extra.get("unreadable")} == {
        "ipv4", "image", "tags", "type", "specs",
    }  # fmt: skip


def test_what_a_linode_can_be_made_of(linode: Linode) -> None:
    small, standard, gpu = linode.list_sizes()
    assert (small.id, small.name, small.cpus, small.memory, small.disk) == ("g6-nanode-1", "Nanode 1GB", 1, 1024, 25)
    assert (small.price_hour, small.price_month, small.currency) == (0.0075, 5, "USD")
    assert standard.extra["region_prices"] == [{"id": "id-cgk", "hourly": 0.043, "monthly": 28.8}]
    assert gpu.extra["gpus"] == 1
    images = list(linode.list_images())
    assert [(image.id, image.name, image.os, image.extra["deprecated"]) for image in images] == [
        ("linode/debian12", "Debian 12", "Debian", False),
        ("linode/ubuntu24.04", "Ubuntu 24.04 LTS", "Ubuntu", False),
        ("linode/alpine3.12", "Alpine 3.12", "Alpine", True),
        ("private/12345", "before the upgrade", "", False),
    ]
    assert images[0].created_at == datetime(2023, 6, 12, 15, 11, 23, tzinfo=UTC)
    assert [(place.id, place.name, place.country, place.extra["site_type"]) for place in linode.list_locations()] == [
        ("us-east", "Newark, NJ", "US", "core"),
        ("eu-central", "Frankfurt, DE", "DE", "core"),
    ]
    assert [(net.id, net.name, net.cidr, net.extra["region"]) for net in linode.list_networks()] == [
        ("5678", "cool-vpc/cool-subnet", "10.0.1.0/24", "eu-central"),
        ("vlan:us-east/vlan-example", "vlan-example", "", "us-east"),
        ("vlan:eu-central/vlan-example", "vlan-example", "", "eu-central"),
    ]


# -- what others recorded ---------------------------------------------------------------------------------------------


class Recorded(DescribedService):
    """Answers from a folder of recorded responses, of other years than the document: only requests are held."""

    DOCUMENT, CORRECTIONS = FakeLinode.DOCUMENT, FakeLinode.CORRECTIONS

    def __init__(self, folder: Path, pages: dict[str, str]) -> None:
        super().__init__()
        self.folder, self.pages = folder, pages

    def not_found(self, request: Request) -> Response:
        name = self.pages[request.path].format(**{"page": 1, **request.query})
        return Foreign(200, (self.folder / f"{name}.json").read_bytes(), {"Content-Type": "application/json"})


def test_recorded_responses_read_right(api_specs: Path) -> None:
    pages = {
        "/v4/linode/instances": "list_nodes", "/v4/linode/instances/22344420": "ex_get_node",
        "/v4/linode/types": "list_types", "/v4/images": "list_images_paginated_page_{page}",
        "/v4/regions": "list_locations",
    }  # fmt: skip
    folder = api_specs / "linode" / "libcloud_v4"
    with Recorded(folder, pages) as recorded:
        linode = Linode(api_key="x", endpoint=recorded.url)
        machines = list(linode.list_machines())
        rows = json.loads((folder / "list_nodes.json").read_text())["data"]
        assert [machine.name for machine in machines] == [row["label"] for row in rows]
        first = machines[0]
        assert first.public_ips == ("138.89.34.81", "2a01:7e00::f03c:92ff:fe48:dc47")
        assert first.private_ips == ("192.168.1.230",)
        assert (first.image, first.region, first.size) == ("linode/centos7", "eu-west", "g6-nanode-1")
        assert first.created_at == datetime(2020, 10, 8, 18, 51, 29, tzinfo=UTC)
        assert not any(machine.extra.get("unreadable") for machine in machines)
        assert linode.get_machine("22344420").id
        assert all(size.price_month and size.memory and size.disk for size in linode.list_sizes())
        images = list(linode.list_images())
        parts = [json.loads((folder / f"list_images_paginated_page_{page}.json").read_text()) for page in (1, 2)]
        assert [image.id for image in images] == [row["id"] for part in parts for row in part["data"]]
        assert {place.country for place in linode.list_locations()} >= {"IN", "US"}


def test_recorded_answers_to_what_is_done_read_right(service: FakeLinode, linode: Linode, api_specs: Path) -> None:
    def recorded(name: str) -> Foreign:
        body = (api_specs / "linode" / "libcloud_v4" / f"{name}.json").read_bytes()
        return Foreign(200, body, {"Content-Type": "application/json"})

    service.fault(recorded("create_node"))
    created = linode.create_machine(**WHOLE)
    assert (created.id, created.name, created.state) == ("45501392", "TestNode", MachineState.PENDING)
    assert created.public_ips == ("45.32.179.25", "2a39:7b00::f03c:92dd:f277:4ff4")
    assert created.private_ips == ("192.168.206.100",)
    service.fault(recorded("create_node_no_image"))
    assert linode.get_machine("33431975").image == ""
    service.fault(recorded("ex_rename_node"))
    linode.rename_machine("22344420", "new_name")
    service.fault(recorded("list_key_pairs"))
    linode.create_machine(**WHOLE, key="My SSH Key")
    sent = service.requests[-1].json()["authorized_keys"]
    assert sent == ["ssh-rsa AAAA_valid_public_ssh_key_123456785== user@their-computer"]
    service.fault(recorded("list_images"))
    assert all(image.id and image.name for image in linode.list_images())


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
