"""Saves a marked secret, killed before one line of the store's code after the other: python killed.py STORE LOOKED_AT.

After each death the modes of all files beside the store that hold a mark are printed, in JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from leaks.marks import looker, mark

from mistcore.stores import Record, open_store

_STORES = tuple(os.sep + str(Path("mistcore", "stores", name)) for name in ("atomic.py", "json_file.py"))
_STEP = 3


def save(store: str, number: int, before: int) -> None:
    """Add a backend, and end by SIGKILL before the so-manieth line."""
    left = before

    def count(frame: object, event: str, arg: object) -> object:
        nonlocal left
        if event == "call":
            return count if frame.f_code.co_filename.endswith(_STORES) else None  # type: ignore[attr-defined]
        left -= event == "line"
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return count

    opened = open_store(store)
    opened.read()
    sys.settrace(count)  # type: ignore[arg-type]
    with opened.change() as changes:
        changes.put(Record(f"id-{number}", f"Backend {number}", "linode", credentials={"api_key": mark("killed")}))
    sys.settrace(None)


def main(store: str) -> None:
    """Kill one writer after the other, until one comes through."""
    folder, modes, kills = Path(store).parent, set(), 0
    save(store, 0, -1)
    while True:
        child = os.fork()
        if not child:
            save(store, kills + 1, kills * _STEP + 1)
            os._exit(0)
        ended = os.waitpid(child, 0)[1]
        for path in folder.iterdir():
            if path.is_file() and looker().forms(path.read_bytes()):
                name = "temporary" if path.suffix == ".tmp" else path.name
                modes.add((name, oct(path.stat().st_mode & 0o777)))
        if ended != signal.SIGKILL:
            break
        kills += 1
    leftover = folder / f".{Path(store).name}.{'0' * 16}.tmp"  # as the last to be killed may leave it
    leftover.write_bytes(Path(store).read_bytes())
    sys.stdout.write(json.dumps({"kills": kills, "ended": ended, "modes": sorted(modes)}))


if __name__ == "__main__":
    main(sys.argv[1])
