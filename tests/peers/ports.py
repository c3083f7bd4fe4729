"""Ports for servers that do not choose one themselves."""

from __future__ import annotations

import os
import random
import socket

#: Below those that the system gives to who asks for any, which may be anybody's by the time a server has started.
_FROM, _TO = 12_000, 30_000
_chance = random.Random(f"{os.getpid()}")
_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Return so many ports of the loopback on which nobody listens; none is returned twice."""
    found: list[int] = []
    while len(found) < count:
        port = _chance.randrange(_FROM, _TO)
        if port not in _given and _is_free(port):
            _given.add(port)
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
