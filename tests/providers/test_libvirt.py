"""libvirt by its own test driver (`test:///`), which needs no daemon and no hypervisor, and without libvirt at all."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from fakes.patience import HANGS

from mistcore import (
    AuthenticationFailed,
    InvalidFields,
    MachineNotFound,
    MachineState,
    MissingDependency,
    NotSupported,
    Rejected,
    Unreachable,
)
from mistcore.addresses import split_addresses
from mistcore.deadline import deadline
from mistcore_providers._libvirt_calls import bounded, spread
from mistcore_providers._libvirt_listing import state_of
from mistcore_providers._libvirt_seed import seed_image
from mistcore_providers._libvirt_target import Target, transport_of
from mistcore_providers._libvirt_xml import details_of, guest_of, network_of, parse, volume_of
from mistcore_providers.libvirt import Libvirt

try:
    import libvirt
except ImportError:
    libvirt = None
needs_binding = pytest.mark.skipif(libvirt is None, reason="libvirt's Python binding is not installed")

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


# -- the declaration --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "bad"),
    [
        ({}, ["machine_hostname"]),
        ({"machine_hostname": "kvm1", "uri": "qemu:///system"}, ["machine_hostname"]),
        ({"machine_hostname": "qemu+ssh://kvm1/system"}, ["machine_hostname"]),
        ({"machine_hostname": "root@kvm1"}, ["machine_hostname"]),
        ({"machine_hostname": "-oProxyCommand=x"}, ["machine_hostname"]),
        ({"machine_hostname": "kvm1", "ssh_port": 0}, ["ssh_port"]),
        ({"uri": "kvm1"}, ["uri"]),
        ({"uri": "qemu ://x"}, ["uri"]),
        ({"uri": "qemu+tcp://me:pass@kvm1/system"}, ["uri"]),
        ({"uri": "qemu+tls://kvm1/system", "cert_file": "c", "ca_cert": "a"}, ["key_file"]),
        ({"uri": "qemu+tls://kvm1/system", "cert_file": "c", "key_file": "k"}, ["ca_cert"]),
        ({"uri": "qemu+tls://kvm1/system?pkipath=/x", "ca_cert": "c"}, ["uri"]),
        ({"uri": "qemu+ssh://kvm1/system?keyfile=/x", "machine_key": "k"}, ["uri"]),
        ({"uri": "qemu+ssh://kvm1/system?command=/x", "verify": False}, ["uri"]),
        ({"uri": "qemu+tcp://kvm1/system", "auth_password": "x"}, ["auth_user"]),
    ],
)
def test_fields_that_do_not_fit(fields: dict[str, object], bad: list[str]) -> None:
    with pytest.raises(InvalidFields) as caught:
        Libvirt(**fields)  # type: ignore[arg-type]
    assert list(caught.value.problems) == bad


@pytest.mark.parametrize("hostname", ["kvm1", "kvm1.example.com", "192.0.2.7", "fd00::7"])
def test_host_names(hostname: str) -> None:
    assert Libvirt(machine_hostname=hostname).machine_hostname == hostname


def test_a_key_file_that_is_not_there() -> None:
    with pytest.raises(InvalidFields) as caught:
        Libvirt(machine_hostname="kvm1", machine_key="/no/such/key").check()
    assert list(caught.value.problems) == ["machine_key"]


def test_secrets_are_not_shown() -> None:
    provider = Libvirt(
        uri="qemu+tcp://kvm1/system", auth_user="alice", auth_password="hidden-1", machine_key="hidden-2"
    )
    assert "hidden" not in repr(provider)


@pytest.mark.parametrize(
    ("uri", "transport"),
    [
        ("qemu:///system", "unix"),
        ("qemu://kvm1/system", "tls"),
        ("qemu+ssh://kvm1/system", "ssh"),
        ("qemu+tcp://kvm1/system", "tcp"),
        ("test:///default", "unix"),
        ("test:///some/file.xml", "unix"),
    ],
)
def test_transports(uri: str, transport: str) -> None:
    assert transport_of(uri) == transport


@needs_binding
@pytest.mark.parametrize(
    ("fields", "uri"),
    [
        ({"machine_hostname": "fd00::7"}, "qemu+ssh://root@[fd00::7]/system?no_tty=1&command="),
        ({"machine_hostname": "kvm1", "ssh_port": 2222}, "qemu+ssh://root@kvm1:2222/system?no_tty=1&command="),
        ({"machine_hostname": "kvm1", "machine_user": "a b"}, "qemu+ssh://a%20b@kvm1/system?no_tty=1&command="),
        ({"uri": "qemu+ssh://kvm1/system?no_tty=0"}, "qemu+ssh://kvm1/system?no_tty=0&command="),
        ({"uri": "qemu:///system"}, "qemu:///system"),
        ({"uri": "qemu+tls://kvm1/system", "verify": False}, "qemu+tls://kvm1/system?no_verify=1"),
    ],
)
def test_the_uri_that_is_opened(fields: dict[str, object], uri: str) -> None:
    with Libvirt(**fields)._target().prepared(5) as (opened, _):  # type: ignore[arg-type]
        assert opened.startswith(uri)
        assert opened == uri or uri.endswith("command=")


@needs_binding
def test_keys_and_certificates_are_private_and_go_away() -> None:
    target = Target("qemu+tls://kvm1/system", ca_cert="CA", client_cert="CERT", client_key="KEY\r\nEND")
    with target.prepared(5) as (uri, _):
        folder = Path(uri.partition("pkipath=")[2])
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()} == {
            "cacert.pem": 0o600,
            "clientcert.pem": 0o600,
            "clientkey.pem": 0o600,
        }
        assert (folder / "clientkey.pem").read_text() == "KEY\nEND\n"
    assert not folder.exists()


# -- machines of the test driver --------------------------------------------------------------------------------------


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


def test_the_medium_that_a_new_machine_reads() -> None:
    pytest.importorskip("pycdlib", reason="it comes with the extra libvirt")
    image = seed_image("web-1", "1234", "ssh-ed25519 AAAA me\n", "#cloud-config\nhostname: made\n")
    assert image[0x8028:0x8048].strip() == b"cidata"
    for text in (b'"local-hostname": "web-1"', b'"ssh-ed25519 AAAA me"', b"hostname: made\n"):
        assert text in image


# -- without the binding, and without its noise -----------------------------------------------------------------------


def test_a_missing_binding_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    with pytest.raises(MissingDependency) as caught:
        Libvirt(uri="test:///default").check()
    for word in ("libvirt-dev", "pkg-config", "python3-libvirt", "pip install 'mistcore[libvirt]'"):
        assert word in caught.value.remedy


def test_importing_the_provider_imports_no_binding() -> None:
    code = (
        "import mistcore_providers.libvirt, sys; print(sorted(set(sys.modules) & {'libvirt', 'pycdlib', 'requests'}))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@needs_binding
def test_libvirt_is_quiet_for_us_and_as_ever_for_others() -> None:
    code = """
import libvirt, mistcore, threading
from mistcore_providers.libvirt import Libvirt
for uri in ("qemu+tcp://127.0.0.1:1/system", "test:///no/such/file.xml"):
    try:
        Libvirt(uri=uri).check()
    except mistcore.MistError:
        pass
try:
    Libvirt(uri="test:///default").get_machine("11111111-2222-3333-4444-555555555555")
except mistcore.MistError:
    print("quiet")
try:
    libvirt.open("test:///default").lookupByName("theirs")
except libvirt.libvirtError:
    pass
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "quiet\n"
    assert done.stderr.count("\n") == 1
    assert "Domain not found" in done.stderr


# -- calls that take too long -----------------------------------------------------------------------------------------


def test_a_call_that_takes_too_long_is_given_up() -> None:
    left: list[str] = []
    release = threading.Event()
    with pytest.raises(Unreachable) as caught:
        bounded(lambda: release.wait(HANGS), 0.1, abandoned=lambda: left.append("x"))
    release.set()
    assert caught.value.reason == "timeout"
    assert left == ["x"]


def test_a_call_brings_back_its_result_or_its_error() -> None:
    assert bounded(lambda: 7, 5) == 7
    with pytest.raises(ZeroDivisionError):
        bounded(lambda: 1 / 0, 5)


def test_spread_keeps_the_order_and_leaves_out_what_fails_or_is_late() -> None:
    release = threading.Event()

    def work(number: int) -> int:
        if number == 3:
            raise ValueError
        if number == 4:
            release.wait(HANGS)
        return number * 10

    assert spread(work, range(7), 1.5) == [0, 10, 20, None, None, 50, 60]
    release.set()
    assert spread(work, [], 0.5) == []


def test_nothing_is_asked_past_the_deadline(provider: Libvirt) -> None:
    with deadline(-1), pytest.raises(Unreachable) as caught:
        list(provider.list_machines())
    assert caught.value.reason == "timeout"


# -- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "reason", "saved", "ours"),
    [
        (0, 0, False, "unknown"),
        (1, 1, False, "running"),
        (2, 0, False, "running"),
        (3, 1, False, "paused"),
        (3, 5, False, "error"),
        (3, 11, False, "starting"),
        (4, 0, False, "stopping"),
        (5, 1, False, "stopped"),
        (5, 5, False, "suspended"),
        (5, 0, True, "suspended"),
        (6, 0, False, "error"),
        (7, 0, False, "suspended"),
        (99, 0, False, "unknown"),
        (None, None, False, "unknown"),
    ],
)
def test_states(state: object, reason: object, saved: bool, ours: str) -> None:
    assert state_of(state, reason, saved=saved) == ours


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]><domain><name>&b;</name></domain>",
        "<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><domain><name>&x;</name></domain>",
        "<domain>",
        "",
    ],
)
def test_bombs_and_broken_xml_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="XML that cannot be used"):
        parse(text)


def test_the_recorded_domain(api_specs: Path) -> None:
    details = details_of((api_specs / "libvirt/go-libvirt/test-domain.xml").read_text())
    assert (details.cpus, details.memory, details.architecture, details.domain_type) == (1, 1, "x86_64", "qemu")
    assert [(disk.target, disk.device, disk.path) for disk in details.disks] == [
        ("vda", "disk", "/var/lib/libvirt/images/test.raw"),
        ("hdc", "cdrom", ""),
    ]
    assert details.disks[1].read_only


def test_odd_domains() -> None:
    assert details_of("<domain/>").cpus is None
    odd = details_of(
        "<domain><memory unit='GiB'>2</memory><vcpu current='1'>4</vcpu><devices><disk/></devices></domain>"
    )
    assert (odd.memory, odd.cpus) == (2048, 1)
    assert len(odd.disks) == 1


@pytest.mark.parametrize(
    ("ips", "cidrs"),
    [
        ("", []),
        ("<ip address='192.168.122.1' netmask='255.255.255.0'/>", ["192.168.122.0/24"]),
        ("<ip family='ipv6' address='fd00::1' prefix='64'/><ip address='10.1.1.1'/>", ["10.0.0.0/8", "fd00::/64"]),
        ("<ip address='odd'/>", []),
    ],
)
def test_networks_of_every_kind(ips: str, cidrs: list[str]) -> None:
    assert network_of(f"<network><name>n</name>{ips}</network>")["cidrs"] == cidrs


def test_volumes() -> None:
    text = "<volume type='block'><capacity unit='G'>3</capacity><target><path>/dev/x</path></target></volume>"
    assert volume_of(text) == {"format": "raw", "capacity": 3 * 2**30, "type": "block", "path": "/dev/x"}


def test_what_a_host_runs_best() -> None:
    guest = "<guest><os_type>hvm</os_type><arch name='{}'>{}</arch></guest>"
    kvm = "<domain type='qemu'/><domain type='kvm'/>"
    guests = guest.format("i686", kvm) + guest.format("x86_64", kvm)
    text = f"<capabilities><host><cpu><arch>x86_64</arch></cpu></host>{guests}</capabilities>"
    assert guest_of(text) == {"architecture": "x86_64", "domain_type": "kvm", "os_type": "hvm"}
    assert guest_of(text, "qemu")["domain_type"] == "qemu"
    assert guest_of(text, "xen") == {}


def test_addresses() -> None:
    given = ["fe80::1", "127.0.0.1", "::1", "2001:4860::8", "10.0.0.1", "8.8.8.8", "odd", "fd00::1", "192.168.1.2/24"]
    assert split_addresses(given) == (["2001:4860::8", "8.8.8.8"], ["10.0.0.1", "fd00::1", "192.168.1.2"])
