"""`mist` with Odd as its only provider: run in this process, and looked at each time, for it must show only text."""

from __future__ import annotations

import io
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import attrs
import pytest
from fakes.odd import ORDERS, Odd, orders_in

import mistcore.registry
from mistcore import Account, BackendManager
from mistcore.cli.app import run

ALL = "|".join(ORDERS)
FIELDS = ["token", "key", "notes", "endpoint", "kind", "port", "share", "verify"]


@attrs.frozen
class Result:
    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def only_odd(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make Odd the only provider, and forget afterwards what it was told to answer."""
    entry = EntryPoint("odd", "fakes.odd:Odd", mistcore.registry.GROUP)
    monkeypatch.setattr(mistcore.registry, "entry_points", lambda group: [entry])
    try:
        yield
    finally:
        Odd.machines, Odd.records, Odd.account, Odd.failure = [], {}, Account("1"), None


@pytest.fixture
def mist(tmp_path: Path) -> Callable[..., Result]:
    """Return `mist` on a store of one backend, with streams as strict as real ones; errors are plain lines."""
    path = tmp_path / "s.json"
    with BackendManager(path) as manager:
        manager.add_backend("odd", "kept", check=False, endpoint="kept.example", token="kept-token")

    def call(*words: str, stdin: bytes = b"", store: Path = path) -> Result:
        streams = sys.stdin, sys.stdout, sys.stderr
        sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
        sys.stdout = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="", write_through=True)
        sys.stderr = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)
        try:
            with warnings.catch_warnings():
                status = run(["--store", str(store), *words])
            shown = [stream.buffer.getvalue().decode() for stream in (sys.stdout, sys.stderr)]
        finally:
            sys.stdin, sys.stdout, sys.stderr = streams
        result = Result(status, *shown)
        assert status in (0, 1, 2, 3), result
        assert "fault of mist" not in result.err, result.err
        assert "Traceback" not in result.err
        assert orders_in(result.err) == [], result.err
        assert orders_in(result.out, "\n\t") == [], result.out
        if status and "--debug" not in words:
            # One or two plain lines for each thing that failed; JSON of a check has its errors in itself.
            assert re.fullmatch(r"(No machines\.\n)?(mist: .+\n(      .+\n)?)*", result.err), result.err
            assert status == 0 or result.err or result.out.lstrip()[:1] in ("[", "{")
        return result

    call.path = path  # type: ignore[attr-defined]
    return call


def kept(mist: Any) -> list[Any]:
    """Return all backends but the first, which must be as it was."""
    with BackendManager(mist.path) as manager:
        first, *others = manager.backends()
        assert (first.title, dict(first.record.credentials)) == (
            "kept",
            {"endpoint": "kept.example", "token": "kept-token"},
        )
        return [backend.record for backend in others]


def drop(mist: Any) -> None:
    with BackendManager(mist.path) as manager, manager.batch():
        for backend in manager.backends()[1:]:
            backend.delete()
