"""SoftLayer: the life of a server, and how one is made, against the stand-in."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import softlayer_fixtures as fixtures
from fakes.softlayer import FakeSoftLayer, missing, problem
from fakes.softlayer_fixtures import PUBLIC_KEY, WHOLE, asked

from mistcore import InvalidFields, MachineNotFound, MachineState, ProviderError, Rejected
from mistcore_providers.softlayer import SoftLayer

service = fixtures.service
softlayer = fixtures.softlayer


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
