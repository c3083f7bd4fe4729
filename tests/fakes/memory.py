"""How much more memory this process held at most, in the middle of something."""

from __future__ import annotations

import contextlib
import ctypes
import re
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest


@attrs.define
class Peak:
    """MiB by which the most that was resident meanwhile exceeds what was resident before; known at the end."""

    grown: float = 0.0


@contextlib.contextmanager
def peak() -> Iterator[Peak]:
    """Measure a block, whoever allocates in it, C libraries and other threads included. Linux only."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # "reset the peak resident set size": proc_pid_clear_refs(5)
    except OSError:
        pytest.skip("only Linux tells the most that was resident since a moment")
    # What the tests before have freed would else be used again, and not show.
    getattr(ctypes.CDLL(None), "malloc_trim", lambda pad: 0)(0)
    before = _mebibytes("VmRSS")
    measured = Peak()
    try:
        yield measured
    finally:
        measured.grown = _mebibytes("VmHWM") - before


def _mebibytes(name: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024
