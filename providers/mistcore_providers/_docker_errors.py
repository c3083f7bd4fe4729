"""What the SDK and the libraries below it raise, told as our errors. Import it only where the SDK is there."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import requests
import urllib3
from docker.errors import APIError, DockerException, ImageNotFound

from mistcore.errors import (
    AuthenticationFailed,
    MachineNotFound,
    MistError,
    PermissionDenied,
    ProviderError,
    RateLimited,
    Rejected,
    Unreachable,
)
from mistcore.http import parse_retry_after
from mistcore_providers._docker_address import DEFAULT_SOCKET, Address, other_sockets

_CLIENT_CERTIFICATE_ALERTS = re.compile(
    r"ALERT_(BAD_CERT|CERTIFICATE|UNKNOWN_CA|UNSUPPORTED_CERT|ACCESS_DENIED)|CERTIFICATE_REQUIRED"
)
Kinds = tuple[tuple[Any, Callable[[Any, Address, bool], MistError]], ...]
# Docker answers 500 to some of what its user got wrong.
_USERS_FAULTS = re.compile(
    r"is not paused|already paused|multiple ids found|port is already allocated|address already in use|is not running"
    r"|invalid (container name|reference|mount|volume)|not supported",
    re.IGNORECASE,
)


def translate(error: Exception, address: Address, *, user: bool, certificate: bool) -> MistError | None:
    """Return our error for one that the SDK let through, or None when it is none of its kind.

    Args:
        user: whether a reverse proxy's user was given. certificate: whether a client certificate was.

    """
    if isinstance(error, APIError):
        return _Refusal(error, address, user=user, certificate=certificate).translate()
    causes = list(_causes(error))
    for kind, make in _kinds(address):
        for cause in causes:
            if isinstance(cause, kind):
                return make(cause, address, certificate)
    for cause in causes:
        if isinstance(cause, OSError) and not isinstance(cause, requests.RequestException):
            return unreachable(f"no way to {address}: {cause.strerror or cause}", "network")
    if isinstance(error, (requests.JSONDecodeError, requests.exceptions.InvalidJSONError)):
        return ProviderError("the engine's answer is not JSON", reason="nonsense")
    if isinstance(error, (requests.RequestException, urllib3.exceptions.HTTPError)):
        return unreachable(f"the connection to {address} failed: {error}", "network")
    if isinstance(error, DockerException):
        return ProviderError(f"the Docker SDK gave up: {error}", reason="sdk")
    return None


def _kinds(address: Address) -> Kinds:
    if address.scheme == "unix":
        return SOCKET_KINDS + KINDS
    if address.scheme == "ssh":
        from mistcore_providers._docker_ssh import SSH_KINDS

        return SSH_KINDS + KINDS
    return KINDS


class _Refusal:
    """An HTTP status that is an error."""

    def __init__(self, error: APIError, address: Address, *, user: bool, certificate: bool) -> None:
        self.error = error
        self.address = address
        self.user = user
        self.certificate = certificate
        self.status = int(error.status_code or 0)
        raw = str(error.explanation or "")
        self.html = "<html" in raw.lower()
        self.said = re.sub(r"<[^>]*>|\s+", " ", raw).strip()[:400]

    def translate(self) -> MistError:
        if re.search(r"HTTP request to an HTTPS server|HTTP request was sent to HTTPS", self.said):
            return _tls(
                f"{self.address} wants TLS, and was spoken to in plain HTTP",
                "Write https:// in docker_host, or give the certificates.",
            )
        if re.search(r"required SSL certificate|SSL certificate error", self.said):  # how nginx says it
            return _client_certificate(self.address, self.certificate)
        if re.search(r"client version \S+ is too (old|new)", self.said):
            return ProviderError(
                self.said,
                status=self.status,
                reason="version",
                remedy="The engine was changed meanwhile: try again. If that does not help: pip install -U docker",
            )
        by_status: dict[int, Callable[[], MistError]] = {
            401: self._unauthorized,
            403: self._forbidden,
            404: self._not_found,
            429: self._rate_limited,
        }
        if self.status in by_status:
            return by_status[self.status]()
        if (400 <= self.status < 500 and not self.html) or _USERS_FAULTS.search(self.said):
            return self._rejected()
        return ProviderError(f"the engine failed: {self._words()}", status=self.status)

    def _words(self) -> str:
        return self.said.rstrip(".") if self.said and not self.html else f"HTTP status {self.status}"

    def _unauthorized(self) -> MistError:
        if self.user:
            message, remedy = "the proxy does not accept auth_user and auth_password", "Compare them with the proxy's."
        else:
            message, remedy = "a proxy asks for a user name and password", "Give auth_user and auth_password."
        said = f": {self.said.rstrip('.')}" if self.said and not self.html else ""
        return AuthenticationFailed(message + said, remedy=remedy)

    def _forbidden(self) -> MistError:
        return PermissionDenied(
            f"this is not allowed here: {self._words()}",
            remedy="An authorization plugin of the engine, or a proxy before it, decides that.",
        )

    def _not_found(self) -> MistError:
        if isinstance(self.error, ImageNotFound):
            image = self.said.rpartition(": ")[2] or "the image"
            return Rejected(
                f"the engine does not have the image {image}",
                remedy=f"Fetch it first (docker pull {image}), or create the machine with pull=True.",
                reason="no_image",
            )
        found = re.search(r"no such container:? ?(\S*)", self.said, re.IGNORECASE)
        if found:
            return MachineNotFound(f"there is no machine {found[1]!r}")
        if self.html or not self.said or "page not found" in self.said:
            return ProviderError(
                "what answers there is not a Docker Engine",
                status=404,
                reason="not_docker",
                remedy="Compare docker_host and docker_port with what `dockerd --host` listens on.",
            )
        return Rejected(self._words(), reason="not_found")

    def _rejected(self) -> MistError:
        text = self.said.lower()
        if "you cannot remove a running container" in text or (
            "cannot remove container" in text and "is running" in text
        ):
            return Rejected(
                "the container is running", remedy="Stop it first, or destroy it with force=True.", reason="state"
            )
        if "is already in use by container" in text:
            name = re.search(r'container name "/?([^"]*)"', self.said)
            return Rejected(
                f"there is a container named {name[1] if name else ''!r} already",
                remedy="Take another name, or rename or remove that one.",
                reason="name_taken",
            )
        if "multiple ids found" in text:
            return Rejected(self._words(), remedy="Use more of the id.", reason="ambiguous")
        return Rejected(self._words(), reason="state" if self.status == 409 else "")

    def _rate_limited(self) -> MistError:
        headers = getattr(self.error.response, "headers", {})
        return RateLimited(
            f"too many requests: {self._words()}", retry_after=parse_retry_after(headers.get("Retry-After"))
        )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and everything wrapped in it, outermost first."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        each = waiting.pop(0)
        if not isinstance(each, BaseException) or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [*each.args, getattr(each, "reason", None), each.__cause__, each.__context__]


def unreachable(message: str, reason: str, remedy: str = "") -> Unreachable:
    return Unreachable(message, reason=reason, remedy=remedy)


def _tls(message: str, remedy: str) -> Unreachable:
    return Unreachable(message, reason="tls", remedy=remedy)


def _client_certificate(address: Address, given: bool) -> AuthenticationFailed:
    if given:
        return AuthenticationFailed(
            f"{address} does not accept the client certificate",
            reason="client_certificate",
            remedy="cert_file must be signed by the authority that the engine trusts (--tlscacert) and not be expired.",
        )
    return AuthenticationFailed(
        f"{address} asks for a client certificate",
        reason="client_certificate",
        remedy="Give cert_file and key_file.",
    )


def _certificate_hint(given: bool) -> str:
    return "It may not accept the client certificate." if given else "It may want a client certificate."


def _not_trusted(error: Any, address: Address, certificate: bool) -> MistError:
    why = getattr(error, "verify_message", "") or "it cannot be verified"
    if "mismatch" in why.lower():
        remedy = "Use a name in docker_host that the engine's certificate is made out to."
    elif "expired" in why or "not yet valid" in why:
        remedy = "The engine needs a new certificate (or a clock here is wrong)."
    else:
        remedy = "Give the certificate of the authority that signed it as ca_cert_file."
    return _tls(f"the certificate of {address} is not trusted: {why.rstrip('.')}", remedy)


def _tls_failed(error: Any, address: Address, certificate: bool) -> MistError:
    reason = str(error.reason or error)
    if _CLIENT_CERTIFICATE_ALERTS.search(reason):
        return _client_certificate(address, certificate)
    if re.search(r"WRONG_VERSION_NUMBER|HTTP_REQUEST|RECORD_LAYER_FAILURE|UNKNOWN_PROTOCOL|PACKET_LENGTH", reason):
        return _tls(f"{address} does not speak TLS", "Write http:// in docker_host if it is meant to be unencrypted.")
    hint = _certificate_hint(certificate)  # before TLS 1.3 a missing one may be told as any other failure
    return _tls(f"TLS with {address} failed: {reason.replace('_', ' ').lower()}", hint)


def _unknown_host(error: Any, address: Address, certificate: bool) -> MistError:
    return unreachable(f"the name {address.host} does not resolve", "dns", "Compare docker_host with the host's name.")


def _timed_out(error: Any, address: Address, certificate: bool) -> MistError:
    return unreachable(f"{address} does not answer in time", "timeout", "See whether a firewall is in the way.")


def _no_socket(error: Any, address: Address, certificate: bool) -> MistError:
    others = other_sockets() if address.path == DEFAULT_SOCKET else []
    remedy = "Start Docker, or say in docker_host where it is."
    if others:
        remedy = f"There is one at {others[0]}: give docker_host as unix://{others[0]}"
    return unreachable(f"there is no socket {address}", "refused", remedy)


def _forbidden_socket(error: Any, address: Address, certificate: bool) -> MistError:
    return PermissionDenied(
        f"this user may not use the socket {address}",
        reason="socket",
        remedy="Join the group that owns it, and log in again: sudo usermod -aG docker $USER",
    )


def _refused(error: Any, address: Address, certificate: bool) -> MistError:
    return unreachable(
        f"nothing listens on {address}", "refused", "Start Docker there, or correct docker_host and docker_port."
    )


def _hung_up(error: Any, address: Address, certificate: bool) -> MistError:
    return unreachable(
        f"{address} closed the connection before it had answered",
        "network",
        _certificate_hint(certificate) if address.tls else "",
    )


def _not_http(error: Any, address: Address, certificate: bool) -> MistError:
    return ProviderError(
        f"{address} does not speak HTTP, so it is not a Docker Engine",
        reason="not_docker",
        remedy="Compare docker_host and docker_port with what `dockerd --host` listens on.",
    )


def _proxy_failed(error: Any, address: Address, certificate: bool) -> MistError:
    return unreachable(
        "the HTTP proxy of the environment failed", "network", "See HTTPS_PROXY, HTTP_PROXY and NO_PROXY."
    )


#: Which exception means what; the first that fits decides.
SOCKET_KINDS: Kinds = ((FileNotFoundError, _no_socket), (PermissionError, _forbidden_socket))
KINDS: Kinds = (
    (ssl.SSLCertVerificationError, _not_trusted),
    (ssl.SSLError, _tls_failed),
    (urllib3.exceptions.ProxyError, _proxy_failed),
    (socket.gaierror, _unknown_host),
    ((requests.Timeout, TimeoutError), _timed_out),
    (ConnectionRefusedError, _refused),
    ((http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, http.client.IncompleteRead), _hung_up),
    (http.client.HTTPException, _not_http),
)
