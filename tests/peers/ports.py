"""Ports for servers that do not choose one themselves."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

#: Below those that the system gives to who asks for any, which may be anybody's by the time a server has started, and
#: above those that `peers.installed` counts through.
_FROM, _TO = 21_000, 32_000
_chance = random.Random(f"{os.getpid()}")
#: For each port given the UDP port of the same number, kept until this run ends: so another run, which may look for
#: ports in the moment before the server listens, sees that it is given.
_given: list[int] = []


def free_ports(count: int) -> list[int]:
    """Return so many ports of the loopback on which nobody listens; none is returned twice, to no run at all."""
    found: list[int] = []
    while len(found) < count:
        port = _chance.randrange(_FROM, _TO)
        if _is_free(port):
            found.append(port)
    return found


@contextmanager
def deaf_port() -> Iterator[int]:
    """Yield a port of the loopback that refuses connections: nobody listens, and nobody else gets it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def _is_free(port: int) -> bool:
    sign = socket.socket(type=socket.SOCK_DGRAM)
    with socket.socket() as probe:
        try:
            sign.bind(("127.0.0.1", port))
            probe.bind(("127.0.0.1", port))
        except OSError:
            sign.close()
            return False
    _given.append(sign.detach())
    return True
