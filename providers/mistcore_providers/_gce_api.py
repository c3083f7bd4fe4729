"""Requests to Compute Engine: paged listings, and operations that are followed to their end.

Facts: "Handling API responses" and the REST reference of `zoneOperations` (Google's docs).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mistcore import ProviderError, Rejected, Unreachable
from mistcore.deadline import sleep
from mistcore.http import RestSession, segment
from mistcore_providers._gce_errors import operation_error
from mistcore_providers._gce_machines import last

_PAGE = 500
#: Seconds after which nobody waits any longer for an operation, where no deadline is in force.
_LONGEST_OPERATION = 900.0
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 10.0


class Compute:
    """Compute Engine, for one project."""

    def __init__(self, session: RestSession, project: Callable[[], str]) -> None:
        self._session = session
        self._project = project
        #: Seconds of the first pause while waiting for an operation.
        self.first_wait = _FIRST_WAIT

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def path(self, *parts: str, project: str = "") -> str:
        """Return the path of a resource of the project, or of another one."""
        names = (project or self._project(), *parts)
        return "/compute/v1/projects/" + "/".join(segment(part) for part in names)

    def get(self, path: str, **params: Any) -> Any:
        """Return what is there."""
        return self._session.get(path, params=params or None)

    def find(self, path: str) -> Any:
        """Return what is there, or None where nothing is."""
        try:
            return self.get(path)
        except ProviderError as error:
            if error.reason == "not_found":
                return None
            raise

    def rows(self, path: str, items: Callable[[Any], list[Any]] | None = None, **params: Any) -> Iterator[Any]:
        """Yield the rows of a listing, page by page to the end."""
        query = {"maxResults": _PAGE, **params}

        # A page without rows lacks `items`; it says by `kind` that it is a page.
        def rows_of(body: Any) -> Any:
            return body.get("items") or [] if isinstance(body, Mapping) and body.get("kind") else None

        found = items or rows_of
        return self._session.follow(path, items=found, next="nextPageToken", param="pageToken", params=query)

    def instances(self, items: Callable[[Any], list[Any]], **params: Any) -> Iterator[Any]:
        """Yield the instances of all zones that can be reached, as `items` finds them in a page."""
        path = self.path("aggregated", "instances")
        try:
            yield from self.rows(path, items, returnPartialSuccess="true", **params)
        except Rejected as error:
            # Google's documents recommend the parameter; not all that speak this API know it.
            if "returnPartialSuccess" not in error.message:
                raise
            yield from self.rows(path, items, **params)

    def act(
        self, method: str, path: str, *, what: str, wait: bool = True, json: Any = None, **params: Any
    ) -> Mapping[str, Any]:
        """Change something, and return the operation, by default when it is done."""
        # With an ID of the request, Google does it once however often it is sent.
        query = {**params, "requestId": str(uuid.uuid4())}
        operation = self._session.request(method, path, json=json, params=query, safe=True).json()
        if not isinstance(operation, Mapping) or not operation.get("name"):
            raise ProviderError(f"the answer to {what} is no operation", reason="garbled")
        return self.wait(operation, what) if wait else operation

    def wait(self, operation: Mapping[str, Any], what: str) -> Mapping[str, Any]:
        """Follow an operation to its end and return it.

        Raises:
            Rejected, ProviderError …: it failed.
            Unreachable: (reason "timeout") it goes on for longer than the time allowed.

        """
        path = self.path("zones", last(operation.get("zone")), "operations", str(operation["name"]))
        end = time.monotonic() + _LONGEST_OPERATION
        pause = self.first_wait
        while operation.get("status") != "DONE":
            try:
                if time.monotonic() + pause > end:
                    raise Unreachable("it takes too long", reason="timeout")
                sleep(pause)
                answer = self.get(path)
            except Unreachable as error:
                if error.reason != "timeout":
                    raise
                raise Unreachable(
                    f"Google has begun to {what}, and is not done within the time allowed",
                    reason="timeout",
                    remedy="It goes on there: look at the machine later, or allow more time.",
                ) from error
            if not isinstance(answer, Mapping):
                raise ProviderError("the answer is no operation", reason="garbled")
            operation = answer
            pause = min(pause * 1.5, _LONGEST_WAIT)
        failed = operation_error(operation, what)
        if failed is not None:
            raise failed
        return operation

    def post(self, url: str, json: Any) -> Any:
        """Ask something by POST that changes nothing."""
        return self._session.post(url, json=json, safe=True)
