"""libvirt against a real daemon: who is let in over TCP with SASL, TLS with certificates, and SSH."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from peers import libvirt_accounts
from peers.libvirt_accounts import find, ssh, tls
from peers.libvirtd import LibvirtDaemon

from mistcore import AuthenticationFailed, PermissionDenied, Unreachable
from mistcore_providers.libvirt import Libvirt

guests = libvirt_accounts.guests
define = libvirt_accounts.define


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
