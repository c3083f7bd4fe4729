"""libvirt in the suite that every provider passes: a real daemon, and libvirt's own test driver."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from peers.libvirt_guests import Guests
from peers.libvirtd import LibvirtDaemon, binding

from mistcore import Provider
from mistcore.testing import ProviderSuite, WireSuite
from mistcore_providers.libvirt import Libvirt

HOST = """<node><auth><user password='s3cret'>alice</user></auth>
<domain type='test'><name>web</name><uuid>11111111-2222-3333-4444-555555555555</uuid>
<memory unit='MiB'>512</memory><os><type arch='i686'>hvm</type></os></domain>
<network><name>lan</name><bridge name='virbr7'/><ip address='10.7.0.1' prefix='24'/></network>
<pool type='dir'><name>images</name><target><path>/pools/images</path></target><volume><name>debian.qcow2</name>
<capacity unit='MiB'>64</capacity><target><format type='qcow2'/></target></volume></pool></node>"""


class TestLibvirt(WireSuite):
    provider = Libvirt
    missing_id = "00000000-0000-4000-8000-000000000000"
    new_machine = {"image": "guest.img", "size": "1x16", "network": "none", "domain_type": "qemu", "start": False}

    @pytest.fixture
    def service(self, libvirtd: LibvirtDaemon) -> Iterator[LibvirtDaemon]:
        with Guests(libvirtd) as guests:
            guests.define()
            guests.pool()
            yield libvirtd
            os.kill(libvirtd.pid, signal.SIGCONT)

    def good(self, service: LibvirtDaemon, password: str = "s3cret", uri: str = "") -> Provider:
        return Libvirt(uri=uri or service.tcp, auth_user="alice", auth_password=password)

    def bad(self, service: LibvirtDaemon) -> Provider:
        return self.good(service, "wr0ng-password")

    def hang(self, service: LibvirtDaemon) -> None:
        os.kill(service.pid, signal.SIGSTOP)

    def account_at_port(self, service: LibvirtDaemon, port: int) -> Provider:
        return self.good(service, uri=f"qemu+tcp://127.0.0.1:{port}/system")


class TestLibvirtTestDriver(ProviderSuite):
    """Where a guest that runs costs nothing; whoever connects has a host of his own, read from a file."""

    provider = Libvirt
    missing_id = TestLibvirt.missing_id
    new_machine = {"image": "debian.qcow2", "network": "lan", "domain_type": "test"}

    @pytest.fixture
    def service(self, tmp_path: Path) -> Path:
        binding()
        file = tmp_path / "host.xml"
        file.write_text(HOST)
        return file

    def good(self, service: Path, password: str = "s3cret") -> Provider:
        return Libvirt(uri=f"test://{service}", auth_user="alice", auth_password=password)

    def bad(self, service: Path) -> Provider:
        return self.good(service, "wr0ng-password")

    def hang(self, service: Path) -> None:
        pytest.skip("it is in this process, and nobody can stop it")
