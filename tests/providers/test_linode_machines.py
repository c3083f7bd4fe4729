"""Linode: the life of a machine, and how one is made, against the stand-in."""

from __future__ import annotations

import base64
import threading

import pytest
from fakes import linode_fixtures as fixtures
from fakes.linode import FakeLinode, problem
from fakes.linode_fixtures import PUBLIC_KEY, WHOLE, asked
from fakes.patience import HANGS, deadline_once, looked_after
from peers.waiting import until

from mistcore import InvalidFields, MachineNotFound, MachineState, ProviderError, Rejected, Unreachable
from mistcore_providers.linode import Linode

service = fixtures.service
linode = fixtures.linode


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
