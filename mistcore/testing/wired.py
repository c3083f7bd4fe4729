"""`WireSuite`: who else may listen in the service's place, for providers whose protocol is not HTTP."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from mistcore.errors import ProviderError, Unreachable
from mistcore.provider import Provider
from mistcore.testing.faults import FaultSuite
from mistcore.testing.judge import leaks, secrets_of
from mistcore.testing.wire import MISCHIEF, WireServer

__all__ = ["WireSuite"]


class WireSuite(FaultSuite):
    """`ProviderSuite`, and nobody, or somebody else, at the service's port, for providers whose protocol is not HTTP.

    `service` is a real server, or a stand-in: a `mistcore.testing.wire.WireServer` with a talk that knows the protocol
    will do. `good` must take the port, on 127.0.0.1, from `service.port`, since accounts are made for other ports as
    well; where it cannot, override `account_at_port`. Where the service is no `WireServer`, override `hang`.

    Attributes:
        seconds: the deadline that is set over all that listens there.
        most_memory: bytes that a server which sends 200 MB may cost.

    """

    def account_at_port(self, service: Any, port: int) -> Provider:
        """Return the good account as it would be if the service were at this port."""
        was, service.port = service.port, port
        try:
            return self.good(service)
        finally:
            service.port = was

    def test_nobody_is_at_the_port(self, service: Any) -> None:
        with socket.socket() as deaf:  # it has the port, so that nobody else gets it
            deaf.bind(("127.0.0.1", 0))
            with self.account_at_port(service, deaf.getsockname()[1]) as account:
                error = self.fails(account.check, account, Unreachable)
        assert error.reason == "refused"

    @pytest.mark.parametrize("mischief", MISCHIEF)
    def test_somebody_else_is_at_the_port(self, service: Any, account: Provider, mischief: str) -> None:
        account.check()  # so that what has to be imported for it takes none of the time
        with (
            WireServer(MISCHIEF[mischief]) as wire,
            self.account_at_port(service, wire.port) as account_there,
            self.little_memory(),
        ):
            ended = self.in_time(account_there.check, self.seconds)
            error = self.refused(ended, account_there, ProviderError, Unreachable)
            assert wire.lines or error.reason == "timeout", "nobody came: does `good` take its port from service.port?"
        told = wire.received.decode("latin-1")
        assert leaks(secrets_of(account), told) == [], "it told a secret to whoever listens"
