"""A JSON store of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from mistcore.stores import JsonStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is; neither the file nor its folder is there yet."""
    return tmp_path / "data" / "backends.json"


@pytest.fixture
def store(path: Path) -> JsonStore:
    return JsonStore(path)
