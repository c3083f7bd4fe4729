"""libvirt against a real daemon with QEMU: over its socket, TCP with SASL, TLS with certificates, and SSH."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fakes.patience import PATIENCE, patient
from fakes.relay import Relay
from peers.libvirt_guests import Guests, domain_xml
from peers.libvirtd import LibvirtDaemon, binding
from peers.waiting import until

from mistcore import (
    AuthenticationFailed,
    InvalidFields,
    Machine,
    MachineNotFound,
    MachineState,
    PermissionDenied,
    Rejected,
    Unreachable,
)
from mistcore.deadline import deadline
from mistcore_providers.libvirt import Libvirt


@pytest.fixture
def provider(libvirtd: LibvirtDaemon) -> Iterator[Libvirt]:
    with Libvirt(uri=libvirtd.uri) as provider:
        yield provider


@pytest.fixture
def guests(libvirtd: LibvirtDaemon) -> Iterator[Guests]:
    with Guests(libvirtd) as guests:
        yield guests


@pytest.fixture
def raw(guests: Guests) -> Any:
    """The binding itself, to look behind the provider's back."""
    return guests.raw


@pytest.fixture
def define(guests: Guests) -> Callable[..., str]:
    """Define a domain and return its id; it is gone after the test."""
    return guests.define


@pytest.fixture
def pool(guests: Guests) -> Any:
    """A running storage pool with one image in it, `guest.img`."""
    return guests.pool()


def reaches(provider: Libvirt, machine_id: str, state: str, seconds: float = 100) -> bool:
    end = time.monotonic() + seconds
    while provider.get_machine(machine_id).state != state:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def find(provider: Libvirt, machine_id: str) -> Machine:
    return next(machine for machine in provider.list_machines() if machine.id == machine_id)


def ssh(daemon: LibvirtDaemon, **fields: Any) -> Libvirt:
    given = {"ssh_port": daemon.ssh_port, "machine_key": str(daemon.ssh_key), "known_hosts": str(daemon.known_hosts)}
    return Libvirt(machine_hostname="127.0.0.1", **{**given, **fields})


def tls(daemon: LibvirtDaemon, pki: str = "good", **fields: Any) -> Libvirt:
    files = daemon.pki / pki
    given = {"cert_file": str(files / "client.pem"), "key_file": str(files / "client-key.pem")}
    return Libvirt(uri=daemon.tls, **{"ca_cert": str(daemon.pki / "good/ca.pem"), **given, **fields})


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
    assert provider.get_machine(uuid).state == "running"


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


# -- create -----------------------------------------------------------------------------------------------------------

EMULATED = {"domain_type": "qemu", "network": "none", "machine_type": "pc"}


def test_images_are_the_volumes_of_the_pools(provider: Libvirt, pool: Any) -> None:
    images = {image.id: image for image in provider.list_images()}
    path = pool.storageVolLookupByName("guest.img").path()
    assert images[path].name == "guest.img"
    assert images[path].extra == {"pool": pool.name()}
    assert not [image for image in provider.list_images(search="nothing") if image.extra["pool"] == pool.name()]
    assert path in {image.id for image in provider.list_images(search="GUEST")}


def test_create_from_an_image(provider: Libvirt, pool: Any, tmp_path: Path) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMq me@here"
    data = "#cloud-config\nhostname: made\n"
    machine = provider.create_machine(
        "made",
        image=f"{pool.name()}/guest.img",
        size="2x24",
        key=key,
        user_data=data,
        tags={"role": "web & <db>", "empty": ""},
        disk=1,
        **EMULATED,
    )
    assert (machine.name, machine.state, machine.size) == ("made", "running", "2x24")
    assert machine.tags == {"role": "web & <db>", "empty": ""}
    disk, medium = machine.extra["disks"]
    assert disk["size"] == 1.0
    assert Path(disk["path"]).read_bytes()[510:512] == b"\x55\xaa"
    assert medium["device"] == "cdrom"
    seed = Path(medium["path"]).read_bytes()
    assert seed[0x8028:0x8048].strip() == b"cidata"
    assert data.encode() in seed
    assert key.encode() in seed
    assert b'"local-hostname": "made"' in seed
    provider.destroy_machine(machine.id, force=True, storage=True)
    pool.refresh()
    assert pool.listVolumes() == ["guest.img"]


def test_create_linked_keeps_the_differences_only(provider: Libvirt, pool: Any) -> None:
    image = pool.storageVolLookupByName("guest.img").path()
    machine = provider.create_machine("linked", image=image, size="1x16", linked=True, start=False, **EMULATED)
    assert machine.state == "stopped"
    disk = machine.extra["disks"][0]
    assert disk["format"] == "qcow2"
    info = subprocess.run(["od", "-An", "-c", "-N4", disk["path"]], capture_output=True, text=True, check=True).stdout
    assert "Q   F   I" in info
    assert image.encode() in Path(disk["path"]).read_bytes()


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"image": "nothing.img"}, "image"),
        ({"size": "big"}, "size"),
        ({"size": "0x16"}, "size"),
        ({"network": "nowhere"}, "network"),
        ({"pool": "nowhere"}, "pool"),
        ({"domain_type": "nonsense"}, "domain_type"),
        ({"firmware": "odd"}, "firmware"),
    ],
)
def test_create_refuses_what_is_not_there(provider: Libvirt, pool: Any, options: dict[str, str], field: str) -> None:
    given = {"image": f"{pool.name()}/guest.img", "size": "1x16", **EMULATED, **options}
    with pytest.raises(InvalidFields) as caught:
        provider.create_machine("refused", **given)  # type: ignore[arg-type]
    assert list(caught.value.problems) == [field]
    pool.refresh()
    assert pool.listVolumes() == ["guest.img"]


def test_create_that_fails_leaves_nothing(provider: Libvirt, pool: Any) -> None:
    given: dict[str, Any] = {"image": f"{pool.name()}/guest.img", "size": "1x16", "key": "ssh-ed25519 AAAA", **EMULATED}
    with pytest.raises(Rejected):
        provider.create_machine("fails", **{**given, "machine_type": "no-such-machine"})
    pool.refresh()
    assert pool.listVolumes() == ["guest.img"]
    assert "fails" not in {machine.name for machine in provider.list_machines()}


def test_create_refuses_a_name_that_is_taken(provider: Libvirt, define: Callable[..., str], pool: Any) -> None:
    define("taken-name")
    with pytest.raises(Rejected) as caught:
        provider.create_machine("taken-name", image="guest.img", size="1x16", **EMULATED)
    assert caught.value.reason == "exists"


# -- being let in -----------------------------------------------------------------------------------------------------


def test_sasl_password_that_is_wrong_or_missing(libvirtd: LibvirtDaemon) -> None:
    with pytest.raises(AuthenticationFailed, match="user name and password") as caught:
        Libvirt(uri=libvirtd.tcp, auth_user="alice", auth_password="wr0ng-one").check()
    assert "wr0ng-one" not in str(caught.value)
    with pytest.raises(AuthenticationFailed):
        Libvirt(uri=libvirtd.tcp).check()


def test_tls_with_certificates_as_text(libvirtd: LibvirtDaemon) -> None:
    files = libvirtd.pki / "good"
    texts = {"cert_file": (files / "client.pem").read_text(), "key_file": (files / "client-key.pem").read_text()}
    with tls(libvirtd, ca_cert=(files / "ca.pem").read_text(), **texts) as provider:
        assert provider.check().warnings == ()


@pytest.mark.parametrize("case", ["rogue client", "no client", "rogue authority"])
def test_tls_with_the_wrong_certificates(libvirtd: LibvirtDaemon, case: str) -> None:
    provider = {
        "rogue client": lambda: tls(libvirtd, "rogue"),
        "no client": lambda: tls(libvirtd, cert_file="", key_file=""),
        "rogue authority": lambda: tls(libvirtd, ca_cert=str(libvirtd.pki / "rogue/ca.pem")),
    }[case]()
    with pytest.raises((Unreachable, AuthenticationFailed)) as caught:
        provider.check()
    assert caught.value.reason in ("tls", "certificate")


def test_tls_server_unverified_when_told_so(libvirtd: LibvirtDaemon) -> None:
    with tls(libvirtd, verify=False) as provider:
        assert "The server's identity is not verified." in provider.check().warnings


def test_ssh_with_the_key_as_text_and_the_host_key_alone(libvirtd: LibvirtDaemon) -> None:
    host_key = libvirtd.known_hosts.read_text().split(None, 1)[1]
    with ssh(libvirtd, machine_key=libvirtd.ssh_key.read_text(), known_hosts=host_key) as provider:
        assert provider.check().details["transport"] == "ssh"


def test_nothing_is_left_of_the_key(libvirtd: LibvirtDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with ssh(libvirtd) as provider:
        provider.check()
        assert list(folder.iterdir()) == []
    with pytest.raises(AuthenticationFailed):
        ssh(libvirtd, machine_key=str(libvirtd.other_key)).check()
    assert list(folder.iterdir()) == []


def test_ssh_key_that_is_refused(libvirtd: LibvirtDaemon) -> None:
    with pytest.raises(AuthenticationFailed, match="authorized_keys") as caught:
        ssh(libvirtd, machine_key=str(libvirtd.other_key)).check()
    assert caught.value.reason == "ssh_key"


def test_ssh_host_key_that_is_not_known(libvirtd: LibvirtDaemon) -> None:
    with pytest.raises(Unreachable, match="not known") as caught:
        ssh(libvirtd, known_hosts=f"[127.0.0.1]:1 {libvirtd.known_hosts.read_text().split(None, 1)[1]}").check()
    assert caught.value.reason == "host_key"


def test_ssh_host_key_that_has_changed(libvirtd: LibvirtDaemon) -> None:
    other = libvirtd.other_key.with_suffix(".pub").read_text()
    with pytest.raises(Unreachable, match="not the one that is known") as caught:
        ssh(libvirtd, known_hosts=other).check()
    assert caught.value.reason == "host_key"


def test_ssh_unverified_when_told_so(libvirtd: LibvirtDaemon) -> None:
    with ssh(libvirtd, verify=False, known_hosts="") as provider:
        assert "The server's identity is not verified." in provider.check().warnings


@pytest.mark.parametrize("library", ["libssh", "libssh2"])
def test_ssh_by_a_library(libvirtd: LibvirtDaemon, library: str) -> None:
    uri = f"qemu+{library}://root@127.0.0.1:{libvirtd.ssh_port}/system"
    key, known = str(libvirtd.ssh_key), str(libvirtd.known_hosts)
    with Libvirt(uri=uri, machine_key=key, known_hosts=known) as provider:
        assert provider.check().details["transport"] == library
    with Libvirt(uri=uri, machine_key=key, verify=False) as provider:
        assert "The server's identity is not verified." in provider.check().warnings
    with pytest.raises(AuthenticationFailed) as refused:
        Libvirt(uri=uri, machine_key=str(libvirtd.other_key), known_hosts=known).check()
    assert refused.value.reason == "ssh_key"
    elsewhere = f"[127.0.0.1]:1 {libvirtd.known_hosts.read_text().split(None, 1)[1]}"
    changed = libvirtd.other_key.with_suffix(".pub").read_text()
    for hosts, words in ((elsewhere, "is not known"), (changed, "not the one that is known")):
        with pytest.raises(Unreachable, match=words) as caught:
            Libvirt(uri=uri, machine_key=key, known_hosts=hosts).check()
        assert caught.value.reason == "host_key"


def test_a_user_who_may_only_read(libvirtd: LibvirtDaemon, define: Callable[..., str]) -> None:
    uuid = define()
    with ssh(libvirtd, machine_user=libvirtd.ssh_user) as provider:
        account = provider.check()
        assert account.details["read_only"] is True
        assert account.permissions is not None
        assert "list_machines" in account.permissions
        assert "start_machine" not in account.permissions
        assert find(provider, uuid).state == "stopped"
        with pytest.raises(PermissionDenied) as caught:
            provider.start_machine(uuid)
        assert caught.value.reason == "read_only"


def test_a_user_who_may_not_even_read(libvirtd: LibvirtDaemon) -> None:
    readable = libvirtd.socket.with_name("libvirt-sock-ro")
    readable.chmod(0o700)
    try:
        with pytest.raises(PermissionDenied, match="group libvirt") as caught:
            ssh(libvirtd, machine_user=libvirtd.ssh_user).check()
    finally:
        readable.chmod(0o777)
    assert caught.value.reason == "socket"


def test_no_daemon_behind_a_good_ssh_server(libvirtd: LibvirtDaemon) -> None:
    hidden = libvirtd.socket.with_name("hidden")
    libvirtd.socket.rename(hidden)
    try:
        with pytest.raises(Unreachable, match="Start the libvirt daemon") as caught:
            ssh(libvirtd).check()
    finally:
        hidden.rename(libvirtd.socket)
    assert caught.value.reason == "refused"


# -- what goes wrong on the way ---------------------------------------------------------------------------------------


def test_no_ssh_server(libvirtd: LibvirtDaemon) -> None:
    with pytest.raises(Unreachable) as caught:
        Libvirt(machine_hostname="127.0.0.1", ssh_port=1).check()
    assert caught.value.reason == "refused"


@pytest.mark.parametrize("scheme", ["qemu+tcp", "qemu+tls", "qemu+ssh"])
def test_a_server_that_never_answers(scheme: str, libvirtd: LibvirtDaemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        provider = Libvirt(
            uri=f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/system",
            ca_cert=str(libvirtd.pki / "good/ca.pem"),
            cert_file=str(libvirtd.pki / "good/client.pem"),
            key_file=str(libvirtd.pki / "good/client-key.pem"),
        )
        with pytest.raises(Unreachable) as caught, deadline(1):
            patient(provider).check()
        assert caught.value.reason == "timeout"


def test_a_daemon_that_stops_answering(libvirtd: LibvirtDaemon, provider: Libvirt) -> None:
    assert provider.check()
    os.kill(libvirtd.pid, 19)  # SIGSTOP
    try:
        with pytest.raises(Unreachable) as caught, deadline(1):
            list(patient(provider).list_machines())
    finally:
        os.kill(libvirtd.pid, 18)  # SIGCONT
    assert caught.value.reason == "timeout"
    assert provider.check()


@pytest.fixture
def relay(libvirtd: LibvirtDaemon) -> Iterator[Relay]:
    """A relay before the daemon's TCP port."""
    with Relay(int(libvirtd.tcp.rsplit(":", 1)[1].split("/")[0])) as relay:
        yield relay


def test_a_connection_that_breaks_is_opened_again(relay: Relay, define: Callable[..., str]) -> None:
    uuid = define()
    uri = f"qemu+tcp://127.0.0.1:{relay.port}/system"
    with Libvirt(uri=uri, auth_user="alice", auth_password="s3cret") as provider:
        provider.check()
        list(provider.list_machines())
        assert len(relay.lines) == 1  # one connection for everything
        relay.cut()
        assert find(provider, uuid).state == "stopped"
        assert len(relay.lines) == 2
        relay.cut()
        provider.start_machine(uuid)
        assert find(provider, uuid).state == "running"
        assert len(relay.lines) == 3


def test_a_forked_child_opens_its_own(relay: Relay) -> None:
    code = f"""
import os, sys, warnings
warnings.simplefilter("ignore")
from mistcore_providers.libvirt import Libvirt
provider = Libvirt(uri="qemu+tcp://127.0.0.1:{relay.port}/system", auth_user="alice", auth_password="s3cret")
provider.check()
child = os.fork()
if not child:
    list(provider.list_machines())
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
list(provider.list_machines())
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=200)
    assert len(relay.lines) == 2


def test_a_program_ends_although_the_daemon_does_not_answer(libvirtd: LibvirtDaemon) -> None:
    code = f"""
import os
from mistcore_providers.libvirt import Libvirt
provider = Libvirt(uri={libvirtd.uri!r})
vars(provider)["default_timeout"] = {PATIENCE}
provider.check()
os.kill({libvirtd.pid}, 19)
"""
    try:
        subprocess.run([sys.executable, "-c", code], check=True, timeout=200)
    finally:
        os.kill(libvirtd.pid, 18)


def test_one_instance_in_many_threads(provider: Libvirt, define: Callable[..., str]) -> None:
    uuids = {define() for _ in range(5)}
    seen: list[set[str]] = []

    def look() -> None:
        seen.append({machine.id for machine in provider.list_machines()})

    threads = [threading.Thread(target=look) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 12
    assert all(uuids <= ids for ids in seen)


def test_networks(provider: Libvirt, raw: Any) -> None:
    name = f"n-{uuid4().hex[:8]}"
    network = raw.networkDefineXML(
        f"<network><name>{name}</name><bridge name='{name[:10]}'/><ip family='ipv6' address='fd00:77::1' prefix='64'/>"
        "<ip address='10.77.0.1' netmask='255.255.255.0'><dhcp><range start='10.77.0.2' end='10.77.0.9'/></dhcp></ip>"
        "</network>"
    )
    try:
        found = next(one for one in provider.list_networks() if one.name == name)
    finally:
        network.undefine()
    assert found.cidr == "10.77.0.0/24"
    assert found.id == network.UUIDString()
    assert found.extra["cidrs"] == ["10.77.0.0/24", "fd00:77::/64"]
    assert found.extra["active"] is False
    assert found.extra["forward"] == "isolated"
    assert found.extra["dhcp"] is True


def test_addresses_from_the_leases_of_a_network(isolated_libvirtd: tuple[str, Path]) -> None:
    uri, folder = isolated_libvirtd
    raw = binding().open(uri)
    network = raw.networkCreateXML(
        "<network><name>lan</name><bridge name='virbr-t'/><dns enable='no'/>"
        "<ip address='10.88.0.1' prefix='24'/><ip family='ipv6' address='fd00:88::1' prefix='64'/></network>"
    )
    # What libvirt's own lease helper writes for the network's dnsmasq.
    leases = [
        {"ip-address": address, "mac-address": "52:54:00:00:00:01", "expiry-time": 4102444800, "iaid": "1"}
        for address in ("fd00:88::5", "10.88.0.5")
    ]
    (folder / "lib/dnsmasq").mkdir(exist_ok=True)
    (folder / "lib/dnsmasq/virbr-t.status").write_text(json.dumps(leases))
    uuids = {}
    for number in (1, 2, 3):
        disk = folder / f"{number}.img"
        disk.write_bytes((folder / "acpi.img").read_bytes())
        interface = (
            f"<interface type='network'><mac address='52:54:00:00:00:0{number}'/><source network='lan'/></interface>"
        )
        uuids[number] = raw.defineXML(domain_xml(f"net{number}", disk, interface)).UUIDString()
    with Libvirt(uri=uri) as provider:
        assert find(provider, uuids[1]).private_ips == ()  # it does not run
        for number in (1, 2):
            provider.start_machine(uuids[number])
        machines = {machine.id: machine for machine in provider.list_machines()}
        assert machines[uuids[1]].private_ips == ("10.88.0.5", "fd00:88::5")
        assert machines[uuids[2]].private_ips == ()
        assert machines[uuids[3]].private_ips == ()
        assert machines[uuids[1]].extra["networks"] == ["lan"]
        assert provider.get_machine(uuids[1]).private_ips == ("10.88.0.5", "fd00:88::5")
    network.destroy()
