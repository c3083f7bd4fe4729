"""What libvirt's fields may be, and what URI, key and certificate files come of them: no daemon is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.libvirt_binding import needs_binding

from mistcore import InvalidFields
from mistcore_providers._libvirt_target import Target, transport_of
from mistcore_providers.libvirt import Libvirt


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
