"""EC2 against moto's server, over HTTP: a machine's whole life, what it is made of, paging, every region."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from peers.moto_accounts import IMAGE, account, create
from peers.moto_server import Moto

from mistcore import BackendManager, InvalidFields, MachineNotFound, MachineState, Rejected
from mistcore.deadline import deadline

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKMVyRKjdHWNqUZ+yIrxf7ziZRr8MfFVrdYx8rGIGJ6C me@desk"


# -- the life of an instance ------------------------------------------------------------------------------------------


def test_the_whole_life_of_an_instance(moto: Moto) -> None:
    ec2 = account(moto)
    made = create(ec2, "web-1", user_data="#!/bin/sh\necho hello\n", tags={"env": "prod & test <1>"}, key=PUBLIC_KEY)
    assert made.state is MachineState.PENDING
    assert made.id.startswith("i-")

    [machine] = ec2.list_machines()
    assert (machine.id, machine.name, machine.state) == (made.id, "web-1", MachineState.RUNNING)
    assert machine.tags == {"env": "prod & test <1>", "Name": "web-1"}
    assert (machine.size, machine.image) == ("t3.micro", IMAGE)
    assert machine.region.startswith("us-east-1")
    assert machine.region != "us-east-1"
    assert machine.created_at is not None
    assert machine.created_at.tzinfo is UTC
    assert abs(machine.created_at - datetime.now(UTC)) < timedelta(minutes=2)
    assert machine.public_ips
    assert machine.private_ips
    assert machine.extra["vpc"].startswith("vpc-")
    assert machine.extra["subnet"].startswith("subnet-")
    assert machine.extra["region"] == "us-east-1"
    assert ec2.get_machine(made.id) == machine

    client = moto.client("ec2")
    seen = client.describe_instance_attribute(InstanceId=made.id, Attribute="userData")
    assert seen["UserData"]["Value"] == "IyEvYmluL3NoCmVjaG8gaGVsbG8K"
    [pair] = client.describe_key_pairs()["KeyPairs"]
    assert pair["KeyName"] == machine.extra["key"]

    ec2.stop_machine(made.id)
    assert ec2.get_machine(made.id).state is MachineState.STOPPED
    ec2.start_machine(made.id)
    assert ec2.get_machine(made.id).state is MachineState.RUNNING
    ec2.stop_machine(made.id, force=True)
    assert ec2.get_machine(made.id).state is MachineState.STOPPED
    ec2.start_machine(made.id)
    ec2.reboot_machine(made.id)
    assert ec2.get_machine(made.id).state is MachineState.RUNNING
    ec2.rename_machine(made.id, "web-2 & more")
    assert ec2.get_machine(made.id).name == "web-2 & more"
    ec2.destroy_machine(made.id)
    assert ec2.get_machine(made.id).state is MachineState.TERMINATED


def test_the_same_through_a_manager_with_waiting(moto: Moto, tmp_path: Any) -> None:
    manager = BackendManager(str(tmp_path / "backends.json"))
    backend = manager.add_backend(
        provider="ec2", title="Mine", region="ec2_us_east", api_key="testing", api_secret="testing", endpoint=moto.url
    )
    assert backend.region == "us-east-1"
    machine = backend.create_machine("web-1", image=IMAGE, size="t3.micro")
    assert machine.wait_for("running", timeout=100, interval=0.1).state is MachineState.RUNNING
    machine.stop()
    assert machine.wait_for("stopped", timeout=100, interval=0.1).actions == ("start", "rename", "destroy")
    [found] = manager.machines(search="web")
    found.destroy()
    assert found.wait_for("terminated", timeout=100, interval=0.1).state is MachineState.TERMINATED


def test_what_creating_takes(moto: Moto) -> None:
    ec2 = account(moto)
    [subnet] = [network for network in ec2.list_networks() if network.extra["zone"] == "us-east-1b"]
    client = moto.client("ec2")
    group = client.create_security_group(GroupName="g", Description="g", VpcId=subnet.extra["vpc"])["GroupId"]
    client.create_key_pair(KeyName="mine")
    machine = create(ec2, "a", network=subnet.id, key="mine", security_groups=[group])
    machine = ec2.get_machine(machine.id)
    assert machine.extra["subnet"] == subnet.id
    assert machine.region == "us-east-1b"
    assert machine.extra["key"] == "mine"
    assert machine.extra["security_groups"] == [group]
    assert ec2.get_machine(create(ec2, "b", location="us-east-1c").id).region == "us-east-1c"
    with pytest.raises(InvalidFields, match="VPC"):
        create(ec2, "c", network=subnet.extra["vpc"])
    with pytest.raises(Rejected, match="ami-"):
        ec2.create_machine("d", image="ami-00000000", size="t3.micro")
    with pytest.raises(Rejected, match="no.such"):
        ec2.create_machine("d", image=IMAGE, size="no.such")
    # The same public key twice is one key pair.
    first, second = create(ec2, "e", key=PUBLIC_KEY), create(ec2, "f", key=PUBLIC_KEY)
    assert ec2.get_machine(first.id).extra["key"] == ec2.get_machine(second.id).extra["key"]


def test_a_machine_that_is_not_there(moto: Moto) -> None:
    ec2 = account(moto)
    missing = "i-0123456789abcdef0"
    for call in (ec2.get_machine, ec2.start_machine, ec2.stop_machine, ec2.reboot_machine, ec2.destroy_machine):
        with pytest.raises(MachineNotFound, match=missing):
            call(missing)
    with pytest.raises(MachineNotFound, match="i-what"):
        ec2.get_machine("i-what")


def test_termination_protection(moto: Moto) -> None:
    ec2 = account(moto)
    machine = create(ec2, "precious")
    client = moto.client("ec2")
    client.modify_instance_attribute(InstanceId=machine.id, DisableApiTermination={"Value": True})
    with pytest.raises(Rejected, match="disableApiTermination") as caught:
        ec2.destroy_machine(machine.id)
    assert caught.value.reason == "protected"
    assert ec2.get_machine(machine.id).state is MachineState.RUNNING


# -- what there is ----------------------------------------------------------------------------------------------------


def test_sizes(moto: Moto) -> None:
    sizes = {size.id: size for size in account(moto).list_sizes()}
    assert len(sizes) > 500  # so there was more than one page
    micro = sizes["t3.micro"]
    assert (micro.cpus, micro.memory, micro.disk, micro.architecture) == (2, 1024, None, "x86_64")
    assert sizes["t4g.micro"].architecture == "arm64"
    assert sizes["m5d.large"].disk == 69  # 75 GB
    assert micro.extra["current_generation"]


def test_images(moto: Moto) -> None:
    ec2 = account(moto)
    assert list(ec2.list_images()) == []
    machine = create(ec2, "template")
    own = moto.client("ec2").create_image(InstanceId=machine.id, Name="my-own-image")["ImageId"]
    assert [image.id for image in ec2.list_images()] == [own]
    found = list(ec2.list_images("amzn2"))
    assert found
    assert all("amzn2" in image.name.lower() for image in found)
    times = [image.created_at for image in found]
    assert times == sorted(times, reverse=True)
    assert [image.id for image in ec2.list_images("my-own")] == [own]
    assert [image.id for image in ec2.list_images(IMAGE)] == [IMAGE]
    assert list(ec2.list_images("no such image at all")) == []


def test_locations_and_networks(moto: Moto) -> None:
    ec2 = account(moto, "eu-west-1")
    zones = list(ec2.list_locations())
    assert [zone.id for zone in zones] == ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
    assert zones[0].name == "Ireland (eu-west-1a)"
    assert zones[0].extra["region"] == "eu-west-1"
    networks = list(ec2.list_networks())
    assert {network.extra["zone"] for network in networks} == {zone.id for zone in zones}
    assert all(network.cidr.endswith("/20") for network in networks)
    assert all(network.extra["default"] for network in networks)


# -- many -------------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(600)
def test_paging_to_the_end_over_thousands(moto: Moto) -> None:
    client = moto.client("ec2")
    for _ in range(3):
        client.run_instances(ImageId=IMAGE, InstanceType="t3.micro", MinCount=700, MaxCount=700)
    # moto counts reservations, so these are three pages. It answers each slowly, which is no fault of what asks it.
    with deadline(600):
        ec2 = account(moto)
        machines = list(ec2._service.instances("us-east-1", {"MaxResults": "1"}))
    assert len({machine.id for machine in machines}) == 2100
    assert all(machine.private_ips and machine.state is MachineState.RUNNING for machine in machines)


# -- every region -----------------------------------------------------------------------------------------------------


def test_all_regions_are_one_backend(moto: Moto) -> None:
    made = {region: create(account(moto, region), f"in-{region}") for region in ("eu-west-1", "us-west-2", "sa-east-1")}
    everywhere = account(moto, "all")
    machines = {machine.name: machine for machine in everywhere.list_machines()}
    assert machines.keys() == {f"in-{region}" for region in made}
    assert machines["in-eu-west-1"].region.startswith("eu-west-1")

    # Each can be handled, whether this account has listed it before or not.
    everywhere.stop_machine(made["eu-west-1"].id)
    assert account(moto, "eu-west-1").get_machine(made["eu-west-1"].id).state is MachineState.STOPPED
    fresh = account(moto, "all")
    assert fresh.get_machine(made["sa-east-1"].id).name == "in-sa-east-1"
    account(moto, "all").destroy_machine(made["us-west-2"].id)
    assert account(moto, "us-west-2").get_machine(made["us-west-2"].id).state is MachineState.TERMINATED
    for call in (fresh.get_machine, fresh.stop_machine):
        with pytest.raises(MachineNotFound):
            call("i-0123456789abcdef0")

    checked = everywhere.check()
    assert len(checked.details["regions"]) >= 17
    zones = {zone.id for zone in everywhere.list_locations()}
    assert {"us-east-1a", "eu-west-1c", "sa-east-1a"} <= zones
    assert {network.extra["region"] for network in everywhere.list_networks()} == set(checked.details["regions"])


def test_all_regions_need_a_place_to_create_in(moto: Moto) -> None:
    ec2 = account(moto, "all")
    with pytest.raises(InvalidFields, match="location"):
        create(ec2, "nowhere")
    with pytest.raises(InvalidFields, match="atlantis"):
        create(ec2, "nowhere", location="atlantis")
    assert create(ec2, "zone", location="eu-west-1b").region == "eu-west-1b"
    machine = create(ec2, "region", location="us-west-2")
    assert machine.extra["region"] == "us-west-2"
    ec2.rename_machine(machine.id, "renamed")
    assert ec2.get_machine(machine.id).name == "renamed"
