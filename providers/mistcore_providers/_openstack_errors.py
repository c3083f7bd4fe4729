"""The errors of keystoneauth1, novaclient and OpenStack's services, in mistcore's words."""

from __future__ import annotations

import json
import re
from typing import Any

from mistcore.errors import (
    AuthenticationFailed,
    MistError,
    NotSupported,
    PermissionDenied,
    ProviderError,
    RateLimited,
    Rejected,
    Unreachable,
)
from mistcore.http import parse_retry_after

_QUOTA = re.compile(r"quota|maximum number|exceeds? allowed|limit(ed)? exceeded", re.IGNORECASE)
_RATE = re.compile(r"\brate\b", re.IGNORECASE)
#: From keystoneauth, raised before a request is sent or about an answer that cannot be read.
_UNREADABLE = ("InvalidResponse", "JSONDecodeError", "DiscoveryFailure", "EmptyCatalog")


def translate(error: Exception) -> MistError | None:
    """Return our error for one of keystoneauth1's or novaclient's, or None for somebody else's."""
    if isinstance(error, RecursionError):
        return ProviderError("the answer is nested too deeply to be read", reason="not_openstack")
    if not type(error).__module__.startswith(("keystoneauth1.", "novaclient.")):
        return None
    status = getattr(error, "http_status", 0) or getattr(error, "code", 0)
    if isinstance(status, int) and status >= 300:
        response = getattr(error, "response", None)
        text = message_in(response) or str(getattr(error, "message", "") or "")
        return of_status(status, text, retry_after=_retry_after(error))
    name = type(error).__name__
    response = getattr(error, "response", None)
    if name in _UNREADABLE and response is not None:
        return unreadable(response)
    if name == "SSLError":
        return Unreachable(f"no safe connection: {error}", reason="tls")
    if name == "ConnectTimeout":
        return Unreachable("no answer in time", reason="timeout")
    if name in ("ConnectFailure", "UnknownConnectionError"):
        return Unreachable(f"no connection: {error}", reason="network")
    return ProviderError(f"{name}: {error}")


def of_status(status: int, text: str, *, retry_after: float | None = None) -> MistError:
    """Return the error that a status and the service's words stand for."""
    said = f": {text}" if text else ""
    if status == 401:
        return AuthenticationFailed(f"the service does not accept the token{said}", reason="token")
    if status in (403, 409, 413) and _QUOTA.search(text) and not _RATE.search(text):
        return Rejected(
            f"a quota of the project does not allow it{said}",
            reason="quota",
            remedy="Destroy something, choose something smaller, or ask the cloud's operator for a higher quota.",
        )
    if status == 403:
        return PermissionDenied(
            f"the user may not do this{said}",
            remedy="Ask for a role in the project that allows it; usually that is the role 'member'.",
        )
    if status in (413, 429):
        return RateLimited(f"too many requests{said}", retry_after=retry_after)
    if status == 404:
        return Rejected(f"the service knows no such thing{said}", reason="not_found")
    if status == 409:
        if "networks found" in text:
            return Rejected(
                f"the choice of a network is open{said}", reason="network", remedy="Give the option network."
            )
        return Rejected(f"it cannot be done in the present state{said}", reason="state")
    if 300 <= status < 400:
        return ProviderError(
            "the service answers with a redirect, which is not followed", status=status, reason="redirect"
        )
    if status in (405, 501):
        return NotSupported(f"this cloud does not offer that{said}")
    if 400 <= status < 500:
        return Rejected(f"the service refuses the request{said}", reason="invalid")
    return ProviderError(f"the service failed with status {status}{said}", status=status)


def redirected(response: Any) -> ProviderError:
    """Return the error for an answer that points elsewhere: following it could hand the password to somebody else."""
    target = response.headers.get("Location", "")
    return ProviderError(
        f"{origin(response.url)} answers with a redirect{' to ' + origin(target) if target else ''}",
        status=response.status_code,
        reason="redirect",
        remedy="Nothing was sent there. Give the address that it points to, if you trust it.",
    )


def unreadable(response: Any) -> ProviderError:
    """Return the error for an answer that is not what the service's API would say."""
    if 300 < response.status_code < 400:
        return redirected(response)
    kind = response.headers.get("Content-Type", "").partition(";")[0] or "no content type"
    return ProviderError(
        f"{origin(response.url)} answers status {response.status_code} with {kind}, not what OpenStack's API would say",
        status=response.status_code,
        reason="not_openstack",
        remedy="Check the address, and that no proxy or login page is in between.",
    )


def message_in(response: Any) -> str:
    """Return the service's own words in an error's answer; "" where there are none in a form that is known."""
    if response is None:
        return ""
    try:
        body = json.loads(response.content)
    except (ValueError, AttributeError):
        return ""
    for _ in range(3):
        if isinstance(body, dict) and isinstance(body.get("message"), str):
            return _short(body["message"])
        if isinstance(body, dict) and isinstance(body.get("errors"), list) and body["errors"]:
            first = body["errors"][0]
            return _short(str(first.get("detail") or first.get("title") or "")) if isinstance(first, dict) else ""
        if not isinstance(body, dict) or not body:
            return ""
        body = next((value for value in body.values() if isinstance(value, (dict, list))), None)
        if isinstance(body, list):
            body = body[0] if body else None
    return ""


def origin(url: str) -> str:
    """Return scheme, host and path of an address: no user information, no query."""
    return re.sub(r"//[^/@]*@", "//", url.partition("?")[0])


def _short(text: str) -> str:
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= 300 else text[:299] + "…"


def _retry_after(error: Exception) -> float | None:
    response = getattr(error, "response", None)
    value = response.headers.get("Retry-After") if response is not None else getattr(error, "retry_after", None)
    return parse_retry_after(str(value)) if value else None
