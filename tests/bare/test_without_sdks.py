"""The core alone: without any SDK everything is listed, and using a provider says which command installs its SDK."""

from __future__ import annotations

from importlib.metadata import metadata
from importlib.util import find_spec

import pytest

from mistcore import BackendManager, MissingDependency, Registry
from mistcore.stores.memory import MemoryStore

#: What each provider needs beyond the core, and fields that get it as far as needing it.
NEEDS = {
    "bare_metal": ("asyncssh", {"machine_ip": "127.0.0.1", "machine_port": 1}),
    "docker": ("docker", {"docker_host": "tcp://127.0.0.1:1"}),
    "ec2": (
        "botocore",
        {
            "api_key": "AKIAAAAAAAAAAAAAAAAA",
            "api_secret": "x" * 40,
            "region": "us-east-1",
            "endpoint": "http://127.0.0.1:1",
        },
    ),
    "gce": (
        "google.auth",
        {
            "project_id": "p-123456",
            "email": "robot@example.org",
            "private_key": "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----",
            "endpoint": "http://127.0.0.1:1",
        },
    ),
    "libvirt": ("libvirt", {"uri": "test:///default"}),
    "openstack": (
        "keystoneauth1",
        {"auth_url": "http://127.0.0.1:1", "username": "u", "password": "x", "tenant_name": "t"},
    ),
    "rackspace": (
        "keystoneauth1",
        {"username": "u", "api_key": "x", "region": "lon", "endpoint": "http://127.0.0.1:1"},
    ),
}


def absent(module: str) -> bool:
    try:
        return find_spec(module) is None
    except ModuleNotFoundError:
        return True


@pytest.mark.parametrize("provider", list(NEEDS))
def test_a_missing_sdk_is_an_error_that_names_the_cure(provider: str) -> None:
    module, fields = NEEDS[provider]
    registry = Registry()
    if provider not in registry:
        pytest.skip(f"{provider} does not exist yet")
    if not absent(module):
        pytest.skip(f"{module} is installed here; the environment `bare` is the one without")
    extra = registry[provider].extra or provider
    client = BackendManager(MemoryStore(), registry=registry)
    with pytest.raises(MissingDependency) as caught:
        client.add_backend(provider, "x", **fields)
    # As the metadata write it: pip before 23.3, which Debian 12 has, finds `bare-metal` by no other spelling.
    assert f"mistcore[{extra.replace('_', '-')}]" in str(caught.value)
    assert extra.replace("_", "-") in metadata("mistcore").get_all("Provides-Extra")
    assert client.backends() == []


def test_everything_is_listed_without_any_sdk() -> None:
    registry = Registry()
    assert list(registry.usable()) == list(registry)
    assert all(entry["title"] for entry in BackendManager(MemoryStore(), registry=registry).supported_providers)


def test_the_machine_itself_needs_no_sdk() -> None:
    client = BackendManager(MemoryStore())
    client.add_backend("bare_metal", machine_ip="local")
    assert [str(machine.state) for machine in client.machines()] == ["running"]
