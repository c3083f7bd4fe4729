"""Linode's stand-in over TLS and a provider that talks to it, for the modules that test the provider to share."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.authority import trusted_authority
from fakes.linode import TOKEN, FakeLinode

from mistcore_providers.linode import Linode

PUBLIC_KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes(range(32))).decode() + " me@desk"
WHOLE: dict[str, Any] = {"name": "web-1", "image": "linode/debian12", "size": "g6-nanode-1", "location": "us-east"}


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLinode]:
    """Linode over TLS, its document held against everything that is said."""
    with FakeLinode(tls=trusted_authority(tmp_path, monkeypatch)) as fake:
        yield fake


@pytest.fixture
def linode(service: FakeLinode) -> Iterator[Linode]:
    with Linode(api_key=TOKEN, endpoint=service.url) as provider:
        yield provider


def asked(service: FakeLinode) -> list[str]:
    return [f"{request.method} {request.path}" for request in service.requests]
