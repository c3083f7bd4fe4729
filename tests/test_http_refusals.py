"""What the REST toolkit makes of refusals and of answers that are none: errors that say what the service said."""

from __future__ import annotations

import json
import logging
import traceback
from typing import Any

import pytest
from fakes import echo
from fakes.echo import Service, refusal

from mistcore import (
    AuthenticationFailed,
    MachineNotFound,
    MistError,
    PermissionDenied,
    ProviderError,
    RateLimited,
    Rejected,
    Unreachable,
)
from mistcore.http import Failure, RestSession, error_for, parse_retry_after
from mistcore.testing.server import Response

service = echo.service
session = echo.session


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
