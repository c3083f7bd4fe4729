"""SoftLayer's stand-in over TLS and a provider that talks to it, for the modules that test the provider to share."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.authority import trusted_authority
from fakes.softlayer import API_KEY, USERNAME, FakeSoftLayer

from mistcore_providers.softlayer import SoftLayer

PUBLIC_KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes(range(32))).decode() + " me@desk"
WHOLE: dict[str, Any] = {
    "name": "web-1.example.com", "image": "DEBIAN_12_64", "size": "B1_2X4X100", "location": "sjc01",
}  # fmt: skip


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSoftLayer]:
    """SoftLayer over TLS; nobody ever asks it for a password."""
    with FakeSoftLayer(tls=trusted_authority(tmp_path, monkeypatch)) as fake:
        yield fake
        assert not any("password" in mask.lower() or "Account" in mask for mask in fake.masks)


@pytest.fixture
def softlayer(service: FakeSoftLayer) -> Iterator[SoftLayer]:
    with SoftLayer(username=USERNAME, api_key=API_KEY, endpoint=service.url) as provider:
        yield provider


def asked(service: FakeSoftLayer) -> list[str]:
    return [f"{one.method} {one.path.removeprefix('/rest/v3.1/SoftLayer_')}" for one in service.requests]
