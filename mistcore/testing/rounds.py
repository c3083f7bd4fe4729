"""The part of `TortureSuite` about lists that have no end."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Collection, Iterator
from typing import Any

import attrs
import pytest

from mistcore.errors import ProviderError
from mistcore.provider import Provider
from mistcore.testing.faults import FaultSuite
from mistcore.testing.server import FakeService, Request, Response

__all__ = ["RoundSuite"]


class RoundSuite(FaultSuite):
    """A service that leads round in circles."""

    def endless(self, service: Any, marks: Iterator[str]) -> None:
        """Let the listing of machines say for ever that there is more, and give the same page again and again.

        Override it; `repeat_page` does most of it. `marks` yields what the service may call its next page.
        """
        pytest.skip("`endless` does not say how the service's pages are linked")

    def repeat_page(
        self,
        service: FakeService,
        where: Callable[[Request], bool],
        position: Collection[str],
        change: Callable[[Any, Response], Any],
    ) -> None:
        """Let a service give the first page of a list whichever is asked for.

        Args:
            service: the service.
            where: which requests are for that list.
            position: the parameters of the query that say where in the list a page is.
            change: called with the body, parsed JSON, and the answer: to put in that there is more.

        """
        plain = service.handle

        def handle(request: Request) -> Response:
            if not where(request):
                return plain(request)
            query = {name: value for name, value in request.query.items() if name not in position}
            lists = {name: values for name, values in request.query_lists.items() if name not in position}
            answer = plain(attrs.evolve(request, query=query, query_lists=lists))
            body = json.loads(answer.body)
            change(body, answer)
            return attrs.evolve(answer, body=json.dumps(body).encode())

        service.handle = handle  # type: ignore[method-assign]  # only this service, only in this test

    @pytest.mark.parametrize("marks", ["the same again", "ever new ones"])
    def test_the_same_page_for_ever(self, service: FakeService, account: Provider, marks: str) -> None:
        account.check()
        same = marks == "the same again"
        self.endless(service, itertools.repeat("more") if same else (f"more-{n}" for n in itertools.count()))
        before = len(service.requests)
        self.fails(lambda: list(account.list_machines()), account, ProviderError)
        assert len(service.requests) - before < 1000, "it went round and round before it noticed"
