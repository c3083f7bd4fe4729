"""The provider libvirt on a daemon of the tests, and fixtures of what is there, which a test module takes by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from peers.libvirt_guests import Guests
from peers.libvirtd import LibvirtDaemon

from mistcore import Machine
from mistcore_providers.libvirt import Libvirt


@pytest.fixture
def provider(libvirtd: LibvirtDaemon) -> Iterator[Libvirt]:
    with Libvirt(uri=libvirtd.uri) as provider:
        yield provider


@pytest.fixture
def guests(libvirtd: LibvirtDaemon) -> Iterator[Guests]:
    with Guests(libvirtd) as guests:
        yield guests


@pytest.fixture
def raw(guests: Guests) -> Any:
    """The binding itself, to look behind the provider's back."""
    return guests.raw


@pytest.fixture
def define(guests: Guests) -> Callable[..., str]:
    """Define a domain and return its id; it is gone after the test."""
    return guests.define


@pytest.fixture
def pool(guests: Guests) -> Any:
    """A running storage pool with one image in it, `guest.img`."""
    return guests.pool()


def find(provider: Libvirt, machine_id: str) -> Machine:
    return next(machine for machine in provider.list_machines() if machine.id == machine_id)


def ssh(daemon: LibvirtDaemon, **fields: Any) -> Libvirt:
    given = {"ssh_port": daemon.ssh_port, "machine_key": str(daemon.ssh_key), "known_hosts": str(daemon.known_hosts)}
    return Libvirt(machine_hostname="127.0.0.1", **{**given, **fields})


def tls(daemon: LibvirtDaemon, pki: str = "good", **fields: Any) -> Libvirt:
    files = daemon.pki / pki
    given = {"cert_file": str(files / "client.pem"), "key_file": str(files / "client-key.pem")}
    return Libvirt(uri=daemon.tls, **{"ca_cert": str(daemon.pki / "good/ca.pem"), **given, **fields})
