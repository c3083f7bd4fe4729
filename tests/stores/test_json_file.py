"""The JSON store: what every store promises, and what is its own: the file."""

from __future__ import annotations

import pytest
from stores.suite import StoreSuite


class TestJsonStore(StoreSuite):
    @pytest.fixture
    def location(self, tmp_path) -> str:
        return str(tmp_path / "data" / "backends.json")
