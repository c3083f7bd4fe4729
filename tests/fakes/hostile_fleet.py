"""A program that asks a fleet, most of it in front of hostile peers, and says how it went: in a process of its own.

On standard input: {"backends": [[provider, title, fields] …], "closed": [titles], "timeout": at least, "staying": how
many threads may never end}. On standard output one JSON object, what `main` makes. `Careless` is a provider that does
what none should.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from mistcore import Account, BackendManager, Machine, MistError, Provider, Registry, credential, secret
from mistcore.stores.memory import MemoryStore


class Careless(Provider):
    """Tells its token to whoever it is sent to, reads whatever comes as long as that takes, and lets all errors out."""

    title = "Careless"
    token: str = secret("Token", help="Any.")
    endpoint: str = credential("Address", help="Any.", address=True)

    def check(self) -> Account:
        return Account(id=str(self._kept()))

    def list_machines(self) -> Iterator[Machine]:
        yield Machine(id=str(self._kept()), name="", state="running")

    def _kept(self) -> int:
        # It follows wherever it is sent, and takes all headers along.
        with urlopen(Request(self.endpoint, headers={"Authorization": self.token})) as answer:
            self.__dict__.setdefault("_everything", []).append(answer.read())
        return len(json.loads(self._everything[-1]))  # type: ignore[attr-defined]  # set above


def main() -> None:
    told = json.load(sys.stdin)
    registry = Registry()
    registry.register("careless", Careless)
    client = BackendManager(MemoryStore(), registry=registry)
    for provider, title, fields in told["backends"]:
        client.add_backend(provider, title, check=False, **fields)
    backends = {backend.title: backend for backend in client.backends()}
    # An SDK that is imported for the first time takes longer than a deadline of the kind that is set below.
    closed = [backends.pop(title) for title in told["closed"]]
    began = time.monotonic()
    refused = {result.backend.title: _error(result.error) for result in client.check(backends=closed, timeout=60)}
    # What is slow on a busy machine is everything; but a test may not last for ever.
    timeout = max(told["timeout"], min(5 * (time.monotonic() - began), 60.0))
    limits = {"backends": list(backends.values()), "timeout": timeout, "deadline": timeout}
    threads = set(threading.enumerate())

    began = time.monotonic()
    walk = client.machines(**limits, workers=len(backends), partial=True)
    rows: dict[str, list[Any]] = {}
    for machine in walk:
        rows.setdefault(machine.backend.title, []).append([machine.name, machine.state.value])
    listed = time.monotonic() - began
    failures = {backend.title: _error(error) for backend, error in walk.failures.items()}

    began = time.monotonic()
    results = list(client.check(**limits, workers=len(backends)))
    checked = time.monotonic() - began
    outcome = {
        "refused": refused,
        "rows": rows,
        "failures": failures,
        "accounts": {each.backend.title: each.account.id for each in results if each.account},
        "check failures": {each.backend.title: _error(each.error) for each in results if each.error},
        "late": max(listed, checked) - timeout,
        "threads": _left_over(threads, told["staying"]),
        "memory": _most_resident(),
    }
    client.close()
    json.dump(outcome, sys.stdout)


def _most_resident() -> float:
    """Return MiB of this program alone; `ru_maxrss` also knows those of the one that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024


def _error(error: MistError | None) -> list[str]:
    assert error is not None
    return [type(error).__name__, error.reason, error.backend, str(error)]


def _left_over(before: set[threading.Thread], staying: int, patience: float = 60.0) -> list[str]:
    """The names of threads that still run, once there are no more than may stay, or a long time after all has ended."""
    end = time.monotonic() + patience
    while len(left := [thread.name for thread in threading.enumerate() if thread not in before]) > staying:
        if time.monotonic() > end:
            break
        time.sleep(0.05)
    return left


if __name__ == "__main__":
    main()
