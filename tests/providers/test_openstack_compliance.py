"""The OpenStack family in the suite that every provider passes: what it must do, and a service's bad days."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fakes import dialects
from fakes.openstack import FakeOpenStack

from mistcore import Provider
from mistcore.testing import TortureSuite
from mistcore.testing.server import Request, Response
from mistcore_providers.hpcloud import Hpcloud
from mistcore_providers.openstack import Openstack
from mistcore_providers.rackspace import Rackspace

LOGIN = {"username": "me", "tenant_name": "demo", "region": "region-a.geo-1"}


def servers() -> list[dict[str, Any]]:
    address = {"addr": "10.0.0.1", "version": 4, "OS-EXT-IPS:type": "fixed"}
    flavor = {"original_name": "m1.tiny", "vcpus": 1, "ram": 512, "disk": 1}
    common = {"created": "2026-01-02T03:04:05Z", "flavor": flavor, "image": {"id": "i1"}, "metadata": {"env": "test"},
              "addresses": {"lan": [address]}}  # fmt: skip
    return [
        {"id": "s1", "name": "web-1", "status": "ACTIVE", **common},
        {"id": "s2", "name": "web-2", "status": "SHUTOFF", **common},
    ]


class _Family(TortureSuite):
    refusal = staticmethod(dialects.by_openstack)
    new_machine = {"image": "i1", "size": "m1.tiny"}
    missing_id = "00000000-0000-0000-0000-000000000000"

    @pytest.fixture
    def service(self) -> Iterator[FakeOpenStack]:
        with FakeOpenStack() as fake:
            fake.kinds = ["compute", "image", "network"]
            fake.servers = servers()
            fake.flavors = [{"id": "1", "name": "m1.tiny", "vcpus": 1, "ram": 512, "disk": 1}]
            fake.images = [{"id": "i1", "name": "debian", "status": "active"}]
            yield fake

    def changes(self, request: Request) -> bool:
        return super().changes(request) and not request.path.endswith("/tokens")

    def endless(self, service: FakeOpenStack, marks: Iterator[str]) -> None:
        def more(body: Any, answer: Response) -> None:
            body["servers_links"] = [{"rel": "next", "href": f"{service.url}/servers/detail?marker={next(marks)}"}]

        self.repeat_page(service, lambda request: request.path.endswith("/servers/detail"), {"marker"}, more)


class TestOpenstack(_Family):
    provider = Openstack

    def good(self, service: FakeOpenStack) -> Provider:
        return Openstack(**LOGIN, password="right", auth_url=service.url)

    def bad(self, service: FakeOpenStack) -> Provider:
        return Openstack(**LOGIN, password="wr0ng-password", auth_url=service.url)


class TestHpcloud(_Family):
    provider = Hpcloud

    def good(self, service: FakeOpenStack) -> Provider:
        return Hpcloud(**LOGIN, password="right", auth_url=service.url)

    def bad(self, service: FakeOpenStack) -> Provider:
        return Hpcloud(**LOGIN, password="wr0ng-password", auth_url=service.url)


class TestRackspace(_Family):
    provider = Rackspace

    @pytest.fixture
    def service(self) -> Iterator[FakeOpenStack]:
        with FakeOpenStack() as fake:
            fake.versions, fake.kinds, fake.regions = {"v2.0"}, ["compute", "network"], ["LON"]
            fake.service_name = "cloudServersOpenStack"
            fake.servers = servers()
            fake.flavors = [{"id": "1", "name": "m1.tiny", "vcpus": 1, "ram": 512, "disk": 1}]
            fake.images = [{"id": "i1", "name": "debian", "status": "ACTIVE"}]
            yield fake

    def good(self, service: FakeOpenStack) -> Provider:
        return Rackspace(username="me", api_key="right", region="lon", endpoint=service.url)

    def bad(self, service: FakeOpenStack) -> Provider:
        return Rackspace(username="me", api_key="wr0ng-key", region="lon", endpoint=service.url)
