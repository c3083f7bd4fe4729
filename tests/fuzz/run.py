"""Fuzz, guided by coverage, for so many seconds a target: `python tests/fuzz/run.py [--seconds N] [TARGET …]`.

Each target runs in a process of its own, two at a time, from the corpus in this folder. What makes one fail is kept in
`tests/fuzz/found/` and printed; `--replay FILE` with its target shows the traceback. `--grow` keeps in the corpus
the shortest inputs that reached new code, a few of each target.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
#: What is watched for new code: ours, and nothing of what it is built on.
OURS = ("mistcore.addresses", "mistcore.http", "mistcore.rows", "mistcore.stores", "mistcore_providers")
#: Bytes of an input at the most, and seconds and MiB that one may take.
LONGEST, SLOWEST, LARGEST = 1024, 20, 2048
#: So many inputs are kept of each run.
KEPT = 12


def watch(name: str, options: list[str]) -> None:
    """Fuzz one target, in this process, which libFuzzer ends."""
    import atheris

    with atheris.instrument_imports(include=list(OURS)):
        from fuzz.targets import TARGETS

        target = TARGETS[name]()
    atheris.Setup([sys.argv[0], *options], target)
    atheris.Fuzz()


def fuzz(name: str, seconds: int, grow: bool) -> str:
    """Fuzz one target in a process of its own; return what went wrong, or nothing."""
    corpus, found = HERE / "corpus" / name, HERE / "found"
    corpus.mkdir(parents=True, exist_ok=True)
    found.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as fresh:
        options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-timeout={SLOWEST}",
                   f"-rss_limit_mb={LARGEST}",
                   f"-artifact_prefix={found}/{name}-", "-seed=1", "-print_final_stats=1"]  # fmt: skip
        command = [sys.executable, __file__, "--watch", name, "--", *options, fresh, str(corpus)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=environment())
        if grow and not done.returncode:
            for path in sorted(Path(fresh).iterdir(), key=lambda path: (path.stat().st_size, path.name))[:KEPT]:
                (corpus / path.name[:12]).write_bytes(path.read_bytes())
    runs = next((line.split()[1] for line in done.stderr.splitlines() if "number_of_executed_units" in line), "no")
    print(f"{name}: {runs} runs in {seconds} s, {'failed' if done.returncode else 'nothing found'}", flush=True)
    return "\n".join((done.stdout + done.stderr).splitlines()[-60:]) if done.returncode else ""


def environment() -> dict[str, str]:
    """Return the environment without what an account could come from, and with sets in the same order each time."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "AZURE_", "GOOGLE_", "OS_"))
    }
    return {**kept, "PYTHONHASHSEED": "0"}  # as with the seed: what fails, fails again


def main() -> int:
    from fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", help="Default: all.")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--grow", action="store_true")
    parser.add_argument("--replay", type=Path)
    arguments = parser.parse_args()
    if arguments.replay:
        TARGETS[arguments.targets[0]]()(arguments.replay.read_bytes())
        return 0
    chosen = arguments.targets or list(TARGETS)
    with ThreadPoolExecutor(2) as pool:
        problems = [*pool.map(lambda name: fuzz(name, arguments.seconds, arguments.grow), chosen)]
    for problem in filter(None, problems):
        print(problem)
    print(f"{problems.count('')} passed, {len(problems) - problems.count('')} failed")
    return int(any(problems))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--watch"]:
        watch(sys.argv[2], sys.argv[4:])
    sys.exit(main())
