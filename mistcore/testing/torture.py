"""`TortureSuite`: what services do on bad days, for providers whose service is a `FakeService`."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from typing import Any

import pytest

from mistcore.errors import MistError, ProviderError, RateLimited, Unreachable
from mistcore.provider import Provider
from mistcore.testing.astray import AstraySuite
from mistcore.testing.burden import BurdenSuite
from mistcore.testing.entities import EntitySuite
from mistcore.testing.faults import REFUSALS
from mistcore.testing.refusals import LATER, RefusalSuite
from mistcore.testing.rounds import RoundSuite
from mistcore.testing.server import FakeService, Request, Response, json_response

__all__ = ["TortureSuite"]

_JSON = {"Content-Type": "application/json"}

_ANSWERS: dict[str, tuple[Response, tuple[type[MistError], ...]]] = {
    "a web page": (
        Response(200, b"<!DOCTYPE html><html><body>Please log in</body></html>", {"Content-Type": "text/html"}),
        (ProviderError,),
    ),
    "JSON that stops": (Response(200, b'{"data": [{"id": 1, "na', _JSON), (ProviderError,)),
    "deep JSON": (Response(200, b"[" * 100_000 + b"]" * 100_000, _JSON), (ProviderError,)),
    "a body cut off": (Response(200, b'{"data": []}' + b" " * 1000, _JSON, cut=12), (ProviderError, Unreachable)),
    "401": (json_response({"message": "who are you?"}, 401), REFUSALS),
    "403": (json_response({"message": "you may not"}, 403), REFUSALS),
    "429": (json_response({"message": "too many"}, 429, {"Retry-After": f"{LATER:.0f}"}), (RateLimited,)),
    "500": (json_response({"message": "oops"}, 500), (ProviderError,)),
    "503": (json_response({"message": "busy"}, 503, {"Retry-After": f"{LATER:.0f}"}), (ProviderError, RateLimited)),
}
#: What an answer of the wrong type may look like, whatever was asked.
_ODD: dict[str, Any] = {"null": None, "a number": 7, "text": "text", "a list of numbers": [1, 2], "data": {"data": 7}}
_ODD_KINDS = ("null", "other")


class TortureSuite(AstraySuite, BurdenSuite, EntitySuite, RefusalSuite, RoundSuite):
    """`ProviderSuite`, and a service that is not there, is somebody else, refuses, lies, never ends, leads elsewhere.

    `service` must be a `mistcore.testing.server.FakeService`. `good` must take its address from `service.url`, since
    accounts are made for other addresses as well, with a certificate to trust in the field `ca_cert`, if there is one.
    Every case is met at the first request and, for what the provider does after a login, at the first one after a
    successful check. Three methods say how your service does it, where that is not as most do:

        def refusal(self, status, words):
            return json_response({"fault": {"code": status, "text": words}}, status)

        def changes(self, request):  # a login changes nothing
            return super().changes(request) and request.path != "/token"

        def endless(self, service, marks):  # without it, the test of pages that have no end is skipped
            def more(body, answer):
                body["next_page"] = next(marks)

            self.repeat_page(service, lambda request: request.path == "/machines", {"page"}, more)

    Attributes:
        most: seconds that any of this may take: no failure is repeated for ever.
        most_memory: bytes that an answer of 200 MB may cost.
        repeats_changes: the methods by which a change may be asked for again, since the second time does nothing: the
            service knows it by a token, say.
        odd_values: how many values of the service's answers are made odd, one after the other.

    """

    most: float = 50.0
    most_memory: int = 100 * 10**6
    repeats_changes: Container[str] = ()
    odd_values: int = 200

    # -- wrong answers ------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("answer", _ANSWERS)
    def test_a_bad_answer_at_once(self, service: FakeService, account: Provider, answer: str) -> None:
        self.answer_all(service, _ANSWERS[answer][0])
        self.fails(account.check, account, *_ANSWERS[answer][1])

    @pytest.mark.parametrize("answer", [name for name in _ANSWERS if not name.isdecimal()])
    def test_a_bad_answer_after_a_good_check(self, service: FakeService, account: Provider, answer: str) -> None:
        account.check()
        self.answer_all(service, _ANSWERS[answer][0])
        self.fails(lambda: list(account.list_machines()), account, *_ANSWERS[answer][1])

    @pytest.mark.parametrize("answer", _ODD)
    def test_an_answer_of_the_wrong_type(self, service: FakeService, account: Provider, answer: str) -> None:
        self.answer_all(service, json_response(_ODD[answer]))
        self.lists_or_fails(account)
        service.clear_faults()
        account.check()
        self.answer_all(service, json_response(_ODD[answer]))
        self.lists_or_fails(account)

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
            ids = [machine.id for machine in self.lists_or_fails(account) or ()]
            assert len(ids) == len(set(ids)), "two machines share an id"
        odd.clear()
        assert [machine.id for machine in account.list_machines()] == whole


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
