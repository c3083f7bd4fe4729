"""The stand-in for Azure as fixtures: over TLS, with a certification authority that nobody else knows."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from fakes.authority import throwaway_authority

if TYPE_CHECKING:
    from fakes.azure import FakeAzure


@pytest.fixture(scope="session")
def azure_authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    """A TLS context for a server called localhost, and the path of the certificate that vouches for it."""
    return throwaway_authority(tmp_path_factory.mktemp("azure"))


@pytest.fixture
def azure_ca(azure_authority: tuple[ssl.SSLContext, str]) -> str:
    return azure_authority[1]


@pytest.fixture
def azure(azure_authority: tuple[ssl.SSLContext, str]) -> Iterator[FakeAzure]:
    from fakes.azure import FakeAzure  # needs packages that the tests of the bare core do without

    with FakeAzure(tls=azure_authority[0]) as service:
        yield service
