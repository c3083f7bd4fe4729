"""A small cloud behind a REST API, many accounts on one server, and the provider for it: what the fleet's tests ask."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from mistcore import Account, Machine, Provider, credential, secret
from mistcore.http import RestSession
from mistcore.testing.server import FakeService, Request, Response, json_response, route


class Plain(Provider):
    """Servers of one account."""

    title = "Plain Cloud"

    token: str = secret("API token", help="Anything.")
    endpoint: str = credential("API address", help="Where the API is.", address=True)

    def check(self) -> Account:
        return Account(id=self._session.get("v1/account")["id"])

    def list_machines(self) -> Iterator[Machine]:
        for raw in self._session.follow("v1/servers", items="servers", next="next"):
            yield _machine(raw)

    def close(self) -> None:
        self.let_go("_session")

    @cached_property
    def _session(self) -> RestSession:
        return RestSession(
            self.endpoint, headers={"Authorization": f"Bearer {self.token}"}, timeout=lambda: self.timeout
        )


def _machine(raw: Mapping[str, Any]) -> Machine:
    addresses = raw.get("addresses")
    return Machine(
        id=raw["id"],
        name=str(raw.get("name") or ""),
        state=str(raw.get("status")),
        public_ips=addresses if isinstance(addresses, list) else (),
    )


class PlainCloud(FakeService):
    """Accounts whose names say how they behave: `hangs-…` never answers, `garbage-…` answers nonsense.

    Every other account has `machines` servers in two pages. In all of them, server number 0 is `odd` where its account
    is: a state that nobody knows, no name, and addresses that are none.

    Attributes:
        release: set it to let go of those that hang. hanging: how many requests hang at this moment.

    """

    def __init__(self, machines: int = 10, **options: Any) -> None:
        super().__init__(**options)
        self.machines = machines
        self.odd: set[str] = set()
        self.release = threading.Event()
        self.hanging = 0

    @route("GET", "/v1/servers")
    def servers(self, request: Request) -> Response:
        account = str(request.headers.get("Authorization")).removeprefix("Bearer ")
        if account.startswith("hangs"):
            with self.lock:
                self.hanging += 1
            self.release.wait()
            with self.lock:
                self.hanging -= 1
        if account.startswith("garbage"):
            return Response(200, b'{"servers": [{"id": "cut o', {"Content-Type": "application/json"})
        first = int(request.query.get("from", 0))
        half = self.machines // 2
        rows = [server(account, number) for number in range(first, half if not first else self.machines)]
        if not first and account in self.odd:
            rows[0] = {"id": rows[0]["id"], "status": {"phase": 7}, "name": None, "addresses": "none"}
        return json_response({"servers": rows, "next": None if first else f"/v1/servers?from={half}"})

    @route("GET", "/v1/account")
    def account(self, request: Request) -> Response:
        return json_response({"id": str(request.headers.get("Authorization")).removeprefix("Bearer ")})

    def stop(self) -> None:
        self.release.set()
        super().stop()


def server(account: str, number: int) -> dict[str, Any]:
    """Return a server as the service describes it."""
    return {
        "id": f"{account}/{number}",
        "name": f"web-{number}",
        "status": "running" if number % 3 else "stopped",
        "addresses": [f"10.{number % 256}.0.1", f"2001:db8::{number:x}"],
    }
