"""DigitalOcean's stand-in over TLS and a provider that talks to it, for the modules that test the provider to share."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from fakes.digitalocean import TOKEN, FakeDigitalOcean

from mistcore_providers.digitalocean import DigitalOcean

PUBLIC_KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes(range(32))).decode() + " me@desk"
FINGERPRINT = "0f:a2:0a:d7:38:3e:65:45:08:6b:63:84:1c:ff:dc:ba"


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def service(ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDigitalOcean]:
    """DigitalOcean over TLS, its document held against everything that is said."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    bundle = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(bundle))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(bundle))
    with FakeDigitalOcean(tls=context) as fake:
        yield fake


@pytest.fixture
def digitalocean(service: FakeDigitalOcean) -> Iterator[DigitalOcean]:
    with DigitalOcean(token=TOKEN, endpoint=service.url) as provider:
        yield provider


def asked(service: FakeDigitalOcean) -> list[str]:
    return [f"{request.method} {request.path}" for request in service.requests]
