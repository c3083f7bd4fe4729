"""libvirt's states and XML as they are read, and the medium that a new machine reads: no libvirt is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mistcore.addresses import split_addresses
from mistcore_providers._libvirt_listing import state_of
from mistcore_providers._libvirt_seed import seed_image
from mistcore_providers._libvirt_xml import details_of, guest_of, network_of, parse, volume_of


def test_the_medium_that_a_new_machine_reads() -> None:
    pytest.importorskip("pycdlib", reason="it comes with the extra libvirt")
    image = seed_image("web-1", "1234", "ssh-ed25519 AAAA me\n", "#cloud-config\nhostname: made\n")
    assert image[0x8028:0x8048].strip() == b"cidata"
    for text in (b'"local-hostname": "web-1"', b'"ssh-ed25519 AAAA me"', b"hostname: made\n"):
        assert text in image


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
