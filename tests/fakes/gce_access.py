"""The part of the stand-in for Compute Engine that lets in: the token service and who may do what on the project."""

from __future__ import annotations

import re
import secrets
import time
from email.utils import formatdate
from functools import cache
from typing import Any

import attrs
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fakes import gce_catalog as catalog
from fakes.gce_errors import api_error, oauth_error

from mistcore.testing.server import FakeService, Request, Response, json_response, route

PROJECT = "my-project-123"
EMAIL = "robot@my-project-123.iam.gserviceaccount.com"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_SCOPES = {"https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/compute"}


@attrs.define
class ServiceAccount:
    """A service account, its keys by ID, and the permissions that it has on the project."""

    email: str = EMAIL
    keys: dict[str, Any] = attrs.field(factory=dict)
    permissions: set[str] | None = None


class GceAccess(FakeService):
    """Who is let in to one project, and to what.

    Attributes:
        account: the service account. tokens: when each ends. skew: by how much its clock is ahead.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.account = ServiceAccount()
        self.tokens: dict[str, float] = {}
        self.skew = 0.0
        #: google-auth addresses its assertions to Google, wherever they are sent.
        self.audiences = {"https://oauth2.googleapis.com/token"}
        self.lifetime = 3600
        self._keys_given = 0

    def new_key(self, *, register: bool = True) -> dict[str, str]:
        """Return the JSON of a new key of the service account."""
        self._keys_given += 1
        key = _key(self._keys_given)
        key_id = secrets.token_hex(20)
        if register:
            self.account.keys[key_id] = key.public_key()
        return {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": key_id,
            "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            "client_email": self.account.email,
            "client_id": "100000000000000000000",
            "token_uri": f"{self.url}/token",
        }

    # -- tokens -----------------------------------------------------------------------------------------------------

    @route("POST", "/token")
    def token(self, request: Request) -> Response:
        form = request.form()
        if form.get("grant_type") != _GRANT:
            return oauth_error(400, "unsupported_grant_type", "Invalid grant_type.")
        try:
            header = jwt.get_unverified_header(form.get("assertion", ""))
            claims = jwt.decode(form["assertion"], options={"verify_signature": False})
        except jwt.InvalidTokenError:
            return oauth_error(400, "invalid_grant", "Bad Request")
        if claims.get("iss") != self.account.email:
            return oauth_error(400, "invalid_grant", "Invalid grant: account not found")
        now = time.time() + self.skew
        if not (claims["iat"] - 300 <= now <= claims["exp"] and claims["exp"] - claims["iat"] <= 3600):
            text = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
            text += "Check your iat and exp values in the JWT claim."
            return oauth_error(400, "invalid_grant", text, Date=formatdate(now, usegmt=True))
        keys = [self.account.keys[header["kid"]]] if header.get("kid") in self.account.keys else []
        keys = keys or ([] if header.get("kid") else list(self.account.keys.values()))
        if claims.get("aud") not in self.audiences or not any(_signed(form["assertion"], key) for key in keys):
            return oauth_error(400, "invalid_grant", "Invalid JWT Signature.")
        if not _SCOPES & set(str(claims.get("scope")).split()):
            return oauth_error(400, "invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        token = f"ya29.{secrets.token_urlsafe(24)}"
        self.tokens[token] = time.time() + self.lifetime
        return json_response({"access_token": token, "expires_in": self.lifetime, "token_type": "Bearer"})

    def authorize(self, request: Request) -> Response | None:
        if request.path == "/token" or request.path.startswith("/computeMetadata"):
            return None
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.tokens.get(token, 0) < time.time():
            text = "Request had invalid authentication credentials. Expected OAuth 2 access token."
            return api_error(401, "authError", text)
        named = re.match(r"/(?:compute/v1|v1)/projects/([^/]+)", request.path)
        project = (named[1] if named else "").partition(":")[0]
        if project != PROJECT and project not in catalog.IMAGES:
            return api_error(404, "notFound", f"The resource 'projects/{project}' was not found")
        needed = _permission(request)
        held = self.account.permissions
        if project == PROJECT and needed and held is not None and needed not in held:
            text = f"Required '{needed}' permission for 'projects/{PROJECT}'"
            return api_error(403, "forbidden", text)
        return None

    @route("POST", "/v1/projects/{name}")
    def test_iam_permissions(self, request: Request, name: str) -> Response:
        wanted = request.json()["permissions"]
        held = self.account.permissions
        kept = [one for one in wanted if held is None or one in held]
        return json_response({"permissions": kept} if kept else {})


@cache
def _key(number: int) -> rsa.RSAPrivateKey:
    """Return the same key for the same number: to make one takes long."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _signed(assertion: str, key: Any) -> bool:
    options = {"verify_aud": False, "verify_iat": False, "verify_exp": False}
    try:
        jwt.decode(assertion, key, algorithms=["RS256"], options=options)
    except jwt.InvalidTokenError:
        return False
    return True


def _permission(request: Request) -> str:
    """Return the permission that a request needs, or "" where it needs none on the project."""
    parts = request.path.removeprefix("/compute/v1/projects/").split("/")[1:]
    if request.path.startswith("/v1/") or "operations" in parts:
        return ""
    if not parts:
        return "compute.projects.get"
    kinds = [
        part for part in parts if part in ("instances", "machineTypes", "images", "networks", "subnetworks", "disks")
    ]
    kind = kinds[-1] if kinds else "zones"
    if request.method == "DELETE":
        return f"compute.{kind}.delete"
    if request.method == "POST":
        return f"compute.{kind}.create" if parts[-1] == kind else f"compute.{kind}.{parts[-1]}"
    return f"compute.{kind}.list" if parts[-1] == kind else f"compute.{kind}.get"
