"""The stand-in for Compute Engine as fixtures: over TLS, with a certification authority that nobody else knows."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

if TYPE_CHECKING:
    from fakes.gce import FakeGce


@pytest.fixture(scope="session")
def gce_authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    """A TLS context for a server called localhost, and the path of the certificate that vouches for it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    path: Path = tmp_path_factory.mktemp("gce") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return context, str(path)


@pytest.fixture
def gce_ca(gce_authority: tuple[ssl.SSLContext, str]) -> str:
    return gce_authority[1]


@pytest.fixture
def gce(gce_authority: tuple[ssl.SSLContext, str]) -> Iterator[FakeGce]:
    from fakes.gce import FakeGce  # needs packages that the tests of the bare core do without

    with FakeGce(tls=gce_authority[0]) as service:
        yield service
