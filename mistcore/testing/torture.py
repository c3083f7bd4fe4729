"""`TortureSuite`: what services do on bad days, for providers whose service is a `FakeService`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mistcore.deadline import deadline
from mistcore.errors import (
    AuthenticationFailed,
    MistError,
    PermissionDenied,
    ProviderError,
    RateLimited,
    Rejected,
    Unreachable,
)
from mistcore.provider import Provider
from mistcore.testing.judge import leaks, machine_problems, secrets_of
from mistcore.testing.server import FakeService, Request, Response, json_response
from mistcore.testing.suite import ProviderSuite

__all__ = ["TortureSuite"]

_REFUSALS = (AuthenticationFailed, PermissionDenied)
_LATER = 3600.0
_JSON = {"Content-Type": "application/json"}

_ANSWERS: dict[str, tuple[Response, tuple[type[MistError], ...]]] = {
    "a web page": (
        Response(200, b"<!DOCTYPE html><html><body>Please log in</body></html>", {"Content-Type": "text/html"}),
        (ProviderError,),
    ),
    "JSON that stops": (Response(200, b'{"data": [{"id": 1, "na', _JSON), (ProviderError,)),
    "deep JSON": (Response(200, b"[" * 100_000 + b"]" * 100_000, _JSON), (ProviderError,)),
    "a body cut off": (Response(200, b'{"data": []}' + b" " * 1000, _JSON, cut=12), (ProviderError, Unreachable)),
    "401": (json_response({"message": "who are you?"}, 401), _REFUSALS),
    "403": (json_response({"message": "you may not"}, 403), _REFUSALS),
    "429": (json_response({"message": "too many"}, 429, {"Retry-After": "3600"}), (RateLimited,)),
    "500": (json_response({"message": "oops"}, 500), (ProviderError,)),
    "503": (json_response({"message": "busy"}, 503, {"Retry-After": "3600"}), (ProviderError, RateLimited)),
}
#: What an answer of the wrong type may look like, whatever was asked.
_ODD: dict[str, Any] = {"null": None, "a number": 7, "text": "text", "a list of numbers": [1, 2], "data": {"data": 7}}
_ODD_KINDS = ("null", "other")


class TortureSuite(ProviderSuite):
    """`ProviderSuite`, and a service that refuses, lies, stops in the middle and leads elsewhere.

    `service` must be a `mistcore.testing.server.FakeService`. Every case is met at the first request and, for what the
    provider does after a login, at the first one after a successful check.

    Attributes:
        most: seconds that any of this may take: no failure is repeated for ever.
        odd_values: how many values of the service's answers are made odd, one after the other.

    """

    most: float = 20.0
    odd_values: int = 200

    # -- nobody there -------------------------------------------------------------------------------------------------

    def test_nobody_listens(self, service: FakeService, account: Provider) -> None:
        service.stop()
        error = self._fails(account.check, account, Unreachable)
        assert error.reason == "refused"

    # -- wrong answers ------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("answer", _ANSWERS)
    def test_a_bad_answer_at_once(self, service: FakeService, account: Provider, answer: str) -> None:
        self._answer_all(service, _ANSWERS[answer][0])
        self._fails(account.check, account, *_ANSWERS[answer][1])

    @pytest.mark.parametrize("answer", _ANSWERS)
    def test_a_bad_answer_after_a_good_check(self, service: FakeService, account: Provider, answer: str) -> None:
        account.check()
        self._answer_all(service, _ANSWERS[answer][0])
        error = self._fails(lambda: list(account.list_machines()), account, *_ANSWERS[answer][1])
        if isinstance(error, RateLimited):
            assert error.retry_after is not None
            assert _LATER - 60 <= error.retry_after <= _LATER

    @pytest.mark.parametrize("answer", _ODD)
    def test_an_answer_of_the_wrong_type(self, service: FakeService, account: Provider, answer: str) -> None:
        self._answer_all(service, json_response(_ODD[answer]))
        self._lists_or_fails(account)
        service.clear_faults()
        account.check()
        self._answer_all(service, json_response(_ODD[answer]))
        self._lists_or_fails(account)

    @pytest.mark.filterwarnings("ignore")
    def test_odd_values_break_no_listing(self, service: FakeService, account: Provider) -> None:
        account.check()
        plain = service.handle
        values: dict[str, int] = {}
        odd: list[tuple[str, int, Any]] = []

        def handle(request: Request) -> Response:
            answer = plain(request)
            if request.method != "GET":
                return answer
            asked = f"{request.path} {sorted(request.query.items())}"
            if not odd:
                values[asked] = len(_places(answer))
            elif odd[0][0] == asked:
                return _with_an_odd_value(answer, *odd[0][1:])
            return answer

        service.handle = handle  # type: ignore[method-assign]  # only this service, only in this test
        whole = [machine.id for machine in account.list_machines()]
        choices = [(asked, place, kind) for asked, n in values.items() for place in range(n) for kind in _ODD_KINDS]
        assert choices, "there is no value in what the service answers"
        for chosen in choices[:: len(choices) // self.odd_values + 1]:
            odd[:] = [chosen]
            ids = [machine.id for machine in self._lists_or_fails(account) or ()]
            assert len(ids) == len(set(ids)), "two machines share an id"
        odd.clear()
        assert [machine.id for machine in account.list_machines()] == whole

    # -- led elsewhere ------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("status", [301, 302, 307])
    def test_a_redirect_elsewhere_carries_nothing_away(
        self, service: FakeService, account: Provider, status: int
    ) -> None:
        secrets = secrets_of(account)
        with FakeService() as elsewhere:
            for logged_in in (False, True):
                if logged_in:
                    service.clear_faults()
                    account.check()
                self._answer_all(service, Response(status, b"", {"Location": f"{elsewhere.url}/elsewhere"}))
                self._fails(lambda: list(account.list_machines()), account, MistError)
            for request in elsewhere.requests:
                headers = {name.lower(): value for name, value in request.headers.items()}
                assert not {"authorization", "cookie"} & set(headers), "credentials went to another host"
                said = f"{request.path} {request.query} {headers} {request.body.decode('latin-1')}"
                assert leaks(secrets, said) == [], "a secret went to another host"

    # -- how it is done -----------------------------------------------------------------------------------------------

    def _answer_all(self, service: FakeService, answer: Response) -> None:
        service.fault(answer, times=200)

    def _fails(self, call: Callable[[], Any], account: Provider, *kinds: type[MistError]) -> MistError:
        began = time.monotonic()
        with deadline(self.most):
            error = self.refused(call, account, *kinds)
        assert time.monotonic() - began < self.most, "it went on trying until the deadline"
        return error

    def _lists_or_fails(self, account: Provider) -> list[Any] | None:
        """Return the machines, well formed, or None when our own error was raised: nothing else may happen."""
        machines: list[Any] = []
        try:
            with deadline(self.most):
                machines = list(account.list_machines())
        except Exception:  # noqa: BLE001 - called once more, to be judged
            kinds = (ProviderError, Unreachable, Rejected, *_REFUSALS)
            self._fails(lambda: list(account.list_machines()), account, *kinds)
            return None
        assert [problem for machine in machines for problem in machine_problems(machine)] == []
        return machines


def _with_an_odd_value(answer: Response, place: int, kind: str) -> Response:
    """Return the answer with one value made null, or something of another type."""
    body = json.loads(answer.body)
    found = list(_walk(body))
    if place < len(found):  # what is asked at the same time may have changed meanwhile
        holder, key = found[place]
        other = "odd" if isinstance(holder[key], (dict, list)) else {"odd": True}
        holder[key] = None if kind == "null" else other
    return Response(
        answer.status, json.dumps(body).encode(), answer.headers, answer.delay, answer.chunk_delay, answer.cut
    )


def _places(answer: Response) -> list[tuple[Any, Any]]:
    """Return where the values of an answer in JSON are: what holds each, and its key there."""
    try:
        return list(_walk(json.loads(answer.body)))
    except ValueError:
        return []


def _walk(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from _walk(item)
