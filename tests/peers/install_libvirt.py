"""Installs the test group `test-libvirt` where the distribution has libvirt's headers; elsewhere its tests are skipped.

libvirt-python is built against the distribution's libvirt, so it cannot simply be in the list that tox installs.
"""

from __future__ import annotations

import subprocess
import sys
from shutil import which


def main() -> int:
    if not which("pkg-config") or subprocess.run(["pkg-config", "--exists", "libvirt"], check=False).returncode:
        print("libvirt's headers are not installed: its tests will be skipped")
        return 0
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--group",
        "test-libvirt",
    ]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
