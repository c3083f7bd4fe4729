"""Google Compute Engine: instances listed, acted on and made, against a stand-in that Google's own SDK accepts."""

from __future__ import annotations

import json
import math
import warnings

import pytest
from fakes.gce_access import PROJECT
from fakes.gce_errors import api_error
from fakes.patience import deadline_once, looked_after, patient

from mistcore import (
    InvalidFields,
    MachineNotFound,
    PartialResult,
    PermissionDenied,
    ProviderError,
    Registry,
    Rejected,
    Unreachable,
)
from mistcore.testing.server import Response

Gce = Registry()["gce"]
ZONE = "us-central1-a"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIexample me@here"
USUAL = {"image": "debian-12", "size": "e2-small", "location": ZONE, "key": KEY}


@pytest.fixture
def account(gce, gce_ca):
    with Gce(private_key=json.dumps(gce.new_key()), endpoint=gce.url, ca_cert=gce_ca) as provider:
        yield provider


@pytest.fixture
def machine(gce, account):
    gce.add(ZONE, "vm-0")
    (found,) = account.list_machines()
    return found


def asked(gce):
    """Return the requests to Compute Engine, each as method and what follows the project."""
    start = f"/compute/v1/projects/{PROJECT}"
    return [f"{r.method} {r.path.removeprefix(start)}" for r in gce.requests if r.path.startswith(start)]


# -- listing ----------------------------------------------------------------------------------------------------------


def test_an_empty_project(account):
    assert list(account.list_machines()) == []


def test_one_request_for_any_number_of_machines(gce, account):
    for number in range(40):
        gce.add((ZONE, "europe-west1-b")[number % 2], f"vm-{number}")
    assert len(list(account.list_machines())) == 40
    assert asked(gce) == ["GET /aggregated/instances"]


def test_every_page_is_read(gce, account):
    for number in range(7):
        gce.add((ZONE, "europe-west1-b")[number % 2], f"vm-{number}")
    gce.page_size = 3
    assert sorted(machine.name for machine in account.list_machines()) == [f"vm-{number}" for number in range(7)]
    assert len(asked(gce)) == 3


def test_what_is_said_of_a_machine(gce, machine):
    raw = gce.instances[(ZONE, "vm-0")]
    assert (machine.id, machine.name, machine.state) == (raw["id"], "vm-0", "running")
    assert machine.public_ips == (raw["_public"],)
    assert machine.private_ips[0].startswith("10.128.")
    assert (machine.size, machine.image, machine.region) == ("e2-small", "debian-12-bookworm", ZONE)
    assert machine.created_at.isoformat() == "2026-01-02T11:04:05.678000+00:00"
    json.dumps(machine.to_dict())


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("PROVISIONING", "pending"),
        ("STAGING", "starting"),
        ("RUNNING", "running"),
        ("STOPPING", "stopping"),
        ("PENDING_STOP", "stopping"),
        ("TERMINATED", "stopped"),
        ("STOPPED", "stopped"),
        ("SUSPENDING", "suspended"),
        ("SUSPENDED", "suspended"),
        ("REPAIRING", "error"),
        ("DANCING", "unknown"),
    ],
)
def test_states(gce, account, machine, status, state):
    gce.instances[(ZONE, "vm-0")]["status"] = status
    assert [one.state for one in account.list_machines()] == [state]
    assert account.get_machine(machine.id).state == state


def test_many_addresses_of_both_kinds(gce, account):
    raw = gce.add(ZONE, "vm-0")
    raw["networkInterfaces"] += [
        {"networkIP": "10.9.9.9", "ipv6Address": "fd20::1", "ipv6AccessConfigs": [{"externalIpv6": "2600:1900::1"}]},
        {"networkIP": None, "accessConfigs": [{"natIP": "198.51.100.7"}, {}, None]},
        None,
    ]
    (machine,) = account.list_machines()
    assert machine.public_ips == (raw["_public"], "198.51.100.7", "2600:1900::1")
    assert machine.private_ips[1:] == ("10.9.9.9", "fd20::1")


def test_odd_rows_do_not_break_the_list(gce, account, machine):
    strange = [None, "text", {}, {"id": "7"}, {"id": 8, "disks": 3, "labels": [], "zone": None, "tags": "x"}]
    raw = {key: value for key, value in gce.instances[(ZONE, "vm-0")].items() if not key.startswith("_")}
    body = {"kind": "x", "items": {"zones/a": {"instances": [*strange, raw]}, "zones/b": None, "zones/c": {}}}
    answer = Response(200, json.dumps(body).encode(), {"Content-Type": "application/json"})
    gce.fault(answer, where=lambda request: request.path.endswith("/instances"))
    assert [one.name for one in account.list_machines()] == ["7", "8", "vm-0"]


def test_a_zone_that_cannot_be_reached(gce, account):
    gce.add(ZONE, "vm-0")
    gce.add("europe-west1-b", "vm-1")
    gce.unreachable.add(ZONE)
    with pytest.warns(PartialResult, match=rf"missing.*{ZONE}.*unreachable"):
        found = list(account.list_machines())
    assert [machine.name for machine in found] == ["vm-1"]
    gce.unreachable.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(account.list_machines())) == 2


def test_a_service_that_does_not_know_partial_success(gce, account, machine):
    refusal = api_error(400, "badRequest", 'Unknown name "returnPartialSuccess": Cannot bind query parameter.')
    gce.fault(refusal, times=9, where=lambda request: "returnPartialSuccess" in request.query)
    assert list(account.list_machines()) == [machine]


def test_machines_that_may_not_be_seen(gce, account):
    gce.account.permissions = {"compute.projects.get"}
    with pytest.raises(PermissionDenied) as caught:
        list(account.list_machines())
    assert "compute.instances.list" in caught.value.remedy


def test_pages_that_lead_in_a_circle(gce, account):
    body = {"kind": "x", "items": {}, "nextPageToken": "again"}
    answer = Response(200, json.dumps(body).encode(), {"Content-Type": "application/json"})
    gce.fault(answer, times=9, where=lambda request: request.path.endswith("/instances"))
    with pytest.raises(ProviderError) as caught:
        list(account.list_machines())
    assert caught.value.reason == "paging"


# -- acting -----------------------------------------------------------------------------------------------------------


def test_the_life_of_a_machine(gce, account, machine):
    def state():
        return account.get_machine(machine.id).state

    account.suspend_machine(machine.id)
    assert state() == "suspended"
    account.resume_machine(machine.id)
    account.reboot_machine(machine.id)
    assert state() == "running"
    with pytest.raises(Rejected) as caught:
        account.rename_machine(machine.id, "vm-9")
    assert caught.value.reason == "wrong_state"
    account.stop_machine(machine.id)
    assert state() == "stopped"
    account.rename_machine(machine.id, "vm-9")
    assert account.get_machine(machine.id).name == "vm-9"
    account.start_machine(machine.id)
    assert state() == "running"
    account.destroy_machine(machine.id)
    with pytest.raises(MachineNotFound):
        account.get_machine(machine.id)
    assert gce.disks == set()


def test_a_machine_that_was_not_listed_before(gce, gce_ca, account):
    raw = gce.add(ZONE, "vm-0")
    gce.add(ZONE, "vm-1")
    assert account.get_machine(raw["id"]).name == "vm-0"
    account.stop_machine(raw["id"])
    assert sum(line == "GET /aggregated/instances" for line in asked(gce)) == 1


def test_not_to_wait(gce, account, machine):
    gce.operation_seconds = math.inf
    account.stop_machine(machine.id, wait=False)
    assert account.get_machine(machine.id).state == "stopping"


def test_to_wait_is_to_look_until_it_is_done(gce, account, machine):
    gce.operation_seconds = 0.5
    account.stop_machine(machine.id)
    assert [operation["status"] for operation in gce.operations.values()] == ["DONE"]
    assert 1 <= sum("/operations/" in line for line in asked(gce)) <= 4
    assert account.get_machine(machine.id).state == "stopped"


def test_a_graceful_shutdown_that_is_not_waited_for(gce, account, machine):
    account.stop_machine(machine.id, force=True)
    (stop,) = [request for request in gce.requests if request.path.endswith("/stop")]
    assert stop.query["noGracefulShutdown"] == "true"


def test_a_request_that_is_repeated_is_done_once(gce, account, machine):
    """The same ID of the request goes along each time, so that Google does it once."""
    gce.fault(api_error(503, "backendError", "Try again."), times=1, where=lambda r: r.path.endswith("/stop"))
    account.stop_machine(machine.id)
    ids = [request.query["requestId"] for request in gce.requests if request.path.endswith("/stop")]
    assert len(ids) == 2
    assert len(set(ids)) == 1


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("ZONE_RESOURCE_POOL_EXHAUSTED", "no_capacity"),
        ("QUOTA_EXCEEDED", "quota"),
        ("RESOURCE_NOT_READY", "wrong_state"),
    ],
)
def test_an_operation_that_fails_later(gce, account, machine, code, reason):
    account.stop_machine(machine.id)
    gce.fail_operation("start", code, "It did not work.")
    with pytest.raises(Rejected, match=f"start the machine: It did not work.*{code}") as caught:
        account.start_machine(machine.id)
    assert caught.value.reason == reason


def test_an_operation_that_outlasts_the_deadline(gce, account, machine):
    gce.operation_seconds = math.inf
    with deadline_once(looked_after(gce)), pytest.raises(Unreachable) as caught:
        patient(account).stop_machine(machine.id)
    assert caught.value.reason == "timeout"
    assert "goes on" in caught.value.remedy


def test_what_one_may_not_do(gce, account, machine):
    gce.account.permissions = {"compute.instances.list", "compute.instances.get"}
    for act in (account.start_machine, account.stop_machine, account.reboot_machine, account.destroy_machine):
        with pytest.raises(PermissionDenied, match=r"compute\.instances\."):
            act(machine.id)
    assert account.get_machine(machine.id).state == "running"


@pytest.mark.parametrize("machine_id", ["", "vm-0", "999", "0", "../disks/vm-0", "1" * 30])
def test_machines_that_are_not_there(gce, account, machine, machine_id):
    actions = (account.get_machine, account.start_machine, account.stop_machine, account.destroy_machine)
    for act in (*actions, lambda one: account.destroy_machine(one, storage=True), account.suspend_machine):
        with pytest.raises(MachineNotFound):
            act(machine_id)
    assert len(gce.instances) == 1


def test_destroy_with_all_disks(gce, account, machine):
    for number, kept in enumerate((True, False)):
        disk = {"type": "PERSISTENT", "autoDelete": kept, "source": f"https://x/zones/{ZONE}/disks/data-{number}"}
        gce.instances[(ZONE, "vm-0")]["disks"].append(disk)
        gce.disks.add((ZONE, f"data-{number}"))
    account.destroy_machine(machine.id, storage=True)
    assert gce.disks == set()


def test_destroy_leaves_what_is_not_set_to_go(gce, account, machine):
    disk = {"type": "PERSISTENT", "autoDelete": False, "source": f"https://x/zones/{ZONE}/disks/data"}
    gce.instances[(ZONE, "vm-0")]["disks"].append(disk)
    gce.disks.add((ZONE, "data"))
    account.destroy_machine(machine.id)
    assert gce.disks == {(ZONE, "data")}


# -- making -----------------------------------------------------------------------------------------------------------


def sent(gce):
    return [request for request in gce.requests if request.method == "POST" and request.path.endswith("/instances")][
        -1
    ].json()


def test_a_machine_is_made(gce, account):
    machine = account.create_machine("web-1", **USUAL, tags={"env": "test"}, user_data="#cloud-config\n", disk=20)
    assert (machine.name, machine.state, machine.region, machine.size) == ("web-1", "running", ZONE, "e2-small")
    assert machine.tags == {"env": "test"}
    assert len(machine.public_ips) == 1
    assert machine == account.get_machine(machine.id)
    body = sent(gce)
    assert body["metadata"]["items"] == [
        {"key": "ssh-keys", "value": f"mist:{KEY}"},
        {"key": "user-data", "value": "#cloud-config\n"},
    ]
    (disk,) = body["disks"]
    assert disk["autoDelete"]
    assert disk["initializeParams"]["diskSizeGb"] == "20"
    assert disk["initializeParams"]["sourceImage"].endswith("/debian-12-bookworm-v20250201")


def test_a_script_is_run_at_the_start(gce, account):
    account.create_machine("web-1", **USUAL, user_data="#!/bin/sh\necho hello\n", network_tags=["http-server"])
    assert sent(gce)["metadata"]["items"][1]["key"] == "startup-script"
    assert sent(gce)["tags"] == {"items": ["http-server"]}


def test_not_to_wait_for_a_machine(gce, account):
    gce.operation_seconds = math.inf
    assert account.create_machine("web-1", **USUAL, wait=False).state == "pending"


def test_without_a_public_address(gce, account):
    assert account.create_machine("web-1", **USUAL, public_ip=False).public_ips == ()


@pytest.mark.parametrize(
    ("given", "interface"),
    [
        ("office", {"network": f"projects/{PROJECT}/global/networks/office"}),
        ("projects/shared/regions/r/subnetworks/desks", {"subnetwork": "projects/shared/regions/r/subnetworks/desks"}),
    ],
)
def test_a_network_that_is_named(gce, account, given, interface):
    account.create_machine("web-1", **USUAL, network=given, public_ip=False)
    assert sent(gce)["networkInterfaces"] == [interface]


@pytest.mark.parametrize(
    ("image", "found"),
    [
        ("debian-12", "debian-cloud/global/images/debian-12-bookworm-v20250201"),
        ("debian-12-bookworm-v20250101", "debian-cloud/global/images/debian-12-bookworm-v20250101"),
        ("ubuntu-os-cloud/ubuntu-2204-lts", "ubuntu-os-cloud/global/images/ubuntu-2204-jammy-v20250101"),
        ("golden-7", f"{PROJECT}/global/images/golden-7"),
        ("projects/debian-cloud/global/images/family/debian-12", "debian-cloud/global/images/family/debian-12"),
    ],
)
def test_images_by_family_and_name(gce, account, image, found):
    account.create_machine("web-1", **{**USUAL, "image": image})
    assert sent(gce)["disks"][0]["initializeParams"]["sourceImage"] == f"projects/{found}"


@pytest.mark.parametrize("image", ["debian-99", "no-such", "debian-cloud/no-such", "a/b/c", "x y"])
def test_images_that_are_not_there(gce, account, image):
    with pytest.raises(InvalidFields) as caught:
        account.create_machine("web-1", **{**USUAL, "image": image})
    assert set(caught.value.problems) == {"image"}
    assert gce.instances == {}


def test_everything_wrong_is_named_at_once(gce, account):
    with pytest.raises(InvalidFields) as caught:
        account.create_machine(
            "Web", image="debian-12", size="", location="us-central1", key="mine", user="root", tags={"A": "B"}
        )
    assert set(caught.value.problems) == {"name", "size", "location", "key", "user", "tags"}
    assert gce.requests == []


def test_a_name_that_is_taken(gce, account):
    account.create_machine("web-1", **USUAL)
    with pytest.raises(Rejected) as caught:
        account.create_machine("web-1", **USUAL)
    assert caught.value.reason == "exists"


def test_a_place_without_capacity(gce, account):
    gce.fail_operation("insert", "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", "The zone has no room.")
    with pytest.raises(Rejected) as caught:
        account.create_machine("web-1", **USUAL)
    assert caught.value.reason == "no_capacity"
    assert gce.instances == {}


# -- what there is ----------------------------------------------------------------------------------------------------


def test_sizes(gce, account):
    gce.page_size = 4
    found = {size.id: size for size in account.list_sizes()}
    assert list(found) == ["e2-small", "n2-standard-4", "t2a-standard-1"]
    small = found["e2-small"]
    assert (small.cpus, small.memory, small.architecture) == (2, 2048, "x86_64")
    assert small.extra["locations"] == ["europe-west1-b", "us-central1-a", "us-central1-b"]
    assert [size.id for size in account.list_sizes(location="us-central1-b")] == ["e2-small"]


def test_images(account):
    found = {image.id: image for image in account.list_images()}
    debian = found["projects/debian-cloud/global/images/family/debian-12"]
    assert (debian.name, debian.os, debian.architecture) == ("debian-12", "linux", "x86_64")
    assert debian.extra["image"] == "debian-12-bookworm-v20250201"
    assert found["projects/windows-cloud/global/images/family/windows-2022"].os == "windows"
    assert f"projects/{PROJECT}/global/images/golden-7" in found
    assert not [image for image in found if "debian-11" in image]
    assert {image.name for image in account.list_images("Debian")} == {"debian-12", "debian-12-arm64"}


def test_locations_and_networks(account):
    assert [zone.id for zone in account.list_locations()] == ["europe-west1-b", "us-central1-a", "us-central1-b"]
    networks = {network.id: network for network in account.list_networks()}
    assert [one["cidr"] for one in networks["office"].extra["subnetworks"]] == ["192.168.0.0/24"]
    assert networks["default"].extra["automatic"]
