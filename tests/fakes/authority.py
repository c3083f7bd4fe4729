"""A certification authority that nobody else knows, for stand-ins that speak TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme


def throwaway_authority(folder: Path) -> tuple[ssl.SSLContext, str]:
    """A TLS context for a server called localhost, and the path of the certificate that vouches for it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    path = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return context, str(path)


def trusted_authority(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A TLS context like that, whose authority is named where clients look for the bundle that they trust."""
    context, bundle = throwaway_authority(folder)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, bundle)
    return context
