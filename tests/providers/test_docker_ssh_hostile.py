"""docker over SSH before servers that mean no good: what a login and a command there may come to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest
from fakes.hostile_ssh import HostileSsh
from fakes.memory import peak
from fakes.patience import patient

from mistcore import AuthenticationFailed, MistError, ProviderError, Unreachable
from mistcore.deadline import deadline
from mistcore.testing.judge import leaks, secrets_of, shown_by
from mistcore.testing.wire import MISCHIEF, WireServer, after, pouring, saying, silent, trickling
from mistcore_providers.docker import Docker

pytestmark = pytest.mark.usefixtures("hostile", "no_thread_stays")
SHORT, LONG = 0.8, 100
MOST = 80
GREETING = b"SSH-2.0-Hostile\r\n"

NO_SSH = {
    "says nothing": (silent, "timeout"),
    "trickles": (trickling(GREETING[:-2]), "timeout"),
    "hangs up at once": (MISCHIEF["hangs up at once"], "network"),
    "pours garbage": (MISCHIEF["pours garbage"], "network"),
    "greets without end": (pouring(b"SSH-2.0-", filler=b"x" * 65536), "timeout"),
    "stops after its greeting": (saying(GREETING, then=silent), "timeout"),
    "hangs up in the key exchange": (saying(GREETING, then=after(b"curve25519", lambda line: None)), "network"),
    "sends a packet of noise": (saying(GREETING + b"\0\0\1\0" + bytes(range(256)) * 2, then=silent), "network"),
}
USERS = {
    "never asked": (Unreachable, "timeout"),
    "late verdict": (Unreachable, "timeout"),
    "dropped": (Unreachable, "network"),
    "password": (AuthenticationFailed, ""),
    "key": (AuthenticationFailed, ""),
    "hangs": (Unreachable, "timeout"),
    "trickles": (Unreachable, "timeout"),
    "pours": (ProviderError, "not_docker"),
    "page": (ProviderError, "not_docker"),
    "reset": (Unreachable, "refused"),
}


@pytest.fixture(scope="module")
def hostile() -> Iterator[HostileSsh]:
    with HostileSsh() as server:
        yield server


@pytest.fixture(scope="module")
def key() -> str:
    return asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()


def fails(port: int, user: str, key: str, seconds: float) -> MistError:
    docker = patient(Docker(docker_host=f"ssh://{user.replace(' ', '_')}@127.0.0.1:{port}", key_file=key))
    with docker, peak() as memory, deadline(seconds), pytest.raises(MistError) as raised:
        docker.check()
    assert memory.grown < MOST
    assert leaks(secrets_of(docker), shown_by(raised.value)) == []
    return raised.value


@pytest.mark.parametrize("name", NO_SSH)
def test_what_is_no_ssh_server(name: str, key: str) -> None:
    talk, reason = NO_SSH[name]
    with WireServer(talk) as wire:
        error = fails(wire.port, "root", key, SHORT if reason == "timeout" else LONG)
    assert (type(error), error.reason) == (Unreachable, reason)
    assert wire.received.startswith(b"SSH-2.0-") or not wire.received


def test_a_program_that_handles_no_log_prints_nothing_of_it(key: str) -> None:
    program = "import sys; from mistcore_providers.docker import Docker; Docker(docker_host=sys.argv[1]).check()"
    with WireServer(MISCHIEF["says garbage"]) as wire:
        host = f"ssh://127.0.0.1:{wire.port}"
        done = subprocess.run([sys.executable, "-c", program, host], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].startswith("mistcore.errors.Unreachable: docker: no SSH server answers at ")
    assert "Exception (client)" not in done.stderr


@pytest.mark.parametrize("user", USERS)
def test_what_becomes_of_a_login(hostile: HostileSsh, user: str, key: str) -> None:
    folder = Path.home() / ".ssh"
    folder.mkdir()
    (folder / "known_hosts").write_text(hostile.known_host())
    kind, reason = USERS[user]
    error = fails(hostile.port, user, key, SHORT if reason == "timeout" else LONG)
    assert (type(error), error.reason) == (kind, reason)


def test_a_server_that_is_not_known_is_shown_no_key(hostile: HostileSsh, key: str) -> None:
    hostile.users.clear()
    error = fails(hostile.port, "good", key, LONG)
    assert (type(error), error.reason) == (Unreachable, "host_key")
    assert hostile.users == []
