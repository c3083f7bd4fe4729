"""The part of `TortureSuite` about answers that are too slow or too much."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import cache

import pytest

from mistcore.errors import ProviderError, Unreachable
from mistcore.provider import Provider
from mistcore.testing.faults import FaultSuite
from mistcore.testing.server import FakeService, Response

__all__ = ["BurdenSuite"]

_JSON = {"Content-Type": "application/json"}
_PART = b" " * 65536
_PARTS = 200 * 10**6 // len(_PART) + 1

_SLOW = {
    "nothing": Response(delay=120),
    "its headers, a byte a second": Response(header_delay=1.0),
    "its body, a byte a second": Response(200, b"[" + b" " * 1000, _JSON, chunk_delay=1.0),
}


def _endless() -> Iterator[bytes]:
    yield b"["
    for _ in range(_PARTS):
        yield _PART


@cache
def _packed() -> bytes:
    packer = zlib.compressobj(1, wbits=zlib.MAX_WBITS | 16)
    return b"".join([*map(packer.compress, _endless()), packer.flush()])


#: Ways to send 200 MB; none of them is ever in the server's memory.
_HUGE = {
    "announced": lambda: Response(headers={**_JSON, "Content-Length": str(1 + _PARTS * len(_PART))}, stream=_endless),
    "in chunks": lambda: Response(headers=_JSON, stream=_endless),
    "packed": lambda: Response(200, _packed(), {**_JSON, "Content-Encoding": "gzip"}),
}


class BurdenSuite(FaultSuite):
    """A service that takes all the time, or all the memory, that it is given."""

    @pytest.mark.parametrize("answer", _SLOW)
    def test_a_slow_answer_ends_with_the_deadline(self, service: FakeService, account: Provider, answer: str) -> None:
        if answer != "its headers, a byte a second":  # so that there is a case at the first request, too
            account.check()
        self.answer_all(service, _SLOW[answer])
        self.ends_with_the_deadline(account.list_machines, account, self.seconds / 4)
        service.clear_faults()  # an account may have to log out

    @pytest.mark.parametrize("way", _HUGE)
    def test_a_huge_answer_is_not_taken_in(self, service: FakeService, account: Provider, way: str) -> None:
        answer = _HUGE[way]()
        for logged_in in (False, True):
            if logged_in:
                service.clear_faults()
                account.check()
            self.answer_all(service, answer)
            call = account.check if not logged_in else lambda: list(account.list_machines())
            with self.little_memory():
                self.fails(call, account, ProviderError, Unreachable)
