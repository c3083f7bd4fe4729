"""`mist` in this process, with Acme as the only provider; and `mist` in a real terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import attrs
import pytest

import mistcore.registry
from mistcore.cli.app import run


@attrs.frozen
class Result:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "backends.json"


@pytest.fixture
def mist(store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    entry = EntryPoint("acme", "fakes.acme:Acme", mistcore.registry.GROUP)
    monkeypatch.setattr(mistcore.registry, "entry_points", lambda group: [entry])

    def call(*arguments: str, stdin: str | None = None) -> Result:
        import io
        import sys
        import warnings

        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin or ""))
        with warnings.catch_warnings():
            status = run(["--store", str(store), *arguments])
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    call.store = store  # type: ignore[attr-defined]
    return call
