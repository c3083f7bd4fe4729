"""NephoScale as its recorded answers show it: HTTP Basic, everything wrapped, jobs that take effect at once."""

from __future__ import annotations

import base64
from typing import Any

from mistcore.testing.server import FakeService, Request, Response, json_response, route

USERNAME, PASSWORD = "neph-user", "neph-pa55word"
SIZE = {
    "sku": {"name": "CS1"},
    "storage": 50,
    "ram": 1024,
    "friendly_name": "CS1 - 1GB, 1Core, 50GB",
    "vcpus": 1,
    "id": 3,
}
IMAGE = {
    "deployable_type": "both",
    "is_active": True,
    "friendly_name": "Linux Ubuntu Server 10.04 LTS 64-bit",
    "id": 49,
    "create_time": "2011-10-08 05:01:10",
    "architecture": "x86_64",
    "base_type": "linux",
}
ZONE = {"id": 87729, "name": "RIC-1", "datacenter": {"airport_code": "RIC", "name": "RIC-1", "id": 3}}


class FakeNephoScale(FakeService):
    """An account with one server, and the keys `desk` (SSH) and `console` (password)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.servers: dict[int, dict[str, Any]] = {}
        self.add("mongodb", "on")

    def add(self, name: str, power: str) -> dict[str, Any]:
        number = 88241 + len(self.servers)
        self.servers[number] = {
            "id": number,
            "name": name,
            "hostname": name,
            "power_status": power,
            "ipaddresses": "198.89.117.16, 10.1.2.3",
            "create_time": "2013-09-25 07:38:53",
            "memory": 1024,
            "image": IMAGE,
            "service_type": SIZE,
            "zone": ZONE,
        }
        return self.servers[number]

    def authorize(self, request: Request) -> Response | None:
        token = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {token}":
            return json_response({"success": False, "response": 401, "message": "Authentication failed."}, status=401)
        return None

    @route("GET", "/server/cloud/")
    def list_servers(self, request: Request) -> Response:
        return listing(list(self.servers.values()))

    @route("POST", "/server/cloud/")
    def create(self, request: Request) -> Response:
        form = request.form()
        if form.get("image") != "49" or form.get("service_type") != "3":
            return json_response({"success": False, "response": 400, "message": "Invalid image."}, status=400)
        self.created = form
        self.add(form["name"], "off")
        return job()

    @route("GET", "/server/cloud/{number}/")
    def show(self, request: Request, number: str) -> Response:
        return self.found(number, lambda server: wrapped(server, 200))

    @route("PUT", "/server/cloud/{number}/")
    def rename(self, request: Request, number: str) -> Response:
        return self.found(number, lambda server: server.update(name=request.form()["name"]))

    @route("DELETE", "/server/cloud/{number}/")
    def delete(self, request: Request, number: str) -> Response:
        return self.found(number, lambda server: self.servers.pop(server["id"]) and None)

    @route("POST", "/server/cloud/{number}/initiator/{action}/")
    def act(self, request: Request, number: str, action: str) -> Response:
        power = {"start": "on", "stop": "off", "restart": "on"}[action]
        return self.found(number, lambda server: server.update(power_status=power))

    def found(self, number: str, act: Any) -> Response:
        server = self.servers.get(int(number)) if number.isdecimal() else None
        if server is None:
            return json_response({"success": False, "response": 404, "message": "Not found."}, status=404)
        return act(server) or job()

    @route("GET", "/server/type/cloud/")
    def sizes(self, request: Request) -> Response:
        return listing([SIZE])

    @route("GET", "/image/server/")
    def images(self, request: Request) -> Response:
        return listing([IMAGE, {**IMAGE, "id": 50, "deployable_type": "dedicated"}])

    @route("GET", "/datacenter/zone/")
    def zones(self, request: Request) -> Response:
        return listing([ZONE])

    @route("GET", "/network/")
    def networks(self, request: Request) -> Response:
        return listing([{"id": 9, "name": "default_private_network_RIC"}])

    @route("GET", "/key/sshrsa/")
    def ssh_keys(self, request: Request) -> Response:
        return listing([{"id": 72209, "name": "desk", "public_key": "ssh-rsa AAAA"}])

    @route("GET", "/key/password/")
    def password_keys(self, request: Request) -> Response:
        return listing([{"id": 72211, "name": "console", "password": "23d493j5"}])


def wrapped(data: Any, status: int) -> Response:
    body = {"success": True, "subcode": 0, "message": "Your request was processed successfully.", "data": data}
    return json_response({**body, "response": status}, status=status)


def listing(rows: list[dict[str, Any]]) -> Response:
    return wrapped(rows, 200)


def job() -> Response:
    return wrapped({"id": 141229, "resource_type": "/job"}, 202)
