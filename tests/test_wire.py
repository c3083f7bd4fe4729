"""The hostile server of `mistcore.testing.wire`, met by clients that fall for it: what it finds, and that it ends."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from pathlib import Path

import pytest
from fakes.authority import throwaway_authority
from fakes.memory import peak

from mistcore.testing.wire import MISCHIEF, WireServer, after, pouring, saying, silent, trickling

SECRET = b"not for everybody"


def gullible(wire: WireServer, seconds: float = 60) -> bytes:
    """A client that tells its secret first and keeps what comes, until it was heard and for so long nothing comes."""
    kept = bytearray()
    with (
        socket.create_connection(("127.0.0.1", wire.port), seconds) as connection,
        contextlib.suppress(ConnectionError),
    ):
        connection.sendall(SECRET)
        while True:
            try:
                part = connection.recv(1 << 20)
            except TimeoutError:
                if wire.received:
                    break
                continue
            if not part:
                break
            kept += part
    return bytes(kept)


@pytest.mark.parametrize("name", sorted(MISCHIEF.keys() - {"hangs up at once", "trickles garbage", "pours garbage"}))
def test_a_secret_that_is_told_is_found(name: str) -> None:
    with WireServer(MISCHIEF[name]) as wire:
        gullible(wire, 0.1)
    assert SECRET in wire.received
    assert [bytes(line.received) for line in wire.lines] == [SECRET]


def test_also_one_that_is_told_while_the_server_talks() -> None:
    with WireServer(pouring(size=16 << 20)) as wire:  # more than is on the way before the client reads
        assert len(gullible(wire)) == 16 << 20
    assert wire.received == SECRET


def test_a_client_that_keeps_everything_is_found() -> None:
    """Twin: one that looks at what it is sent and forgets it needs next to nothing."""
    with WireServer(pouring(size=40 << 20)) as wire:
        with peak() as memory:
            assert len(gullible(wire)) == 40 << 20
        assert memory.grown > 35
        with peak() as memory, socket.create_connection(("127.0.0.1", wire.port), 60) as connection:
            while connection.recv(1 << 16):
                pass
        assert memory.grown < 30


def test_a_trickle_keeps_a_client_that_only_has_a_timeout() -> None:
    with WireServer(trickling(b"x", 0.01)) as wire, socket.create_connection(("127.0.0.1", wire.port), 60) as client:
        assert all(client.recv(1) for _ in range(30))  # it goes on and on


def test_it_speaks_when_it_is_spoken_to() -> None:
    with (
        WireServer(after(b"please", saying(b"no", then=silent))) as wire,
        socket.create_connection(("127.0.0.1", wire.port), 0.2) as client,
    ):
        client.sendall(b"give, ")
        with pytest.raises(TimeoutError):
            client.recv(10)
        client.sendall(b"please")
        client.settimeout(60)
        assert client.recv(10) == b"no"
    assert wire.received == b"give, please"


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with WireServer(saying(b"no"), path=path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert client.recv(10) == b"no"


def test_what_came_inside_of_tls_is_plain(tmp_path: Path) -> None:
    server, authority = throwaway_authority(tmp_path)
    trusting = ssl.create_default_context(cafile=authority)
    with (
        WireServer(after(SECRET, saying(b"thanks")), tls=server) as wire,
        socket.create_connection(("127.0.0.1", wire.port), 60) as plain,
        trusting.wrap_socket(plain, server_hostname="localhost") as client,
    ):
        client.sendall(SECRET)
        assert client.recv(10) == b"thanks"
    assert wire.received == SECRET


def test_what_came_without_the_tls_that_is_wanted_is_found(tmp_path: Path) -> None:
    with WireServer(silent, tls=throwaway_authority(tmp_path)[0]) as wire:
        gullible(wire, 0.1)
    assert wire.received == SECRET


@pytest.mark.parametrize("tls", [False, True])
def test_nothing_of_it_stays(tls: bool, tmp_path: Path) -> None:
    context = throwaway_authority(tmp_path)[0] if tls else None
    with contextlib.ExitStack() as clients:
        with WireServer(silent, tls=context) as wire:
            for _ in range(3):  # that never go on their own, nor shake hands
                clients.enter_context(socket.create_connection(("127.0.0.1", wire.port), 5))
        assert [thread for thread in threading.enumerate() if thread.name == "wire"] == []
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", wire.port), 5)
