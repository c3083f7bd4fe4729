"""Whatever DigitalOcean and Linode are asked to do, what goes out is a request that the vendor's document allows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from fakes.digitalocean import TOKEN, FakeDigitalOcean
from fakes.linode import TOKEN as LINODE_TOKEN
from fakes.linode import FakeLinode
from hypothesis import given, settings
from hypothesis import strategies as st

from mistcore import MistError
from mistcore_providers.digitalocean import DigitalOcean
from mistcore_providers.linode import Linode

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@desk"
WORDS = st.one_of(
    st.text(max_size=12),
    st.text(alphabet="aZ09-_.: /\n", max_size=12),
    st.integers(min_value=-1, max_value=10**30).map(str),
    st.sampled_from(["web-1", "٣", "²", "x" * 300, "vlan:" + "x" * 70, "vlan:us-east/back", PUBLIC_KEY]),
)


def mostly(good: Any, *others: Any) -> Any:
    """Return what is good more often than not: one thing that is wrong is enough for nothing to go out."""
    return st.one_of(st.just(good), st.just(good), st.just(good), *(others or (WORDS,)))


MACHINE, NAME = mostly("7"), mostly("web-1")
MORE: dict[str, Any] = {
    "key": mostly(PUBLIC_KEY, WORDS, st.lists(mostly(PUBLIC_KEY), max_size=3)),
    "user_data": WORDS,
    "tags": st.dictionaries(WORDS, WORDS, max_size=3),
    "backups": st.booleans(),
}


def options(image: str, size: str, location: str, **more: Any) -> Any:
    """Return what may be asked for in a new machine: what is there, mostly, and anything else."""
    whole = {"image": mostly(image), "size": mostly(size), "location": mostly(location)}
    return st.fixed_dictionaries(whole, optional=MORE | more)


@pytest.fixture(scope="module")
def digitaloceans(api_specs: Any) -> Iterator[FakeDigitalOcean]:
    with FakeDigitalOcean() as service:
        service.add_droplet(id=7)
        yield service


@pytest.fixture(scope="module")
def linodes(api_specs: Any) -> Iterator[FakeLinode]:
    with FakeLinode() as service:
        service.add_instance(id=7)
        yield service


def try_everything(provider: Any, service: Any, name: str, machine_id: str, asked: dict[str, Any]) -> None:
    """Do what changes something: it is done, or one of our errors comes, and what was sent is valid."""
    for operation in (
        lambda: provider.create_machine(name, **asked),
        lambda: provider.rename_machine(machine_id, name),
        lambda: provider.get_machine(machine_id),
    ):
        with suppress(MistError):
            operation()
    if isinstance(service, FakeDigitalOcean):  # so that no limit is in the way of the next
        service.key_listings.clear()
        service.droplets = {7: service.droplets[7]}
    else:
        service.instances = {7: service.instances[7]}
    assert service.unexpected() == []


@settings(max_examples=60, deadline=None)
@given(
    NAME,
    MACHINE,
    options("debian-12-x64", "s-1vcpu-1gb", "fra1", network=WORDS, ipv6=st.booleans(), monitoring=st.booleans()),
)
def test_digitalocean(digitaloceans: FakeDigitalOcean, name: str, machine_id: str, asked: dict[str, Any]) -> None:
    with DigitalOcean(token=TOKEN, endpoint=digitaloceans.url) as provider:
        try_everything(provider, digitaloceans, name, machine_id, asked)


@settings(max_examples=60, deadline=None)
@given(
    NAME,
    MACHINE,
    options(
        "linode/debian12",
        "g6-nanode-1",
        "us-east",
        network=mostly("vlan:back"),
        root_password=mostly("correct horse"),
        private_ip=st.booleans(),
        firewall=mostly("12"),
    ),
)
def test_linode(linodes: FakeLinode, name: str, machine_id: str, asked: dict[str, Any]) -> None:
    with Linode(api_key=LINODE_TOKEN, endpoint=linodes.url) as provider:
        try_everything(provider, linodes, name, machine_id, asked)
