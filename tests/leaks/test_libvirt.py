"""A real libvirtd, over each of its transports, and servers that repeat every byte: no mark anywhere."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import asyncssh
import pytest
from leaks.asked import Found, ask
from leaks.echoes import repeating
from leaks.marks import Account, certificate, looker, mark, pem
from leaks.shown import Logged, of_error, of_object
from peers.libvirtd import LibvirtDaemon

from mistcore import BackendManager, MistError, Provider, Registry
from mistcore.deadline import deadline
from mistcore.testing.wire import WireServer
from mistcore_providers.libvirt import Libvirt

ASKED = ("check", "list_machines", "start_machine")
KEY, WRONG = pem("ssh"), mark("wrong")
LOCKED = pem("ssh", mark("bare_metal.key_passphrase"))
Case = Callable[[LibvirtDaemon], dict[str, Any]]


def ssh(daemon: LibvirtDaemon, **fields: Any) -> dict[str, Any]:
    given = {"ssh_port": daemon.ssh_port, "known_hosts": daemon.known_hosts.read_text(), "machine_key": KEY}
    return {"machine_hostname": "127.0.0.1", **given, **fields}


def tls(daemon: LibvirtDaemon, **fields: Any) -> dict[str, Any]:
    files = daemon.pki / "good"
    given = {"cert_file": (files / "client.pem").read_text(), "key_file": (files / "client-key.pem").read_text()}
    return {"uri": daemon.tls, "ca_cert": (files / "ca.pem").read_text(), **given, **fields}


def sasl(daemon: LibvirtDaemon, password: str) -> dict[str, Any]:
    return {"uri": daemon.tcp, "auth_user": "alice", "auth_password": password}


#: What is given, and a word of what comes of it.
CASES: dict[str, tuple[Case, str]] = {
    "the wrong password": (lambda daemon: sasl(daemon, WRONG), "user name and password"),
    "the right password": (lambda daemon: sasl(daemon, "s3cret"), "web-1"),
    "the wrong key": (lambda daemon: ssh(daemon, machine_key=LOCKED), "Permission denied"),
    "the right key": (ssh, "web-1"),
    "the right key of one who may not": (lambda daemon: ssh(daemon, machine_user=daemon.ssh_user), "web-1"),
    "a damaged key": (
        lambda daemon: ssh(daemon, machine_key=KEY.replace("\n", f"\n{WRONG}\n", 2)),
        "Permission denied",
    ),
    "an unknown host key": (lambda daemon: ssh(daemon, known_hosts="ssh-ed25519 AAAA"), "host key"),
    "another's certificate": (lambda daemon: tls(daemon, key_file=pem(), cert_file=certificate()), "certificate"),
    "another's key": (lambda daemon: tls(daemon, key_file=pem()), "certificate"),
    "the right certificate": (tls, "web-1"),
}


def shown_by(fields: dict[str, Any], store: Path, *operations: str) -> Found:
    """Return what a backend shows that is asked, and a provider without one."""
    with BackendManager(store) as manager:
        shown = ask(manager, Account("libvirt", "real", fields), 60, operations or ASKED)
    return [*shown, *shown_alone(Registry()["libvirt"](**fields))]


def shown_alone(provider: Provider) -> Found:
    """Return what a provider shows that is checked."""
    with provider, deadline(60):
        shown = list(of_object(provider))
        try:
            provider.check()
        except MistError as error:
            shown += of_error(error)
    return shown


@pytest.fixture
def around(logged: Logged, temporary: Path, capfd: pytest.CaptureFixture[str]) -> Callable[[], Found]:
    """Return what is beside errors and answers: logs, what the process printed, files that are still there."""

    def look() -> Found:
        out, err = capfd.readouterr()
        files = [(f"file {path.name}", path.read_bytes()) for path in temporary.rglob("*") if path.is_file()]
        return [*logged.take(), ("standard output", out), ("standard error", err), *files]

    return look


@pytest.fixture
def keyed(libvirtd: LibvirtDaemon) -> Iterator[LibvirtDaemon]:
    """The daemon, whose SSH server lets the marked key in for as long as the test runs."""
    file = libvirtd.folder / "ssh" / "authorized_keys"
    before = file.read_text()
    file.write_text(f"{before}{asyncssh.import_private_key(KEY).export_public_key().decode()}")
    yield libvirtd
    file.write_text(before)


@pytest.mark.parametrize("case", CASES)
def test_a_real_daemon(
    case: str,
    keyed: LibvirtDaemon,
    around: Callable[[], Found],
    temporary: Path,
    tmp_path: Path,
    nothing_leaks: Any,
) -> None:
    given, word = CASES[case]
    shown = shown_by(given(keyed), tmp_path / "store")
    key = (keyed.pki / "good" / "client-key.pem").read_text().splitlines()[2]
    nothing_leaks([*shown, *around()], "s3cret", key[:40])
    assert any(word in str(thing) for where, thing in shown if "str of" in where), shown
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("transport", ["tcp", "ssh"])
def test_a_server_that_repeats_every_byte(
    transport: str, around: Callable[[], Found], temporary: Path, tmp_path: Path, nothing_leaks: Any
) -> None:
    pytest.importorskip("libvirt", reason="libvirt's Python binding is not installed")
    with WireServer(repeating) as wire:
        fields: dict[str, Any] = {"machine_hostname": "127.0.0.1", "ssh_port": wire.port, "machine_key": KEY}
        if transport == "tcp":
            address = f"qemu+tcp://127.0.0.1:{wire.port}/system"
            fields = {"uri": address, "auth_user": "alice", "auth_password": WRONG}
        shown = shown_by(fields, tmp_path / "store", "check")
    nothing_leaks([*shown, *around(), ("what was sent", wire.received)])
    assert wire.received
    assert list(temporary.iterdir()) == []


def test_the_twin_one_that_leaks_is_found_out(around: Callable[[], Found]) -> None:
    class Leaking(Libvirt):
        def check(self) -> NoReturn:
            logging.getLogger("libvirt").debug("%s", self.auth_password)
            os.write(2, self.auth_password.encode())
            Path(tempfile.mkdtemp(), "key").write_text(self.auth_password)
            raise MistError("no")

    shown = shown_alone(Leaking(uri="test:///default", auth_user="x", auth_password=WRONG))
    found = {where for where, thing in [*shown, *around()] if looker().forms(thing)}
    assert found >= {"log of libvirt", "standard error", "file key"}


#: A program that asks with what it is given on its standard input, while libvirt writes down all it does.
LOUD = """
import json, logging, sys
from mistcore import MistError, Registry
logging.basicConfig(level=0)
for fields in json.load(sys.stdin):
    with Registry()["libvirt"](**fields) as provider:
        try:
            provider.check()
        except MistError as error:
            print(error)
"""


def test_what_libvirt_writes_down_when_it_is_told_to(keyed: LibvirtDaemon, tmp_path: Path, nothing_leaks: Any) -> None:
    accounts = [sasl(keyed, "s3cret"), sasl(keyed, WRONG), ssh(keyed), tls(keyed)]
    done = subprocess.run(
        [sys.executable, "-c", LOUD],
        input=json.dumps(accounts).encode(),
        env={**os.environ, "LIBVIRT_DEBUG": "1"},
        capture_output=True,
        check=True,
        timeout=120,
    )
    assert b"SASL" in done.stderr, "it does write down what it does"
    nothing_leaks([("standard output", done.stdout), ("standard error", done.stderr)], "s3cret")
