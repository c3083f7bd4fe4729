"""Waiting for a real server to get somewhere."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def until(look: Callable[[], Any], seconds: float = 180, interval: float = 0.3) -> Any:
    """Look until what is found is true, and return it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(interval)
    raise AssertionError(f"not within {seconds:g} seconds")


def listens(path: str | Path) -> bool:
    """Tell whether somebody listens on a unix socket: its file is there a moment before that."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(5)
        return probe.connect_ex(str(path)) == 0
