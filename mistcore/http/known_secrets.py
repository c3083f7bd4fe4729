"""What of a request is nobody's business: taken out of a refusal that repeats it, before anybody reads that."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from mistcore.redaction import hide, hide_in

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

__all__ = ["clean_answer", "secrets_sent"]

_HEADER = re.compile(r"auth|token|key|secret|cookie|passw|signature", re.IGNORECASE)
_FIELD = re.compile(r"pass|secret|token|assertion|api_?key|private_?key|signature", re.IGNORECASE)
_SHORTEST = 6


def clean_answer(
    request: PreparedRequest, response: Response, body: bytes, proxies: Mapping[str, str] | None = None
) -> bytes:
    """Return the body of a refusal or redirect without what was secret in the request; so are its headers then."""
    if response.status_code < 300:
        return body
    secrets = list(secrets_sent(request, proxies))
    if not secrets:
        return body
    for name, value in response.headers.items():
        response.headers[name] = hide(value, secrets)
    cleaned: bytes = hide_in(body, secrets)
    return cleaned


def secrets_sent(request: PreparedRequest, proxies: Mapping[str, str] | None = None) -> Iterator[str]:
    """Yield what is secret in a request: in its headers, address and body, and in the addresses of proxies."""
    for secret in _secrets_sent(request, proxies or {}):
        if len(secret) >= _SHORTEST:
            yield secret


def _secrets_sent(request: PreparedRequest, proxies: Mapping[str, str]) -> Iterator[str]:
    for name, header in request.headers.items():
        if _HEADER.search(name):
            value = header.decode("latin-1") if isinstance(header, bytes) else str(header)
            yield value
            words = value.split()
            yield from words[1:]
            if len(words) == 2 and words[0].lower() == "basic":
                yield _password_in(words[1])
    for address in (request.url or "", *proxies.values()):
        split = urlsplit(address)
        if "@" in split.netloc:
            yield unquote(split.password or "")
        yield from (value for name, value in parse_qsl(split.query) if _FIELD.search(name))
    yield from _in_body(request.body)


def _password_in(pair: str) -> str:
    try:
        return base64.b64decode(pair).decode("utf-8", "replace").partition(":")[2]
    except binascii.Error:
        return ""


def _in_body(body: Any) -> Iterator[str]:
    if isinstance(body, bytes):
        body = body.decode("utf-8", "replace")
    if not isinstance(body, str):
        return
    if body.lstrip().startswith(("{", "[")):
        try:
            yield from _in_json(json.loads(body))
        except (ValueError, RecursionError):
            return
    else:
        yield from (value for name, value in parse_qsl(body) if _FIELD.search(name))


def _in_json(value: Any, above: str = "", name: str = "") -> Iterator[str]:
    if isinstance(value, str):
        if _FIELD.search(name) or (name == "id" and above == "token"):  # as Keystone is given one
            yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _in_json(inner, name, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _in_json(inner, above, name)
