"""The suite over the suspects. Run by tests/test_compliance_suite.py only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fakes import suspects_tortured, suspects_wired
from fakes.suspects import TOKEN, Good, NoAddress, Service, WaitsForever

from mistcore import Provider
from mistcore.testing import ProviderSuite, TortureSuite, WireSuite
from mistcore.testing.server import Response
from mistcore.testing.wire import WireServer


class Suite(ProviderSuite):
    seconds = 0.3
    grace = 2.0

    @pytest.fixture
    def service(self) -> Iterator[Service]:
        with Service() as service:
            yield service

    def good(self, service: Service) -> Provider:
        return self.provider(token=TOKEN, endpoint=service.url)  # type: ignore[call-arg]

    def bad(self, service: Service) -> Provider:
        return self.provider(token="bad-token-4712", endpoint=service.url)  # type: ignore[call-arg]


class Torture(TortureSuite, Suite):
    most = 2.0

    def endless(self, service: Service, marks: Iterator[str]) -> None:
        def more(body: Any, answer: Response) -> None:
            answer.headers["X-Next"] = next(marks)

        self.repeat_page(service, lambda request: request.path == "/machines", {"after"}, more)


class Wired(WireSuite):
    seconds = 10.0  # what is to be found is there long before, also on a slow machine

    @pytest.fixture
    def service(self) -> Iterator[WireServer]:
        with WireServer(suspects_wired.service) as service:
            yield service

    def good(self, service: WireServer, password: str = suspects_wired.PASSWORD) -> Provider:
        return self.provider(port=service.port, password=password)  # type: ignore[call-arg]

    def bad(self, service: WireServer) -> Provider:
        return self.good(service, "bad-password-4712")


def fault(cls: type[Provider]) -> type[ProviderSuite]:
    suites = {suspects_tortured.__name__: Torture, suspects_wired.__name__: Wired}
    return type(f"Test{cls.__name__}", (suites.get(cls.__module__, Suite),), {"provider": cls})


class BringsAnSdk(Good):
    """Its module imports what is not needed to list it: pytest, here."""


class TestGood(Torture):
    provider = Good
    grace = 20.0
    most = 50.0


for suspect in Good.__subclasses__() + suspects_wired.Lines.__subclasses__():
    globals()[f"Test{suspect.__name__}"] = fault(suspect)


class TestNoAddress(Suite):
    provider = NoAddress


class TestTrusting(Torture):
    """It takes what comes, and goes where it is sent."""

    provider = WaitsForever


class TestLines(Wired):
    provider = suspects_wired.Lines
    seconds = 0.3


class TestWaitsForTheRest(Wired):
    provider = suspects_wired.WaitsForTheRest
    seconds, grace = 0.3, 2.0
