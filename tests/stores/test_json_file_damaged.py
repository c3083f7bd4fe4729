"""The JSON store and files that it refuses: damaged ones and newer ones, which are left untouched and never told."""

from __future__ import annotations

import json
import pickle
import traceback
from pathlib import Path

import pytest
from stores.suite import names, put
from stores.workers import record

from mistcore.errors import StoreError
from mistcore.stores import JsonStore

GOOD = {
    "id": "a",
    "title": "A secret title",
    "provider": "acme",
    "region": "",
    "enabled": True,
    "created_at": "2030-01-31T12:00:00Z",
    "credentials": {"token": "hunter2-secret"},
}


def text_of(*backends: object, **more: object) -> str:
    return json.dumps({"version": 1, **more, "backends": list(backends)}, indent=2)


def without(key: str) -> dict[str, object]:
    return {name: value for name, value in GOOD.items() if name != key}


DAMAGED = {
    "empty": (b"", "it is empty"),
    "blank": (b" \n\n", "nothing but white space"),
    "truncated": (text_of(GOOD, GOOD)[:-40], r"line 2\d: "),
    "cut at the end": (text_of(GOOD)[:-1], "line 16: it ends too early"),
    "cut in the list": (text_of(GOOD)[:-4], "line 15: it ends too early"),
    "cut at the start": ('{"version": 1,', "line 1: "),
    "garbage": (b"\x00\x01\x02 secret", "line 1: it is not JSON"),
    "not utf-8": (text_of(GOOD).encode().replace(b"A secret", b"\xff secret"), "line 6: it is not UTF-8"),
    "utf-16": (text_of(GOOD).encode("utf-16"), "line 1: it is not UTF-8"),
    "a list": ("[]", r"line 1: it is not JSON \('\{' is expected\)"),
    "a text": ('"secret"', "line 1: "),
    "trailing": (text_of(GOOD) + "\n{}", "line 17: it goes on after its end"),
    "a missing comma": (
        text_of(GOOD).replace('"acme",', '"acme"'),
        r"line 8: it is not JSON \(Expecting ',' delimiter\)",
    ),
    "a missing comma outside": ('{"version": 1\n"backends": []}', "line 2: it is not JSON"),
    "a comma too many": ('{"version": 1,\n"backends": [],}', "line 2: it is not JSON"),
    "a comma too many in the list": ('{"version": 1,\n"backends": [\n{},]}', "line 3: "),
    "a control character": (text_of(GOOD).replace("A secret", "A\nsecret"), "line 6: it is not JSON"),
    "a bad escape": (text_of(GOOD).replace("hunter2", "\\hunter2"), "line 12: it is not JSON"),
    "a name without quotes": ("{version: 1}", "line 1: it is not JSON"),
    "no version": ('{"backends": []}', "no version"),
    "version 0": ('{\n"version": 0, "backends": []}', "line 2: the version is not"),
    "version true": ('{"version": true, "backends": []}', "line 1: the version is not"),
    "version 1.0": ('{"version": 1.0, "backends": []}', "line 1: the version is not"),
    "version as text": ('{"version": "1", "backends": []}', "line 1: the version is not"),
    "two versions": ('{"version": 1, "version": 1, "backends": []}', "line 1: a key stands twice"),
    "no backends": ('{"version": 1}', "no list of backends"),
    "backends null": ('{"version": 1,\n"backends": null}', "line 2: backends is not a list"),
    "backends by id": ('{"version": 1,\n"backends": {"a": {}}}', "line 2: backends is not a list"),
    "two lists": ('{"version": 1,\n"backends": [],\n"backends": []}', "line 3: a key stands twice"),
    "a number": (text_of(GOOD, 7), "line 15: backend 2 is not an object"),
    "null": (text_of(None), "line 4: backend 1 is not an object"),
    **{f"no {key}": (text_of(without(key)), f"line 4: backend 1 has no {key}") for key in GOOD},
    **{
        f"{key} is {value!r}": (text_of({**GOOD, key: value}), rf"line {line}: backend 1 has a bad {key}")
        for line, (key, value) in enumerate(
            [("id", 7), ("title", None), ("provider", []), ("region", None), ("enabled", 1), ("created_at", 0)], 5
        )
    },
    "credentials are a list": (
        text_of({**GOOD, "credentials": ["secret"]}),
        "line 11: backend 1 has a bad credentials",
    ),
    "an empty id": (text_of({**GOOD, "id": ""}), "line 5: backend 1 has an empty id"),
    "no time": (text_of({**GOOD, "created_at": "secret"}), "line 10: backend 1 has a bad created_at"),
    "no time zone": (text_of({**GOOD, "created_at": "2030-01-31T12:00:00"}), "line 10: backend 1 has a bad created_at"),
    "a time before time": (text_of({**GOOD, "created_at": "0001-01-01T00:00:00+14:00"}), "line 10: "),
    "the same id twice": (
        text_of(GOOD, {**GOOD, "id": "b"}, GOOD),
        "line 26: backend 3 has the id of the one on line 4",
    ),
    "a key twice": (text_of(GOOD).replace('"region"', '"title"'), "line 4: a key stands twice"),
    "a credential twice": (text_of(GOOD).replace('"token":', '"token": "", "token":'), "line 4: a key stands twice"),
    "infinity": (text_of({**GOOD, "weight": float("inf")}), "line 4: Infinity is not JSON"),
    "nested too deeply": ('{"version": 1, "backends": [' + "[" * 100_000, "line 1: it is nested too deeply"),
    "nested too deeply in an unknown key": ('{"version": 1,\n"x": ' + "[" * 100_000, "line 2: it is nested too deeply"),
    "nested deeply": (
        text_of({**GOOD, "x": json.loads("[" * 150 + "]" * 150)}),
        "line 4: backend 1 is nested too deeply",
    ),
    "a number without end": ('{"version": ' + "1" * 10_000 + ', "backends": []}', "line 1: a number is too long"),
}


@pytest.mark.parametrize(("content", "words"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_refused_and_left_untouched(path: Path, content: bytes | str, words: str) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    path.parent.mkdir()
    path.write_bytes(data)
    store = JsonStore(path)
    for attempt in (store.read, lambda: put(store, record(1))):
        with pytest.raises(StoreError, match=words) as caught:
            attempt()
        error = caught.value
        assert error.reason == "damaged"
        assert error.location == str(path)
        assert str(path) in error.message
        assert "left untouched" in error.remedy
        assert path.read_bytes() == data
    assert names(path.parent) == ["backends.json", "backends.json.lock"]


def refusal(path: Path) -> StoreError:
    try:
        JsonStore(path).read()
    except StoreError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize("content", [content for content, _ in DAMAGED.values()], ids=DAMAGED)
def test_no_part_of_a_refused_file_is_in_the_error(path: Path, content: bytes | str) -> None:
    path.parent.mkdir()
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    error = refusal(path)
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    for text in ("".join(told.format()), repr(pickle.dumps(error)), repr(error.__dict__)):
        assert "hunter2" not in text
        assert "A secret" not in text
    assert error.__cause__ is None
    assert error.__context__ is None


@pytest.mark.parametrize(
    "content",
    ['{"version": 2, "backends": []}', '{"backends": {"by": "id"}, "version": 17}', '{"version": 2, "groups": [null]}'],
)
def test_a_newer_file_is_refused_and_left_untouched(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    store = JsonStore(path)
    for attempt in (store.read, lambda: put(store, record(1))):
        with pytest.raises(StoreError, match=r"it is of version (2|17), and this mistcore reads up to 1") as caught:
            attempt()
        assert caught.value.reason == "newer"
        assert "pip install --upgrade mistcore" in caught.value.remedy
        assert path.read_text() == content


def test_a_file_that_was_damaged_and_is_repaired_works_again(store: JsonStore, path: Path) -> None:
    put(store, record(1))
    good = path.read_bytes()
    path.write_bytes(good[:-20])
    with pytest.raises(StoreError):
        store.read()
    path.write_bytes(good)
    put(store, record(2))
    assert list(store.read()) == ["id-1", "id-2"]
