"""What a service's refusal means: status and body turned into our errors, in one place."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import attrs

from mistcore.errors import (
    AuthenticationFailed,
    MistError,
    PermissionDenied,
    ProviderError,
    RateLimited,
    Rejected,
    Unreachable,
)

__all__ = ["Failure", "error_for", "parse_retry_after"]

_LONGEST_MESSAGE = 300
_LONGEST_WAIT = 10 * 365 * 86400.0
#: Where services put their words, best first.
_WORDS = (
    "message", "Message", "detail", "details", "error_description", "reason", "description", "faultstring", "title",
    "error", "errors", "fault",
)  # fmt: skip


@attrs.frozen
class Failure:
    """A refusal: an answer with a status of 400 or more.

    Attributes:
        status: the HTTP status.
        headers: those of the answer; names are case-insensitive.
        body: the parsed JSON, or None where it is none.
        text: the body as text.
        method: the method of the request.
        url: what was asked, without query and credentials.

    """

    status: int
    headers: Mapping[str, str]
    body: Any
    text: str = attrs.field(repr=False)
    method: str
    url: str

    @property
    def message(self) -> str:
        """The best guess at the service's own words, on one line; "" where it says nothing readable."""
        words = _words_in(self.body) if self.body is not None else ""
        if not words and self.body is None and not looks_like_html(self.text, self.headers):
            words = self.text
        words = " ".join("".join(c if c.isprintable() else " " for c in words).split())
        return words if len(words) <= _LONGEST_MESSAGE else words[:_LONGEST_MESSAGE].rstrip() + " …"

    @property
    def retry_after(self) -> float | None:
        """The seconds that the service asks to wait by `Retry-After`, or None."""
        return parse_retry_after(self.headers.get("Retry-After"))

    def describe(self) -> str:
        """Return what happened in one sentence: the service's words, or else the status."""
        try:
            phrase = f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            phrase = str(self.status)
        if self.message:
            return f"{self.message.rstrip('.')} ({phrase} for {self.method} {self.url})"
        return f"the service answered {phrase} for {self.method} {self.url}"


def error_for(failure: Failure) -> MistError:
    """Return what a refusal means for services without oddities: the common mapping of statuses to errors."""
    status, words = failure.status, failure.describe()
    if status == 401:
        return AuthenticationFailed(words, remedy="Check the credentials: they may be mistyped, expired or revoked.")
    if status == 403:
        return PermissionDenied(words, remedy="Give these credentials the permission, or use others.")
    if status == 407:
        return Unreachable(
            f"the proxy wants credentials ({words})",
            reason="network",
            remedy="Put them into the proxy's address, or name the host in NO_PROXY.",
        )
    if status == 429 or (status == 413 and failure.retry_after is not None):
        return RateLimited(words, retry_after=failure.retry_after)
    if status == 402:
        return Rejected(words, reason="payment")
    if status == 404:
        return ProviderError(words, status=status, reason="not_found", remedy="Is the address of the service right?")
    if status in {400, 409, 412, 413, 415, 422, 423, 428}:
        return Rejected(words)
    if status >= 500:
        return ProviderError(words, status=status, reason="unavailable" if status in {502, 503, 504} else "failed")
    return ProviderError(words, status=status, reason="unexpected")


def parse_retry_after(value: str | None, now: float | None = None) -> float | None:
    """Return how many seconds a `Retry-After` asks to wait, given in seconds or as a date; None if it is unreadable.

    Args:
        value: the header's value, or None.
        now: the time as seconds since the epoch; by default that of this machine's clock.

    """
    value = (value or "").strip()
    if re.fullmatch(r"\d{1,12}(\.\d*)?", value, re.ASCII):
        return min(float(value), _LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(0.0, moment - (time.time() if now is None else now)), _LONGEST_WAIT)


def looks_like_html(text: str, headers: Mapping[str, str]) -> bool:
    """Tell whether an answer is a web page rather than data."""
    if "html" in (headers.get("Content-Type") or "").lower():
        return True
    return text[:200].lstrip("\ufeff \t\r\n")[:14].lower().startswith(("<!doctype html", "<html"))


def _words_in(body: Any, depth: int = 0) -> str:
    if isinstance(body, str):
        return body
    if depth > 4:
        return ""
    if isinstance(body, list):
        return "; ".join(filter(None, (_words_in(item, depth + 1) for item in body[:5])))
    if not isinstance(body, dict):
        return ""
    for key in _WORDS:
        words = _words_in(body.get(key), depth + 1)
        if words:
            field = body.get("field")
            return f"{field}: {words}" if isinstance(field, str) and field else words
    if len(body) == 1:
        (only,) = body.values()
        return _words_in(only, depth + 1) if isinstance(only, (dict, list)) else ""
    return ""
