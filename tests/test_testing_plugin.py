"""The fixtures for authors of plugins: a home of the test's own, and a test that leaves a thread behind fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = """
import os
import threading
from pathlib import Path

import pytest

from mistcore import BackendManager

ENDED = threading.Event()


def test_the_store_is_elsewhere(mistcore_home):
    BackendManager().add_backend("bare_metal", "here", check=False, machine_ip="local")
    assert list(mistcore_home.rglob("backends.json"))
    assert "MISTCORE_STORE" not in os.environ


def test_a_thread_that_ends(no_thread_stays):
    threading.Thread(target=ENDED.wait, args=(0.05,)).start()


@pytest.mark.usefixtures("no_thread_stays")
def test_a_thread_that_stays():
    threading.Thread(target=ENDED.wait, name="it that stays", daemon=True).start()
"""


PYTEST = (sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short")


def test_what_the_fixtures_do(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["mistcore.testing.plugin"]\n')
    (tmp_path / "test_it.py").write_text(TESTS)
    store = tmp_path / "the user's"
    result = subprocess.run(
        [*PYTEST, "-o", "thread_patience=3", "test_it.py"],
        cwd=tmp_path,
        env={**os.environ, "MISTCORE_STORE": str(store / "backends.json")},
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert "3 passed, 1 error" in result.stdout
    assert "ERROR test_it.py::test_a_thread_that_stays" in result.stdout
    assert "it that stays" in result.stdout
    assert not store.exists()
