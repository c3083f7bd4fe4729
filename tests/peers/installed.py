"""Servers that are installed from PyPI: outside the tree, kept for the next run, used by one run at a time."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import pytest
from peers import require

_OTHER_RUN_LIMIT = 1800
#: As it was before any test got a home of its own.
ENVIRONMENT = dict(os.environ)
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mistcore-tests"
FOLDER = Path(os.environ.get("MISTCORE_OPENSTACK_DIR") or _CACHE)


def is_wanted() -> bool:
    """Return whether somebody asked for servers that take a while to install."""
    return bool(os.environ.get("MISTCORE_REQUIRE_PEERS")) or os.environ.get("MISTCORE_OPENSTACK") == "1"


def wanted() -> None:
    """Skip unless somebody asked for servers that take a while to install."""
    if not is_wanted():
        pytest.skip("a real OpenStack is started with MISTCORE_OPENSTACK=1; the first time takes minutes and 600 MB")
    for command in ("bash", "curl", "flock", "setsid", "timeout"):
        if shutil.which(command) is None:
            require.missing(f"there is no command {command!r}")


def free_ports(base: int, count: int) -> int:
    """Return the first of so many ports in a row that nobody listens on, in steps from `base`."""

    def free(port: int) -> bool:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
            return True

    for first in range(base, base + 2000, 100):
        if all(free(port) for port in range(first, first + count)):
            return first
    return require.missing(f"no {count} ports in a row are free from {base} on")


@contextmanager
def one_run_at_a_time(folder: Path) -> Iterator[None]:
    """Wait until no other test run uses the folder, and keep it for this one."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / "run.lock")
    try:
        lock.acquire(timeout=_OTHER_RUN_LIMIT)
    except filelock.Timeout:
        require.missing(f"another run holds {folder} for more than {_OTHER_RUN_LIMIT} seconds")
    try:
        yield
    finally:
        lock.release()
