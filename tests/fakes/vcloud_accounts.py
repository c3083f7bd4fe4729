"""Accounts with the stand-in of VMware Cloud Director, and fixtures of it that a test module takes by their names."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import pytest
import trustme
from fakes.vcloud import FakeVcloud, Vm

from mistcore_providers.vcloud import Vcloud

#: What installations speak: JSON with the cloud API's login; XML for want of JSON; the old API alone.
KINDS: dict[str, dict[str, Any]] = {
    "json": {},
    "xml": {"json_since": 99},
    "old": {"versions": (("5.1", False), ("5.5", False)), "cloud_login": False},
}


@pytest.fixture(params=KINDS)
def cloud(request: pytest.FixtureRequest) -> Iterator[FakeVcloud]:
    with FakeVcloud(**KINDS[request.param]) as cloud:
        yield cloud


@pytest.fixture
def new_cloud() -> Iterator[FakeVcloud]:
    with FakeVcloud() as cloud:
        yield cloud


def account(cloud: FakeVcloud, **fields: Any) -> Vcloud:
    given = {"host": cloud.url, "organization": "Acme"}
    if "api_token" not in fields:
        given |= {"username": "jane", "password": "s3cret"}
    return Vcloud(**{**given, **fields})


def running(cloud: FakeVcloud, name: str = "web", **fields: Any) -> Vm:
    return cloud.add_vm(name, status="POWERED_ON", **fields)


@pytest.fixture
def secure() -> Iterator[tuple[FakeVcloud, trustme.CA]]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with FakeVcloud(tls=context) as cloud:
        yield cloud, authority
