"""bare_metal before servers that mean no good: what each ends with, how much is kept, and who gets to see a secret."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import asyncssh
import pytest
from fakes.hostile_ssh import HostileSsh
from fakes.memory import peak
from fakes.patience import deadline_once, patient

from mistcore import AuthenticationFailed, MistError, ProviderError, Unreachable
from mistcore.deadline import deadline
from mistcore.testing.judge import leaks, secrets_of, shown_by
from mistcore.testing.wire import MISCHIEF, WireServer, after, pouring, saying, silent, trickling
from mistcore_providers.bare_metal import BareMetal

pytestmark = pytest.mark.usefixtures("hostile", "no_thread_stays")
PASSWORD = "not for everybody"
#: The deadline over what ends by itself.
LONG = 100
#: MiB that a login and its output may need at most; the servers send 200.
MOST = 80
GREETING = b"SSH-2.0-Hostile\r\n"

NO_SSH = {
    **{name: (talk, "not_ssh") for name, talk in MISCHIEF.items()},
    "hangs up at once": (MISCHIEF["hangs up at once"], "network"),
    "greets byte by byte": (trickling(GREETING[:-2]), "not_ssh"),
    "says lines without end": (pouring(filler=b"still booting\r\n" * 4096), "not_ssh"),
    "is another protocol's SSH": (saying(b"SSH-1.5-Old\r\n", then=silent), "not_ssh"),
    "greets in no alphabet": (saying(b"SSH-2.0-\xff\xfe\r\n", then=silent), "network"),
    "hangs up in the key exchange": (saying(GREETING, then=after(b"curve25519", lambda line: None)), "network"),
    "promises a packet of 4 GB": (saying(GREETING + b"\xff" * 64, then=silent), "network"),
    "sends a packet of noise": (saying(GREETING + b"\0\0\1\0" + bytes(range(256)) * 2, then=silent), "network"),
    "sends a packet of nothing": (saying(GREETING + bytes(64), then=silent), "network"),
    "trickles a packet": (saying(GREETING + b"\0\0\xff\0", then=trickling(b"\x14")), "timeout"),
    "pours after its greeting": (pouring(GREETING), "network"),
    "pours packets without meaning": (
        pouring(GREETING, filler=(b"\0\0\0\x0c\x06\2\0\0\0\1-" + bytes(5)) * 4096),
        "network",
    ),
}
del NO_SSH["says nothing"]  # which test_bare_metal_reach.py has
#: What nobody but the deadline ends.
LASTING = {"says garbage", "trickles garbage", "greets byte by byte", "trickles a packet"}


@pytest.fixture(scope="module")
def hostile() -> Iterator[HostileSsh]:
    with HostileSsh() as server:
        yield server


@pytest.fixture(scope="module")
def key() -> str:
    return asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()


def account(port: int, user: str = "root", **fields: str) -> BareMetal:
    return patient(BareMetal(machine_ip="127.0.0.1", machine_port=port, machine_user=user.replace(" ", "_"), **fields))


def fails(provider: BareMetal, once: Callable[[], object] | None = None) -> MistError:
    """The error that a listing ends with: of little memory, showing no secret, and leaving nothing behind.

    What nobody else ends, the deadline does, once something has happened.
    """
    end = deadline(LONG) if once is None else deadline_once(once)
    with peak() as memory, end, pytest.raises(MistError) as raised:
        list(provider.list_machines())
    assert memory.grown < MOST
    assert leaks(secrets_of(provider), shown_by(raised.value)) == []
    return raised.value


@pytest.mark.parametrize("name", NO_SSH)
def test_what_is_no_ssh_server(name: str, key: str) -> None:
    talk, reason = NO_SSH[name]
    with WireServer(talk) as wire:
        once = (lambda: wire.received) if name in LASTING else None
        error = fails(account(wire.port, password=PASSWORD, machine_key=key), once)
    assert (type(error), error.reason) == (Unreachable, reason)
    assert PASSWORD.encode() not in wire.received
    assert wire.received.startswith(b"SSH-2.0-") or not wire.received


@pytest.mark.parametrize("user", ["pours", "trickles", "hangs"])
def test_output_without_end(hostile: HostileSsh, user: str) -> None:
    hostile.commands.clear()
    once = (lambda: hostile.commands) if user != "pours" else None
    error = fails(account(hostile.port, user, password=PASSWORD, host_key=hostile.pin), once)
    if user == "pours":
        assert isinstance(error, ProviderError)
        assert "answers without end" in error.message
    else:
        assert (type(error), error.reason) == (Unreachable, "timeout")
        assert "running a script" in error.message


@pytest.mark.parametrize("user", ["cut", "reset", "half"])
def test_output_that_stops_in_the_middle_is_no_machine(hostile: HostileSsh, user: str) -> None:
    error = fails(account(hostile.port, user, password=PASSWORD, host_key=hostile.pin))
    assert (type(error), error.reason) == (Unreachable, "network")
    assert "the login" not in error.message


@pytest.mark.parametrize("user", ["garbage", "page"])
def test_what_does_not_know_the_script_is_a_machine_without_facts(hostile: HostileSsh, user: str) -> None:
    with deadline(LONG):
        (machine,) = account(hostile.port, user, password=PASSWORD, host_key=hostile.pin).list_machines()
    assert (machine.id, machine.name, machine.extra) == ("127.0.0.1", "127.0.0.1", {})


@pytest.mark.parametrize("user", ["good", "no status", "killed", "many", "escapes"])
def test_how_the_command_ends_and_what_is_around_it_does_not_matter(hostile: HostileSsh, user: str) -> None:
    with deadline(LONG):
        (machine,) = account(hostile.port, user, password=PASSWORD, host_key=hostile.pin).list_machines()
    assert machine.image == "Linux"
    assert machine.public_ips == ()
    assert machine.private_ips == (("192.0.2.1",) if user == "many" else ())


def test_a_flood_of_packets_without_meaning_is_not_kept(hostile: HostileSsh) -> None:
    with peak() as memory, deadline(LONG):
        (machine,) = account(hostile.port, "floods", password=PASSWORD, host_key=hostile.pin).list_machines()
    assert machine.image == "Linux"
    assert memory.grown < MOST


def test_nothing_is_unpacked_that_may_burst() -> None:
    with HostileSsh(["zlib@openssh.com", "zlib"]) as packing:
        error = fails(account(packing.port, "good", password=PASSWORD, host_key=packing.pin))
    assert isinstance(error, Unreachable)
    assert error.reason in ("algorithms", "network")  # whichever of the two hangs up first
    assert packing.users == []


@pytest.mark.parametrize("user", ["never asked", "late verdict"])
def test_a_login_without_end(hostile: HostileSsh, user: str) -> None:
    hostile.users.clear()
    error = fails(account(hostile.port, user, password=PASSWORD, host_key=hostile.pin), lambda: hostile.users)
    assert (type(error), error.reason) == (Unreachable, "timeout")
    assert "the login to" in error.message


def test_a_connection_that_is_dropped_in_the_login(hostile: HostileSsh) -> None:
    error = fails(account(hostile.port, "dropped", password=PASSWORD, host_key=hostile.pin))
    assert (type(error), error.reason) == (Unreachable, "network")
    assert "during the login" in error.message


@pytest.mark.parametrize("user", ["password", "key", "dialogue", "endless dialogue"])
def test_every_way_in_refused(hostile: HostileSsh, key: str, user: str) -> None:
    error = fails(account(hostile.port, user, password=PASSWORD, machine_key=key, host_key=hostile.pin))
    assert (type(error), error.reason) == (AuthenticationFailed, "password_refused")
    hostile.credentials.clear()
    error = fails(account(hostile.port, user, machine_key=key, host_key=hostile.pin))
    assert (type(error), error.reason) == (AuthenticationFailed, "key_refused")
    assert PASSWORD not in hostile.credentials


@pytest.mark.parametrize("known", ["nothing", "another key", "another pin"])
def test_a_server_that_is_not_the_one_known_sees_no_secret(
    hostile: HostileSsh, key: str, known: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    hostile.credentials.clear()
    hostile.users.clear()
    other = asyncssh.generate_private_key("ssh-ed25519")
    file = tmp_path_factory.mktemp("known") / "hosts"
    line = f"[127.0.0.1]:{hostile.port} {other.export_public_key().decode()}"
    file.write_text(line if known == "another key" else "")
    fields = {"host_key": other.get_fingerprint()} if known == "another pin" else {"known_hosts": str(file)}
    error = fails(account(hostile.port, "good", password=PASSWORD, machine_key=key, **fields))
    assert (type(error), error.reason) == (Unreachable, "host_key" if known == "nothing" else "host_key_changed")
    assert (hostile.users, hostile.credentials) == ([], [])


def test_the_one_that_is_known_does_see_it(hostile: HostileSsh) -> None:
    hostile.credentials.clear()
    list(account(hostile.port, "good", password=PASSWORD, host_key=hostile.pin).list_machines())
    assert hostile.credentials == [PASSWORD]
