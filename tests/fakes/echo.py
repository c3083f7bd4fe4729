"""A service that answers with what it was asked, and how it refuses."""

from __future__ import annotations

from typing import Any

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
