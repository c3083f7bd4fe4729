"""Every input that the fuzzer keeps, given to its target once more, without the fuzzer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.targets import TARGETS

FUZZ = Path(__file__).parent / "fuzz"
REPLAY = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from fuzz.targets import TARGETS
target = TARGETS[sys.argv[2]]()
for path in sorted(Path(sys.argv[1], "fuzz", "corpus", sys.argv[2]).iterdir()):
    try:
        target(path.read_bytes())
    except Exception:
        print(f"{path} fails; python tests/fuzz/run.py {sys.argv[2]} --replay {path} shows where", file=sys.stderr)
        raise
"""


def test_every_target_begins_with_what_was_found_before() -> None:
    kept = {folder.name: len(list(folder.iterdir())) for folder in (FUZZ / "corpus").iterdir()}
    assert set(kept) == set(TARGETS), "python tests/fuzz/run.py --grow TARGET"
    assert all(0 < count <= 20 for count in kept.values()), kept


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_what_the_fuzzer_keeps(name: str) -> None:
    # In a process of its own: the transport that targets put under urllib3 stays there.
    pytest.importorskip("keystoneauth1", reason="the providers' packages are not installed")
    command = [sys.executable, "-c", REPLAY, str(FUZZ.parent), name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
