"""Stand-ins around Docker: an engine of any version, a reverse proxy before a real engine, and an image registry."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import io
import json
import socket
import ssl
import tarfile
from pathlib import Path
from typing import Any

from mistcore.testing.server import FakeService, Request, Response, json_response, route


class FakeDocker(FakeService):
    """An engine that speaks the API versions from `oldest` to `newest`, and lists what it is given.

    It refuses other versions as real ones do (moby's api/server/middleware/version.go has the words).
    """

    def __init__(self, newest: str = "1.41", oldest: str = "1.12", **options: Any) -> None:
        super().__init__(**options)
        self.newest, self.oldest = newest, oldest
        self.rows: list[Any] = []
        self.images: list[Any] = []
        self.networks: list[Any] = []
        self.containers: dict[str, Any] = {}
        self.info: dict[str, Any] = {"ID": "FAKE", "Name": "fake"}

    @route("GET", "/version")
    def version(self, request: Request) -> Response:
        answer = {"Version": f"for {self.newest}", "ApiVersion": self.newest, "Os": "linux", "Arch": "amd64"}
        if self.oldest:
            answer["MinAPIVersion"] = self.oldest
        return json_response(answer)

    @route("GET", "/v{version}/{rest...}")
    def versioned(self, request: Request, version: str, rest: str) -> Response:
        if _number(version) > _number(self.newest):
            said = f"client version {version} is too new. Maximum supported API version is {self.newest}"
            return json_response({"message": said}, status=400)
        if _number(version) < _number(self.oldest or "1.0"):
            said = f"client version {version} is too old. Minimum supported API version is {self.oldest}, please …"
            return json_response({"message": said}, status=400)
        answers = {
            "containers/json": self.rows,
            "info": self.info,
            "images/json": self.images,
            "networks": self.networks,
        }
        if rest in answers:
            return json_response(answers[rest])
        name = rest.removeprefix("containers/").removesuffix("/json")
        if name in self.containers:
            return json_response(self.containers[name])
        return json_response({"message": f"No such container: {name}"}, status=404)


class DockerProxy(FakeService):
    """A reverse proxy before a real engine's socket; with `user`, one that wants HTTP's basic authentication."""

    def __init__(
        self, socket_path: Path, user: str = "", password: str = "", tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(tls=tls)
        self.socket_path = socket_path
        self.wanted = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}" if user else ""

    def authorize(self, request: Request) -> Response | None:
        if self.wanted and request.headers.get("Authorization") != self.wanted:
            page = b"<html><head><title>401 Authorization Required</title></head></html>"
            return Response(401, page, {"WWW-Authenticate": 'Basic realm="docker"', "Content-Type": "text/html"})
        return None

    def not_found(self, request: Request) -> Response:
        query = "&".join(f"{key}={value}" for key, values in request.query_lists.items() for value in values)
        connection = _UnixConnection(self.socket_path)
        headers = {"Content-Type": request.headers.get("Content-Type") or "application/json"}
        connection.request(request.method, f"{request.path}?{query}", request.body, headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return Response(answer.status, body, {"Content-Type": answer.headers.get("Content-Type", "")})


class FakeRegistry(FakeService):
    """A registry with one image, `tiny:1`: enough of the OCI distribution specification to be pulled from."""

    def __init__(self) -> None:
        super().__init__()
        layer = _layer()
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Cmd": ["/hello"]},
                "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
                "history": [{"created_by": "a test"}],
            }
        ).encode()
        packed = gzip.compress(layer)
        self.blobs = {_digest(config): config, _digest(packed): packed}
        kind = "application/vnd.docker"
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": f"{kind}.distribution.manifest.v2+json",
                "config": {
                    "mediaType": f"{kind}.container.image.v1+json",
                    "size": len(config),
                    "digest": _digest(config),
                },
                "layers": [
                    {
                        "mediaType": f"{kind}.image.rootfs.diff.tar.gzip",
                        "size": len(packed),
                        "digest": _digest(packed),
                    }
                ],
            }
        ).encode()

    @property
    def image(self) -> str:
        return f"{self.url.removeprefix('http://')}/tiny:1"

    @route("GET", "/v2/")
    def ping(self, request: Request) -> Response:
        return json_response({})

    @route("GET", "/v2/tiny/manifests/{reference}")
    @route("HEAD", "/v2/tiny/manifests/{reference}")
    def manifests(self, request: Request, reference: str) -> Response:
        if reference not in ("1", _digest(self.manifest)):
            return json_response({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}, status=404)
        headers = {
            "Content-Type": "application/vnd.docker.distribution.manifest.v2+json",
            "Docker-Content-Digest": _digest(self.manifest),
        }
        return Response(200, self.manifest, headers)

    @route("GET", "/v2/tiny/blobs/{digest}")
    def blob(self, request: Request, digest: str) -> Response:
        return Response(200, self.blobs[digest], {"Content-Type": "application/octet-stream"})


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def _layer() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("hello")
        entry.mode, entry.size = 0o755, 5
        archive.addfile(entry, io.BytesIO(b"hello"))
    return buffer.getvalue()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
