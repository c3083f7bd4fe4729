"""Ask an index of known vulnerabilities about everything that mistcore with all its extras brings along.

A finding fails. An index that does not answer, or does not know of vulnerabilities, is said and does not: a check of
style must work without a network, and within seconds.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

SECONDS = 5
PATIENCE = 60


def closure(name: str, extras: frozenset[str], found: dict[str, str], seen: set[tuple[str, frozenset[str]]]) -> None:
    """Put into `found` the version of each installed package that this one needs, itself left out."""
    if (name, extras) in seen:
        return
    seen.add((name, extras))
    for text in distribution(name).requires or ():
        needed = Requirement(text)
        if needed.marker and not any(needed.marker.evaluate({"extra": extra}) for extra in (*extras, "")):
            continue
        key = re.sub(r"[-_.]+", "-", needed.name).lower()
        try:
            version = distribution(key).version
        except PackageNotFoundError:  # of an extra that is not installed here
            continue
        if key != "mistcore":
            found[key] = version
        closure(key, frozenset(needed.extras), found, seen)


def main() -> int:
    """Return 1 where something has a known vulnerability."""
    found: dict[str, str] = {}
    closure("mistcore", frozenset({"all", "testing"}), found, set())
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder, "pins.txt")
        pins.write_text("".join(f"{name}=={version}\n" for name, version in sorted(found.items())))
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(pins), "--no-deps", "--disable-pip",
                   "--format", "json", "--progress-spinner", "off", "--timeout", str(SECONDS)]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
            report = json.loads(done.stdout)["dependencies"]
        except (subprocess.TimeoutExpired, ValueError, LookupError):
            print("the index of vulnerabilities does not answer: nothing was audited")
            return 0
    known = [each for each in report if "vulns" in each]
    for each in known:
        for vulnerability in each["vulns"]:
            mended = ", ".join(vulnerability.get("fix_versions", ())) or "no version yet"
            print(f"{each['name']} {each['version']}: {vulnerability['id']}, mended in {mended}")
    print(f"{len(known)} of {len(found)} packages were audited")
    return int(any(each["vulns"] for each in known))


if __name__ == "__main__":
    sys.exit(main())
