"""Run pytest with the arguments given; let what failed show once more, in a process of its own, what it is.

A machine that other work keeps from us for seconds fails tests that nothing is wrong with. What fails again, more than
a few failures, and a run that breaks off are failures as ever. What passed the second time is named at the end, and in
the file `failed-first.txt` of tox's environment: of those that pass, tox shows nothing when it runs several at once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

#: More failures than this are no accident.
_FEW = 5
_TESTS_FAILED = 1


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(os.environ.get("TOX_ENV_DIR") or folder, "failed-first.txt")
        report.unlink(missing_ok=True)
        # pytest itself, not `-m pytest`: that would find the sources instead of the installed package.
        command = [str(Path(sys.executable).with_name("pytest")), "-o", f"cache_dir={folder}/cache", *arguments]
        status = subprocess.run(command, check=False).returncode
        failed = sorted(_failed(Path(folder, "cache")))
        if status != _TESTS_FAILED or not 0 < len(failed) <= _FEW:
            return status
        print("\nOnce more, in a process of their own:", *failed, sep="\n  ", flush=True)
        status = subprocess.run([*command, "--last-failed", "--last-failed-no-failures=none"], check=False).returncode
        if status == 0:
            lines = "\n  ".join(["Failed first and passed alone:", *failed])
            print(f"\n{lines}", flush=True)
            report.write_text(f"{lines}\n", encoding="utf-8")
        return status


def _failed(cache: Path) -> list[str]:
    try:
        return list(json.loads((cache / "v/cache/lastfailed").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
