"""What the suite looks for: whether a record is well formed, and whether something shows a secret."""

from __future__ import annotations

import base64
import ipaddress
import json
import pickle
import re
import traceback
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import attrs

from mistcore.models import Machine, MachineState
from mistcore.provider import Provider

__all__ = ["leaks", "machine_problems", "record_problems", "secrets_of", "shown_by"]

_SHORTEST_SECRET = 6
_KEY_LINE = re.compile(r"[A-Za-z0-9+/=]{40,}")


def record_problems(record: object, kind: type) -> list[str]:
    """Return what is wrong with a record: its type, its id, text that is none, times without UTC, values not plain."""
    if not isinstance(record, kind):
        return [f"{record!r} is not {kind.__name__}"]
    found = []
    for field in attrs.fields(kind):  # every record is an attrs class
        value = getattr(record, field.name, None)
        if field.type in ("str", str) and not isinstance(value, str):
            found.append(f"{field.name} is {value!r}, not text")
        if isinstance(value, datetime) and value.tzinfo is not UTC:
            found.append(f"{field.name} is not UTC")
        if field.name in ("extra", "details") and not _is_plain(value):
            found.append(f"{field.name} holds what is no plain JSON value: {value!r}")
    if not getattr(record, "id", ""):
        found.append("it has no id")
    try:
        json.dumps(record.to_dict(), allow_nan=False)  # type: ignore[attr-defined]  # every record has it
    except (TypeError, ValueError) as error:
        found.append(f"it is no JSON: {error}")
    return found


def machine_problems(machine: object) -> list[str]:
    """Return what is wrong with a machine that a provider reported."""
    found = record_problems(machine, Machine)
    if not isinstance(machine, Machine):
        return found
    if not isinstance(machine.state, MachineState):
        found.append(f"the state {machine.state!r} is none")
    if not isinstance(machine.created_at, (datetime, type(None))):
        found.append(f"created_at is {machine.created_at!r}, not a time")
    for address in (*machine.public_ips, *machine.private_ips):
        try:
            ipaddress.ip_address(address)
        except ValueError:
            found.append(f"{address!r} is no address; mistcore.addresses.split_addresses leaves out what is none")
    both = set(machine.public_ips) & set(machine.private_ips)
    if both:
        found.append(f"{', '.join(sorted(both))} cannot be both public and private")
    for key, value in machine.tags.items():
        if not (isinstance(key, str) and isinstance(value, str)):
            found.append(f"the tag {key!r}: {value!r} is not text")
    return found


def secrets_of(provider: Provider) -> list[str]:
    """Return the secrets of an account as they must not appear anywhere: whole, line by line, quoted, in base64."""
    values = [
        value
        for field in type(provider).fields()
        if field.secret and isinstance(value := getattr(provider, field.name), str) and len(value) >= _SHORTEST_SECRET
    ]
    names = [getattr(provider, name, "") for name in ("username", "user", "email", "auth_user")]
    pairs = [f"{name}:{value}" for value in values for name in names if isinstance(name, str) and name]
    encoded = [base64.b64encode(text.encode()).decode() for text in (*values, *pairs)]
    lines = [line for value in values for line in _KEY_LINE.findall(value)]
    return list(dict.fromkeys([*values, *lines, *(quote(value, safe="") for value in values), *encoded]))


def shown_by(thing: object) -> str:
    """Return everything that a thing shows of itself: in words, in a traceback with its causes, and when pickled."""
    texts = [str(thing), repr(thing)]
    if isinstance(thing, BaseException):
        texts += ["".join(traceback.format_exception(thing)), repr(vars(thing)), repr(thing.args)]
        texts += getattr(thing, "__notes__", ())
    texts.append(pickle.dumps(thing).decode("latin-1"))
    return "\n".join(texts)


def leaks(secrets: Iterable[str], shown: str | Mapping[str, str]) -> list[str]:
    """Return the secrets found in a text, cut short so that the report of the finding does not leak them again."""
    text = shown if isinstance(shown, str) else "\n".join(f"{name}: {value}" for name, value in shown.items())
    return [f"{secret[:3]}…" for secret in secrets if secret in text]


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, (bool, int, float, str))
