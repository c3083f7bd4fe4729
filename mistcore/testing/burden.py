"""The part of `TortureSuite` about answers that are too slow or too much."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import cache

import pytest

from mistcore.errors import ProviderError, Unreachable
from mistcore.provider import Provider
from mistcore.testing.certificates import context_with
from mistcore.testing.faults import FaultSuite
from mistcore.testing.server import FakeService, Response
from mistcore.testing.wire import WireServer, after, pouring

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


_BEGUN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_HEADERS = b"X-More: to-come\r\n" * 4000
#: HTTP that never gets to its end, each as fast as it can.
_ENDLESS = {
    "not yet": pouring(filler=b"HTTP/1.1 100 Continue\r\n\r\n" * 2500),
    "a status line": pouring(b"HTTP/1.1 200 ", filler=b"O" * 65536),
    "headers": pouring(_BEGUN, filler=_HEADERS),
    "a chunk's size": pouring(_BEGUN + b"Transfer-Encoding: chunked\r\n\r\n", filler=b"0" * 65536),
    "trailers": pouring(_BEGUN + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", filler=_HEADERS),
    "no HTTP": pouring(),
}


class BurdenSuite(FaultSuite):
    """A service that takes all the time, or all the memory, that it is given."""

    @pytest.mark.parametrize("answer", _SLOW)
    def test_a_slow_answer_ends_with_the_deadline(self, service: FakeService, account: Provider, answer: str) -> None:
        if answer != "its headers, a byte a second":  # so that there is a case at the first request, too
            account.check()
        self.answer_all(service, _SLOW[answer])
        self.ends_with_the_deadline(account.list_machines, account, self.seconds / 2)
        service.clear_faults()  # an account may have to log out

    @pytest.mark.parametrize("what", _ENDLESS)
    def test_http_without_an_end(self, service: FakeService, account: Provider, ca_file: str, what: str) -> None:
        account.check()  # so that what has to be imported for it takes none of the time
        with (
            WireServer(after(b"\r\n\r\n", _ENDLESS[what]), tls=context_with()) as wire,
            self.account_at(service, f"https://localhost:{wire.port}", ca_cert=ca_file) as account_there,
            self.little_memory(),
        ):
            ended = self.in_time(account_there.check, self.seconds / 2)
            error = self.refused(ended, account_there, ProviderError, Unreachable)
            assert wire.received or error.reason == "timeout", (
                "nothing was asked: is there a field ca_cert, and does `good` use service.url?"
            )

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
