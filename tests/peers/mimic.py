"""Mimic, Rackspace's own stand-in for its identity and servers APIs, from PyPI in an environment of its own.

Started as `peers.openstack_cloud` is: always in CI, on somebody's own machine with MISTCORE_OPENSTACK=1.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import requests
from peers import require
from peers.installed import ENVIRONMENT, FOLDER, free_ports, one_run_at_a_time, wanted

_CONSTRAINTS = Path(__file__).parent / "mimic" / "constraints.txt"
_INSTALL_LIMIT = 900
_START_LIMIT = 150


@attrs.frozen
class Mimic:
    """Where it is. Any user name and API key is let in, unless it begins with "bad"."""

    url: str

    @property
    def identity(self) -> str:
        """The address of the identity service."""
        return f"{self.url}/identity/v2.0"


@pytest.fixture(scope="session")
def mimic() -> Iterator[Mimic]:
    """A running Mimic."""
    wanted()
    folder = FOLDER / "mimic"
    with one_run_at_a_time(folder):
        python = _installed(folder)
        port = free_ports(18900, 1)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [python, "-W", "ignore", python.with_name("twistd"), "--nodaemon", "--pidfile=", "mimic", "--realtime",
                 "--listen", f"tcp:{port}:interface=127.0.0.1"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=ENVIRONMENT, cwd=folder,
            )  # fmt: skip
        try:
            found = Mimic(f"http://127.0.0.1:{port}")
            _await(found, process, folder / "log")
            _refuse_bad_users(found)
            yield found
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def _installed(folder: Path) -> Path:
    python = folder / "venv" / "bin" / "python"
    done = folder / "venv" / ".ok"
    key = _CONSTRAINTS.read_text() + sys.version
    if done.exists() and done.read_text() == key:
        return python
    steps = (
        [sys.executable, "-m", "venv", "--clear", folder / "venv"],
        [python, "-m", "pip", "install", "--no-input", "-q", "-c", _CONSTRAINTS, "mimic==2.2.0", "attrs==22.2.0"],
    )
    for step in steps:
        ran = subprocess.run(step, env=ENVIRONMENT, check=False, capture_output=True, text=True, timeout=_INSTALL_LIMIT)
        if ran.returncode != 0:
            require.missing(f"Mimic cannot be installed: {ran.stderr[-2000:]}")
    done.write_text(key)
    return python


def _await(mimic: Mimic, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_LIMIT
    while time.monotonic() < end and process.poll() is None:
        try:
            requests.get(mimic.url, timeout=5)
        except requests.RequestException:
            time.sleep(0.2)
        else:
            return
    require.missing(f"Mimic does not start: {log.read_text(errors='replace')[-2000:]}")


def _refuse_bad_users(mimic: Mimic) -> None:
    behavior = {
        "name": "fail",
        "criteria": [{"username": "bad.*"}],
        "parameters": {"code": 401, "type": "unauthorized", "message": "Username or api key is invalid."},
    }
    address = f"{mimic.url}/mimic/v1.1/IdentityControlAPI/behaviors/auth"
    requests.post(address, json=behavior, timeout=60).raise_for_status()
