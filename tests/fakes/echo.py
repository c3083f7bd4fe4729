"""A service that answers with what it was asked, how it refuses, and a session with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mistcore.http import RestSession
from mistcore.testing.server import FakeService, Request, Response, json_response, route


class Service(FakeService):
    """Answers with what it was asked."""

    def not_found(self, request: Request) -> Response:
        return json_response(
            {
                "method": request.method,
                "path": request.path,
                "query": dict(request.query_lists),
                "headers": {name.lower(): value for name, value in request.headers.items()},
                "body": request.body.decode(),
            }
        )

    @route("GET", "/nothing")
    def nothing(self, request: Request) -> Response:
        return Response(204)


def refusal(status: int, body: Any = None, **headers: str) -> Response:
    return json_response(body or {"message": "no"}, status, {name.replace("_", "-"): v for name, v in headers.items()})


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as fake:
        yield fake


@pytest.fixture
def session(service: Service) -> Iterator[RestSession]:
    made = RestSession(service.url, headers={"Authorization": "Bearer t0p-secret"}, timeout=60)
    yield made
    made.close()
