"""libvirt by its own test driver (`test:///`), which needs no daemon and no hypervisor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from fakes.libvirt_binding import libvirt, needs_binding

from mistcore import (
    AuthenticationFailed,
    InvalidFields,
    MachineNotFound,
    MachineState,
    NotSupported,
    Rejected,
    Unreachable,
)
from mistcore.deadline import deadline
from mistcore_providers.libvirt import Libvirt

HOST = """<node>{extra}<domain type='test'><name>web</name><uuid>11111111-2222-3333-4444-555555555555</uuid>
<memory unit='MiB'>512</memory><vcpu>2</vcpu><os><type arch='i686'>hvm</type></os>
<metadata><t:tags xmlns:t='urn:mistcore:tags'><t:tag key='role' value='web'/></t:tags></metadata>
<title>The web server</title>
<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/disks/web.qcow2'/>
<target dev='vda' bus='virtio'/></disk><interface type='network'><mac address='52:54:00:12:34:56'/>
<source network='lan'/></interface></devices></domain>
<network><name>lan</name><bridge name='virbr7'/><ip address='10.7.0.1' prefix='24'/></network>
<pool type='dir'><name>images</name><target><path>/pools/images</path></target>
<volume><name>debian.qcow2</name><capacity unit='MiB'>64</capacity>
<target><path>/pools/images/debian.qcow2</path><format type='qcow2'/></target></volume></pool></node>"""
WEB = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def host(tmp_path: Path) -> str:
    """The URI of a host of the test driver with one running domain, one network and one image."""
    if libvirt is None:
        pytest.skip("libvirt's Python binding is not installed")
    file = tmp_path / f"{uuid4().hex}.xml"
    file.write_text(HOST.format(extra=""))
    return f"test://{file}"


@pytest.fixture
def provider(host: str) -> Iterator[Libvirt]:
    with Libvirt(uri=host) as provider:
        yield provider


def test_check(provider: Libvirt) -> None:
    account = provider.check()
    assert account.details["hypervisor"] == "TEST"
    assert account.details["transport"] == "unix"
    assert account.name == account.details["hostname"]
    assert account.permissions == frozenset(Libvirt.operations())
    assert account.warnings == ()


def test_what_a_machine_says(provider: Libvirt) -> None:
    (machine,) = provider.list_machines()
    assert (machine.id, machine.name, machine.state) == (WEB, "web", MachineState.RUNNING)
    assert machine.size == "2x512"
    assert machine.tags == {"role": "web"}
    assert machine.private_ips == ("10.7.0.2",) or machine.private_ips[0].startswith("10.7.0.")
    assert machine.extra["title"] == "The web server"
    assert machine.extra["networks"] == ["lan"]
    assert machine.extra["macs"] == ["52:54:00:12:34:56"]
    assert machine.extra["disks"] == [
        {"target": "vda", "device": "disk", "path": "/disks/web.qcow2", "format": "qcow2", "size": None}
    ]
    assert provider.get_machine(WEB).to_dict()["name"] == "web"


def test_its_life(provider: Libvirt) -> None:
    def state() -> MachineState:
        (machine,) = provider.list_machines()
        assert provider.get_machine(WEB).state is machine.state
        return machine.state

    for action, after in [
        ("pause_machine", "paused"),
        ("resume_machine", "running"),
        ("suspend_machine", "suspended"),
        ("resume_machine", "running"),
        ("reboot_machine", "running"),
        ("stop_machine", "stopped"),
        ("start_machine", "running"),
    ]:
        getattr(provider, action)(WEB)
        assert state() == after, action
    provider.stop_machine(WEB, force=True)
    assert state() == "stopped"
    provider.rename_machine(WEB, "db")
    assert provider.get_machine(WEB).name == "db"
    provider.destroy_machine(WEB)
    assert list(provider.list_machines()) == []


def test_what_cannot_be_done(provider: Libvirt) -> None:
    with pytest.raises(Rejected) as caught:
        provider.start_machine(WEB)
    assert caught.value.reason == "state"
    with pytest.raises(Rejected):
        provider.destroy_machine(WEB)
    with pytest.raises(NotSupported):  # the test driver takes no uploads
        provider.create_machine("new", image="debian.qcow2", network="lan", user_data="#cloud-config")
    assert [image.name for image in provider.list_images()] == ["debian.qcow2"]
    for unknown in ("nonsense", str(uuid4())):
        with pytest.raises(MachineNotFound, match=unknown):
            provider.stop_machine(unknown)
        with pytest.raises(MachineNotFound, match=unknown):
            provider.get_machine(unknown)


def test_networks_and_images(provider: Libvirt) -> None:
    (network,) = provider.list_networks()
    assert (network.name, network.cidr) == ("lan", "10.7.0.0/24")
    assert network.extra["active"] is True
    (image,) = provider.list_images()
    assert (image.id, image.name, image.extra) == ("/pools/images/debian.qcow2", "debian.qcow2", {"pool": "images"})
    assert list(provider.list_images(search="DEB")) == [image]
    assert list(provider.list_images(search="fedora")) == []


def test_create(provider: Libvirt) -> None:
    machine = provider.create_machine("new", image="debian.qcow2", size="3x256", network="lan", tags={"a": "<b>"})
    assert (machine.name, machine.state, machine.size) == ("new", "running", "3x256")
    assert machine.tags == {"a": "<b>"}
    assert machine.extra["disks"][0]["path"] == "/pools/images/new.qcow2"
    assert machine.extra["networks"] == ["lan"]
    assert {image.name for image in provider.list_images()} == {"debian.qcow2", "new.qcow2"}
    provider.destroy_machine(machine.id, force=True, storage=True)
    assert {image.name for image in provider.list_images()} == {"debian.qcow2"}
    with pytest.raises(InvalidFields) as caught:
        provider.create_machine("new", image="debian.qcow2", network="wan")
    assert list(caught.value.problems) == ["network"]
    for name in ("", "a/b", ".hidden", "a\nb"):
        with pytest.raises(InvalidFields):
            provider.create_machine(name, image="debian.qcow2", network="lan")


def test_many_machines_in_no_time() -> None:
    if libvirt is None:
        pytest.skip("libvirt's Python binding is not installed")
    raw = libvirt.open("test:///default")
    for number in range(100):
        raw.defineXML(
            f"<domain type='test'><name>m{number}</name><memory>65536</memory><os><type>hvm</type></os></domain>"
        )
    with Libvirt(uri="test:///default") as provider:
        machines = list(provider.list_machines())
    assert len({machine.id for machine in machines}) == 101
    assert {machine.state for machine in machines} == {MachineState.RUNNING, MachineState.STOPPED}


@needs_binding
def test_a_host_file_that_is_not_there() -> None:
    with pytest.raises(InvalidFields, match="no file"):
        Libvirt(uri="test:///no/such/file.xml").check()


def test_it_works_again_after_close(provider: Libvirt) -> None:
    assert provider.check()
    provider.close()
    provider.close()
    assert provider.check()


@pytest.mark.parametrize(("password", "good"), [("s3cret", True), ("wr0ng", False), ("", False)])
def test_a_password(tmp_path: Path, password: str, good: bool) -> None:
    if libvirt is None:
        pytest.skip("libvirt's Python binding is not installed")
    file = tmp_path / "host.xml"
    file.write_text(HOST.format(extra="<auth><user password='s3cret'>alice</user></auth>"))
    provider = Libvirt(uri=f"test://{file}", auth_user="alice", auth_password=password)
    if good:
        assert provider.check()
        return
    with pytest.raises(AuthenticationFailed) as caught:
        provider.check()
    assert not password or password not in str(caught.value)


def test_nothing_is_asked_past_the_deadline(provider: Libvirt) -> None:
    with deadline(-1), pytest.raises(Unreachable) as caught:
        list(provider.list_machines())
    assert caught.value.reason == "timeout"
