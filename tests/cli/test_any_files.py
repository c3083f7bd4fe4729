"""`mist` with anything in its store's file: every command reads it or refuses it, and shows only text."""

from __future__ import annotations

import json
from typing import Any

from fakes import odd_mist
from fakes.odd import jsons, texts
from fakes.odd_mist import ALL, FIELDS
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mistcore import BackendManager, MistError

#: For tests that run every command for each example.
fewer = settings(max_examples=settings.default.max_examples // 4 or 1)


mist, _only_odd = odd_mist.mist, odd_mist.only_odd


READING = [
    ["backends"],
    ["backends", "x", "--json"],
    ["show", "kept"],
    ["check"],
    ["check", "kept"],
    ["machines"],
    ["machines", "--cached"],
    ["machines", "--backend", "kept"],
    ["rename", "kept", "new"],
    ["update", "kept", "port=1", "--no-check"],
    ["enable", "kept"],
    ["disable", "kept"],
    ["remove", "kept", "--yes"],
    ["start", "web-1"],
    ["destroy", "web-1", "--yes"],
    ["create", "kept", "web-2"],
    ["sizes", "kept"],
    ["add", "odd", "--endpoint", "x", "--no-check"],
    ["secrets"],
    ["secrets", "plain"],
    ["copy-store", "{}", "{}.copy"],
]
good = json.dumps(
    {
        "version": 1,
        "backends": [
            {
                "id": "4ukW6Juooqa8bTu2YgM4mE8RAsk7",
                "title": "kept",
                "provider": "odd",
                "region": "",
                "enabled": True,
                "created_at": "2030-01-31T12:00:00Z",
                "credentials": {"endpoint": "x"},
            }
        ],
    },
    indent=2,
).encode()


@st.composite
def damaged(draw: Any) -> bytes:
    start = draw(st.integers(0, len(good)))
    return good[:start] + draw(st.binary(max_size=4)) + good[draw(st.integers(start, min(start + 9, len(good)))) :]


@fewer
@given(st.binary(max_size=100) | damaged() | st.builds(lambda n: b"[" * n, st.integers(1, 5000)))
@example(b'{"version": 1, "backends": [' + b"1" * 5000 + b"]}")
@example(b'{"version": 99, "backends": []}')
@example(b'{"version": 1, "backends": [], "backends": []}')
@example(b"\x1b[2J")
@example(b"")
def test_a_store_of_any_bytes_is_read_or_refused_by_every_command(mist, data: bytes) -> None:
    path = mist.path.with_name("any.json")
    path.write_bytes(data)
    path.chmod(0o600)
    try:
        with BackendManager(path) as manager:
            manager.backends()
    except MistError:
        for command in READING:
            result = mist(*(word.format(path) for word in command), store=path)
            assert (result.status, result.out) == (1, ""), command
            assert "any.json" in result.err
            assert path.read_bytes() == data, command
    else:
        for command in READING:
            mist(*(word.format(path) for word in command), store=path)
            with BackendManager(path) as manager:
                manager.backends()
    for leftover in path.parent.glob("any.json*"):
        leftover.unlink()


rows = st.fixed_dictionaries(
    {
        "id": texts.filter(bool),
        "title": texts,
        "provider": texts | st.just("odd"),
        "region": texts,
        "enabled": st.booleans(),
        "created_at": st.just("2030-01-31T12:00:00Z"),
        "credentials": st.dictionaries(texts | st.sampled_from(FIELDS), jsons, max_size=3),
    }
)


@fewer
@given(st.lists(rows, min_size=1, max_size=2, unique_by=lambda row: row["id"]))
@example(
    [
        {
            "id": ALL,
            "title": ALL,
            "provider": ALL,
            "region": ALL,
            "enabled": True,
            "created_at": "2030-01-31T12:00:00Z",
            "credentials": {ALL: ALL},
        }
    ]
)
@example(
    [
        {
            "id": ALL,
            "title": ALL,
            "provider": "odd",
            "region": ALL,
            "enabled": True,
            "created_at": "2030-01-31T12:00:00Z",
            "credentials": {"endpoint": ALL, "notes": ALL, "port": {"x": [ALL]}},
        }
    ]
)
def test_backends_that_somebody_else_wrote(mist, those: list[dict[str, Any]]) -> None:
    path = mist.path.with_name("any.json")
    path.write_text(json.dumps({"version": 1, "backends": those}))
    path.chmod(0o600)
    name = those[0]["id"].replace("\0", "")
    for command in (
        *READING[:8],
        *(
            [word.replace("kept", name) if word != "--" else word for word in command]
            for command in READING[2:17]
            if command != ["check"]
        ),
    ):
        options = [word for word in command[1:] if word.startswith("--") and word != name]
        values = [word for word in command[1:] if word not in options]
        if "--backend" in options:
            continue
        for output in (
            ("json", "plain", "table") if command[0] in ("backends", "show", "check", "machines", "sizes") else ("",)
        ):
            chosen = [f"--output={output}"] if output and "--json" not in options else []
            mist(command[0], *options, *chosen, "--", *values, store=path)
        with BackendManager(path) as manager:
            manager.backends()
    for leftover in path.parent.glob("any.json*"):
        leftover.unlink()
