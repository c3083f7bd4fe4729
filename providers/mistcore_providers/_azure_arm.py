"""Requests to Azure Resource Manager: paged listings, and operations that are followed to their end.

Facts: "Track asynchronous Azure operations" and "Throttling Resource Manager requests" (Microsoft Learn).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from mistcore import MistError, PermissionDenied, ProviderError, Rejected, Unreachable
from mistcore.deadline import sleep
from mistcore.http import Answer, RestSession
from mistcore.parallel import in_parallel
from mistcore_providers._azure_errors import operation_error

COMPUTE = "2024-07-01"
DISKS = "2024-03-02"
GROUPS = "2021-04-01"
NETWORK = "2024-05-01"
PERMISSIONS = "2022-04-01"
SKUS = "2021-07-01"
SUBSCRIPTIONS = "2022-12-01"

#: Seconds after which nobody waits any longer for an operation, where no deadline is in force.
_LONGEST_OPERATION = 900.0
_FIRST_WAIT, _LONGEST_WAIT, _SHORTEST_WAIT = 1.0, 15.0, 0.02


class Arm:
    """Resource Manager, for one subscription."""

    def __init__(self, session: RestSession, subscription_id: str) -> None:
        self._session = session
        self.root = f"/subscriptions/{subscription_id}"

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def get(self, path: str, version: str, **params: Any) -> Any:
        """Return what is there."""
        return self._session.get(path, params={"api-version": version, **params})

    def find(self, path: str, version: str, **params: Any) -> Any:
        """Return what is there, or None where nothing is."""
        try:
            return self.get(path, version, **params)
        except ProviderError as error:
            if error.reason == "not_found":
                return None
            raise

    def rows(self, path: str, version: str, **params: Any) -> Iterator[Any]:
        """Yield the rows of a listing, page by page to the end."""
        query = {"api-version": version, **params}
        yield from self._session.follow(path, items="value", next=self._next, params=query)

    def listed(self, kind: str, version: str, **params: Any) -> list[Any]:
        """Return every resource of a kind that the subscription has ("Microsoft.Compute/virtualMachines")."""
        return list(self.rows(f"{self.root}/providers/{kind}", version, **params))

    def listed_if_allowed(self, kind: str, version: str) -> list[Any]:
        """Return the resources, or none where the application may see machines but not this: `check` warns of it."""
        try:
            return self.listed(kind, version)
        except PermissionDenied:
            return []

    def permissions(self) -> list[Any]:
        """Return the roles that whoever asks has on the subscription, as far as that is told."""
        try:
            return self.listed("Microsoft.Authorization/permissions", PERMISSIONS)
        except PermissionDenied:
            return []
        except ProviderError as error:
            if error.reason == "not_found":
                return []
            raise

    def found(self, ids: Iterable[str]) -> list[Any]:
        """Return the network resources with these IDs, without those that are not there or may not be seen."""

        def find(path: str) -> Any:
            try:
                return self.find(path, NETWORK)
            except (PermissionDenied, Rejected):
                return None

        known = [path for path in ids if path.lower().startswith("/subscriptions/")]
        return [row for row in in_parallel(find, known) if row is not None]

    def put(self, path: str, version: str, body: Any, *, what: str) -> None:
        """Make or change a resource, and wait until that is done."""
        answer = self.begin_put(path, version, body)
        made = answer.json()
        properties = made.get("properties") if isinstance(made, Mapping) else None
        if not isinstance(properties, Mapping) or properties.get("provisioningState") != "Succeeded":
            self.wait(answer, what)

    def begin_put(self, path: str, version: str, body: Any, *, new: bool = False) -> Answer:
        """Begin to make or change a resource; with `new`, refuse to change one that is there already."""
        headers = {"If-None-Match": "*"} if new else None
        params = {"api-version": version}
        return self._session.request("PUT", path, params=params, json=body, headers=headers, safe=not new)

    def act(self, path: str, version: str, *, what: str, wait: bool = True, **params: Any) -> None:
        """Do something to a resource (POST)."""
        answer = self._session.request("POST", path, params={"api-version": version, **params})
        if wait:
            self.wait(answer, what)

    def delete(self, path: str, version: str, *, what: str, **params: Any) -> bool:
        """Delete a resource and wait until it is gone; return False where there was none."""
        answer = self._session.request("DELETE", path, params={"api-version": version, **params}, safe=True)
        if answer.status == 204:
            return False
        self.wait(answer, what)
        return True

    def wait(self, answer: Answer, what: str) -> None:
        """Follow an accepted operation to its end, as often as the service advises to look.

        Raises:
            Rejected, ProviderError: it failed.
            Unreachable: (reason "timeout") it goes on for longer than the time allowed.

        """
        link = answer.headers.get("Azure-AsyncOperation") or ""
        location = answer.headers.get("Location") or ""
        if not link and not (location and answer.status in {201, 202}):
            return
        end = time.monotonic() + _LONGEST_OPERATION
        pause = _FIRST_WAIT
        while True:
            try:
                self._sleep(_advised(answer, pause), end)
                answer = self._session.request("GET", self._here(link or location))
            except Unreachable as error:
                if error.reason != "timeout":
                    raise
                raise Unreachable(
                    f"Azure has begun to {what}, and is not done within the time allowed",
                    reason="timeout",
                    remedy="It goes on there: look at the machine later, or allow more time.",
                ) from error
            if link:
                body = answer.json()
                status = str(body.get("status", "")).lower() if isinstance(body, Mapping) else ""
                if status == "succeeded":
                    return
                if status in {"failed", "canceled", "cancelled"}:
                    raise _failed(body.get("error"), what, status)
            elif answer.status != 202:
                return
            else:
                location = answer.headers.get("Location") or location
            pause = min(pause * 1.5, _LONGEST_WAIT)

    def _sleep(self, seconds: float, end: float) -> None:
        if time.monotonic() + seconds > end:
            raise Unreachable("it takes too long", reason="timeout")
        sleep(seconds)

    def _next(self, body: Any) -> str:
        link = body.get("nextLink") if isinstance(body, Mapping) else None
        return self._here(link) if isinstance(link, str) and link else ""

    def _here(self, link: str) -> str:
        """Return a link of the service as one below our address: behind a proxy it names the vendor's own host."""
        split, base = urlsplit(link), urlsplit(self._session.base_url)
        if not split.netloc or split.netloc.lower() == base.netloc.lower():
            return link
        path = split.path if split.path.startswith(f"{base.path}/") else base.path + split.path
        return base._replace(path=path, query=split.query).geturl()


def _advised(answer: Answer, otherwise: float) -> float:
    from mistcore.http import parse_retry_after

    asked = parse_retry_after(answer.headers.get("Retry-After"))
    return otherwise if asked is None else max(asked, _SHORTEST_WAIT)


def _failed(error: Any, what: str, status: str) -> MistError:
    if status != "failed":
        return ProviderError(f"somebody cancelled to {what}", reason="cancelled")
    return operation_error(error, what)
