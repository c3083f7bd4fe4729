"""A stand-in that a vendor's OpenAPI document describes: all that is said to it, and by it, is held against that."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import attrs
from fakes.openapi import Correction, Granted, OpenApi, document

from mistcore.testing.server import FakeService, Request, Response


@attrs.define
class Foreign(Response):
    """An answer that does not come from the vendor's server: a portal's web page, a proxy's error, JSON cut short.

    No document describes it. What was asked is held against the document all the same.
    """


class DescribedService(FakeService):
    """A `FakeService` whose `with` block ends in an AssertionError if anything was not as the vendor's document says.

    Every request and every answer is looked at, whatever its status. Two things are let pass, each where it is planted:
    a `Foreign` answer, and what a test `departs` from the document with.

    Attributes:
        spec: the document; None where the folder of the vendors' documents is not at hand.
        violations: where a request or an answer was not as the document says.
        foreign_faults: take all faults for `Foreign`: for a suite that plants the same ones at every service.

    """

    DOCUMENT: str
    CORRECTIONS: tuple[Correction, ...] = ()

    def __init__(self, *, described: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.spec: OpenApi | None = document(self.DOCUMENT, self.CORRECTIONS) if described else None
        self.violations: list[str] = []
        self.foreign_faults = False
        self._departures: list[re.Pattern[str]] = []

    def dress(self, request: Request, response: Response) -> None:
        """Add what every answer of the service has. Override it."""

    def granted(self, request: Request) -> Granted | None:
        """Return what tells the scopes of the request's token, or None for one that may see all. Override it."""
        return None

    def departs(self, pattern: str) -> None:
        """Let pass what is not as the document says, and fits the pattern; it is an error if there is no such thing."""
        self._departures.append(re.compile(pattern))

    def fault(
        self, response: Response, *, times: int = 1, where: Callable[[Request], bool] = lambda request: True
    ) -> None:
        """Answer the next `times` requests that fit `where` with this, held against the document unless `Foreign`."""
        if self.foreign_faults:
            response = Foreign(**attrs.asdict(response))
        super().fault(response, times=times, where=where)

    def handle(self, request: Request) -> Response:
        try:
            response = super().handle(request)
        except Exception as error:
            self._note([f"{request.method} {request.path}: the stand-in failed: {error!r}"])
            raise
        foreign = isinstance(response, Foreign)
        if not foreign:
            self.dress(request, response)
        if self.spec is not None:
            problems = self.spec.request_problems(request)
            if not foreign:
                problems += self.spec.answer_problems(request, response, self.granted(request))
            self._note([f"{request.method} {request.path}: {problem}" for problem in problems])
        return response

    def unexpected(self) -> list[str]:
        """Return the violations that no test said would be there, and the departures that there were none of."""
        found = [one for one in self.violations if not any(pattern.search(one) for pattern in self._departures)]
        for pattern in self._departures if self.spec is not None else ():
            if not any(pattern.search(one) for one in self.violations):
                found.append(f"nothing departed from the document with {pattern.pattern!r}")
        return found

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        if exc[0] is None and (found := self.unexpected()):
            raise AssertionError("not as the vendor's document says:\n" + "\n".join(found[:20]))

    def _note(self, problems: list[str]) -> None:
        with self.lock:
            self.violations += problems
