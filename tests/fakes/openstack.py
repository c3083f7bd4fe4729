"""Stand-ins for OpenStack where no real one can be made to say it, and a forwarder to listen to a real one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import requests

from mistcore.testing.server import FakeService, Request, Response, json_response, route

_NOT_PASSED_ON = ("content-length", "connection", "transfer-encoding", "content-encoding", "date", "server")
UNAUTHORIZED = {
    "error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}
}


class Forwarder(FakeService):
    """Hands every request on to a real service, so that a test can count, delay, encrypt or spoil them."""

    def __init__(self, target: str, **options: Any) -> None:
        super().__init__(**options)
        self.target = target.rstrip("/")

    def not_found(self, request: Request) -> Response:
        query = f"?{urlencode(request.query_lists, doseq=True)}" if request.query_lists else ""
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in ("host", "content-length", "connection", "accept-encoding")
        }
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(
                request.method,
                f"{self.target}{request.path}{query}",
                headers=headers,
                data=request.body,
                allow_redirects=False,
                timeout=60,
            )
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _NOT_PASSED_ON}
        return Response(answer.status_code, answer.content, kept)


class FakeOpenStack(FakeService):
    """Keystone, Nova and Glance at one address; every part can be left out.

    Attributes:
        versions: what Keystone speaks. regions: where the catalog has a compute service.
        servers, flavors, images: what Nova and Glance list. page: how many rows they give at a time.
        microversion: the highest that Nova takes, or None for a Nova that knows none.
        lifetime: seconds that a token is good for.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.versions = {"v3", "v2.0"}
        self.regions = ["region-a.geo-1", "region-b.geo-1"]
        self.kinds = ["compute", "image"]
        self.password = "right"
        self.projects = ["demo"]
        self.servers: list[dict[str, Any]] = []
        self.flavors: list[dict[str, Any]] = []
        self.images: list[dict[str, Any]] = []
        self.page = 1000
        self.microversion: tuple[int, int] | None = (2, 96)
        self.lifetime = 3600.0
        self.service_name = ""
        self.logins = 0
        self.good_tokens: set[str] = set()

    # -- Keystone -----------------------------------------------------------------------------------------------------

    @route("GET", "/")
    def list_versions(self, request: Request) -> Response:
        rows = [
            {"id": "v3.14" if version == "v3" else version, "status": "stable",
             "links": [{"rel": "self", "href": f"http://elsewhere.invalid/{version}/"}]}
            for version in sorted(self.versions)
        ]  # fmt: skip
        return json_response({"versions": {"values": rows}}, status=300)

    def _expiry(self) -> str:
        return (datetime.now(UTC) + timedelta(seconds=self.lifetime)).strftime("%Y-%m-%dT%H:%M:%S.000000Z")

    def _new_token(self) -> str:
        with self.lock:
            self.logins += 1
            token = f"token-{self.logins}"
            self.good_tokens.add(token)
        return token

    @route("POST", "/v3/auth/tokens")
    def log_in_v3(self, request: Request) -> Response:
        if "v3" not in self.versions:
            return json_response({"error": {"code": 404, "message": "no v3 here"}}, status=404)
        auth = request.json()["auth"]
        user = auth["identity"].get("password", {}).get("user", {})
        scope = auth.get("scope")
        project = scope.get("project", {}).get("name") if isinstance(scope, dict) else None
        if user.get("password") != self.password or (project and project not in self.projects):
            return json_response(UNAUTHORIZED, status=401)
        catalog = [
            {"type": kind, "name": self.service_name or kind, "id": kind,
             "endpoints": [{"interface": "public", "region_id": region, "region": region, "id": f"{kind}-{region}",
                            "url": f"{self.url}/{region}/{kind}" + ("/v2.1" if kind == "compute" else "")}
                           for region in self.regions]}
            for kind in self.kinds
        ]  # fmt: skip
        token: dict[str, Any] = {
            "methods": ["password"],
            "user": {"id": "u1", "name": user.get("name"), "domain": {"id": "default", "name": "Default"}},
            "expires_at": self._expiry(),
            "issued_at": "2020-01-01T00:00:00.000000Z",
        }
        if project:
            token |= {
                "project": {"id": "p1", "name": project, "domain": {"id": "default", "name": "Default"}},
                "roles": [{"id": "r1", "name": "member"}],
                "catalog": catalog,
            }
        return json_response({"token": token}, status=201, headers={"X-Subject-Token": self._new_token()})

    @route("GET", "/v3/auth/projects")
    def list_projects(self, request: Request) -> Response:
        return json_response({"projects": [{"id": name, "name": name} for name in self.projects]})

    @route("POST", "/v2.0/tokens")
    def log_in_v2(self, request: Request) -> Response:
        if "v2.0" not in self.versions:
            return json_response({"error": {"code": 404, "message": "no v2.0 here"}}, status=404)
        auth = request.json()["auth"]
        given = auth.get("passwordCredentials") or auth.get("RAX-KSKEY:apiKeyCredentials") or {}
        tenant = auth.get("tenantName")
        secret = given.get("password") or given.get("apiKey")
        if secret != self.password or (tenant and tenant not in self.projects):
            return json_response({"unauthorized": {"code": 401, "message": "Unable to authenticate."}}, status=401)
        catalog = [
            {"type": kind, "name": self.service_name or kind,
             "endpoints": [{"region": region, "publicURL": f"{self.url}/{region}/{kind}/v2/p1", "tenantId": "p1"}
                           for region in self.regions]}
            for kind in self.kinds
        ]  # fmt: skip
        scoped = tenant or "RAX-KSKEY:apiKeyCredentials" in auth
        token: dict[str, Any] = {"id": self._new_token(), "expires": self._expiry()}
        if scoped:
            token["tenant"] = {"id": "p1", "name": tenant or "p1"}
        user = {
            "id": "u1",
            "name": given.get("username"),
            "username": given.get("username"),
            "roles": [{"name": "member"}],
        }
        return json_response({"access": {"token": token, "user": user, "serviceCatalog": catalog if scoped else []}})

    @route("GET", "/v2.0/tenants")
    def list_tenants(self, request: Request) -> Response:
        return json_response({"tenants": [{"id": name, "name": name} for name in self.projects]})

    # -- Nova and Glance ----------------------------------------------------------------------------------------------

    def authorize(self, request: Request) -> Response | None:
        if request.path.split("/")[1] in self.regions and request.headers.get("X-Auth-Token") not in self.good_tokens:
            return json_response(UNAUTHORIZED, status=401)
        return None

    def not_found(self, request: Request) -> Response:
        parts = request.path.strip("/").split("/")
        if len(parts) < 3 or parts[0] not in self.regions:
            return super().not_found(request)
        kind = parts[1]
        tail = "/".join(part for part in parts[3:] if part != "p1")
        asked = request.headers.get("OpenStack-API-Version", "").removeprefix("compute ")
        if request.method != "GET":
            return self._changed(request, tail)
        limit = self.microversion
        if kind == "compute" and asked and limit and tuple(map(int, asked.split("."))) > limit:
            message = (
                f"Version {asked} is not supported by the API. Minimum is 2.1 and maximum is {limit[0]}.{limit[1]}."
            )
            return json_response({"computeFault": {"message": message, "code": 406}}, status=406)
        if tail == "servers/detail":
            return self._listed(request, "servers", self.servers)
        if tail == "flavors/detail":
            return self._listed(request, "flavors", self.flavors)
        if tail in ("images", "images/detail"):
            return self._listed(request, "images", self.images)
        if tail in ("networks", "subnets"):
            return json_response({tail: [{"id": "n1", "name": "lan", "network_id": "n1", "cidr": "10.0.0.0/24"}]})
        if tail == "os-availability-zone":
            return json_response({"availabilityZoneInfo": [{"zoneName": "nova", "zoneState": {"available": True}}]})
        if tail.startswith("servers/"):
            found = [server for server in self.servers if str(server["id"]) == tail.removeprefix("servers/")]
            if found:
                return json_response({"server": found[0]})
        return json_response({"itemNotFound": {"message": "could not be found", "code": 404}}, status=404)

    def _changed(self, request: Request, tail: str) -> Response:
        if tail == "servers":
            wanted = request.json()["server"]
            made = {"id": f"s{len(self.servers) + 1}", "name": wanted["name"], "status": "BUILD", "addresses": {}}
            self.servers.append({**made, "flavor": {"id": wanted["flavorRef"]}, "image": {"id": wanted["imageRef"]}})
            return json_response({"server": {"id": made["id"], "adminPass": "invented-by-nova"}}, status=202)
        server_id = tail.removeprefix("servers/").removesuffix("/action")
        found = [server for server in self.servers if server["id"] == server_id]
        if not found:
            return json_response({"itemNotFound": {"message": "could not be found", "code": 404}}, status=404)
        if request.method == "PUT":
            return json_response({"server": {**found[0], **request.json()["server"]}})
        return Response(202 if request.method == "POST" else 204)

    def _listed(self, request: Request, key: str, rows: list[dict[str, Any]]) -> Response:
        ids = [str(row.get("id")) for row in rows]
        marker = request.query.get("marker")
        if marker and marker not in ids:
            return json_response({"badRequest": {"message": f"marker [{marker}] not found", "code": 400}}, status=400)
        start = ids.index(marker) + 1 if marker else 0
        page = min(self.page, int(request.query.get("limit", self.page)))
        some = rows[start : start + page]
        body: dict[str, Any] = {key: some}
        # Glance names a next page after every full one, be there any more or not.
        if start + page < len(rows) or (key == "images" and len(some) == page):
            link = f"http://internal.invalid/{key}?marker={some[-1]['id']}"
            body |= {"next": link} if key == "images" else {f"{key}_links": [{"rel": "next", "href": link}]}
        return json_response(body)


def sent_json(request: Request) -> Any:
    """Return what a request asked, for assertions on its form."""
    return json.loads(request.body)
