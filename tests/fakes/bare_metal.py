"""Accounts on the OpenSSH server of the tests, SSH agents, and commands that do no harm."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peers.sshd import Sshd
from peers.waiting import listens, until

from mistcore_providers.bare_metal import BareMetal


def server(sshd: Sshd, **fields: Any) -> BareMetal:
    """An account that would be let in; fields that are None are left out."""
    usual = {
        "machine_ip": sshd.host,
        "machine_port": sshd.port,
        "machine_user": sshd.user,
        "machine_key": str(sshd.key),
        "host_key": sshd.fingerprint(),
    }
    return BareMetal(**{name: value for name, value in (usual | fields).items() if value is not None})


def harmless(commands: Path, called: Path) -> Path:
    """Fill a folder, which is to come first in PATH, with a `shutdown` and a `sudo` that only write down their call."""
    commands.mkdir()
    for name in ("shutdown", "sudo"):
        (commands / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"{called}"\n')
        (commands / name).chmod(0o755)
    return commands


@contextlib.contextmanager
def agent(*keys: Path) -> Iterator[str]:
    """An SSH agent that holds these keys; its socket's path."""
    with tempfile.TemporaryDirectory(prefix="mist-agent-") as folder:
        path = f"{folder}/agent"
        process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
        try:
            until(lambda: listens(path), 100, 0.01)
            environment = os.environ | {"SSH_AUTH_SOCK": path}
            subprocess.run(["ssh-add", "-q", *map(str, keys)], env=environment, check=True)
            yield path
        finally:
            process.terminate()
            process.wait(60)
