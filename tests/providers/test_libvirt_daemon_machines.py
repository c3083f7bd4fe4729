"""libvirt against a real daemon with QEMU: a domain's life over every transport, and each operation on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from peers import libvirt_accounts
from peers.libvirt_accounts import find, ssh, tls
from peers.libvirtd import LibvirtDaemon
from peers.waiting import until

from mistcore import InvalidFields, MachineNotFound, MachineState, Rejected
from mistcore_providers.libvirt import Libvirt

provider = libvirt_accounts.provider
guests = libvirt_accounts.guests
raw = libvirt_accounts.raw
define = libvirt_accounts.define
pool = libvirt_accounts.pool

# -- the whole life of a domain, over every transport -----------------------------------------------------------------


@pytest.mark.parametrize("transport", ["unix", "tcp", "tls", "ssh"])
def test_a_domain_lives_and_dies(libvirtd: LibvirtDaemon, define: Callable[..., str], transport: str) -> None:
    make = {
        "unix": lambda: Libvirt(uri=libvirtd.uri),
        "tcp": lambda: Libvirt(uri=libvirtd.tcp, auth_user="alice", auth_password="s3cret"),
        "tls": lambda: tls(libvirtd),
        "ssh": lambda: ssh(libvirtd),
    }
    uuid = define()
    with make[transport]() as provider:
        account = provider.check()
        assert account.details["hypervisor"] == "QEMU"
        assert account.details["transport"] == transport
        assert account.permissions is not None
        assert "destroy_machine" in account.permissions
        assert bool(account.warnings) == (transport == "tcp")
        assert find(provider, uuid).state == "stopped"
        provider.start_machine(uuid)
        assert find(provider, uuid).state == "running"
        provider.pause_machine(uuid)
        assert find(provider, uuid).state == "paused"
        provider.resume_machine(uuid)
        assert find(provider, uuid).state == "running"
        provider.stop_machine(uuid, force=True)
        assert find(provider, uuid).state == "stopped"
        provider.destroy_machine(uuid)
        assert uuid not in {machine.id for machine in provider.list_machines()}
        with pytest.raises(MachineNotFound):
            provider.start_machine(uuid)


def test_what_a_machine_says(provider: Libvirt, define: Callable[..., str], libvirtd: LibvirtDaemon) -> None:
    uuid = define("speaks")
    provider.start_machine(uuid)
    machine = find(provider, uuid)
    assert (machine.name, machine.state, machine.size) == ("speaks", MachineState.RUNNING, "1x16")
    assert machine.extra["cpus"] == 1
    assert machine.extra["memory"] == 16
    disk = {"target": "hda", "device": "disk", "path": str(libvirtd.guest), "format": "raw", "size": 0.001}
    assert machine.extra["disks"] == [disk]
    assert machine.extra["domain_type"] == "qemu"
    assert provider.get_machine(uuid) == machine
    assert machine.to_dict()["extra"]["disks"][0]["path"] == str(libvirtd.guest)


# -- the operations ---------------------------------------------------------------------------------------------------


def test_a_guest_is_asked_to_shut_down(provider: Libvirt, define: Callable[..., str]) -> None:
    uuid = define()
    provider.start_machine(uuid)

    def asked() -> bool:
        if provider.get_machine(uuid).state == "running":
            with suppress(Rejected):  # it has stopped in between
                provider.stop_machine(uuid)
        return provider.get_machine(uuid).state == "stopped"

    until(asked, 100, 0.3)  # the guest hears it once it has booted


def test_reboot_resets_or_asks(provider: Libvirt, define: Callable[..., str]) -> None:
    uuid = define()
    provider.start_machine(uuid)
    provider.reboot_machine(uuid, force=True)
    assert provider.get_machine(uuid).state == "running"
    time.sleep(1.5)
    provider.reboot_machine(uuid)
    time.sleep(1)
    until(lambda: provider.get_machine(uuid).state == "running", 100)  # one that was shut down would never be again


def test_suspend_saves_and_resume_goes_on(provider: Libvirt, define: Callable[..., str], raw: Any) -> None:
    uuid = define()
    provider.start_machine(uuid)
    provider.suspend_machine(uuid)
    assert raw.lookupByUUIDString(uuid).hasManagedSaveImage()
    assert find(provider, uuid).state == "suspended"
    assert provider.get_machine(uuid).state == "suspended"
    provider.resume_machine(uuid)
    assert provider.get_machine(uuid).state == "running"
    with pytest.raises(Rejected, match="neither paused nor suspended"):
        provider.resume_machine(uuid)


@pytest.mark.parametrize(
    "action", ["stop_machine", "reboot_machine", "pause_machine", "suspend_machine", "resume_machine"]
)
def test_a_stopped_machine_refuses(provider: Libvirt, define: Callable[..., str], action: str) -> None:
    uuid = define()
    with pytest.raises(Rejected) as caught:
        getattr(provider, action)(uuid)
    assert caught.value.reason == "state"


def test_a_running_machine_does_not_start(provider: Libvirt, define: Callable[..., str]) -> None:
    uuid = define()
    provider.start_machine(uuid)
    with pytest.raises(Rejected, match="already running") as caught:
        provider.start_machine(uuid)
    assert caught.value.reason == "state"


def test_rename(provider: Libvirt, define: Callable[..., str]) -> None:
    uuid, other = define("before"), define("taken")
    provider.rename_machine(uuid, "after")
    assert find(provider, uuid).name == "after"
    with pytest.raises(Rejected) as caught:
        provider.rename_machine(uuid, "taken")
    assert caught.value.reason == "exists"
    provider.start_machine(other)
    with pytest.raises(Rejected, match="running domain cannot be renamed"):
        provider.rename_machine(other, "free")
    with pytest.raises(InvalidFields):
        provider.rename_machine(uuid, "a/b")


def test_destroy_wants_force_for_a_running_machine(provider: Libvirt, define: Callable[..., str]) -> None:
    uuid = define()
    provider.start_machine(uuid)
    with pytest.raises(Rejected) as caught:
        provider.destroy_machine(uuid)
    assert caught.value.reason == "state"
    provider.destroy_machine(uuid, force=True)
    with pytest.raises(MachineNotFound):
        provider.get_machine(uuid)


def test_destroy_takes_saved_memory_and_snapshots_along(
    provider: Libvirt, define: Callable[..., str], raw: Any
) -> None:
    uuid = define()
    provider.start_machine(uuid)
    provider.suspend_machine(uuid)
    provider.destroy_machine(uuid)
    with pytest.raises(MachineNotFound):
        provider.get_machine(uuid)


def test_destroy_with_storage_only_where_libvirt_can(
    provider: Libvirt, define: Callable[..., str], libvirtd: LibvirtDaemon
) -> None:
    uuid = define()
    with pytest.raises(Rejected, match="in no storage pool"):
        provider.destroy_machine(uuid, storage=True)
    assert provider.get_machine(uuid)
    assert libvirtd.guest.exists()


def test_destroy_leaves_a_disk_that_another_machine_uses(
    provider: Libvirt, define: Callable[..., str], pool: Any
) -> None:
    disk = Path(pool.storageVolLookupByName("guest.img").path())
    first, second = define(disk=disk), define(disk=disk)
    provider.destroy_machine(first, storage=True)
    assert disk.exists()
    provider.destroy_machine(second, storage=True)
    assert not disk.exists()
