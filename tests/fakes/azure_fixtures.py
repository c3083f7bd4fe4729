"""The stand-in for Azure as fixtures: over TLS, with a certification authority that nobody else knows."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

if TYPE_CHECKING:
    from fakes.azure import FakeAzure


@pytest.fixture(scope="session")
def azure_authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    """A TLS context for a server called localhost, and the path of the certificate that vouches for it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    path: Path = tmp_path_factory.mktemp("azure") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return context, str(path)


@pytest.fixture
def azure_ca(azure_authority: tuple[ssl.SSLContext, str]) -> str:
    return azure_authority[1]


@pytest.fixture
def azure(azure_authority: tuple[ssl.SSLContext, str]) -> Iterator[FakeAzure]:
    from fakes.azure import FakeAzure  # needs packages that the tests of the bare core do without

    with FakeAzure(tls=azure_authority[0]) as service:
        yield service
