"""A stand-in of a Docker Engine behind a proxy with a password, whose containers live: for the suites."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from fakes.docker import FakeDocker

from mistcore.testing.server import Request, Response, json_response, route

USER, PASSWORD = "captain", "under the doormat"
IMAGE = "nginx:1.27"


class LivingDocker(FakeDocker):
    """An engine with two containers. Its answers to what a state forbids are those of moby's daemon/ folder."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.images = [{"Id": "sha256:" + "1" * 64, "RepoTags": [IMAGE], "Created": 1700000000, "Size": 1}]
        self.networks = [{"Id": "n" * 64, "Name": "bridge", "IPAM": {"Config": [{"Subnet": "172.17.0.0/16"}]}}]
        for name in ("web", "db"):
            self.add(name, "running")

    def authorize(self, request: Request) -> Response | None:
        wanted = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
        if request.headers.get("Authorization") != wanted:
            return Response(401, b"<html>401 Authorization Required</html>", {"WWW-Authenticate": "Basic"})
        return None

    @route("GET", "/v{version}/{rest...}")
    @route("POST", "/v{version}/{rest...}")
    @route("DELETE", "/v{version}/{rest...}")
    def versioned(self, request: Request, version: str, rest: str) -> Response:
        if rest == "containers/json":
            with self.lock:
                return json_response([self._row(container) for container in self.containers.values()])
        if rest == "containers/create" and request.method == "POST":
            return self._create(request)
        if not rest.startswith("containers/"):
            return super().versioned(request, version, rest)
        name = rest.removeprefix("containers/").split("/")[0]
        container = self._find(name)
        if container is None:
            return json_response({"message": f"No such container: {name}"}, status=404)
        if request.method == "GET":
            return json_response(container)
        with self.lock:
            if request.method == "DELETE":
                return self._remove(request, container)
            return self._act(request, container, rest.rpartition("/")[2])

    def add(self, name: str, status: str) -> dict[str, Any]:
        container_id = hashlib.sha256(name.encode()).hexdigest()
        self.containers[container_id] = {
            "Id": container_id,
            "Name": f"/{name}",
            "Created": "2024-05-01T10:00:00.5Z",
            "Image": "sha256:" + "1" * 64,
            "Path": "nginx",
            "Args": [],
            "State": {"Status": status, "ExitCode": 0, "StartedAt": "2024-05-01T10:00:01Z"},
            "Config": {"Image": IMAGE, "Labels": {"team": "web"}, "Hostname": name},
            "HostConfig": {"NetworkMode": "bridge"},
            "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}, "Ports": {"80/tcp": None}},
        }
        return self.containers[container_id]

    def _find(self, name: str) -> dict[str, Any] | None:
        known = self.containers.items()
        return next((each for key, each in known if key == name or each["Name"] == f"/{name}"), None)

    def _row(self, container: dict[str, Any]) -> dict[str, Any]:
        return {
            "Id": container["Id"],
            "Names": [container["Name"]],
            "Image": IMAGE,
            "ImageID": container["Image"],
            "Created": 1714557600,
            "State": container["State"]["Status"],
            "Status": "Up 3 hours",
            "Command": "nginx",
            "Labels": {"team": "web"},
            "HostConfig": {"NetworkMode": "bridge"},
            "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}},
            "Ports": [{"PrivatePort": 80, "Type": "tcp"}],
        }

    def _create(self, request: Request) -> Response:
        name = request.query["name"]
        if self._find(name) is not None:
            return json_response({"message": f'The container name "/{name}" is already in use by container'}, 409)
        with self.lock:
            return json_response({"Id": self.add(name, "created")["Id"], "Warnings": []}, 201)

    def _remove(self, request: Request, container: dict[str, Any]) -> Response:
        if container["State"]["Status"] == "running" and request.query.get("force") not in ("1", "true", "True"):
            return json_response({"message": "cannot remove container: container is running"}, 409)
        del self.containers[container["Id"]]
        return Response(204)

    def _act(self, request: Request, container: dict[str, Any], action: str) -> Response:
        if action == "rename":
            container["Name"] = f"/{request.query['name']}"
            return Response(204)
        status = container["State"]["Status"]
        wanted, after = {
            "start": ("", "running"),
            "stop": ("", "exited"),
            "restart": ("", "running"),
            "pause": ("running", "paused"),
            "unpause": ("paused", "running"),
        }[action]
        if wanted and status != wanted:
            return json_response({"message": f"Container {container['Id']} is not {wanted}"}, 409)
        container["State"]["Status"] = after
        return Response(204)
