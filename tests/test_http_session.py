"""The REST toolkit: what is sent, what refusals become, and what is tried again."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
from fakes.patience import HANGS, PATIENCE
from fakes.raw import RawServer

from mistcore import (
    AuthenticationFailed,
    InvalidFields,
    MachineNotFound,
    MistError,
    PermissionDenied,
    ProviderError,
    RateLimited,
    Rejected,
    Unreachable,
)
from mistcore.deadline import Deadline, deadline
from mistcore.http import Failure, RestSession, error_for, get_json, parse_retry_after, segment
from mistcore.testing.server import FakeService, Request, Response, json_response, route
from mistcore.testing.wire import Line, saying


class Service(FakeService):
    """Answers with what it was asked."""

    def not_found(self, request: Request) -> Response:
        return json_response(
            {
                "method": request.method,
                "path": request.path,
                "query": dict(request.query_lists),
                "headers": {name.lower(): value for name, value in request.headers.items()},
                "body": request.body.decode(),
            }
        )

    @route("GET", "/nothing")
    def nothing(self, request: Request) -> Response:
        return Response(204)


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as fake:
        yield fake


@pytest.fixture
def session(service: Service) -> Iterator[RestSession]:
    made = RestSession(service.url, headers={"Authorization": "Bearer t0p-secret"}, timeout=60)
    yield made
    made.close()


def refusal(status: int, body: Any = None, **headers: str) -> Response:
    return json_response(body or {"message": "no"}, status, {name.replace("_", "-"): v for name, v in headers.items()})


# -- what is sent -----------------------------------------------------------------------------------------------------


def test_nothing_imports_requests_before_it_is_needed() -> None:
    code = "import sys, mistcore.http; mistcore.http.RestSession('a.example'); sys.exit('requests' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_a_request_carries(session: RestSession) -> None:
    said = session.get("/v1/things", params={"a": [1, 2], "b": "ü&", "none": None}, headers={"X-Filter": "{}"})
    assert (said["method"], said["path"]) == ("GET", "/v1/things")
    assert said["query"] == {"a": ["1", "2"], "b": ["ü&"]}
    assert said["headers"]["user-agent"] == f"mistcore/{version('mistcore')}"
    assert said["headers"]["authorization"] == "Bearer t0p-secret"
    assert said["headers"]["accept"] == "application/json"
    assert said["headers"]["x-filter"] == "{}"


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_bodies(session: RestSession, method: str) -> None:
    said = getattr(session, method)("things", json={"name": "ü"})
    assert (said["method"], said["path"]) == (method.upper(), "/things")
    assert json.loads(said["body"]) == {"name": "ü"}
    assert said["headers"]["content-type"] == "application/json"
    assert getattr(session, method)("things", data={"a": "b c"})["body"] == "a=b+c"
    assert getattr(session, method)("things", data=b"raw")["body"] == "raw"
    assert session.get("/nothing") is None


def test_a_base_address_may_have_a_path_and_credentials(service: Service) -> None:
    address = service.url.replace("http://", "http://me:s%C3%A9cret@") + "/v4/"
    session = RestSession(address)
    assert session.base_url == f"{service.url}/v4"
    assert "cret" not in repr(session)
    said = session.get("/profile")
    assert said["path"] == "/v4/profile"
    assert said["headers"]["authorization"] == "Basic bWU6c8OpY3JldA=="
    assert session.get(f"{service.url}/v4/other")["path"] == "/v4/other"
    assert RestSession(service.url, auth=("me", "sécret")).get("/")["headers"]["authorization"].endswith("OpY3JldA==")


def test_https_may_be_left_out() -> None:
    assert RestSession("api.example/v1/").base_url == "https://api.example/v1"


@pytest.mark.parametrize(
    "address",
    ["", "http://", "ftp://a.example", "http://a b", "http://a.example:port", "https://a.example\\@b.example"],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        RestSession(address)
    assert list(caught.value.problems) == ["endpoint"]


def test_what_is_unsafe_is_said() -> None:
    assert RestSession("https://a.example").warnings == ()
    assert RestSession("http://127.0.0.1:8").warnings == ()
    assert "Plain HTTP" in RestSession("http://a.example").warnings[0]
    assert "not verified" in RestSession("https://a.example", verify=False).warnings[0]


def test_get_json_is_one_line(service: Service) -> None:
    said = get_json(f"{service.url}/v1/machines", token="abc", params={"page": 2})
    assert (said["path"], said["query"]) == ("/v1/machines", {"page": ["2"]})
    assert said["headers"]["authorization"] == "Bearer abc"
    assert "authorization" not in get_json(service.url)["headers"]


def test_segments_reach_no_other_path(session: RestSession) -> None:
    for odd in ("../account", "a/b", "7?x=1", "7#", "ü", "..", "."):
        assert session.get(f"/machines/{segment(odd)}/end")["path"].startswith("/machines/"), odd
        assert "?" not in segment(odd)
    assert segment(7) == "7"
    assert segment("10.0.0.1") == "10.0.0.1"


def test_netrc_never_adds_or_replaces_credentials(service: Service, tmp_path: Any, monkeypatch: Any) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login thief password stolen\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert "authorization" not in RestSession(service.url).get("/")["headers"]
    mine = RestSession(service.url, headers={"Authorization": "Bearer mine"})
    assert mine.get("/")["headers"]["authorization"] == "Bearer mine"


def test_cookies_are_not_kept(service: Service, session: RestSession) -> None:
    service.fault(json_response({}, headers={"Set-Cookie": "id=1"}))
    session.get("/")
    assert "cookie" not in session.get("/")["headers"]


def test_threads_share_a_session_and_its_connections(service: Service, session: RestSession) -> None:
    service.latency = 0.02
    answers: list[str] = []

    def ask(number: int) -> None:
        answers.extend(session.get(f"/{number}/{turn}")["path"] for turn in range(10))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted(f"/{number}/{turn}" for number in range(8) for turn in range(10))


def test_a_closed_session_works_again(session: RestSession) -> None:
    session.get("/")
    session.close()
    session.close()
    assert session.get("/")["path"] == "/"


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (400, Rejected, ""),
        (401, AuthenticationFailed, ""),
        (402, Rejected, "payment"),
        (403, PermissionDenied, ""),
        (404, ProviderError, "not_found"),
        (405, ProviderError, "unexpected"),
        (407, Unreachable, "network"),
        (409, Rejected, ""),
        (413, Rejected, ""),
        (422, Rejected, ""),
        (429, RateLimited, ""),
        (500, ProviderError, "failed"),
        (503, ProviderError, "unavailable"),
        (599, ProviderError, "failed"),
        (304, ProviderError, "unexpected"),
    ],
)
def test_statuses(service: Service, status: int, kind: type[MistError], reason: str) -> None:
    service.fault(refusal(status, {"message": "because"}))
    with pytest.raises(kind, match="because|304") as caught:
        RestSession(service.url, retries=0).get("/v1/x?token=1")
    assert (type(caught.value), caught.value.reason) == (kind, reason)
    assert str(status) in str(caught.value)
    assert "token" not in str(caught.value)
    if isinstance(caught.value, ProviderError):
        assert caught.value.status == status


def test_a_missing_thing_is_whatever_the_provider_says(service: Service, session: RestSession) -> None:
    service.fault(refusal(404), times=2)
    with pytest.raises(MachineNotFound, match="no machine 7"):
        session.get("/machines/7", missing=MachineNotFound("no machine 7"))
    with pytest.raises(MachineNotFound):
        session.delete("/machines/7", missing=MachineNotFound("no machine 7"))


def test_a_vendors_oddities(service: Service) -> None:
    def meaning(failure: Failure) -> MistError | None:
        if failure.status == 403 and failure.body["error"]["code"] == "rateLimitExceeded":
            return RateLimited(failure.message, retry_after=0.01)
        return None

    session = RestSession(service.url, error=meaning)
    service.fault(refusal(403, {"error": {"code": "rateLimitExceeded", "message": "slow down"}}), times=2)
    assert session.post("/x")["method"] == "POST"
    assert len(service.requests) == 3
    service.fault(refusal(403, {"error": {"code": "other", "message": "never"}}))
    with pytest.raises(PermissionDenied, match="never"):
        session.get("/x")


def test_413_with_a_time_to_wait_means_too_fast(service: Service) -> None:
    service.fault(refusal(413, {"overLimit": {"message": "slow"}}, Retry_After="77"))
    with pytest.raises(RateLimited, match="slow") as caught:
        RestSession(service.url, retries=0).get("/")
    assert caught.value.retry_after == 77


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"message": "plain"}, "plain"),
        ({"error": {"message": "nested", "code": 7}}, "nested"),
        ({"errors": [{"reason": "too short", "field": "label"}, {"reason": "odd"}]}, "label: too short; odd"),
        ({"badRequest": {"message": "one key", "code": 400}}, "one key"),
        ({"error": "invalid_grant", "error_description": "Token expired"}, "Token expired"),
        ({"detail": "problem+json", "title": "T"}, "problem+json"),
        (["a", "b"], "a; b"),
        ("words", "words"),
        ({"message": ""}, ""),
        ({"a": 1, "b": 2}, ""),
        ({"message": {"message": {"message": {"message": {"message": {"message": "deep"}}}}}}, ""),
        ({"message": "two\nlines\x1b[31m"}, "two lines [31m"),
        ({"message": "x" * 5000}, "x" * 300 + " …"),
        (7, ""),
    ],
)
def test_the_services_own_words(body: Any, words: str) -> None:
    assert Failure(400, {}, body, json.dumps(body), "GET", "http://a/b").message == words


@pytest.mark.parametrize(
    ("text", "headers", "words"),
    [
        ("Plain text\n", {}, "Plain text"),
        ("<html><title>502</title>", {}, ""),
        ("anything", {"Content-Type": "text/html"}, ""),
        ("", {}, ""),
    ],
)
def test_refusals_that_are_no_json(text: str, headers: dict[str, str], words: str) -> None:
    failure = Failure(502, headers, None, text, "GET", "http://a/b")
    assert failure.message == words
    assert "502 Bad Gateway for GET http://a/b" in failure.describe()


def test_secrets_that_are_echoed_are_taken_out(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = token, password, bearer, key = [f"{name}-geheim" for name in ("token", "password", "bearer", "key")]
    session = RestSession(service.url, headers={"X-Auth-Token": token}, auth=("me", password))
    service.fault(refusal(400, {"message": f"bad: {token}, {password}, {bearer}"}))
    with pytest.raises(Rejected) as caught:
        session.get("/x", params={"api_key": key}, headers={"X-Api-Key": f"Bearer {bearer}"})
    told = "".join(traceback.format_exception(caught.value)) + str(caught.value) + caplog.text
    assert "bad: •••, •••, •••" in told
    for secret in secrets:
        assert secret not in told


def test_one_line_in_the_log_for_each_request(session: RestSession, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "mistcore")
    session.post("/v1/x?a=secret", json={"password": "hidden"})
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    assert record.getMessage().startswith("POST /v1/x 200 ")


@pytest.mark.parametrize("token", ["ge€heim", "ge\nheim", "ge\r\nX-Evil: heim"])
def test_credentials_that_cannot_be_sent(service: Service, token: str) -> None:
    with pytest.raises(AuthenticationFailed, match="characters that cannot be sent") as caught:
        RestSession(service.url, headers={"X-Auth-Token": token}).get("/")
    assert caught.value.reason == "malformed"
    cause: BaseException | None = caught.value
    while cause is not None:
        assert "heim" not in str(cause) + repr(vars(cause)) + str(getattr(cause, "object", ""))
        cause = cause.__cause__ or cause.__context__
    assert "heim" not in "".join(traceback.format_exception(caught.value))
    assert service.requests == []


# -- answers that are none --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "words", "reason"),
    [
        (b"<html>log in</html>", "text/html", "a web page instead of data", "html"),
        (b"\xef\xbb\xbf <!DOCTYPE html><p>", "application/json", "a web page instead of data", "html"),
        (b'{"a": ', "application/json", "cut off", "garbled"),
        (b"OK", "application/json", "not JSON", "garbled"),
        (b'{"a": "\xff\xfe"}', "application/json", "UTF-8", "garbled"),
        (b"[" * 100_000 + b"]" * 100_000, "application/json", "nested too deeply", "garbled"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "application/json", "nested too deeply", "garbled"),
        (b"9" * 100_000, "application/json", "not JSON", "garbled"),
    ],
)
def test_what_is_no_json_is_told_apart(
    service: Service, session: RestSession, body: bytes, kind: str, words: str, reason: str
) -> None:
    service.fault(Response(200, body, {"Content-Type": kind}))
    with pytest.raises(ProviderError, match=words) as caught:
        session.get("/v1/x")
    assert caught.value.reason == reason
    assert caught.value.status == 200


def test_a_web_page_may_be_what_is_wanted(service: Service, session: RestSession) -> None:
    service.fault(Response(200, b"<html>", {"Content-Type": "text/html", "X-Total": "3"}))
    answer = session.request("GET", "/", expect="text")
    assert (answer.status, answer.body, answer.headers["x-total"]) == (200, b"<html>", "3")


# -- tried again, or not ----------------------------------------------------------------------------------------------


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
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        address = deaf.getsockname()
        tried: list[object] = []
        sys.addaudithook(
            lambda event, given: tried.append(1) if event == "socket.connect" and given[1] == address else None
        )
        for method in ("GET", "POST"):
            with pytest.raises(Unreachable, match="nothing listens at 127.0.0.1") as caught:
                RestSession(f"http://127.0.0.1:{address[1]}").request(method, "/")
            assert caught.value.reason == "refused"
            assert "may have been done" not in str(caught.value)
    assert len(tried) == 2 * 2


# -- redirects and links ----------------------------------------------------------------------------------------------


def test_redirects_within_the_service_are_followed(service: Service, session: RestSession) -> None:
    service.fault(Response(302, b"", {"Location": "/v2/x?page=2"}))
    said = session.get("/v1/x", params={"a": 1})
    assert (said["path"], said["query"]) == ("/v2/x", {"page": ["2"]})
    assert said["headers"]["authorization"] == "Bearer t0p-secret"
    service.fault(Response(307, b"", {"Location": "/v2/x/"}))
    assert session.post("/v2/x", json={"a": 1})["body"] == '{"a": 1}'


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_never_carry_credentials_to_another_host(service: Service, status: int) -> None:
    secret = {"Authorization": "Bearer s", "X-Auth-Token": "t", "X-Api-Key": "k", "Cookie": "c=1", "X-Odd": "o"}
    with Service() as thief:
        for session in (RestSession(service.url, headers=secret), RestSession(service.url, auth=("me", "s"))):
            service.fault(Response(status, b"", {"Location": f"{thief.url}/steal"}))
            said = session.get("/x", headers={"X-Filter": "f"})
            assert set(said["headers"]) == {"host", "accept", "accept-encoding", "user-agent"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_changes_are_not_sent_to_another_host(service: Service, session: RestSession, status: int) -> None:
    with Service() as thief:
        service.fault(Response(status, b"", {"Location": f"{thief.url}/steal"}))
        with pytest.raises(ProviderError, match="redirects POST.*not followed") as caught:
            session.post("/x", json={"password": "p"})
        assert thief.requests == []
    assert caught.value.reason == "redirect"


@pytest.mark.parametrize("target", ["ftp://a.example/", "http://a.example:port/", "http://a.example\\@b/", "file:///x"])
def test_odd_redirects_are_refused(service: Service, session: RestSession, target: str) -> None:
    service.fault(Response(302, b"", {"Location": target}))
    with pytest.raises(ProviderError, match="not followed"):
        session.get("/x")


def test_redirects_without_end(service: Service, session: RestSession) -> None:
    service.fault(Response(302, b"", {"Location": "/again"}), times=99)
    with pytest.raises(ProviderError, match="without end"):
        session.get("/x")
    assert len(service.requests) < 10


@pytest.mark.parametrize(
    "link",
    [
        "http://evil.example/v1/x?page=2",
        "https://127.0.0.1/v1",
        "http://127.0.0.1:1/v1",
        "http://127.0.0.1@evil.example/",
        "http://evil.example\\@127.0.0.1/",
        "HTTP://EVIL.EXAMPLE/",
        "http://[::1/",
    ],
)
def test_links_to_elsewhere_are_refused(session: RestSession, link: str) -> None:
    with pytest.raises(ProviderError, match="elsewhere; nothing was sent") as caught:
        session.get(link)
    assert caught.value.reason == "foreign_link"


def test_links_that_forget_that_the_way_is_encrypted_are_mended() -> None:
    session = RestSession("https://a.example:8443/v1")
    assert session._url("http://a.example:8443/v1/x?page=2") == "https://a.example:8443/v1/x?page=2"
    with pytest.raises(ProviderError):
        session._url("http://a.example:8080/v1/x")


# -- Retry-After ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("29", 29), (" 0 ", 0), ("1.5", 1.5), ("Thu, 01 Jan 1970 00:01:40 GMT", 40),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0), ("Thu, 01 Jan 1970 01:01:40 +0100", 40),
        (None, None), ("", None), ("-5", None), ("soon", None), ("nan", None),
        ("inf", None), ("1e9", None), ("٣", None), ("9" * 12, 315360000), ("9" * 400, None),
        ("Thu, 99 Foo 1970 99:99:99 GMT", None), ("Fri, 31 Dec 9999 23:59:59 GMT", 315360000),
    ],
)  # fmt: skip
def test_parse_retry_after(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, now=60) == seconds


def test_the_common_mapping_is_public() -> None:
    failure = Failure(429, {"Retry-After": "5"}, None, "", "GET", "http://a/b")
    error = error_for(failure)
    assert isinstance(error, RateLimited)
    assert error.retry_after == 5
