"""A pytest plugin with what tests of a provider want beside the suites; nothing loads it but who asks for it.

    pytest_plugins = ["mistcore.testing.plugin"]  # in the topmost conftest.py

Fixtures: `mistcore_home` and `no_thread_stays`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

__all__ = ["mistcore_home", "no_thread_stays"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the settings of pytest say how long `no_thread_stays` waits."""
    parser.addini("thread_patience", "seconds after a test within which its threads have ended", default="60")


@pytest.fixture
def mistcore_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep a test away from the user's store, keys and settings, and return the home folder that it has instead."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("MISTCORE_HOME", str(home / "mistcore"))
    for name in ("MISTCORE_PASSPHRASE", "MISTCORE_STORE"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def no_thread_stays(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves threads behind: what waited for a service has to end after the error.

    It waits for them as many seconds as the setting `thread_patience` says: 60, for a busy machine.
    """
    before = set(threading.enumerate())
    yield
    end = time.monotonic() + float(request.config.getini("thread_patience"))
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(max(end - time.monotonic(), 0))
    assert [thread.name for thread in left if thread.is_alive()] == [], "these threads still run"
