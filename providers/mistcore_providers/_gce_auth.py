"""Tokens for Google's APIs: by a service account's key, or by application default credentials.

Google's own google-auth signs and asks, through our session; nothing is kept on disk, no browser is opened, and
standard input is never read. Facts: "How Application Default Credentials works" and "View and query VM metadata"
(Google's docs).
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs

from mistcore import AuthenticationFailed, InvalidFields, ProviderError, Unreachable
from mistcore.http import RestSession
from mistcore.redaction import Quiet
from mistcore_providers._gce_errors import token_error
from mistcore_providers._tokens import Tokens

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
_METADATA = "169.254.169.254"
_METADATA_HEADERS = {"Metadata-Flavor": "Google"}
#: The kinds of credential files, and what of google-auth reads each.
_KINDS = {
    "external_account": ("google.auth.identity_pool", "Credentials", "from_info"),
    "impersonated_service_account": (
        "google.auth.impersonated_credentials",
        "Credentials",
        "from_impersonated_service_account_info",
    ),
}


@attrs.frozen
class Key:
    """A service account's key, as its JSON file says it. The key itself stays out of its `repr`."""

    info: Mapping[str, Any] = attrs.field(repr=False)

    @property
    def email(self) -> str:
        """The service account's address."""
        return str(self.info.get("client_email") or "")

    @property
    def project_id(self) -> str:
        """The project that the account belongs to, or ""."""
        return str(self.info.get("project_id") or "")


def read_key(value: str, email: str, token_uri: str) -> Key:
    """Return the key given by path or text: a service account's JSON, or its PEM together with the e-mail address.

    Raises:
        InvalidFields: it cannot be read, or is something else.

    """
    text = value.strip()
    if not text.startswith("{") and "-----BEGIN" not in text:
        path = Path(text).expanduser()
        try:
            text = path.read_text(encoding="utf-8-sig").strip()
        except OSError as error:
            raise InvalidFields({"private_key": f"cannot read {path}: {error.strerror or 'no such file'}"}) from None
        except (UnicodeDecodeError, ValueError):
            words = f"{path} is no text; of a .p12 file make a PEM by `openssl pkcs12 -in … -nodes -nocerts`"
            raise InvalidFields({"private_key": words}) from None
    if "-----BEGIN" in text and not text.startswith("{"):
        if not email:
            raise InvalidFields({"email": "missing (the service account's address; a PEM does not tell it)"})
        info = {"type": "service_account", "client_email": email, "private_key": text.replace("\\n", "\n")}
        return _usable({**info, "token_uri": token_uri or TOKEN_URI})
    try:
        info = json.loads(text)
    except ValueError:
        raise InvalidFields({"private_key": "is neither a service account's JSON nor a PEM key"}) from None
    if not isinstance(info, dict) or info.get("type") != "service_account":
        kind = f"of the type {info['type']!r}" if isinstance(info, dict) and info.get("type") else "something else"
        words = f"is {kind}; give a service account's key (IAM → Service accounts → Keys → Add key → JSON)"
        raise InvalidFields({"private_key": words})
    missing = [name for name in ("client_email", "private_key") if not isinstance(info.get(name), str)]
    if missing:
        raise InvalidFields({"private_key": f"the JSON lacks {' and '.join(missing)}"})
    return _usable({**info, "token_uri": token_uri or info.get("token_uri") or TOKEN_URI})


def _usable(info: dict[str, Any]) -> Key:
    if "ENCRYPTED" in info["private_key"].partition("\n")[0] or "PRIVATE KEY-----" not in info["private_key"]:
        words = "holds no private key, or one with a passphrase; give it in PEM without"
        raise InvalidFields({"private_key": words})
    return Key(Quiet(info))


class GoogleTokens(Tokens):
    """Tokens of one account: by its key, or of whoever is logged in."""

    def __init__(self, key: Key | None, *, session: Callable[..., RestSession], timeout: Callable[[], float]) -> None:
        super().__init__(timeout)
        self._key = key
        self._session = session
        self._credentials: Any = None
        self._info: Mapping[str, Any] = key.info if key else {}

    def ask(self) -> tuple[str, float]:
        """Ask for a token. Raises `AuthenticationFailed`, `Unreachable`, `ProviderError`, `InvalidFields`."""
        if self._key is not None:
            self.source = "service account key"
            return self._by(self._key.info)
        path = _default_file()
        if path is not None:
            self.source = "application default credentials"
            return self._by(_read_file(path))
        self.source = "metadata service"
        answer = json.loads(self._metadata(f"instance/service-accounts/default/token?scopes={SCOPE}"))
        return str(answer["access_token"]), float(answer["expires_in"])

    def project(self) -> str:
        """Return the project that goes with the account: of its key, the environment, its file, or this machine."""
        found = self._info.get("project_id")
        for name in ("GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT"):
            found = found or os.environ.get(name)
        if not found and self._key is None:
            path = _default_file()
            if path is not None:
                info = _read_file(path)
                found = info.get("project_id") or info.get("quota_project_id")
            else:
                found = self._metadata("project/project-id")
        if not found:
            raise InvalidFields({"project_id": "missing (the credentials do not tell it)"})
        return str(found)

    def forget(self) -> None:
        """Drop the token, and who asked for it."""
        super().forget()
        self._credentials = None

    def _by(self, info: Mapping[str, Any]) -> tuple[str, float]:
        from google.auth.exceptions import GoogleAuthError

        try:
            if self._credentials is None:
                self._credentials = _credentials(info)
            self._credentials.refresh(_Transport(self._session))
        except (GoogleAuthError, ValueError) as error:
            if self._key is not None and not isinstance(error, GoogleAuthError):
                raise InvalidFields({"private_key": "the key cannot be read; it must be an RSA key in PEM"}) from error
            raise AuthenticationFailed(
                f"no token came: {' '.join(str(error).split())[:300]}",
                reason="no_identity",
                remedy="Give a service account's key, or log in by `gcloud auth application-default login`.",
            ) from error
        ends = self._credentials.expiry
        seconds = (ends.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds() if ends else 0.0
        return str(self._credentials.token), seconds

    def _metadata(self, path: str) -> str:
        """Return what the metadata service of a machine at Google says."""
        import requests

        place = os.environ.get("GCE_METADATA_HOST") or _METADATA
        nothing = AuthenticationFailed(
            "no key was given, and this machine has no identity at Google",
            reason="no_identity",
            remedy="Give private_key (a service account's JSON), log in by `gcloud auth application-default login`, "
            "or use a machine with a service account.",
        )
        address = urlsplit(f"http://{place}")
        seconds = self._timeout()
        try:
            socket.create_connection((address.hostname or "", address.port or 80), min(1.0, seconds)).close()
        except (OSError, ValueError):
            raise nothing from None
        with requests.Session() as http:
            http.trust_env = False  # the service is on this very machine: no proxy
            try:
                answer = http.get(
                    f"http://{place}/computeMetadata/v1/{path}", headers=_METADATA_HEADERS, timeout=self._timeout()
                )
            except requests.RequestException as error:
                reason = "timeout" if isinstance(error, requests.Timeout) else "network"
                raise Unreachable("the metadata service does not answer", reason=reason) from error
        if answer.headers.get("Metadata-Flavor") != "Google":
            raise nothing
        if answer.status_code != 200:
            raise AuthenticationFailed(
                f"the metadata service answered {answer.status_code}",
                reason="no_identity",
                remedy="Give the machine a service account.",
            )
        return answer.text


def _default_file() -> Path | None:
    """Return the file that application default credentials come from, if there is one."""
    named = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    if named:
        return Path(named).expanduser()
    folder = os.environ.get("CLOUDSDK_CONFIG")
    usual = (Path(folder) if folder else Path.home() / ".config" / "gcloud") / "application_default_credentials.json"
    return usual if usual.is_file() else None


def _read_file(path: Path) -> Mapping[str, Any]:
    try:
        info = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no JSON"
        raise AuthenticationFailed(
            f"the application default credentials in {path} cannot be read: {why}", reason="no_identity"
        ) from error
    return Quiet(info) if isinstance(info, dict) else {}


def _credentials(info: Mapping[str, Any]) -> Any:
    kind = str(info.get("type"))
    if kind == "authorized_user":
        return _person(info)
    if kind == "service_account":
        return _service_account(info)
    if kind not in _KINDS:
        raise AuthenticationFailed(
            f"credentials of the type {kind!r} are not known here",
            reason="no_identity",
            remedy="Give a service account's key.",
        )
    module, cls, function = _KINDS[kind]
    return getattr(getattr(import_module(module), cls), function)(dict(info), scopes=[SCOPE])


def _service_account(info: Mapping[str, Any]) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from google.auth.crypt import RSASigner
    from google.oauth2.service_account import Credentials

    missing = [name for name in ("client_email", "private_key", "token_uri") if not isinstance(info.get(name), str)]
    if missing:
        raise ValueError(f"the service account's file lacks {' and '.join(missing)}")
    # To prove that a key's numbers are primes takes longer than all the rest that a listing does here. It protects from
    # keys that somebody else made; this one signs for its own owner, and Google refuses what a damaged one has signed.
    try:
        key = load_pem_private_key(info["private_key"].encode(), None, unsafe_skip_rsa_key_validation=True)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("not an RSA key")
    more = {name: info[name] for name in ("project_id", "universe_domain") if info.get(name)}
    return Credentials(  # type: ignore[no-untyped-call]
        RSASigner(key, info.get("private_key_id")),  # type: ignore[no-untyped-call]
        info["client_email"],
        info["token_uri"],
        scopes=[SCOPE],
        **more,
    )


def _person(info: Mapping[str, Any]) -> Any:
    from google.oauth2.credentials import Credentials

    # `from_authorized_user_info` would leave out where the file says that tokens come from.
    return Credentials(  # type: ignore[no-untyped-call]
        None,
        refresh_token=info.get("refresh_token"),
        client_id=info.get("client_id"),
        client_secret=info.get("client_secret"),
        token_uri=info.get("token_uri") or TOKEN_URI,
    )


@attrs.frozen
class _Answer:
    """An answer as google-auth wants to see it."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class _Transport:
    """What google-auth sends its requests with: our sessions, with their deadlines, certificates and errors."""

    def __init__(self, session: Callable[..., RestSession]) -> None:
        self._session = session

    def __call__(
        self, url: str, method: str = "GET", body: Any = None, headers: Any = None, timeout: Any = None, **_: Any
    ) -> _Answer:
        split = urlsplit(url)
        if split.scheme not in {"https", "http"}:
            raise ProviderError(f"{url!r} is no address to get a token from", reason="garbled")
        http = self._session(f"{split.scheme}://{split.netloc}", error=token_error)
        try:
            answer = http.request(method, url, data=body, headers=headers, safe=True)
            if answer.body and not isinstance(answer.json(), dict):
                raise ProviderError("the token service answered nonsense", reason="garbled")
        finally:
            http.close()
        return _Answer(answer.status, answer.headers, answer.body)
