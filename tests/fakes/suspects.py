"""A good provider, and providers with one fault each, for the suite to find."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from mistcore import Account, AuthenticationFailed, Machine, Provider, ProviderError, Region, credential, secret
from mistcore.http import RestSession
from mistcore.testing.server import FakeService, Request, Response, json_response, route

TOKEN = "good-token-4711"


class Service(FakeService):
    def authorize(self, request: Request) -> Response | None:
        good = request.headers.get("Authorization") == f"Bearer {TOKEN}"
        return None if good else json_response({"message": "unknown token"}, 401)

    @route("GET", "/machines")
    def machines(self, request: Request) -> Response:
        return json_response([{"id": 7, "name": "web-1", "ip": "192.0.2.7"}, {"id": 8, "name": "db", "ip": None}])

    @route("POST", "/machines/{machine_id}/start")
    def started(self, request: Request, machine_id: str) -> Response:
        return Response(204)


class Good(Provider):
    """Machines of a small service."""

    title = "Good"
    token: str = secret("Token", help="The account's page shows it.")
    endpoint: str = credential("Address", help="Where it is.", default="https://good.example", address=True)

    def check(self) -> Account:
        self.rows()
        return Account("42")

    def list_machines(self) -> Iterator[Machine]:
        for row in self.rows():
            yield Machine(int(row["id"]), row["name"], "running", [row["ip"]])

    def start_machine(self, machine_id: str) -> None:
        self.get_machine(machine_id)
        self.ask_for_start(machine_id)

    def ask_for_start(self, machine_id: str, **options: Any) -> None:
        session = self.session()
        try:
            session.request("POST", f"machines/{machine_id}/start", **options).json()
        finally:
            session.close()

    def translate_error(self, error: Exception) -> ProviderError | None:
        odd = isinstance(error, (AttributeError, KeyError, TypeError, ValueError))
        return ProviderError("the answer cannot be read") if odd else None

    def rows(self) -> Any:
        session = self.session()
        try:
            return list(session.follow("machines", items="", next="header:X-Next", param="after"))
        finally:
            session.close()

    def session(self, **options: Any) -> RestSession:
        return RestSession(self.endpoint, headers={"Authorization": f"Bearer {self.token}"}, **options)


class NoHelp(Good):
    """A field without a word on where its value is from."""

    pin: str = secret("PIN", default="")


class OpenSecret(Good):
    """A password like any other field."""

    password: str = credential("Password", default="", help="Anything.")


class NoAddress(Provider):
    """Nothing says where it is."""

    title = "Nowhere"
    token: str = secret("Token", help="The account's page shows it.")
    check, list_machines, start_machine = Good.check, Good.list_machines, Good.start_machine
    rows, session, ask_for_start = Good.rows, Good.session, Good.ask_for_start
    endpoint = ""


class CaseOfRegions(Good):
    """Two regions that only their case tells apart."""

    regions = (Region("fra", "Frankfurt"), Region("FRA", "Frankfurt"))
    region: str = credential("Region", default="fra", help="Where.")


class Positional(Good):
    """An option that is not keyword-only."""

    def stop_machine(self, machine_id: str, force: bool = False) -> None:
        self.get_machine(machine_id)


class _Telling(AuthenticationFailed):
    """Words that the core does not get at, or it would clean them."""

    def __str__(self) -> str:
        return f"{self.token()} is not known"  # type: ignore[attr-defined]  # set where it is raised


class TellsTheToken(Good):
    """Its error repeats the token."""

    def check(self) -> Account:
        if self.token != TOKEN:
            error = _Telling("unknown")
            error.token = lambda token=self.token: token  # type: ignore[attr-defined]  # see above
            raise error
        return super().check()


class RaisesItsOwn(Good):
    """An SDK's error goes through."""

    def check(self) -> Account:
        if self.token != TOKEN:
            raise RuntimeError("401")
        return super().check()


class AcceptsAnything(Good):
    """It checks nothing."""

    def check(self) -> Account:
        return Account("42")


class ShowsTheToken(Good):
    """Its repr is its own."""

    def __repr__(self) -> str:
        return f"ShowsTheToken({self.token})"


class Malformed(Good):
    """Addresses that are none, a time that says no zone, values that are no JSON."""

    def list_machines(self) -> Iterator[Machine]:
        for machine in super().list_machines():
            yield Machine(machine.id, machine.name, extra={"since": datetime.now()}, public_ips=["somewhere"])


class SameIds(Good):
    """Every machine twice."""

    def list_machines(self) -> Iterator[Machine]:
        yield from super().list_machines()
        yield from super().list_machines()


class SilentlyNothing(Good):
    """It starts what is not there."""

    def start_machine(self, machine_id: str) -> None: ...


class NeverStarts(Good):
    """It says that it can, and raises what is no refusal."""

    def start_machine(self, machine_id: str) -> None:
        self.get_machine(machine_id)
        raise ProviderError("no")


class ListsAnything(Good):
    """Its sizes are no sizes."""

    def list_sizes(self) -> Any:
        return [{"id": "small"}]


class WaitsForever(Good):
    """No timeout at all."""

    def rows(self) -> Any:
        if self.token != TOKEN:
            return super().rows()
        request = urllib.request.Request(f"{self.endpoint}/machines", headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)


class OneAtATime(Good):
    """Its state is that of one call."""

    def rows(self) -> Any:
        self.found = super().rows()
        time.sleep(0.02)
        found, self.found = self.found, None
        if found is None:
            raise RuntimeError("somebody else was here")
        return found


class ClosedForGood(Good):
    """Once closed, it cannot be used any more."""

    closed = False

    def close(self) -> None:
        self.closed = True

    def rows(self) -> Any:
        if self.closed:
            raise RuntimeError("closed")
        return super().rows()
