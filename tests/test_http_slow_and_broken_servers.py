"""The REST toolkit and servers that trickle, say nothing, say too much, or speak no HTTP: an end to time and size."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import tracemalloc
import zlib

import pytest
from fakes.patience import HANGS, PATIENCE, outcome, timed_out
from fakes.raw import OK, RawServer, endless

from mistcore import ProviderError, Unreachable
from mistcore.deadline import Deadline, deadline
from mistcore.http import RestSession
from mistcore.testing.wire import Line, Talk, saying, silent

# -- an end to every wait ---------------------------------------------------------------------------------------------

#: How each begins, and what follows without an end.
TRICKLES = {
    "body": (OK + b"Content-Length: 1000000\r\n\r\n", b"x"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X"),
    "status": (b"H", b"H"),
    "chunk lengths": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "until closed": (OK + b"\r\n", b"x"),
    "go on": (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("what", TRICKLES)
def test_nothing_that_trickles_outlasts_the_timeout(what: str) -> None:
    with RawServer(endless(*TRICKLES[what])) as server:
        result = outcome(lambda: RestSession(server.url, timeout=0.6).get("/"))
    assert timed_out(result), result
    assert len(server.requests) < 2


@pytest.mark.parametrize("what", TRICKLES)
def test_nothing_that_trickles_outlasts_the_deadline(what: str) -> None:
    def ask() -> None:
        with deadline(0.6):
            RestSession(server.url, timeout=PATIENCE).get("/")

    with RawServer(endless(*TRICKLES[what])) as server:
        result = outcome(ask)
    assert timed_out(result), result
    assert len(server.requests) < 2


def test_a_server_that_says_nothing() -> None:
    with RawServer(silent) as server:
        result = outcome(lambda: RestSession(server.url, timeout=0.5).post("/"))
    assert timed_out(result)
    assert "may have been done or not" in str(result)
    assert len(server.requests) < 2


def test_a_cancelled_deadline_is_noticed_within_a_wait() -> None:
    whole = Deadline(HANGS)

    def ask() -> None:
        with deadline(whole):
            RestSession(server.url, timeout=PATIENCE).get("/")

    def cancel(line: Line) -> None:
        whole.cancel()
        line.wait()

    with RawServer(cancel) as server:
        result = outcome(ask)
    assert timed_out(result)
    assert len(server.requests) == 1


def test_a_deadline_that_has_passed_sends_nothing() -> None:
    with RawServer(saying(OK + b"\r\n{}")) as server, deadline(0), pytest.raises(Unreachable):
        RestSession(server.url).get("/")
    assert server.requests == []


def test_a_server_that_never_accepts() -> None:
    # A listener whose queue is full drops further connections, as a firewall would.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        patient = RestSession(url, timeout=PATIENCE, retries=0)
        other = threading.Thread(target=outcome, args=(lambda: patient.post("/"),), daemon=True)
        other.start()
        time.sleep(0.3)  # were both as patient, the other would be the first to give up
        result = outcome(lambda: RestSession(url, timeout=0.5).post("/"))
        assert other.is_alive()
        for filler in fillers:
            filler.close()
    assert timed_out(result)
    assert "may have been done" not in str(result)


def test_a_slow_but_steady_answer_is_read_whole() -> None:
    def answer(line: Line) -> None:
        for part in (OK + b"Content-Length: 12\r\n\r\n", b'{"a":', b"[1,2]", b" }"):
            line.send(part, 0.2)

    with RawServer(answer) as server:
        assert RestSession(server.url, timeout=60).get("/") == {"a": [1, 2]}


# -- sizes ------------------------------------------------------------------------------------------------------------


def bomb(packed: bytes, encoding: bytes) -> Talk:
    return saying(OK + b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (encoding, len(packed)) + packed)


def squeezed(size: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([*(packer.compress(b"\0" * 2**20) for _ in range(size // 2**20)), packer.flush()])


def test_a_packed_bomb_is_refused_and_takes_no_memory() -> None:
    packed = squeezed(512 * 2**20)
    assert len(packed) < 2**20
    with RawServer(bomb(packed, b"gzip")) as server:
        session = RestSession(server.url, max_body=4 * 2**20)
        tracemalloc.start()
        with pytest.raises(ProviderError, match="longer than 4 MiB") as caught:
            session.get("/")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert caught.value.reason == "too_long"
    assert peak < 16 * 2**20


@pytest.mark.parametrize(
    "answer",
    [
        [OK + b"Content-Length: 99999999999999999999999999\r\n\r\n"],
        [OK + b"Content-Length: 3000000\r\n\r\n" + b"[" * 10],
        [OK + b"\r\n", *[b" " * 2**16] * 40],
        [OK + b"Transfer-Encoding: chunked\r\n\r\n", *[b"10000\r\n" + b" " * 2**16 + b"\r\n"] * 40],
    ],
)
def test_bodies_are_capped(answer: list[bytes]) -> None:
    with (
        RawServer(saying(b"".join(answer))) as server,
        pytest.raises(ProviderError, match="longer than 2 MiB"),
    ):
        RestSession(server.url, max_body=2 * 2**20).get("/")


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        (b"gzip", gzip.compress(b'{"a": 1}')),
        (b"x-gzip", gzip.compress(b'{"a": 1}')),
        (b"deflate", zlib.compress(b'{"a": 1}')),
        (b"deflate", zlib.compress(b'{"a": 1}')[2:-4]),
        (b"identity", b'{"a": 1}'),
    ],
)
def test_packed_answers_are_unpacked(encoding: bytes, packed: bytes) -> None:
    with RawServer(bomb(packed, encoding)) as server:
        assert RestSession(server.url).get("/") == {"a": 1}


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        (b"gzip", gzip.compress(b'{"a": 1}')[:-9]),
        (b"gzip", b"not packed at all"),
        (b"br", b"\x0b\x04\x80"),
        (b"zstd", b"\x28\xb5\x2f\xfd"),
        (b"gzip, gzip", gzip.compress(gzip.compress(b"{}"))),
    ],
)
def test_badly_packed_answers_are_told_apart(encoding: bytes, packed: bytes) -> None:
    with RawServer(bomb(packed, encoding)) as server, pytest.raises(ProviderError) as caught:
        RestSession(server.url).get("/")
    assert caught.value.reason == "garbled"


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x01\x00\x02\x02\x50",
        b"HTTP/1.1 banana OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Many: 1\r\n" * 5000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nbanana\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        b"",
    ],
)
def test_what_is_no_http_is_unreachable(answer: bytes) -> None:
    with RawServer(saying(answer)) as server, pytest.raises((Unreachable, ProviderError)) as caught:
        RestSession(server.url, timeout=2, retries=0).get("/")
    assert caught.value.reason in {"network", "garbled", "timeout"}


@pytest.mark.parametrize("length", [b"abc", b"-1", b"2, 2", b"2\r\nContent-Length: 2"])
def test_odd_lengths_do_not_get_in_the_way(length: bytes) -> None:
    with RawServer(saying(OK + b"Content-Length: " + length + b"\r\n\r\n{}")) as server:
        result = outcome(lambda: RestSession(server.url, timeout=PATIENCE, retries=0).get("/"))
    assert result == {} or (isinstance(result, Unreachable) and not timed_out(result))


# -- what cannot be reached -------------------------------------------------------------------------------------------


def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(Unreachable, match="'nowhere.invalid' does not resolve") as caught:
        RestSession("https://nowhere.invalid:8443/v1", headers={"X-Token": "geheim"}).post("/x?key=geheim")
    assert caught.value.reason == "dns"
    cause: BaseException | None = caught.value
    while cause is not None:
        assert "geheim" not in str(cause) + repr(vars(cause))
        cause = cause.__cause__ or cause.__context__
