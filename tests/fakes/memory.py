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
    _libc("malloc_trim", 0)  # what the tests before have freed would else be used again, and not show
    try:
        Path("/proc/self/clear_refs").write_text("5")  # "reset the peak resident set size": proc_pid_clear_refs(5)
    except OSError:
        pytest.skip("only Linux tells the most that was resident since a moment")
    before = _mebibytes("VmRSS")
    measured = Peak()
    try:
        yield measured
    finally:
        measured.grown = _mebibytes("VmHWM") - before


def return_what_is_freed() -> None:
    """Have this process give large blocks back at once, so that the tests before a measurement do not matter.

    By default glibc keeps ever larger ones once it has seen some (mallopt(3), M_MMAP_THRESHOLD).
    """
    _libc("mallopt", -3, 128 * 1024)


def _libc(name: str, *arguments: int) -> None:
    getattr(ctypes.CDLL(None), name, lambda *_: 0)(*arguments)


def _mebibytes(name: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024
