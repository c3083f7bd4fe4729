"""The part of Microsoft Entra that hands out tokens to applications; it verifies everything that it is sent.

Facts: "Microsoft identity platform and the OAuth 2.0 client credentials flow" and "certificate credentials" (Microsoft
Learn). A client assertion is a JWT that names its certificate by thumbprint, is addressed to the token endpoint, is
signed with the certificate's key, and is accepted once.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from typing import Any

import attrs
import jwt
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mistcore.testing.server import Request, Response, json_response, route

TENANT = "77777777-7777-7777-7777-777777777777"
CLIENT = "55555555-5555-5555-5555-555555555555"
SECRET = "Xw8~good-secret-value"
AUDIENCE = "https://management.azure.com"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@attrs.define
class Client:
    """An application: what proves it, and what it may do (role assignments on the subscription)."""

    secret: str = SECRET
    expired_secret: str = "Xw8~expired-secret-value"
    certificates: list[x509.Certificate] = attrs.field(factory=list)
    roles: list[dict[str, list[str]]] = attrs.field(factory=lambda: [{"actions": ["*"], "notActions": []}])
    federated: str = "a-federated-token"


def _thumbprint(certificate: x509.Certificate, algorithm: str) -> str:
    digest = hashlib.new(algorithm, certificate.public_bytes(Encoding.DER)).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Entra:
    """Mixed into a `FakeService`. `tenants` maps a tenant's id to its applications by client id."""

    url: str
    lock: Any

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tenants: dict[str, dict[str, Client]] = {TENANT: {CLIENT: Client()}}
        self.tokens: dict[str, tuple[str, str, float]] = {}
        self.lifetime = 3600.0
        self.clock = time.time
        self._assertions: set[str] = set()

    @property
    def client(self) -> Client:
        return self.tenants[TENANT][CLIENT]

    @route("GET", "/{tenant}/v2.0/.well-known/openid-configuration")
    def openid_configuration(self, request: Request, tenant: str) -> Response:
        if tenant not in self.tenants:
            return self._unknown_tenant(tenant)
        return json_response(
            {
                "token_endpoint": f"{self.url}/{tenant}/oauth2/v2.0/token",
                "authorization_endpoint": f"{self.url}/{tenant}/oauth2/v2.0/authorize",
                "issuer": f"{self.url}/{tenant}/v2.0",
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            }
        )

    @route("POST", "/{tenant}/oauth2/v2.0/token")
    def token_v2(self, request: Request, tenant: str) -> Response:
        form = request.form()
        scope = next((word for word in form.get("scope", "").split() if word.endswith("/.default")), "")
        return self._token(form, tenant, scope.removesuffix("/.default"), f"{self.url}/{tenant}/oauth2/v2.0/token")

    @route("POST", "/{tenant}/oauth2/token")
    def token_v1(self, request: Request, tenant: str) -> Response:
        form = request.form()
        return self._token(form, tenant, form.get("resource", ""), f"{self.url}/{tenant}/oauth2/token")

    def _token(self, form: dict[str, str], tenant: str, audience: str, endpoint: str) -> Response:
        if tenant not in self.tenants:
            return self._unknown_tenant(tenant)
        if form.get("grant_type") != "client_credentials":
            return oauth_error(400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
        client_id = form.get("client_id", "")
        client = self.tenants[tenant].get(client_id)
        if client is None:
            text = f"Application with identifier '{client_id}' was not found in the directory 'Contoso'."
            return oauth_error(400, "unauthorized_client", 700016, text)
        refusal = self._prove(form, client, client_id, endpoint)
        if refusal is not None:
            return refusal
        if audience.rstrip("/") != AUDIENCE:
            text = f"The resource principal named {audience} was not found in the tenant named Contoso."
            return oauth_error(400, "invalid_resource", 500011, text)
        token = f"token-{secrets.token_urlsafe(24)}"
        with self.lock:
            self.tokens[token] = (tenant, client_id, self.clock() + self.lifetime)
        expires: dict[str, Any] = {"expires_in": int(self.lifetime), "ext_expires_in": int(self.lifetime)}
        if "v2.0" not in endpoint:
            expires = {"expires_in": str(int(self.lifetime)), "expires_on": str(int(self.clock() + self.lifetime))}
        return json_response({"token_type": "Bearer", **expires, "access_token": token})

    def _prove(self, form: dict[str, str], client: Client, client_id: str, endpoint: str) -> Response | None:
        if "client_secret" in form:
            if form["client_secret"] == client.expired_secret:
                text = f"The provided client secret keys for app '{client_id}' are expired."
                return oauth_error(401, "invalid_client", 7000222, text)
            if form["client_secret"] != client.secret:
                text = (
                    "Invalid client secret provided. Ensure the secret being sent in the request is the client secret "
                    f"value, not the client secret ID, for a secret added to app '{client_id}'."
                )
                return oauth_error(401, "invalid_client", 7000215, text)
            return None
        if form.get("client_assertion_type") != _ASSERTION or not form.get("client_assertion"):
            text = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
            return oauth_error(401, "invalid_client", 7000218, text)
        if form["client_assertion"] == client.federated:
            return None
        problem = self._assertion_problem(form["client_assertion"], client, client_id, endpoint)
        if problem == "time":
            return oauth_error(401, "invalid_client", 700024, "Client assertion is not within its valid time range.")
        if problem:
            text = f"Client assertion failed signature validation. {problem}"
            return oauth_error(401, "invalid_client", 700027, text)
        return None

    def _assertion_problem(self, assertion: str, client: Client, client_id: str, endpoint: str) -> str:
        try:
            header = jwt.get_unverified_header(assertion)
        except jwt.InvalidTokenError as error:
            return f"The assertion is malformed: {error}"
        named = {"sha1": header.get("x5t"), "sha256": header.get("x5t#S256")}
        for certificate in client.certificates:
            if any(
                name and _thumbprint(certificate, algorithm) == name.rstrip("=") for algorithm, name in named.items()
            ):
                break
        else:
            return "The certificate with identifier used to sign the client assertion is not registered."
        try:
            claims = jwt.decode(
                assertion,
                certificate.public_key(),  # type: ignore[arg-type]
                algorithms=["RS256", "PS256"],
                audience=endpoint,
                options={"require": ["exp", "iss", "sub", "jti", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            return "time"
        except jwt.InvalidTokenError as error:
            return str(error)
        if claims["iss"] != client_id or claims["sub"] != client_id:
            return "The issuer and the subject are to be the application."
        with self.lock:
            if claims["jti"] in self._assertions:
                return "The assertion was used before."
            self._assertions.add(claims["jti"])
        return ""

    def _unknown_tenant(self, tenant: str) -> Response:
        return oauth_error(
            400, "invalid_request", 90002, f"Tenant '{tenant}' not found. Check to make sure you have it."
        )


def oauth_error(status: int, error: str, code: int, text: str) -> Response:
    """Return a refusal as the token endpoint words it."""
    trace = "00000000-aaaa-bbbb-cccc-000000000000"
    return json_response(
        {
            "error": error,
            "error_description": f"AADSTS{code}: {text} Trace ID: {trace} Correlation ID: {trace} "
            "Timestamp: 2026-01-01 00:00:00Z",
            "error_codes": [code],
            "timestamp": "2026-01-01 00:00:00Z",
            "trace_id": trace,
            "correlation_id": trace,
            "error_uri": f"https://login.microsoftonline.com/error?code={code}",
        },
        status=status,
    )
