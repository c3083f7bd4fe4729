"""The suite that plugin authors use, over docker: an engine that lives, and is hostile, over TCP and TLS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes.docker_life import IMAGE, PASSWORD, USER, LivingDocker

from mistcore import Provider
from mistcore.testing import TortureSuite
from mistcore.testing.server import FakeService
from mistcore_providers.docker import Docker


class TestDocker(TortureSuite):
    provider = Docker
    missing_id = "f" * 64
    new_machine = {"image": IMAGE}

    @pytest.fixture
    def service(self) -> Iterator[LivingDocker]:
        with LivingDocker() as service:
            yield service

    def good(self, service: FakeService) -> Docker:
        return Docker(docker_host=service.url, auth_user=USER, auth_password=PASSWORD)

    def bad(self, service: FakeService) -> Docker:
        return Docker(docker_host=service.url, auth_user=USER, auth_password="under the flowerpot")

    def endless(self, service: FakeService, marks: Iterator[str]) -> None:
        pytest.skip("its lists have no pages")

    def account_at(self, service: FakeService, url: str, *, ca_cert: str = "") -> Provider:
        return Docker(docker_host=url, auth_user=USER, auth_password=PASSWORD, ca_cert_file=ca_cert)
