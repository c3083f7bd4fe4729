"""The stand-in for Compute Engine as fixtures: over TLS, with a certification authority that nobody else knows."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from fakes.authority import throwaway_authority

if TYPE_CHECKING:
    from fakes.gce import FakeGce


@pytest.fixture(scope="session")
def gce_authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    """A TLS context for a server called localhost, and the path of the certificate that vouches for it."""
    return throwaway_authority(tmp_path_factory.mktemp("gce"))


@pytest.fixture
def gce_ca(gce_authority: tuple[ssl.SSLContext, str]) -> str:
    return gce_authority[1]


@pytest.fixture
def gce(gce_authority: tuple[ssl.SSLContext, str]) -> Iterator[FakeGce]:
    from fakes.gce import FakeGce  # needs packages that the tests of the bare core do without

    with FakeGce(tls=gce_authority[0]) as service:
        yield service
