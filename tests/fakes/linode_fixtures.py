"""Linode's stand-in over TLS and a provider that talks to it, for the modules that test the provider to share."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from fakes.linode import TOKEN, FakeLinode

from mistcore_providers.linode import Linode

PUBLIC_KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes(range(32))).decode() + " me@desk"
WHOLE: dict[str, Any] = {"name": "web-1", "image": "linode/debian12", "size": "g6-nanode-1", "location": "us-east"}


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def service(ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLinode]:
    """Linode over TLS, its document held against everything that is said."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    bundle = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(bundle))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(bundle))
    with FakeLinode(tls=context) as fake:
        yield fake


@pytest.fixture
def linode(service: FakeLinode) -> Iterator[Linode]:
    with Linode(api_key=TOKEN, endpoint=service.url) as provider:
        yield provider


def asked(service: FakeLinode) -> list[str]:
    return [f"{request.method} {request.path}" for request in service.requests]
