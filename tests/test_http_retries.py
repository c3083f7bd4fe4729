"""The REST toolkit tries again, or does not: what is safe to repeat, how long it waits, and when it gives up."""

from __future__ import annotations

import logging
import sys
import threading
import time

import pytest
from fakes import echo
from fakes.echo import Service, refusal
from fakes.patience import HANGS, PATIENCE
from fakes.raw import RawServer
from peers.ports import deaf_port

from mistcore import MistError, ProviderError, RateLimited, Unreachable
from mistcore.deadline import Deadline, deadline
from mistcore.http import RestSession
from mistcore.testing.server import Request
from mistcore.testing.wire import Line, saying

service = echo.service
session = echo.session


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_reads_are_tried_again_when_the_service_fails(service: Service, session: RestSession, status: int) -> None:
    service.fault(refusal(status), times=2)
    if status == 408:
        with pytest.raises(ProviderError):
            session.put("/x")
        service.fault(refusal(status))
    assert session.get("/x")["path"] == "/x"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_changes_are_never_repeated_when_the_service_fails(
    service: Service, session: RestSession, method: str, status: int
) -> None:
    service.fault(refusal(status))
    with pytest.raises(ProviderError):
        session.request(method, "/x", json={})
    assert len(service.requests) == 1


def test_changes_are_repeated_when_they_certainly_did_nothing(service: Service, session: RestSession) -> None:
    service.fault(refusal(429))
    service.fault(refusal(503, Retry_After="0"))
    assert session.post("/x")["method"] == "POST"
    assert len(service.requests) == 3


def test_a_provider_may_say_what_is_safe(service: Service, session: RestSession) -> None:
    service.fault(refusal(500))
    assert session.request("POST", "/search", safe=True).status == 200
    service.fault(refusal(500))
    with pytest.raises(ProviderError):
        session.request("GET", "/reboot-by-get", safe=False)


def test_it_gives_up_in_the_end(service: Service) -> None:
    service.fault(refusal(500), times=9)
    with pytest.raises(ProviderError, match="500"):
        RestSession(service.url, retries=2).get("/x")
    assert len(service.requests) == 3
    with pytest.raises(ProviderError):
        RestSession(service.url, retries=0).get("/x")
    assert len(service.requests) == 4


def test_refusals_are_not_tried_again(service: Service, session: RestSession) -> None:
    for status in (400, 401, 403, 404, 409, 422, 501):
        service.fault(refusal(status))
        with pytest.raises(MistError):
            session.get("/x")
    assert len(service.requests) == 7


def test_it_waits_as_long_as_the_service_asks(service: Service, session: RestSession) -> None:
    refused: list[float] = []

    def too_early(request: Request) -> bool:
        refused.append(time.monotonic())
        return refused[-1] < refused[0] + 1

    service.fault(refusal(429, Retry_After="1"), times=9, where=too_early)
    session.post("/x")
    assert len(service.requests) == 2


def test_it_never_waits_past_the_deadline(service: Service) -> None:
    service.fault(refusal(429, Retry_After=str(HANGS + 1)), times=9)
    with deadline(HANGS), pytest.raises(RateLimited) as caught:
        RestSession(service.url, timeout=PATIENCE).get("/x")
    assert caught.value.retry_after == HANGS + 1
    assert len(service.requests) == 1


def test_a_cancelled_wait_ends_soon(
    service: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.fault(refusal(429, Retry_After=str(HANGS)), times=9)
    whole = Deadline(PATIENCE)

    def answered(record: logging.LogRecord) -> bool:
        threading.Timer(0.3, whole.cancel).start()  # by then it waits
        return True

    log = logging.getLogger("mistcore.http.exchange")
    caplog.set_level(logging.DEBUG, log.name)
    monkeypatch.setattr(log, "filters", [answered])
    with deadline(whole), pytest.raises(RateLimited):
        RestSession(service.url, timeout=PATIENCE).get("/x")
    assert whole.remaining() < 0  # it had begun to wait
    assert len(service.requests) == 1


def test_a_broken_connection_is_tried_again_for_reads_only() -> None:
    def answer(line: Line) -> None:
        if line.number > 0:
            line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

    with RawServer(answer) as server:
        assert RestSession(server.url).get("/") == {}
        assert len(server.requests) == 2
    with RawServer(answer) as server:
        with pytest.raises(Unreachable, match="may have been done or not") as caught:
            RestSession(server.url).post("/")
        assert caught.value.reason == "network"
        assert len(server.requests) == 1


def test_a_body_that_is_cut_off_is_tried_again() -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    with RawServer(lambda line: line.send(whole[: -1 if line.number == 0 else None])) as server:
        assert RestSession(server.url).get("/") == {}
    with RawServer(saying(whole[:-1])) as server, pytest.raises(Unreachable, match="broke off") as caught:
        RestSession(server.url, retries=1).get("/")
    assert caught.value.reason == "network"


def test_a_refused_connection_is_tried_once_more_whatever_it_was() -> None:
    with deaf_port() as port:
        address = "127.0.0.1", port
        tried: list[object] = []
        sys.addaudithook(
            lambda event, given: tried.append(1) if event == "socket.connect" and given[1] == address else None
        )
        for method in ("GET", "POST"):
            with pytest.raises(Unreachable, match="nothing listens at 127.0.0.1") as caught:
                RestSession(f"http://127.0.0.1:{port}").request(method, "/")
            assert caught.value.reason == "refused"
            assert "may have been done" not in str(caught.value)
    assert len(tried) == 2 * 2
