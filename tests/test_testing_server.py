"""`mistcore.testing.server`: the port of a stand-in that has stopped."""

from __future__ import annotations

import socket

import pytest

from mistcore.testing.server import FakeService


def test_the_port_of_one_that_stopped_is_nobody_elses_until_the_block_ends() -> None:
    with FakeService() as service, socket.socket() as other:
        place = "127.0.0.1", int(service.url.rpartition(":")[2])
        service.stop()
        with pytest.raises(OSError, match="in use"):
            other.bind(place)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(place, timeout=60)
    with socket.socket() as other:
        other.bind(place)
