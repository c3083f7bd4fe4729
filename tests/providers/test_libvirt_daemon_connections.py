"""libvirt against a real daemon: servers that do not answer, lines that break, forks and threads."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from fakes.patience import PATIENCE, patient
from fakes.relay import Relay
from peers import libvirt_accounts
from peers.libvirt_accounts import find
from peers.libvirtd import LibvirtDaemon

from mistcore import Unreachable
from mistcore.deadline import deadline
from mistcore_providers.libvirt import Libvirt

provider = libvirt_accounts.provider
guests = libvirt_accounts.guests
define = libvirt_accounts.define


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
