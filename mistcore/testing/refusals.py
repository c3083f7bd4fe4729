"""The part of `TortureSuite` about refusals as the service words them, and about changes that go wrong."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

import pytest

from mistcore.errors import MistError, ProviderError, RateLimited, Rejected, Unreachable
from mistcore.models import MachineState
from mistcore.provider import Provider
from mistcore.testing.faults import REFUSALS, FaultSuite
from mistcore.testing.server import FakeService, Request, Response, json_response

__all__ = ["LATER", "RefusalSuite"]

#: What the service asks to wait, where it asks for that: longer than anything would wait by itself.
LATER = 3600.0
_SAID = "number 4711 has to stay as it is"
_JSON = {"Content-Type": "application/json"}

_MEANING: dict[int, tuple[type[MistError], ...]] = {
    401: REFUSALS,
    403: REFUSALS,
    404: (ProviderError, Rejected),
    409: (Rejected,),
    429: (RateLimited,),
    500: (ProviderError,),
    503: (ProviderError, RateLimited),
}
#: What a change may be answered with that is no refusal: it may have been made, or not.
_LOST: dict[str, Response] = {
    "a web page": Response(200, b"<!DOCTYPE html><html><body>Log in</body></html>", {"Content-Type": "text/html"}),
    "an answer cut off": Response(200, b'{"id": ' + b" " * 1000, _JSON, cut=7),
}
#: The state that a machine had better be in.
_STATES = {
    "start_machine": MachineState.STOPPED,
    "stop_machine": MachineState.RUNNING,
    "destroy_machine": MachineState.STOPPED,
}


class RefusalSuite(FaultSuite):
    """A service that says no, and one that loses its voice when something is to be changed."""

    repeats_changes: Container[str] = ()

    def refusal(self, status: int, words: str) -> Response:
        """Return how the service refuses with this status, with these words for people in it.

        Override it with the vendor's own form. Where the vendor means one of these by another status, return that.
        """
        return json_response({"message": words}, status, {"Retry-After": f"{LATER:.0f}"} if status == 429 else {})

    def changes(self, request: Request) -> bool:
        """Tell whether a request changes something. Override it where the method does not say so; a login does not."""
        return request.method not in {"GET", "HEAD", "OPTIONS"}

    @pytest.mark.parametrize("status", _MEANING)
    def test_a_refusal_as_the_service_words_it(self, service: FakeService, account: Provider, status: int) -> None:
        account.check()
        answer = self.refusal(status, _SAID)
        self.answer_all(service, answer)
        error = self.fails(lambda: list(account.list_machines()), account, *_MEANING[status])
        assert _SAID in error.message, "what the service says is not told"
        if isinstance(error, RateLimited) and "Retry-After" in answer.headers:
            assert error.retry_after is not None
            assert LATER - 60 <= error.retry_after <= LATER

    @pytest.mark.parametrize("operation", [*_STATES, "create_machine"])
    def test_a_change_that_goes_wrong(self, service: FakeService, account: Provider, operation: str) -> None:
        if not self._offers(account, operation):
            return  # that it is clearly refused, `ProviderSuite` tests
        call = self._change(account, operation)
        before = sorted(machine.id for machine in account.list_machines())
        for status in (401, 500, 503):
            made = self._refuse_change(service, account, call, self.refusal(status, _SAID), *_MEANING[status])
            assert status == 401 or self._once(made), f"it was asked for again after {status}"
        for answer in _LOST.values():
            made = self._refuse_change(service, account, call, answer, ProviderError, Unreachable)
            assert self._once(made), "it was asked for again, although it may have been done"
        assert sorted(machine.id for machine in account.list_machines()) == before

    # -- how it is done -----------------------------------------------------------------------------------------------

    def _once(self, made: list[str]) -> bool:
        single = [one for one in made if one.partition(" ")[0] not in self.repeats_changes]
        return len(single) == len(set(single))

    def _change(self, account: Provider, operation: str) -> Callable[[], Any]:
        if operation == "create_machine":
            if self.new_machine is None:
                pytest.skip("`new_machine` does not say what create_machine takes")
            return lambda: account.create_machine("suite-3", **(self.new_machine or {}))
        machines = self._machines(account)
        fitting = (machine for machine in machines if machine.state == _STATES[operation])
        return self._call(account, operation, next(fitting, machines[0]).id)

    def _refuse_change(
        self,
        service: FakeService,
        account: Provider,
        call: Callable[[], Any],
        answer: Response,
        *kinds: type[MistError],
    ) -> list[str]:
        """Answer every change with this, and return what was asked for; only a state may make it come to nothing."""
        service.fault(answer, times=200, where=self.changes)
        before = len(service.requests)
        error = self.fails(call, account, *kinds, Rejected)
        service.clear_faults()
        asked = [request for request in service.requests[before:] if self.changes(request)]
        assert isinstance(error, kinds) or not asked, f"{type(error).__name__} is raised: {error}"
        return [f"{request.method} {request.path} {request.query} {request.body!r}" for request in asked]
