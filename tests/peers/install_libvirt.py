"""Installs the group `test-libvirt` where the distribution has libvirt's headers; elsewhere its tests are skipped.

libvirt-python is built against the distribution's libvirt, so it cannot simply be in the list that tox installs. An
argument names a file of constraints for pip.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from shutil import which


def main() -> int:
    if not which("pkg-config") or subprocess.run(["pkg-config", "--exists", "libvirt"], check=False).returncode:
        print("libvirt's headers are not installed: its tests will be skipped")
        return 1 if os.environ.get("MISTCORE_REQUIRE_PEERS") else 0
    groups = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += [part for path in sys.argv[1:] for part in ("--constraint", path)]
    return subprocess.run([*pip, *groups["test-libvirt"]], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
