"""The JSON store with whatever may stand in a file or a record: nothing is lost, nothing escapes but a StoreError."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores.suite import put
from stores.workers import record

from mistcore.errors import StoreError
from mistcore.stores import JsonStore, Record

text = st.text(st.characters(), max_size=20)  # half surrogate pairs included
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
KNOWN = {"id", "title", "provider", "region", "enabled", "created_at", "credentials"}
unknown = st.dictionaries(text.filter(lambda key: key not in KNOWN), values, max_size=3)
records = st.builds(
    Record,
    id=text.filter(bool),
    title=text,
    provider=text,
    region=text,
    enabled=st.booleans(),
    created_at=st.datetimes(timezones=st.just(UTC)),
    credentials=st.dictionaries(text, values, max_size=3),
    unknown=unknown,
)


def in_a_store(work: Callable[[JsonStore, Path], None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "backends.json")
        work(JsonStore(path), path)


@given(st.lists(records, max_size=4, unique_by=lambda each: each.id))
def test_any_record_is_read_as_it_was_put(those: list[Record]) -> None:
    def work(store: JsonStore, path: Path) -> None:
        put(store, *those)
        assert list(JsonStore(path)) == list(store) == those

    in_a_store(work)


def as_json(each: Record) -> dict[str, Any]:
    fields = attrs.asdict(each, recurse=False, filter=lambda field, _: field.name != "unknown")
    return {**fields, "created_at": each.created_at.isoformat(), **each.unknown}


@given(
    st.lists(records, min_size=1, max_size=4, unique_by=lambda each: each.id),
    st.dictionaries(text.filter(lambda key: key not in ("version", "backends")), values, max_size=3),
    st.randoms(use_true_random=False),
    st.sampled_from([None, 0, 1, 4, "\t"]),
    st.booleans(),
)
def test_unknown_keys_survive_any_change(
    those: list[Record], beside: dict[str, Any], chance: Any, indent: int | str | None, escaped: bool
) -> None:
    top = list({**beside, "version": 1, "backends": [as_json(each) for each in those]}.items())
    chance.shuffle(top)
    content = json.dumps(dict(top), indent=indent, ensure_ascii=escaped)

    def work(store: JsonStore, path: Path) -> None:
        path.write_bytes(content.encode("utf-8", "surrogatepass"))
        try:
            content.encode()
        except UnicodeEncodeError:  # as it stands in the file, half a surrogate pair is not UTF-8
            assert_refused(store, path)
            return
        first = store.read()[those[0].id]
        put(store, attrs.evolve(first, title="changed"))
        expected = dict(top)
        expected["backends"] = [as_json(each) for each in [attrs.evolve(those[0], title="changed"), *those[1:]]]
        found = json.loads(path.read_text("utf-8"))
        for each in [*found["backends"], *expected["backends"]]:
            each["created_at"] = each["created_at"].replace("+00:00", "Z")
        assert found == expected
        assert list(found) == list(expected)

    in_a_store(work)


def assert_refused(store: JsonStore, path: Path) -> None:
    before = path.read_bytes()
    for attempt in (store.read, lambda: put(store, record(1))):
        with pytest.raises(StoreError, match=re.escape(str(path))) as caught:
            attempt()
        assert caught.value.reason in ("damaged", "newer")
        assert path.read_bytes() == before


def is_kept_or_refused(data: bytes) -> None:
    def work(store: JsonStore, path: Path) -> None:
        path.write_bytes(data)
        try:
            before = dict(store.read())
        except StoreError:
            assert_refused(store, path)
            return
        put(store, record("added"))
        after = dict(JsonStore(path).read())
        assert after.pop("id-added") is not None
        before.pop("id-added", None)
        assert after == before

    in_a_store(work)


@given(st.binary(max_size=200) | text.map(lambda each: each.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_kept_or_refused(data: bytes) -> None:
    is_kept_or_refused(data)


@given(values)
def test_any_json_is_kept_or_refused(value: Any) -> None:
    is_kept_or_refused(json.dumps(value).encode())
    is_kept_or_refused(json.dumps({"version": 1, "backends": value}).encode())
    is_kept_or_refused(json.dumps({"version": 1, "backends": [value]}).encode())
    is_kept_or_refused(json.dumps({"version": value, "backends": []}).encode())


@given(st.data())
def test_a_store_with_any_damage_is_kept_or_refused(data: st.DataObject) -> None:
    good = json.dumps({"version": 1, "backends": [as_json(record(1)), as_json(record(2))]}, indent=1).encode()
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, min(start + 20, len(good))))
    is_kept_or_refused(good[:start] + data.draw(st.binary(max_size=3)) + good[end:])


@given(records, st.sampled_from(sorted(KNOWN)), values)
def test_a_wrong_value_is_kept_or_refused(each: Record, key: str, value: Any) -> None:
    is_kept_or_refused(json.dumps({"version": 1, "backends": [{**as_json(each), key: value}]}).encode())


@given(records, st.sampled_from(sorted(attrs.fields_dict(Record))), values | st.binary() | st.dates())
def test_a_record_with_a_wrong_value_is_kept_or_refused(each: Record, key: str, value: Any) -> None:
    def work(store: JsonStore, path: Path) -> None:
        put(store, record(1))
        with suppress(StoreError):
            put(store, attrs.evolve(each, **{key: value}))
        assert "id-1" in JsonStore(path).read()
        assert dict(JsonStore(path).read()) == dict(store.read())

    in_a_store(work)
