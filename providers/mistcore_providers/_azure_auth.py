"""Tokens for Azure Resource Manager: by secret, by certificate, or by the identity that the machine has already.

Microsoft's own msal makes the requests and signs the assertions; it keeps what it gets in memory, one cache for each
instance, so nothing is shared between accounts and nothing is written to disk. Facts: "Microsoft identity platform
and the OAuth 2.0 client credentials flow", "How to use managed identities to acquire an access token" and
"az account get-access-token" (Microsoft Learn).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs

from mistcore import AuthenticationFailed, InvalidFields, MistError, ProviderError, Unreachable
from mistcore.http import RestSession
from mistcore.redaction import Quiet
from mistcore_providers._azure_errors import entra_error
from mistcore_providers._tokens import Tokens

_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)
#: Older versions of `az` tell the end of a token as local time only; they renew it when less than this is left.
_UNKNOWN_LIFE = 600.0
_METADATA_SERVICE = "http://169.254.169.254"
#: Variables that say that a hosting service of Azure (App Service, Functions, Arc …) hands out tokens.
_HOSTED = ("IDENTITY_ENDPOINT", "MSI_ENDPOINT")


@attrs.frozen
class Login:
    """Who asks for tokens: what was declared, or found in the environment. Secrets stay out of its `repr`."""

    tenant_id: str = ""
    client_id: str = ""
    client_secret: str = attrs.field(default="", repr=False)
    certificate: str = attrs.field(default="", repr=False)
    token_file: str = ""

    @classmethod
    def from_environment(cls, tenant_id: str, client_id: str) -> Login | None:
        """Return the application that the environment names by `AZURE_…` variables, or None."""
        get = os.environ.get
        found = cls(
            tenant_id=tenant_id or get("AZURE_TENANT_ID", ""),
            client_id=client_id or get("AZURE_CLIENT_ID", ""),
            client_secret=get("AZURE_CLIENT_SECRET", ""),
            certificate=get("AZURE_CLIENT_CERTIFICATE_PATH", ""),
            token_file=get("AZURE_FEDERATED_TOKEN_FILE", ""),
        )
        proven = found.client_secret or found.certificate or found.token_file
        return found if found.tenant_id and found.client_id and proven else None

    def proof(self) -> Any:
        """Return what msal calls the client credential. Raises `InvalidFields` for a certificate of no use."""
        if self.client_secret:
            return self.client_secret
        if self.certificate:
            key, certificate = read_certificate(self.certificate)
            return {"private_key": key, "public_certificate": certificate}
        path = Path(self.token_file)
        return {"client_assertion": lambda: path.read_text(encoding="utf-8").strip()}


def read_certificate(value: str) -> tuple[str, str]:
    """Return the private key and the certificate of a PEM file, given by its path or its text.

    Raises:
        InvalidFields: it cannot be read, or one of the two is missing, or the key has a passphrase.

    """
    text = value
    if "-----BEGIN" not in value:
        path = Path(value).expanduser()
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise InvalidFields({"certificate": f"cannot read {path}: {error.strerror or 'no such file'}"}) from None
        except (UnicodeDecodeError, ValueError):
            words = f"{path} is not a PEM file; make one of a .pfx by `openssl pkcs12 -in … -out … -nodes`"
            raise InvalidFields({"certificate": words}) from None
    parts = [(match[1], match[0]) for match in _PEM.finditer(text.replace("\\n", "\n"))]
    key = next((part for label, part in parts if label.endswith("PRIVATE KEY")), "")
    certificate = next((part for label, part in parts if label == "CERTIFICATE"), "")
    problem = ""
    if not key or not certificate:
        missing = "certificate" if key else "private key"
        problem = f"holds no {missing}; put both into one PEM file"
    elif "ENCRYPTED" in key:
        problem = "the private key has a passphrase; take it off by `openssl pkcs8 -in … -out …`"
    if problem:
        raise InvalidFields({"certificate": problem})
    return f"{key}\n", f"{certificate}\n"


class AzureTokens(Tokens):
    """Tokens of one account: whose they are is decided when the first is asked for."""

    def __init__(
        self,
        login: Login,
        *,
        authority: str,
        audience: str,
        subscription_id: str,
        session: Callable[..., RestSession],
        timeout: Callable[[], float],
    ) -> None:
        super().__init__(timeout)
        self._login = login
        self._authority = authority
        self._audience = audience
        self._subscription_id = subscription_id
        self._session = session
        self._way: Callable[[], Mapping[str, Any]] | None = None
        self._http: RestSession | None = None

    def ask(self) -> tuple[str, float]:
        """Ask for a token. Raises `AuthenticationFailed`, `Unreachable`, `ProviderError`, `InvalidFields`."""
        if self._way is None:
            self._way = self._choose()
        answer = self._way()
        return str(answer["access_token"]), float(answer.get("expires_in") or 0)

    def forget(self) -> None:
        """Drop the token and, with it, what msal keeps."""
        super().forget()
        self._way = None

    def close(self) -> None:
        """Forget the token, and close the connections to the token service."""
        super().close()
        http, self._http = self._http, None
        if http is not None:
            http.close()

    def _choose(self) -> Callable[[], Mapping[str, Any]]:
        login = self._login
        if login.client_secret or login.certificate:
            self.source = "client secret" if login.client_secret else "certificate"
            return self._application(login)
        found = Login.from_environment(login.tenant_id, login.client_id)
        if found is not None:
            federated = not (found.client_secret or found.certificate)
            self.source = "workload identity" if federated else "environment"
            return self._application(found)
        if any(os.environ.get(name) for name in _HOSTED):
            self.source = "managed identity"
            return self._managed_identity
        return self._machine_or_person

    # -- an application: tenant, client and a proof -------------------------------------------------------------------

    def _application(self, login: Login) -> Callable[[], Mapping[str, Any]]:
        import msal

        if self._http is None:
            self._http = self._session(self._authority, error=entra_error)
        try:
            application = msal.ConfidentialClientApplication(
                login.client_id,
                client_credential=login.proof(),
                authority=f"{self._authority}/{login.tenant_id}",
                # Both would ask addresses other than the authority's.
                instance_discovery=False,
                azure_region=False,
                http_client=_Http(self._http),
            )
        except ValueError as error:
            if login.certificate and not login.client_secret:
                words = "the key or the certificate cannot be used; it must be an RSA key in PEM"
                raise InvalidFields({"certificate": words}) from error
            raise
        except (AttributeError, KeyError, RuntimeError, TypeError) as error:
            raise ProviderError("the token service answered nonsense", reason="garbled") from error

        def ask() -> Mapping[str, Any]:
            try:
                answer = application.acquire_token_for_client([f"{self._audience}/.default"])
            except OSError as error:
                if not login.token_file:
                    raise
                raise AuthenticationFailed(
                    f"the federated token cannot be read: {error.strerror}", reason="no_identity"
                ) from error
            return _token_in(answer or {}, "the token service")

        return ask

    # -- the machine's own identity -----------------------------------------------------------------------------------

    def _machine_or_person(self) -> Mapping[str, Any]:
        refusal: MistError | None = None
        if _metadata_service_is_there(self._timeout()):
            try:
                answer = self._managed_identity()
            except MistError as error:  # another cloud's machine, or one that was given no identity
                refusal = error
            else:
                self.source = "managed identity"
                return answer
        if refusal is not None and shutil.which("az") is None:
            raise refusal
        answer = self._az_login()
        self.source = "az login"
        return answer

    def _managed_identity(self) -> Mapping[str, Any]:
        import msal
        import requests

        client_id = self._login.client_id or os.environ.get("AZURE_CLIENT_ID", "")
        identity = (
            msal.UserAssignedManagedIdentity(client_id=client_id) if client_id else msal.SystemAssignedManagedIdentity()
        )
        seconds = self._timeout

        class Direct(requests.Session):
            """The metadata service is on this very machine: no proxy, and an end to every wait."""

            def request(self, *args: Any, **kwargs: Any) -> requests.Response:
                return super().request(*args, **{**kwargs, "timeout": seconds()})

        with Direct() as http:
            http.trust_env = False
            try:
                client = msal.ManagedIdentityClient(identity, http_client=http)
                answer = client.acquire_token_for_client(resource=self._audience)
            except requests.RequestException as error:
                reason = "timeout" if isinstance(error, requests.Timeout) else "network"
                raise Unreachable("the managed identity's service does not answer", reason=reason) from error
            except (ValueError, KeyError) as error:
                raise ProviderError("the managed identity's service answered nonsense", reason="garbled") from error
        return _token_in(answer or {}, "the managed identity's service")

    # -- the identity of the person who works here --------------------------------------------------------------------

    def _az_login(self) -> Mapping[str, Any]:
        program = shutil.which("az")
        nothing = AuthenticationFailed(
            "no secret was given, and this machine has no identity at Azure",
            reason="no_identity",
            remedy="Give client_secret or certificate; or set the AZURE_… variables, use a machine with a managed "
            "identity, or log in by `az login`.",
        )
        if program is None:
            raise nothing
        command = [program, "account", "get-access-token", "--output", "json", "--resource", self._audience]
        tenant = self._login.tenant_id
        command += ["--tenant", tenant] if tenant else ["--subscription", self._subscription_id]
        try:
            done = subprocess.run(  # noqa: S603 - a list of arguments; the program is the user's own `az`
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self._timeout(),
                check=False,
                encoding="utf-8",
                errors="replace",
            )
        except subprocess.TimeoutExpired as error:
            raise Unreachable("`az` did not answer in time", reason="timeout") from error
        if done.returncode:
            words = next((line for line in done.stderr.splitlines() if line.strip()), "it does not say why").strip()
            raise AuthenticationFailed(
                f"`az account get-access-token` failed: {words[:300]}", reason="no_identity", remedy="Run `az login`."
            ) from nothing
        answer = _told_by_az(done.stdout)
        del done  # whose `repr` holds the token
        if answer is None:
            raise ProviderError("`az account get-access-token` answered nonsense", reason="garbled")
        return answer


def _told_by_az(text: str) -> Mapping[str, Any] | None:
    """Return what `az` printed, as a token service would say it; None where that is nonsense."""
    try:
        answer = json.loads(text)
        token, expires = str(answer["accessToken"]), float(answer.get("expires_on") or 0)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return Quiet(access_token=token, expires_in=expires - time.time() if expires else _UNKNOWN_LIFE)


def _token_in(answer: Mapping[str, Any], who: str) -> Mapping[str, Any]:
    if answer.get("access_token"):
        return answer
    words = " ".join(str(answer.get("error_description") or answer.get("error") or "no token came").split())
    raise AuthenticationFailed(
        f"{who} gives no token: {words[:300]}",
        reason="no_identity",
        remedy="Check client_id, and that the identity exists.",
    )


def _metadata_service_is_there(seconds: float) -> bool:
    """Tell whether this machine may be one of Azure's: whether something answers where its metadata service is."""
    address = urlsplit(os.environ.get("AZURE_POD_IDENTITY_AUTHORITY_HOST") or _METADATA_SERVICE)
    try:
        port = address.port or 80
        socket.create_connection((address.hostname or "", port), timeout=min(1.0, seconds)).close()
    except (OSError, ValueError):
        return False
    return True


class _Http:
    """The HTTP client that msal is given: our session, with its deadline, certificates and errors."""

    def __init__(self, session: RestSession) -> None:
        self._session = session

    def get(self, url: str, params: Any = None, headers: Any = None, **_: Any) -> _Response:
        return _Response(self._session, "GET", url, Quiet(params=params, headers=headers))

    def post(self, url: str, params: Any = None, data: Any = None, headers: Any = None, **_: Any) -> _Response:
        sent = Quiet(params=params, data=data, headers=headers)
        del params, data, headers
        return _Response(self._session, "POST", url, sent)

    def close(self) -> None:
        self._session.close()


class _Response:
    def __init__(self, session: RestSession, method: str, url: str, options: Quiet) -> None:
        answer = session.request(method, url, safe=True, **options)
        answer.json()
        self.status_code = answer.status
        self.headers = dict(answer.headers)
        self.text = answer.body.decode()

    def raise_for_status(self) -> None:
        """Do nothing: the session raised already."""
