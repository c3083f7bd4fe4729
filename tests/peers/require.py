"""What a test does when a real server that it needs cannot run here."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(reason: str) -> NoReturn:
    """Skip on somebody's own machine; fail where every server must be there (CI)."""
    if os.environ.get("MISTCORE_REQUIRE_PEERS"):
        pytest.fail(f"MISTCORE_REQUIRE_PEERS is set, but {reason}")
    pytest.skip(reason)
