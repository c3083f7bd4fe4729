"""How long `mist` and `import mistcore` take to start, next to libcloud: `python benchmarks/startup.py`.

Whole processes, in turn, so that a busy moment of the machine falls on all of them alike; the median of each.
Needs apache-libcloud beside mistcore (the dependency group `bench`).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

ROUNDS = 31
MIST = str(Path(sys.executable).with_name("mist"))
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import libcloud.compute.providers": [sys.executable, "-c", "import libcloud.compute.providers"],
    "mist providers": [MIST, "providers"],
    "mist --version": [MIST, "--version"],
    "import libcloud": [sys.executable, "-c", "import libcloud"],
    "import mistcore": [sys.executable, "-c", "import mistcore"],
    "from mistcore import BackendManager": [sys.executable, "-c", "from mistcore import BackendManager"],
}
#: As people run it: with byte code kept from the run before.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
REFERENCE = "import libcloud.compute.providers"


def once(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
    return (time.perf_counter() - began) * 1000


def main() -> None:
    for command in COMMANDS.values():
        once(command)
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            times[name].append(once(command))
    medians = {name: statistics.median(values) for name, values in times.items()}
    count = len(
        subprocess.run(COMMANDS["mist providers"], check=True, capture_output=True, text=True).stdout.splitlines()
    )
    print(
        f"Python {sys.version.split()[0]}, mistcore {version('mistcore')} with {count - 1} providers listed, "
        f"libcloud {version('apache-libcloud')}; median of {ROUNDS} whole processes.\n"
    )
    print(f"| process | ms | of `{REFERENCE}` |")
    print("| --- | ---: | ---: |")
    for name, median in medians.items():
        print(f"| `{name}` | {median:.0f} | {median / medians[REFERENCE]:.2f} |")


if __name__ == "__main__":
    main()
