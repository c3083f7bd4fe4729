"""DigitalOcean's stand-in over TLS and a provider that talks to it, for the modules that test the provider to share."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.authority import trusted_authority
from fakes.digitalocean import TOKEN, FakeDigitalOcean

from mistcore_providers.digitalocean import DigitalOcean

PUBLIC_KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes(range(32))).decode() + " me@desk"
FINGERPRINT = "0f:a2:0a:d7:38:3e:65:45:08:6b:63:84:1c:ff:dc:ba"


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDigitalOcean]:
    """DigitalOcean over TLS, its document held against everything that is said."""
    with FakeDigitalOcean(tls=trusted_authority(tmp_path, monkeypatch)) as fake:
        yield fake


@pytest.fixture
def digitalocean(service: FakeDigitalOcean) -> Iterator[DigitalOcean]:
    with DigitalOcean(token=TOKEN, endpoint=service.url) as provider:
        yield provider


def asked(service: FakeDigitalOcean) -> list[str]:
    return [f"{request.method} {request.path}" for request in service.requests]
