"""What takes minutes to install is installed beside the tests that do not need it, from when the first test runs.

A plugin of pytest that starts a process of its own, `python -m peers.ahead`. What that fails to do, the fixture does
again when its turn comes, and says what is wrong.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from peers.installed import ENVIRONMENT, is_wanted

_FIXTURES = {"openstack_cloud", "keystone12_cloud"}
_RUNNING = pytest.StashKey[subprocess.Popen[bytes]]()


def pytest_collection_finish(session: pytest.Session) -> None:
    used = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if not is_wanted() or not used & _FIXTURES or session.config.option.collectonly:
        return
    session.config.stash[_RUNNING] = subprocess.Popen(
        [sys.executable, "-m", "peers.ahead", *sorted(used & _FIXTURES)],
        cwd=Path(__file__).parent.parent,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    process = session.config.stash.get(_RUNNING, None)
    if process is not None:
        _end(process.pid)
        process.wait(30)


def _end(session_id: int) -> None:
    """End all processes of a session: some of them are groups of their own."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            of_session = int(path.read_text().rpartition(")")[2].split()[3]) == session_id
            if of_session:
                os.kill(int(path.parent.name), signal.SIGTERM)
        except (OSError, ValueError, IndexError):  # it ended meanwhile
            continue


if __name__ == "__main__":
    from peers.openstack_cloud import install

    os.nice(5)
    install(with_keystone12="keystone12_cloud" in sys.argv)
