"""A real SSH server, with bare_metal and docker before it, and one that repeats what it was shown: no mark anywhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from fakes.hostile_ssh import HostileSsh
from leaks.asked import Found, ask
from leaks.echoes import repeating
from leaks.marks import Account, looker, mark, pem
from leaks.shown import Logged, of_error, of_object
from peers.sshd import Sshd

from mistcore import BackendManager, InvalidFields, MistError, Registry
from mistcore.testing.wire import WireServer
from mistcore_providers.bare_metal import BareMetal

#: What a machine can be asked over SSH.
ASKED = ("check", "list_machines", "stop_machine")
KEY, PASSPHRASE = pem("ssh"), mark("bare_metal.key_passphrase")
LOCKED = pem("ssh", PASSPHRASE)
WRONG = mark("wrong")
DAMAGED = KEY.replace("\n", f"\n{WRONG}\n", 2)
Case = Callable[[Sshd], dict[str, Any]]


@pytest.fixture
def talkative(logged: Logged) -> Iterator[Logged]:
    """Hear asyncssh say more than it does by itself, and paramiko more than docker's SDK lets it."""
    quiet = logging.getLogger("paramiko.transport")
    quiet.setLevel(logging.DEBUG)
    asyncssh.set_debug_level(2)
    yield logged
    asyncssh.set_debug_level(1)
    quiet.setLevel(logging.NOTSET)


@pytest.fixture
def keyed(sshd: Sshd) -> Iterator[Sshd]:
    """The SSH server, which lets the marked keys in for as long as the test runs."""
    file = sshd.folder / "authorized_keys"
    before = file.read_text()
    keys = [(KEY, None), (LOCKED, PASSPHRASE)]
    lines = [asyncssh.import_private_key(*key).export_public_key().decode() for key in keys]
    file.write_text(f"{before}{''.join(lines)}")
    yield sshd
    file.write_text(before)


#: What is given, and a word of what comes of it.
CASES: dict[str, tuple[Case, str]] = {
    "the wrong password": (lambda sshd: {"machine_port": sshd.password_port, "password": WRONG}, "this password"),
    "the wrong key": (lambda sshd: {"machine_key": pem()}, "with the key"),
    "the wrong user": (lambda sshd: {"machine_key": LOCKED, "key_passphrase": PASSPHRASE, "machine_user": "x"}, "'x'"),
    "the wrong passphrase": (lambda sshd: {"machine_key": LOCKED, "key_passphrase": WRONG}, "does not open"),
    "no passphrase": (lambda sshd: {"machine_key": LOCKED}, "is encrypted"),
    "a damaged key": (lambda sshd: {"machine_key": DAMAGED}, "no private key"),
    "no key": (lambda sshd: {"machine_key": WRONG}, "neither the path"),
    "one right, one wrong": (
        lambda sshd: {"machine_port": sshd.both_port, "machine_key": KEY, "password": WRONG},
        "with this password",
    ),
    "one of two": (lambda sshd: {"machine_port": sshd.both_port, "machine_key": KEY}, "it takes publickey, password"),
    "an unknown host key": (lambda sshd: {"machine_key": KEY, "known_hosts": "/dev/null"}, "is not known"),
    "another host key": (lambda sshd: {"password": WRONG, "host_key": sshd.other_key()}, "not the one in host_key"),
    "no commands": (lambda sshd: {"machine_port": sshd.mute_port, "machine_key": KEY}, "runs no command"),
    "the right key": (lambda sshd: {"machine_key": LOCKED, "key_passphrase": PASSPHRASE}, "wall message"),
    "the right password": (
        lambda sshd: {"machine_port": sshd.password_port, "password": sshd.password},
        "wall message",
    ),
}


def bare_metal(port: int, user: str, **fields: Any) -> Account:
    base = {"machine_ip": "127.0.0.1", "machine_user": user, "machine_port": port, "use_agent": False}
    return Account("bare_metal", "ssh", {**base, "ssh_config": "none", **fields})


def shown_by(account: Account, store: Path, *operations: str) -> Found:
    """Return what a backend shows that is asked, and a provider without one."""
    with BackendManager(store) as manager:
        shown = ask(manager, account, 60, operations or ASKED)
    with Registry()[account.provider](**account.fields) as provider:
        shown += of_object(provider)
        try:
            provider.check()
        except MistError as error:
            shown += of_error(error)
    return shown


@pytest.mark.parametrize("case", CASES)
def test_a_real_server_and_a_single_machine(
    case: str, keyed: Sshd, talkative: Logged, temporary: Path, tmp_path: Path, nothing_leaks: Any
) -> None:
    keyed.mood("fail")
    hosts = tmp_path / "hosts"
    ports = (keyed.port, keyed.password_port, keyed.both_port, keyed.mute_port)
    hosts.write_text("".join(keyed.known_host(port=port) for port in ports))
    given, word = CASES[case]
    fields = {"known_hosts": str(hosts), **given(keyed)}
    account = bare_metal(fields.pop("machine_port", keyed.port), fields.pop("machine_user", keyed.user), **fields)
    shown = shown_by(account, tmp_path / "store")
    nothing_leaks([*shown, *talkative.take()], keyed.password)
    assert any(word in str(thing) for where, thing in shown if "str of" in where), shown
    assert list(temporary.iterdir()) == []


#: What a machine does that is refused, or has no end, with what it was shown to be let in.
REPEATS = ("told", "asked again", "repeats", "repeats half")


@pytest.mark.parametrize("user", REPEATS)
def test_a_server_that_repeats_what_it_was_shown(
    user: str, parrot: HostileSsh, talkative: Logged, temporary: Path, tmp_path: Path, nothing_leaks: Any
) -> None:
    password = mark("bare_metal.password")
    account = bare_metal(parrot.port, user.replace(" ", "_"), password=password, host_key=parrot.pin)
    shown = shown_by(account, tmp_path / "store")
    said = [each for each in talkative.take() if " hostile-ssh: " not in str(each[1])]  # what the server itself says
    nothing_leaks([*shown, *said])
    assert password in parrot.credentials
    repeated = any("•••" in str(thing) for where, thing in shown if "str of" in where)
    assert repeated == (user != "repeats half"), "which has no room in its error for what was said"


def test_a_server_that_repeats_every_byte(
    talkative: Logged, temporary: Path, tmp_path: Path, nothing_leaks: Any
) -> None:
    with WireServer(repeating) as wire:
        account = bare_metal(wire.port, "root", password=WRONG, machine_key=KEY, known_hosts="/dev/null")
        remote = Account("docker", "ssh", {"docker_host": f"ssh://root@127.0.0.1:{wire.port}", "key_file": KEY})
        shown = [*shown_by(account, tmp_path / "one", "check"), *shown_by(remote, tmp_path / "two", "check")]
    nothing_leaks([*shown, *talkative.take(), ("what was sent", wire.received)])
    assert wire.received.count(b"SSH-2.0-") >= 2
    assert list(temporary.iterdir()) == []


@pytest.fixture(scope="module")
def parrot() -> Iterator[HostileSsh]:
    with HostileSsh() as server:
        yield server


#: What is in known_hosts, with which key docker comes, and what its command says there.
REMOTES = {
    "an unknown host key": ("", KEY, ""),
    "another host key": ("other", KEY, ""),
    "the wrong key": ("known", pem(), ""),
    "a locked key": ("known", LOCKED, ""),
    "a damaged key": ("known", DAMAGED, ""),
    "no docker there": ("known", KEY, "echo 'docker: not found' >&2; exit 127"),
    "what was sent": ("known", KEY, "head -c 20 >&2; exit 1"),
    "an answer that is none": ("known", KEY, "echo 'HTTP/1.1 200 OK'; echo; echo '{'"),
}


@pytest.mark.parametrize("case", REMOTES)
def test_a_real_server_and_docker(
    case: str, keyed: Sshd, talkative: Logged, temporary: Path, tmp_path: Path, nothing_leaks: Any
) -> None:
    known, key, says = REMOTES[case]
    lines = {"known": keyed.known_host(), "other": f"[127.0.0.1]:{keyed.port} {keyed.other_key()}\n"}
    folder = Path.home() / ".ssh"
    folder.mkdir(0o700)
    (folder / "known_hosts").write_text(lines.get(known, ""))
    command = keyed.folder / "bin" / "docker"
    command.write_text(f"#!/bin/sh\n{says}\n")
    command.chmod(0o755)
    fields = {"docker_host": f"ssh://{keyed.user}@127.0.0.1:{keyed.port}", "key_file": key}
    try:
        shown = shown_by(Account("docker", "ssh", fields), tmp_path / "store")
    finally:
        command.unlink()
    said = talkative.take()
    nothing_leaks([*shown, *said])
    assert any("paramiko" in where for where, _ in said)
    assert list(temporary.iterdir()) == []


def test_the_twin_asyncssh_writes_down_what_it_is_told(parrot: HostileSsh, talkative: Logged) -> None:
    async def log_in() -> None:
        await asyncssh.connect("127.0.0.1", parrot.port, username="told", password=WRONG, known_hosts=None, config=None)

    with pytest.raises(asyncssh.DisconnectError):
        asyncio.run(log_in())
    said = [str(thing) for where, thing in talkative.take() if " hostile-ssh: " not in str(thing)]
    assert any(looker().forms(text) for text in said)


def test_the_twin_a_method_that_is_not_called_as_an_operation_shows_its_variables() -> None:
    unguarded = vars(BareMetal)["check"].__wrapped__
    with pytest.raises(InvalidFields) as caught:
        unguarded(BareMetal(machine_ip="127.0.0.1", machine_port=9, machine_key=DAMAGED, ssh_config="none"))
    assert [where for where, thing in of_error(caught.value) if "local" in where and looker().forms(thing)]
