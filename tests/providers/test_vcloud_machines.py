"""vcloud's machines, in JSON and in XML: listing them, their power, making them and what of, destroying them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from fakes import vcloud_accounts
from fakes.vcloud import FakeVcloud, uuid_of
from fakes.vcloud_accounts import KINDS, account, running

from mistcore import InvalidFields, MachineNotFound, NotSupported, Rejected
from mistcore.testing.server import json_response

cloud = vcloud_accounts.cloud
new_cloud = vcloud_accounts.new_cloud

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
