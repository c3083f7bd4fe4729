"""A stand-in for Rackspace's first generation: the Cloud Servers API v1.0, after its developer guide."""

from __future__ import annotations

from typing import Any

from mistcore.testing.server import FakeService, Request, Response, json_response, route


def fault(kind: str, code: int, message: str, **headers: str) -> Response:
    return json_response({kind: {"code": code, "message": message}}, status=code, headers=headers)


class FakeFirstGen(FakeService):
    """Servers by number, listed by limit and offset, behind a login by headers.

    Attributes:
        page: how many rows it gives at the most. named: the address that it says its servers are at.
        raw: servers to list as they stand, beside those that were made.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.page = 1000
        self.named = "https://servers.api.rackspacecloud.com"
        self.api_key = "right"
        self.tokens: set[str] = set()
        self.raw: list[dict[str, Any]] = []
        self.made: dict[int, dict[str, Any]] = {}

    @route("GET", "/v1.0")
    def log_in(self, request: Request) -> Response:
        if request.headers.get("X-Auth-Key") != self.api_key or not request.headers.get("X-Auth-User"):
            return fault("unauthorized", 401, "Bad username or password")
        with self.lock:
            token = f"token-{len(self.requests)}"
            self.tokens.add(token)
        headers = {"X-Auth-Token": token, "X-Server-Management-Url": f"{self.named}/v1.0/10"}
        return Response(204, b"", headers)

    def authorize(self, request: Request) -> Response | None:
        if request.path.startswith("/v1.0/") and request.headers.get("X-Auth-Token") not in self.tokens:
            return fault("unauthorized", 401, "This request requires authentication")
        return None

    def not_found(self, request: Request) -> Response:
        return fault("itemNotFound", 404, "Not Found")

    def _paged(self, request: Request, key: str, rows: list[dict[str, Any]]) -> Response:
        limit = min(int(request.query.get("limit", "1000")), self.page)
        offset = int(request.query.get("offset", "0"))
        return json_response({key: rows[offset : offset + limit]})

    @route("GET", "/v1.0/10/servers/detail")
    def list_servers(self, request: Request) -> Response:
        return self._paged(request, "servers", [*self.raw, *self.made.values()])

    @route("GET", "/v1.0/10/flavors/detail")
    def list_flavors(self, request: Request) -> Response:
        return self._paged(request, "flavors", [{"id": 1, "name": "256 slice", "ram": 256, "disk": 10}])

    @route("GET", "/v1.0/10/images/detail")
    def list_images(self, request: Request) -> Response:
        rows = [
            {"id": 2, "name": "CentOS 5.2", "status": "ACTIVE", "created": "2009-07-20T09:14:37-05:00"},
            {"id": 4, "name": "Debian 5.0 (lenny)", "status": "ACTIVE", "created": "2009-07-20T09:14:37-05:00"},
        ]
        return self._paged(request, "images", rows)

    @route("POST", "/v1.0/10/servers")
    def create(self, request: Request) -> Response:
        asked = request.json()["server"]
        with self.lock:
            number = 1000 + len(self.made)
            self.made[number] = {
                "id": number,
                "name": asked["name"],
                "imageId": asked["imageId"],
                "flavorId": asked["flavorId"],
                "hostId": "e4d909c290d0fb1ca068ffaddf22cbd0",
                "progress": 60,
                "status": "BUILD",
                "addresses": {"public": [f"67.23.10.{number - 900}"], "private": [f"10.176.42.{number - 900}"]},
                "metadata": asked["metadata"],
            }
        return json_response({"server": {**self.made[number], "adminPass": "GFf1j9aP"}}, status=202)

    @route("GET", "/v1.0/10/servers/{number}")
    def show(self, request: Request, number: str) -> Response:
        found = self.made.get(int(number) if number.isdigit() else 0)
        return json_response({"server": found}) if found else self.not_found(request)

    @route("PUT", "/v1.0/10/servers/{number}")
    def update(self, request: Request, number: str) -> Response:
        if int(number) not in self.made:
            return self.not_found(request)
        self.made[int(number)]["name"] = request.json()["server"]["name"]
        return Response(204)

    @route("POST", "/v1.0/10/servers/{number}/action")
    def act(self, request: Request, number: str) -> Response:
        if int(number) not in self.made:
            return self.not_found(request)
        if self.made[int(number)]["status"] == "BUILD":
            return fault("buildInProgress", 409, "Build in progress")
        kind = request.json()["reboot"]["type"]
        self.made[int(number)]["status"] = "HARD_REBOOT" if kind == "HARD" else "REBOOT"
        return Response(202)

    @route("DELETE", "/v1.0/10/servers/{number}")
    def delete(self, request: Request, number: str) -> Response:
        return Response(202) if self.made.pop(int(number), None) else self.not_found(request)
