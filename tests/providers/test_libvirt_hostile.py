"""libvirt before what means no good: over TCP, TLS and SSH, and a daemon whose answers are changed on the way."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.memory import peak
from fakes.patience import patient
from fakes.relay import Meddle, Relay
from peers.libvirtd import LibvirtDaemon, binding
from peers.waiting import until

from mistcore import Machine, MistError, ProviderError, Unreachable
from mistcore.deadline import deadline
from mistcore.testing.certificates import BAD, context_with, trusted_pem
from mistcore.testing.judge import leaks, secrets_of, shown_by
from mistcore.testing.wire import MISCHIEF, Talk, WireServer, after, pouring, saying, silent, trickling
from mistcore_providers._libvirt_hangup import hang_up
from mistcore_providers._libvirt_xml import details_of
from mistcore_providers.libvirt import Libvirt

pytestmark = pytest.mark.usefixtures("no_thread_stays")
PASSWORD = "not for everybody"
#: The deadline over what would last for ever, and over what ends by itself.
SHORT, LONG = 0.5, 100
#: MiB that a call may need at the most: libvirt takes messages of 32.
MOST = 100
_NOISE = bytes(range(255, -1, -1)) * 16


def message(length: int, rest: bytes = b"") -> bytes:
    """The beginning of a message of libvirt's RPC: how long it says to be, and what comes then."""
    return struct.pack(">I", length) + rest


WIRES: dict[str, tuple[Talk, str]] = {
    **{name: (talk, "network") for name, talk in MISCHIEF.items()},
    "says nothing": (silent, "timeout"),
    "promises 4 GB": (saying(message(0xFFFFFFFF), then=silent), "network"),
    "promises 200 MB": (pouring(message(200 << 20)), "network"),
    "keeps a promise of 16 MB": (pouring(message(16 << 20)), "network"),
    "trickles a message": (saying(message(1 << 20), then=trickling(b"\0")), "timeout"),
    "sends a message of nothing": (saying(message(28, bytes(24)), then=silent), "network"),
    "refuses without words": (
        after(message(28)[:3], saying(message(28, struct.pack(">IIIiII", 0x20008086, 1, 66, 1, 0, 1)), then=silent)),
        "network",
    ),
}


@pytest.fixture(autouse=True)
def _binding() -> None:
    binding()


def fails(provider: Libvirt, seconds: float = LONG) -> MistError:
    """The error that a listing ends with: within the deadline, of little memory, and showing no secret."""
    with peak() as memory, deadline(seconds), pytest.raises(MistError) as raised:
        list(patient(provider).list_machines())
    assert memory.grown < MOST
    assert leaks(secrets_of(provider), shown_by(raised.value)) == []
    provider.close()
    return raised.value


# -- no daemon at all --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WIRES)
def test_what_is_no_daemon(name: str) -> None:
    talk, reason = WIRES[name]
    with WireServer(talk) as wire:
        uri = f"qemu+tcp://127.0.0.1:{wire.port}/system"
        provider = Libvirt(uri=uri, auth_user="alice", auth_password=PASSWORD)
        error = fails(provider, SHORT if reason == "timeout" else LONG)
    assert (type(error), error.reason) == (Unreachable, reason)
    assert PASSWORD.encode() not in wire.received


@pytest.mark.parametrize("name", ["says nothing", "hangs up at once", "says garbage", "trickles garbage"])
@pytest.mark.parametrize("inside", [False, True])
def test_instead_of_a_handshake_and_inside_of_tls(name: str, inside: bool) -> None:
    with WireServer(MISCHIEF[name], tls=context_with() if inside else None) as wire:
        uri = f"qemu+tls://localhost:{wire.port}/system"
        login = {"auth_user": "alice", "auth_password": PASSWORD, "ca_cert": trusted_pem().decode()}
        error = fails(Libvirt(uri=uri, **login), SHORT if name == "says nothing" and not inside else LONG)
    assert isinstance(error, Unreachable)
    assert error.reason in (("timeout",) if name == "says nothing" and not inside else ("tls", "network"))
    assert PASSWORD.encode() not in wire.received


@pytest.mark.parametrize("certificate", BAD)
def test_a_certificate(certificate: str) -> None:
    with WireServer(silent, tls=context_with(certificate)) as wire:
        uri = f"qemu+tls://localhost:{wire.port}/system"
        error = fails(Libvirt(uri=uri, ca_cert=trusted_pem().decode(), auth_user="alice", auth_password=PASSWORD))
    assert (type(error), error.reason) == (Unreachable, "tls")
    assert "ca_cert" in error.remedy
    assert wire.received == b""


@pytest.mark.parametrize("name", ["says nothing", "hangs up at once", "says garbage", "pours garbage"])
def test_what_is_no_ssh_server(name: str) -> None:
    seconds = 1.5 if name == "says nothing" else LONG  # `ssh` counts in whole ones
    with WireServer(MISCHIEF[name]) as wire:
        error = fails(
            Libvirt(machine_hostname="127.0.0.1", ssh_port=wire.port, known_hosts="ssh-ed25519 AAAA"), seconds
        )
    assert isinstance(error, Unreachable)
    assert error.reason == ("timeout" if name == "says nothing" else "network")
    assert wire.received.startswith(b"SSH-2.0-") or not wire.received


@pytest.mark.parametrize(
    "fields", [{"uri": "qemu+tcp://mistcore.invalid/system"}, {"machine_hostname": "mistcore.invalid"}]
)
def test_a_name_that_does_not_resolve(fields: dict[str, str]) -> None:
    error = fails(Libvirt(**fields))
    assert (type(error), error.reason) == (Unreachable, "dns")


# -- a daemon that is let in, and then lies ----------------------------------------------------------------------------


@pytest.fixture
def relayed(libvirtd: LibvirtDaemon, tmp_path: Path) -> Iterator[tuple[Libvirt, Relay]]:
    """An account whose check was good, and the relay that its daemon is behind."""
    with (
        Relay(libvirtd.socket, path=tmp_path / "s") as relay,
        patient(Libvirt(uri=f"test+unix:///default?socket={tmp_path}/s")) as provider,
    ):
        provider.check()
        yield provider, relay


LIES: dict[str, tuple[Meddle, type[MistError], str]] = {
    "nothing more": (lambda said: b"", Unreachable, "timeout"),
    "half of it": (lambda said: said[: len(said) // 2], Unreachable, "timeout"),
    "goodbye": (lambda said: None, Unreachable, "network"),
    "noise": (lambda said: _NOISE, Unreachable, "network"),
    "noise for content": (lambda said: said[:28] + bytes(0x55 ^ byte for byte in said[28:]), Unreachable, "network"),
    "4 GB": (lambda said: message(0xFFFFFFFF, said[4:]), Unreachable, "network"),
    "a name of no alphabet": (
        lambda said: said.replace(message(4, b"test"), message(4, b"\xff\xfe\xfd\xfc")),
        ProviderError,
        "garbled",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_after_a_good_check(relayed: tuple[Libvirt, Relay], lie: str) -> None:
    provider, relay = relayed
    relay.meddle, kind, reason = LIES[lie]
    error = fails(provider, SHORT if reason == "timeout" else LONG)
    assert (type(error), error.reason) == (kind, reason)


def instead(document: str) -> Meddle:
    """Put another document in the place of every domain's, as long as that."""
    bad = document.encode("latin-1")

    def put(found: re.Match[bytes]) -> bytes:
        assert len(bad) <= len(found[0])
        return bad.ljust(len(found[0]))

    return lambda said: re.sub(rb"<domain .*?</domain>\n", put, said, flags=re.DOTALL)


_ENTITIES = "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
DOCUMENTS = {
    "a bomb": f'<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa">{_ENTITIES}]><domain><title>&j;</title></domain>',
    "a file": '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><domain><title>&x;</title></domain>',
    "a request": '<!DOCTYPE d [<!ENTITY x SYSTEM "http://127.0.0.1:PORT/x">]><domain><title>&x;</title></domain>',
    "a far DTD": '<!DOCTYPE d SYSTEM "http://127.0.0.1:PORT/x"><domain><title>x</title></domain>',
    "a page": "<html><body>Please log in<br></body></html>",
    "something deep": "<a>" * 200,
    "no text": "\xff\xfe",
    "numbers": f"<domain><vcpu>{'9' * 300}</vcpu><memory unit='TiB'>{'9' * 300}</memory></domain>",
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_hostile_document_costs_its_own_details_only(relayed: tuple[Libvirt, Relay], name: str) -> None:
    provider, relay = relayed
    with WireServer(silent) as wire:
        relay.meddle = instead(DOCUMENTS[name].replace("PORT", str(wire.port)))
        with peak() as memory, deadline(LONG):
            machines = list(provider.list_machines())
    assert [(machine.name, machine.state) for machine in machines] == [("test", "running")]
    assert "title" not in machines[0].extra
    assert memory.grown < MOST
    assert wire.lines == []


@pytest.mark.parametrize("end", ["", "</a>" * 100_000])
def test_a_document_of_any_depth(end: str) -> None:
    with peak() as memory, contextlib.suppress(ValueError):
        details_of("<a>" * 100_000 + end)
    assert memory.grown < MOST


def test_what_the_relay_changes_is_what_the_details_are_from(relayed: tuple[Libvirt, Relay]) -> None:
    provider, relay = relayed
    relay.meddle = instead("<domain><title>Mine</title></domain>")
    (machine,) = provider.list_machines()
    assert isinstance(machine, Machine)
    assert machine.extra["title"] == "Mine"


# -- how what cannot be interrupted is ended ---------------------------------------------------------------------------


def waiting_for(wait: Callable[[], object]) -> tuple[threading.Thread, int]:
    """A thread that waits, and its native id."""
    known = threading.Event()
    ids: list[int] = []

    def run() -> None:
        ids.append(threading.get_native_id())
        known.set()
        wait()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    known.wait(60)
    return thread, ids[0]


def test_who_waits_for_a_socket_is_hung_up_on_and_nobody_else() -> None:
    ours, theirs = socket.socketpair()
    other, kept = socket.socketpair()
    with ours, theirs, other, kept:
        poll = select.poll()
        poll.register(ours, select.POLLIN)
        thread, native = waiting_for(lambda: poll.poll(60_000))
        until(lambda: hang_up(native), 60, 0.01)
        thread.join(60)
        assert not thread.is_alive()
        assert theirs.recv(1) == b""
        other.sendall(b"x")
        assert kept.recv(1) == b"x"


def test_who_waits_for_no_socket_is_left_alone() -> None:
    release = threading.Event()
    thread, native = waiting_for(lambda: release.wait(60))
    assert not any(hang_up(native) for _ in range(20))
    assert thread.is_alive()
    release.set()
    thread.join(60)
    assert not hang_up(native)
