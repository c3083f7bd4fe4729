"""The twin of all the other tests here: what is leaky is found, in whichever form, and what is not is not."""

from __future__ import annotations

import base64
import gzip
import json
import pickle
import zlib
from urllib.parse import quote, quote_plus

import pytest
from leaks.look import MARK, Look
from leaks.marks import accounts, looker, mark, pem, service_account, what_escapes

from mistcore import Registry
from mistcore.redaction import hide

SECRET = mark("test")
LEAKS = {
    "plain": f"a {SECRET} b",
    "cut off": f"the service said {MARK}",
    "quoted in a URL": f"http://u:{quote(SECRET, safe='')}@host/?x={quote_plus(SECRET)}",
    "in a repr of a repr": repr(repr({"k": SECRET})),
    "in JSON": json.dumps(json.dumps({"k": SECRET})),
    "in small letters": SECRET.lower(),
    "bytes": repr(SECRET.encode()),
    "in a pickle": pickle.dumps({"k": [SECRET]}),
    "wide": SECRET.encode("utf-16"),
    "hex": f"x{SECRET.encode().hex().upper()}",
    "hex with colons": SECRET.encode().hex(":"),
    "over lines": "\n ".join(SECRET),
    "packed": b"xyz" + gzip.compress(SECRET.encode()) + b"more",
    "zlib": b"x\x9c" + zlib.compress(SECRET.encode()),
    "packed, then in base64": base64.b64encode(gzip.compress(SECRET.encode())),
    "in base64, over lines": base64.encodebytes(b"some other words that come before" + SECRET.encode()),
    **{f"base64 from {n}": base64.b64encode(b"abc"[:n] + SECRET.encode()) for n in range(3)},
    **{f"URL's base64 from {n}": base64.urlsafe_b64encode(b"ab?"[:n] + SECRET.encode()) for n in range(3)},
    "twice in base64": base64.b64encode(base64.b64encode(SECRET.encode())),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_every_form_of_a_mark_is_found(leak: str) -> None:
    assert looker().forms(LEAKS[leak])


@pytest.mark.parametrize("shown", ["", "nothing here", hide(f"x {SECRET} y", [SECRET]), b"\x1f\x8b\x08 no", MARK[:-1]])
def test_what_holds_no_mark_is_left_alone(shown: str | bytes) -> None:
    assert looker().forms(shown) == []


def test_a_key_is_found_by_any_of_its_lines() -> None:
    for text in (pem(), pem("ssh"), service_account("http://x/token"), json.dumps([pem()]), repr(pem("ssh"))):
        assert looker().forms(text)
    line = pem().splitlines()[9]
    for text in (line, base64.b64encode(f"{line}\n".encode()).decode(), quote(line, safe="")):
        assert looker().forms(text)
    assert Look().forms(line) == []


def test_no_field_of_any_provider_is_without_a_mark() -> None:
    registry = Registry()
    assert what_escapes(registry) == set(), "tell tests/leaks/marks.py what a secret in these looks like"
    for account in accounts("http://127.0.0.1:9"):
        secret = {field.name for field in registry[account.provider].fields() if field.secret}
        for name, value in account.fields.items():
            assert (name in secret) == bool(looker().forms(value)), f"{account.title}: {name}"


def test_what_is_planted_is_taken() -> None:
    registry = Registry()
    for account in accounts("http://127.0.0.1:9"):
        registry[account.provider](**account.fields)
