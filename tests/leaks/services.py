"""Services that repeat what they were sent, letter by letter, wherever an answer has room for it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from leaks.marks import mark

from mistcore.testing.server import FakeService, Request, Response, json_response, route

#: What a service hands out after a login is as good as the secret that it was given for.
TOKEN = mark("token.of.a.session")


def said(request: Request) -> str:
    """Return a request as text: its first line, headers and body."""
    query = "&".join(f"{key}={value}" for key, values in request.query_lists.items() for value in values)
    headers = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
    return f"{request.method} {request.path}?{query}\n{headers}\n\n{request.body.decode('utf-8', 'replace')}"


class Echo(FakeService):
    """Answers by `how`. `logins`: "none"; or "greets", and tells about itself; or "all", and lets everybody in."""

    def __init__(self, how: str, logins: str, **options: Any) -> None:
        super().__init__(**options)
        self.how = how
        self.logins = logins

    def handle(self, request: Request) -> Response:
        """Answer to a login, or repeat the request."""
        login = request.method == "POST" or request.path.startswith("/v3")
        known = self.logins == "all" or (self.logins == "greets" and not login)
        answer = super().handle(request) if known else None
        return answer if answer is not None and answer.status < 400 else HOW[self.how](request)

    @route("POST", "/v3/auth/tokens")
    @route("GET", "/v3/auth/tokens")
    def keystone(self, request: Request) -> Response:
        """Log in to OpenStack."""
        kinds = ("compute", "image", "network", "placement", "volumev3", "identity")
        places = [{"interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": self.url}]
        token = {
            "methods": ["password"],
            "user": {"id": "u", "name": "u", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "abc", "name": "demo", "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": "r", "name": "member"}],
            "catalog": [{"type": kind, "name": kind, "id": kind, "endpoints": places} for kind in kinds],
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "expires_at": "2099-01-01T00:00:00.000000Z",
        }
        return json_response({"token": token}, 201, {"X-Subject-Token": TOKEN})

    @route("POST", "/v2.0/tokens")
    def old_keystone(self, request: Request) -> Response:
        """Log in to Rackspace and HP."""
        places = [{"region": region, "publicURL": self.url} for region in ("DFW", "region-a.geo-1")]
        names = ("cloudServersOpenStack", "cloudServers", "Compute", "nova")
        catalog = [{"type": "compute", "name": name, "endpoints": places} for name in names]
        token = {"id": TOKEN, "expires": "2099-01-01T00:00:00Z", "tenant": {"id": "1", "name": "demo"}}
        user = {"id": "1", "name": "user", "roles": []}
        return json_response({"access": {"token": token, "serviceCatalog": catalog, "user": user}})

    @route("POST", "/token")
    @route("POST", "/{tenant}/oauth2/v2.0/token")
    @route("POST", "/oauth/tenant/org/token")
    def oauth(self, request: Request, tenant: str = "") -> Response:
        """Hand out a token of Google, Azure or vCloud."""
        return json_response({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600})

    @route("GET", "/{tenant}/v2.0/.well-known/openid-configuration")
    def openid(self, request: Request, tenant: str) -> Response:
        """Say where Azure's tokens are."""
        base = f"{self.url}/{tenant}/oauth2/v2.0"
        return json_response(
            {"token_endpoint": f"{base}/token", "authorization_endpoint": base, "issuer": base, "jwks_uri": base}
        )

    @route("GET", "/api/versions")
    def versions(self, request: Request) -> Response:
        """Say which versions of vCloud there are."""
        body = '<SupportedVersions xmlns="http://www.vmware.com/vcloud/versions"><VersionInfo deprecated="false">'
        body += "<Version>37.0</Version></VersionInfo></SupportedVersions>"
        return Response(200, body.encode(), {"Content-Type": "text/xml"})

    @route("POST", "/cloudapi/1.0.0/sessions")
    def vcloud(self, request: Request) -> Response:
        """Log in to vCloud."""
        session = {"id": "urn:vcloud:session:1", "user": {"name": "u"}, "org": {"name": "org"}}
        return json_response(session, headers={"X-VMWARE-VCLOUD-ACCESS-TOKEN": TOKEN})

    @route("GET", "/cloudapi/1.0.0/sessions/current")
    def current(self, request: Request) -> Response:
        """Say whose session it is."""
        return json_response({"id": "urn:vcloud:session:1", "user": {"name": "u"}, "org": {"name": "org"}})

    @route("GET", "/version")
    def docker(self, request: Request) -> Response:
        """Say which versions of Docker's API there are."""
        return json_response({"ApiVersion": "1.43", "MinAPIVersion": "1.24", "Version": "24.0"})


def _refusal(request: Request, status: int) -> Response:
    """Return an error in everybody's words at once."""
    text = said(request)
    words = dict.fromkeys(("message", "detail", "error_description", "error", "code", "reason", "faultstring"), text)
    errors = [{"reason": text, "field": text, "message": text}]
    return json_response({**words, "errors": errors, "title": text}, status, {"WWW-Authenticate": "Basic"})


def _in_words(request: Request) -> Response:
    return Response(400, said(request).encode(), {"Content-Type": "text/plain"})


def _nested(request: Request) -> Response:
    text = said(request)
    inner = {"code": text, "message": f"{'a' * 200} {text}", "details": [{"message": text}], "status": text}
    return json_response({"error": inner, "badRequest": inner, "itemNotFound": inner}, 404)


def _in_xml(request: Request) -> Response:
    text = escape(said(request))
    error = f"<Code>{text}</Code><Message>{text}</Message>"
    body = f"<Response><Errors><Error>{error}</Error></Errors><RequestID>{text}</RequestID></Response>"
    return Response(400, body.encode(), {"Content-Type": "text/xml"})


def _elsewhere(request: Request) -> Response:
    where = f"http://user:{quote(said(request), safe='')}@127.0.0.1:9/{quote(said(request), safe='')}"
    return Response(302, b"", {"Location": where[:4000]})


def _good(request: Request) -> Response:
    text = said(request)
    row = dict.fromkeys(("state", "status", "created", "created_at", "OS-EXT-STS:vm_state"), text)
    rows = [{"id": 1, "name": "one", **row}]
    names = ("data", "servers", "droplets", "items", "value", "machines", "flavors", "images", "networks")
    return json_response({**dict.fromkeys(names, rows), "total": text, "pages": text, "next": text, "links": text})


def _web_page(request: Request) -> Response:
    body = f"<html><head><title>{escape(said(request))}</title></head></html>"
    return Response(200, body.encode(), {"Content-Type": "text/html"})


def _packed(request: Request) -> Response:
    return Response(400, said(request).encode(), {"Content-Encoding": said(request)[-60:].replace("\n", " ")})


HOW = {
    "401": lambda request: _refusal(request, 401),
    "409": lambda request: _refusal(request, 409),
    "words": _in_words,
    "nested": _nested,
    "xml": _in_xml,
    "elsewhere": _elsewhere,
    "good": _good,
    "web page": _web_page,
    "packed": _packed,
    "broken": lambda request: Response(200, json.dumps({"data": [said(request)]})[:-2].encode()),
    "no text": lambda request: Response(200, b'{"data": "\xff' + said(request).encode() + b'"}'),
    "another type": lambda request: json_response([said(request)]),
    "cut": lambda request: Response(200, json.dumps({"data": said(request)}).encode(), cut=30),
}


def nobody() -> str:
    """Return an address on loopback where nobody listens, and nobody will: it is given to none who asks for any."""
    return "http://127.0.0.1:1"


#: How a service may answer, and whether it lets in first: each of both, not all pairs, which would take minutes.
WAYS = (
    ("401", "none"), ("401", "all"), ("409", "greets"), ("words", "all"), ("nested", "greets"), ("xml", "all"),
    ("elsewhere", "greets"), ("packed", "all"), ("good", "all"), ("web page", "greets"), ("cut", "all"),
    ("broken", "all"), ("another type", "greets"), ("no text", "all"),
)  # fmt: skip


@contextmanager
def silence() -> Iterator[str]:
    """Yield an address on loopback where somebody listens, and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as sock:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
