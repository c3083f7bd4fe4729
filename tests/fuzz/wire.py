"""A transport for fuzzing: what would go over the network goes to a stand-in in this process, its answers changed."""

from __future__ import annotations

import hashlib
import io
import json
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import urllib3
from requests.structures import CaseInsensitiveDict

from mistcore.testing.server import FakeService, Request, Response

__all__ = ["Choices", "Wire", "changed", "stop_the_clock"]

_STATUSES = (200, 201, 202, 204, 300, 302, 400, 401, 403, 404, 409, 410, 412, 429, 500, 503)
_TEXTS = (
    "", " ", "x", "0", "-1", "1e400", "nan", "true", "null", "9" * 25, "9" * 5000, "0000-00-00T00:00:00Z", "2030-13-45",
    "2030-01-31T12:00:00+99:99", "9999-12-31T23:59:59-23:59", "256.1.2.3", "fe80::1%eth0", "10.0.0.1/33", "://",
    "http://[", "\x1b[2J", "\x00", "\ud800", "\u202e", "٣", "[]", "{}", "&lt;", "a/b/c/d/e/f", "=", ":", ",,", "%",
    "K", "1 2 3",
)  # fmt: skip
_DEEP: Any = []
for _ in range(300):
    _DEEP = [_DEEP]
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 1.5, 1e308, float("nan"), float("inf"), [], {}, [None], [[]],
    [{}], {"odd": True}, [1, "x", None], {"": ""}, _DEEP,
)  # fmt: skip


class Choices:
    """Numbers and text read off bytes, one after the other; nothing but zeros where they have ended."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, below: int) -> int:
        """Return a number from 0 on."""
        size = 1 if below <= 256 else 2
        taken = self._data[self._at : self._at + size]
        self._at += size
        return int.from_bytes(taken, "big") % below if below else 0

    def more(self) -> bool:
        """Tell whether bytes are left."""
        return self._at < len(self._data)

    def text(self) -> str:
        """Return a text out of the list, or made of the bytes that follow."""
        which = self.number(len(_TEXTS) + 8)
        if which < len(_TEXTS):
            return _TEXTS[which]
        return self.rest(which - len(_TEXTS) + 1).decode("utf-8", "replace")

    def rest(self, size: int) -> bytes:
        """Return so many bytes, or as many as are left."""
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken


def changed(answer: Response, choices: Choices) -> Response:
    """Return an answer with one thing in it changed."""
    kind = choices.number(8)
    body, headers, status = answer.body, dict(answer.headers), answer.status
    if kind == 0:
        status = _STATUSES[choices.number(len(_STATUSES))]
    elif kind == 1:
        start = choices.number(len(body) + 1)
        body = body[:start] + choices.rest(choices.number(4)) + body[start + choices.number(20) :]
    elif kind == 2:
        name = ("Content-Type", "Retry-After", "Location", "Date", "Set-Cookie", "X-Subject-Token")[choices.number(6)]
        headers[name] = choices.text().encode("latin-1", "replace").decode("latin-1")
    elif body.lstrip()[:1] == b"<":
        body = _changed_markup(body.decode(), choices).encode("utf-8", "surrogatepass")
    else:
        body = _changed_json(body, choices)
    return Response(status, body, headers)


def _changed_json(body: bytes, choices: Choices) -> bytes:
    try:
        value = json.loads(body)
    except ValueError:
        return body
    places: list[tuple[Any, Any]] = []

    def walk(part: Any) -> None:
        for key, item in part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ():
            places.append((part, key))
            walk(item)

    walk(value)
    if not places:
        return json.dumps(_VALUES[choices.number(len(_VALUES))]).encode()
    holder, key = places[choices.number(len(places))]
    what = choices.number(6)
    if what == 0:
        del holder[key]
    elif what == 1:
        holder[key] = choices.text()
    elif what == 2:
        holder[key] = [holder[key]]
    elif what == 3:
        other, place = places[choices.number(len(places))]
        holder[key] = other[place]
    elif what == 4 and isinstance(holder[key], str):
        holder[key] = holder[key][: choices.number(20)] + choices.text()
    else:
        holder[key] = _VALUES[choices.number(len(_VALUES))]
    try:
        return json.dumps(value).encode()
    except (ValueError, RecursionError):  # it holds itself now
        return body


def _changed_markup(text: str, choices: Choices) -> str:
    places = list(re.finditer(r'(?<=>)[^<>]*(?=<)|(?<==")[^"]*(?=")|<[^>]*>', text))
    if not places:
        return text
    place = places[choices.number(len(places))]
    new = ("", place[0] * 2, choices.text(), f"<x>{place[0]}</x>")[choices.number(4)]
    return text[: place.start()] + new + text[place.end() :]


class Wire:
    """Stands between urllib3 and a stand-in, for every connection of this process, once `attach()` was called.

    Attributes:
        service: who answers. change: what is done to each answer, if anything.
        requests: how many were sent; more than `most` are refused, so that no paging goes on for ever.
    """

    most = 200

    def __init__(self, service: FakeService) -> None:
        self.service = service
        self.change: Callable[[str, Response], Response] = lambda _, answer: answer
        self.requests = 0

    def attach(self) -> None:
        """Send from now on what anybody sends to the stand-in."""
        wire = self

        def urlopen(pool: Any, method: str, url: str, body: Any = None, headers: Any = None, **_: Any) -> Any:
            return wire.answer(method, url, body, headers or {})

        urllib3.connectionpool.HTTPConnectionPool.urlopen = urlopen  # type: ignore[method-assign, assignment]

    def answer(self, method: str, url: str, body: Any, headers: Any) -> urllib3.HTTPResponse:
        """Return the answer to a request."""
        self.requests += 1
        if self.requests > self.most:
            raise AssertionError(f"over {self.most} requests for one call")
        split = urlsplit(url)
        lists = parse_qs(split.query, keep_blank_values=True)
        sent = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else b"".join(body or ())
        named = CaseInsensitiveDict({str(_text(key)): _text(value) for key, value in headers.items()})
        single = {key: values[-1] for key, values in lists.items()}
        request = Request(method, split.path, single, lists, named, sent)
        about = f"{method} {split.path} {sorted(lists.items())} {sent[:200]!r}"
        try:
            said = self.service.handle(request)
        except Exception:  # the stand-in bears only what a client would send by itself
            said = Response(400, b"{}", {"Content-Type": "application/json"})
        said = self.change(about, said)
        kept = {"Content-Length": str(len(said.body)), **said.headers}
        return urllib3.HTTPResponse(
            io.BytesIO(said.body), kept, said.status, preload_content=False, decode_content=False, request_method=method
        )


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def digest(text: str) -> int:
    """Return a number for a text, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=4).digest(), "big")


def stop_the_clock() -> None:
    """Let whoever sleeps go on at once: the clock jumps instead."""
    real, ahead = time.monotonic, [0.0]

    def sleep(seconds: float) -> None:
        ahead[0] += max(seconds, 0)

    time.sleep = sleep
    time.monotonic = lambda: real() + ahead[0]
