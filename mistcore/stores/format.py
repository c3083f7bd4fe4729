"""The text of a JSON store: bytes to records and back.

A person can read it and compare two versions of it: each key has a line of its own. The text of every record is kept as
it was read or first written, so a change of one among thousands lays out one, and a diff shows that one. (json's own
`indent` would mean its slow encoder, for everything.)
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from mistcore.stores.base import Record
from mistcore.stores.scan import BETWEEN, Fault, Pieces, read_json, scan

__all__ = ["VERSION", "Damaged", "Document", "Problem", "compose", "decode", "encode", "parse"]

#: The version that this module writes, and the newest that it reads.
VERSION = 1

_KEYS = ("id", "title", "provider", "region", "enabled", "created_at", "credentials")
_KNOWN = frozenset(_KEYS)
_TYPES = (str, str, str, str, bool, str, dict)
_FIELDS = {"id": str, "title": str, "created_at": datetime, "credentials": Mapping, "unknown": Mapping}
_WORDS: Mapping[type, str] = {
    str: "a text",
    bool: "true or false",
    dict: "an object",
    Mapping: "a mapping",
    datetime: "a time",
}
_DEEPEST = 100

_values = itemgetter(*_KEYS)
_encode: Callable[[Any], str] = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_encode_ascii: Callable[[Any], str] = json.JSONEncoder(allow_nan=False).encode


class Problem(ValueError):
    """A record that cannot be one. The words never quote a value; `key` is the key at fault, if it is one."""

    def __init__(self, what: str, key: str = "") -> None:
        super().__init__(what)
        self.key = key


class Damaged(Exception):
    """Bytes that are no store of a version known here. The words never quote what is in them."""

    def __init__(self, what: str, *, line: int = 0, newer: bool = False) -> None:
        super().__init__(f"line {line}: {what}" if line else what)
        self.newer = newer


class Document:
    """What a file holds: records by id, and their texts; one that was read is cut to pieces at the first change."""

    def __init__(
        self,
        records: dict[str, Record] | None = None,
        source: Pieces | None = None,
        vault: Mapping[str, Any] | None = None,
    ) -> None:
        self.records = {} if records is None else records
        self.vault = vault
        self._read_vault = vault
        self._source = source
        self._texts: dict[str, str] | None = None if source else {}

    def copy(self) -> Document:
        """Return a copy that may be changed apart from this one."""
        copy = Document(dict(self.records), self._source, self._read_vault)
        copy.vault = self.vault
        copy._texts = None if self._texts is None else dict(self._texts)
        return copy

    def put(self, record: Record, text: str) -> None:
        """Add a record at the end, or replace the one with its id."""
        self._own_texts()[record.id] = text
        self.records[record.id] = record

    def remove(self, id: str) -> None:
        """Remove a record. Raises `KeyError` if there is none with this id."""
        del self.records[id]
        del self._own_texts()[id]

    def is_like(self, other: Document) -> bool:
        """Return whether this one, a copy of the other that may have been changed since, makes the same file."""
        if self.vault != other.vault:
            return False
        if self._texts is None:
            return True
        mine, others = self.texts, other.texts
        return mine == others and list(mine) == list(others)

    @property
    def texts(self) -> Mapping[str, str]:
        """The text of each record."""
        if self._texts is not None:
            return self._texts
        return self._source.backends if self._source else {}

    @property
    def top(self) -> Mapping[str, str]:
        """The texts of all top-level values, in the order of the file; that of the backends is empty."""
        found = self._source.top if self._source else {"version": str(VERSION), "backends": ""}
        if self.vault == self._read_vault and self._source:
            return found
        vault = {} if self.vault is None else {"vault": _lay_out(self.vault, "\n  ")}
        others = {key: text for key, text in found.items() if key not in ("vault", "backends")}
        return {**others, **vault, "backends": ""}

    def _own_texts(self) -> dict[str, str]:
        if self._texts is None:
            self._texts = dict(self.texts)
        return self._texts


# --- reading


def parse(data: bytes) -> Document:
    """Return what the bytes of a store file hold.

    Raises:
        Damaged: they are not UTF-8, not JSON, not a store, or of a newer version.

    """
    if not data.strip():
        raise Damaged("it holds nothing but white space" if data else "it is empty")
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        raise Damaged("it is not UTF-8 text", line=data.count(b"\n", 0, error.start) + 1) from None

    try:
        top = read_json(text)
        rows = top["backends"]
        if type(rows) is list and type(top["version"]) is int and top["version"] == VERSION:
            records = {record.id: record for record in map(decode, rows)}
            if len(records) == len(rows):
                vault = top.get("vault")
                if vault is None or (type(vault) is dict and not _is_deeper(vault, _DEEPEST)):
                    return Document(records, Pieces(text), vault)
    except (LookupError, TypeError, ValueError, RecursionError):
        pass
    raise _diagnosis(text)  # the slow way, which knows the line


def _diagnosis(text: str) -> Damaged:
    def damaged(what: str, at: int) -> Damaged:
        return Damaged(what, line=text.count("\n", 0, at) + 1)

    try:
        top, rows = scan(text)
    except Fault as fault:
        return damaged(fault.what, fault.at)
    version = top.get("version", "")
    if not re.fullmatch("[1-9][0-9]{0,8}", version):
        where = text.find('"version"')
        return (
            damaged("the version is not a whole number from 1 on", where) if version else Damaged("it has no version")
        )
    if int(version) > VERSION:
        return Damaged(f"it is of version {version}, and this mistcore reads up to {VERSION}", newer=True)
    if rows is None:
        where = text.find('"backends"')
        return damaged("backends is not a list", where) if "backends" in top else Damaged("it has no list of backends")
    starts: dict[str, int] = {}
    for number, (raw, start, end) in enumerate(rows, 1):
        try:
            record = decode(raw)
        except Problem as problem:
            key = text.find(f'"{problem.key}"', start, end) if problem.key else -1
            return damaged(f"backend {number} {problem}", max(key, start))
        if record.id in starts:
            first = text.count("\n", 0, starts[record.id]) + 1
            return damaged(f"backend {number} has the id of the one on line {first}", start)
        starts[record.id] = start
    if "vault" in top:
        return damaged("vault is not an object", text.find('"vault"'))
    return Damaged("it is no store")


def decode(raw: Any) -> Record:
    """Return the record that a parsed JSON object is.

    Raises:
        Problem: it is not an object, a key is missing, or a value has the wrong type.

    """
    if type(raw) is not dict:
        raise Problem("is not an object")
    try:
        values = _values(raw)
    except KeyError as missing:
        raise Problem(f"has no {missing.args[0]}") from None
    if tuple(map(type, values)) != _TYPES:
        key, expected = next((k, t) for k, t, v in zip(_KEYS, _TYPES, values, strict=True) if type(v) is not t)
        raise Problem(f"has a bad {key} ({_WORDS[expected]} is expected)", key)
    if not values[0]:
        raise Problem("has an empty id", "id")
    unknown = {key: value for key, value in raw.items() if key not in _KNOWN} if len(raw) > len(_KEYS) else {}
    if _is_deeper(values[6], _DEEPEST) or (unknown and _is_deeper(unknown, _DEEPEST)):
        raise Problem("is nested too deeply")
    key, title, provider, region, enabled, created_at, credentials = values
    return Record(key, title, provider, region, enabled, _time(created_at), credentials, unknown)


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is UTC:
            return time
        if time.tzinfo is not None:
            return time.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise Problem("has a bad created_at (a time like 2030-01-31T12:00:00Z is expected)", "created_at")


def _is_deeper(value: Any, than: int) -> bool:
    if not than:
        return True
    for part in value.values() if type(value) is dict else value:
        if type(part) in (dict, list) and _is_deeper(part, than - 1):
            return True
    return False


# --- writing


def compose(document: Document) -> bytes:
    """Return the bytes of a store file."""
    texts = BETWEEN.join(document.texts.values())
    backends = f"[\n    {texts}\n  ]" if texts else "[]"
    lines = [f"  {_text(key)}: {backends if key == 'backends' else text}" for key, text in document.top.items()]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def encode(record: Record) -> tuple[Record, str]:
    """Return a record as reading it back will give it, and its text, indented for its place in the file.

    Raises:
        Problem: it holds something that JSON cannot express, or that this format has no place for.

    """
    for key, expected in _FIELDS.items():
        if not isinstance(getattr(record, key), expected):
            raise Problem(f"has a bad {key} ({_WORDS[expected]} is expected)", key)
    if clash := sorted(_KNOWN.intersection(record.unknown)):
        raise Problem(f"has {clash[0]} among the unknown keys", clash[0])
    try:
        created_at = record.created_at.astimezone(UTC).isoformat() if record.created_at.tzinfo else ""
    except OverflowError:
        created_at = ""
    text = _lay_out(
        {
            "id": record.id,
            "title": record.title,
            "provider": record.provider,
            "region": record.region,
            "enabled": record.enabled,
            "created_at": created_at.replace("+00:00", "Z"),
            "credentials": record.credentials,
            **record.unknown,
        },
        "\n    ",
    )
    return decode(json.loads(text)), text


def _lay_out(value: Any, newline: str) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (Mapping, list, tuple)):
        deeper = newline + "  "
        if len(newline) > 3 * _DEEPEST:
            raise Problem("is nested too deeply")
        if isinstance(value, Mapping):
            parts = [f"{_key(key)}: {_lay_out(part, deeper)}" for key, part in value.items()]
            opening, closing = "{}"
        else:
            parts = [_lay_out(part, deeper) for part in value]
            opening, closing = "[]"
        return f"{opening}{deeper}{f',{deeper}'.join(parts)}{newline}{closing}" if parts else opening + closing
    try:
        return _encode(value)
    except (TypeError, ValueError):
        kind = type(value).__name__
    raise Problem(f"holds a value that JSON cannot express (a {kind})")


def _key(key: Any) -> str:
    if isinstance(key, str):
        return _text(key)
    raise Problem(f"has a key that is not a text (a {type(key).__name__})")


def _text(text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # half of a surrogate pair: JSON can escape it, UTF-8 cannot hold it
            return _encode_ascii(text)
    return _encode(text)
