"""`RestSession`: requests to one service, with its credentials, timeouts, retries and errors."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from mistcore.deadline import remaining, sleep
from mistcore.errors import MistError, ProviderError, RateLimited, Unreachable
from mistcore.http import addresses, paging
from mistcore.http.exchange import READS, Answer, Sender
from mistcore.http.failures import Failure, error_for, looks_like_html
from mistcore.redaction import Quiet

if TYPE_CHECKING:
    from requests.auth import AuthBase

__all__ = ["RestSession", "get_json"]

T = TypeVar("T")

_BACKOFF = 0.2


class RestSession:
    """Requests to one service, below one address. Any number of threads may share one.

    Reads are repeated when the service fails or a connection breaks; what changes something is repeated only when it
    certainly did nothing: the service said so (429, or 503 with `Retry-After`), or nothing was sent.

    Sessions with the same service that trust the same certificates share their connections, and nothing else. So `auth`
    must not be of a kind that lets a connection in rather than a request (NTLM, Negotiate).

    Args:
        base_url: the address that paths are below; `https://` may be left out.
        headers: sent with every request, but never to another host.
        auth: user name and password, or an object of `requests` that signs requests.
        timeout: seconds that one exchange may take as a whole, or a function that returns them; a deadline in force
            that is nearer counts. A provider passes `lambda: self.timeout`.
        verify: whether the server's certificate is checked.
        ca_cert: path or PEM text of the only certificates to trust. Like `verify`, it wins over the environment.
        error: what a vendor means by a refusal; returns None where the common meaning (`error_for`) is right.
        retries: how many more times a request is tried.
        max_body: bytes that an answer may have.

    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | AuthBase | None = None,
        timeout: Callable[[], float] | float = 30.0,
        verify: bool = True,
        ca_cert: str = "",
        error: Callable[[Failure], MistError | None] | None = None,
        retries: int = 3,
        max_body: int = 32 * 2**20,
    ) -> None:
        sent = Quiet(headers=headers or {}, auth=auth)
        del headers, auth  # as in all functions here: a traceback shows the variables of those that it leads through
        self.base_url, found = addresses.address(base_url)
        self._seconds = timeout if callable(timeout) else lambda: remaining(timeout)
        self._error = error
        self._retries = retries
        self._verify = verify
        self._sender = Sender(
            self.base_url,
            headers=sent["headers"],
            auth=sent["auth"] or found,
            seconds=self._seconds,
            verify=verify,
            ca_cert=ca_cert,
            max_body=max_body,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is unsafe about the way to the service, in sentences for `Account.warnings`."""
        found = []
        if addresses.is_plain(self.base_url):
            found.append("Plain HTTP: whoever is on the way can read the credentials.")
        elif not self._verify:
            found.append("The server's certificate is not verified: anybody on the way could pose as it.")
        return tuple(found)

    # -- the verbs ----------------------------------------------------------------------------------------------------
    # `missing` is the error to raise for 404: `missing=self.machine_not_found(machine_id)`.

    def get(
        self,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        missing: MistError | None = None,
    ) -> Any:
        """Return the parsed JSON at this path, or None for an empty answer. Raises as `request` does."""
        sent = Quiet(params=params, headers=headers)
        del params, headers
        return self.request("GET", path, **sent, missing=missing).json()

    def post(self, path: str, **options: Any) -> Any:
        """Send a POST and return the parsed JSON. Takes the options of `request`, and raises as it does."""
        options = Quiet(options)
        return self.request("POST", path, **options).json()

    def put(self, path: str, **options: Any) -> Any:
        """Send a PUT and return the parsed JSON. Takes the options of `request`, and raises as it does."""
        options = Quiet(options)
        return self.request("PUT", path, **options).json()

    def patch(self, path: str, **options: Any) -> Any:
        """Send a PATCH and return the parsed JSON. Takes the options of `request`, and raises as it does."""
        options = Quiet(options)
        return self.request("PATCH", path, **options).json()

    def delete(self, path: str, **options: Any) -> Any:
        """Send a DELETE and return the parsed JSON. Takes the options of `request`, and raises as it does."""
        options = Quiet(options)
        return self.request("DELETE", path, **options).json()

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        data: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        safe: bool | None = None,
        expect: str = "json",
        missing: MistError | None = None,
    ) -> Answer:
        """Send a request and return the answer.

        Args:
            method: the HTTP method.
            path: below the session's address; or a whole address of the same origin, as in a link to the next page.
            json: the body, to be sent as JSON.
            data: the body as a form (a mapping) or bytes.
            params: the query.
            headers: beside those of the session.
            safe: whether to repeat it does no harm; by default GET, HEAD and OPTIONS are safe.
            expect: "json" refuses a web page; anything else takes what comes.
            missing: the error to raise for the status 404.

        Raises:
            AuthenticationFailed, PermissionDenied, RateLimited, Rejected, ProviderError: what the service said.
            Unreachable: no usable answer came back in time.

        """
        sent = Quiet(json=json, data=data, params=params, headers=headers)
        del json, data, params, headers
        method = method.upper()
        url = self._url(path)
        repeatable = method in READS if safe is None else safe
        for attempt in range(self._retries + 1):
            answer, error, may_repeat = self._attempt(method, url, repeatable, **sent)
            if error is None and answer is not None:
                if answer.status < 300:
                    return _checked(answer, expect)
                if answer.status == 404 and missing is not None:
                    raise missing
                failure = _failure(answer)
                error = self._meaning(failure)
                may_repeat = _may_repeat(failure, error, repeatable)
                wait = failure.retry_after
                if isinstance(error, RateLimited):
                    wait = error.retry_after
            else:
                wait = None
            assert error is not None  # noqa: S101 - either an answer or an error came back
            most = min(self._retries, 1) if error.reason == "refused" else self._retries
            if attempt >= most or not may_repeat or not self._pause(attempt, wait):
                raise error
        raise AssertionError("unreachable")

    # -- lists --------------------------------------------------------------------------------------------------------

    def pages(
        self,
        path: str,
        *,
        items: str | Callable[[Any], Any],
        params: Mapping[str, Any] | None = None,
        page: str | Callable[[int, int], Mapping[str, Any]] = "page",
        per_page: str = "per_page",
        size: int = 100,
        first: int = 1,
        total: str | Callable[[Any], int | None] = "",
        count: str | Callable[[Any], int | None] = "",
        each: Callable[[Any], T] | None = None,
        key: str = "id",
        headers: Mapping[str, str] | None = None,
        workers: int = 8,
    ) -> Iterator[Any]:
        """Yield every item of a list in numbered pages; side by side as soon as it is known how many there are.

        Args:
            path: as in `request`.
            params: as in `request`.
            headers: as in `request`.
            items: where the items are in the body: a dotted name ("data.servers", "" for the body itself), or a
                function of the body.
            page: the name of the parameter for the page's number; or a function of the page's index (from 0) and size
                that returns the parameters.
            per_page: the name of the parameter for the page's size.
            size: how many items to ask for: the most that the service allows.
            first: the first page's number.
            total: where the number of all items is (a dotted name, "header:X-Total", or a function of the body).
            count: the same for the number of pages.
            each: what to make of an item; called in the thread that fetched it, so that raw pages are not kept. What
                it cannot read, or makes None of, is left out.
            key: what tells items apart: one that moved to the next page meanwhile is yielded once.
            workers: how many pages to fetch at once.

        Raises:
            ProviderError: (reason "paging") the pages repeat, or end before all items have come.

        """
        plan = paging.Numbered(
            items=items, page=page, per_page=per_page, size=size, first=first, total=total, count=count, key=key
        )

        params, headers = Quiet(params or {}), Quiet(headers or {})

        def fetch(query: Mapping[str, Any]) -> Answer:
            return self.request("GET", path, params={**params, **query}, headers=headers)

        return paging.numbered(fetch, plan, each, workers)

    def follow(
        self,
        path: str,
        *,
        items: str | Callable[[Any], Any],
        next: str | Callable[[Any], Any],
        params: Mapping[str, Any] | None = None,
        param: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[Any]:
        """Yield every item of a list whose pages each say where the next one is.

        Args:
            path: as in `request`.
            params: as in `request`.
            headers: as in `request`.
            items: where the items are: a dotted name, or a function of the body.
            next: where the next page is: a dotted name, or a function of the body. A text is a link (absolute or
                relative), or, where `param` names a parameter, that parameter's value (a token, marker or offset). A
                mapping is parameters to change. Nothing (None, "", {}) means that this page was the last.

        Raises:
            ProviderError: (reason "paging") the service leads in a circle.

        """
        params, headers = Quiet(params or {}), Quiet(headers or {})

        def fetch(url: str, query: Mapping[str, Any]) -> Answer:
            return self.request("GET", url, params=query, headers=headers)

        return paging.followed(fetch, self._url(path), params, items=items, after=next, param=param)

    def close(self) -> None:
        """Close the connections. The session may be used again afterwards."""
        self._sender.close()

    # -- how it is done -----------------------------------------------------------------------------------------------

    def _attempt(
        self, method: str, url: str, repeatable: bool, **options: Any
    ) -> tuple[Answer | None, MistError | None, bool]:
        """Return the answer; or what kept it from coming, and whether the request may be repeated."""
        from mistcore.http.transport import Broken

        options = Quiet(options)
        try:
            return self._sender.send(method, url, **options), None, False
        except Broken as broken:
            error = broken.error
            error.__cause__ = broken.__cause__
            if broken.sent and not repeatable and not error.remedy.startswith("It may"):
                error.remedy = f"It may have been done or not: look before you repeat it. {error.remedy}".strip()
            return None, error, broken.passing and (repeatable or not broken.sent)

    def _url(self, path: str) -> str:
        if not path.lower().startswith(("http://", "https://")):
            return f"{self.base_url}/{path.lstrip('/')}" if path else self.base_url
        if not addresses.malformed(path) and addresses.is_upgrade(path, self.base_url):
            # A service behind a proxy that ends TLS often writes http:// into its links.
            path = f"https{path[4:]}"
        if addresses.malformed(path) or addresses.origin(path) != addresses.origin(self.base_url):
            raise ProviderError(
                f"the service refers to {addresses.shown(path)}, which is elsewhere; nothing was sent there",
                reason="foreign_link",
                remedy="If that is where the service is now, give its address.",
            )
        return path

    def _meaning(self, failure: Failure) -> MistError:
        return (self._error(failure) if self._error is not None else None) or error_for(failure)

    def _pause(self, attempt: int, asked: float | None) -> bool:
        """Wait before the next attempt; return False at once where that would take longer than there is time."""
        wait = _BACKOFF * 2**attempt * random.uniform(0.5, 1.0) if asked is None else asked  # noqa: S311 - jitter
        try:
            if wait >= self._seconds():
                return False
            sleep(wait)
        except Unreachable:  # cancelled meanwhile
            return False
        return True


def get_json(
    url: str,
    *,
    token: str = "",
    params: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    **options: Any,
) -> Any:
    """Return the JSON at an address: all that the smallest provider needs.

    Args:
        url: the whole address.
        token: sent as `Authorization: Bearer …`.
        params: the query.
        headers: further headers.
        options: those of `RestSession`: `auth`, `timeout`, `verify`, `ca_cert` …

    Raises:
        CheckFailed: as `RestSession.request` raises it.

    """
    headers = Quiet({**({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})})
    options = Quiet(options)
    del token
    session = RestSession(url, headers=headers, **options)
    try:
        return session.get("", params=params)
    finally:
        session.close()


def _may_repeat(failure: Failure, error: MistError, repeatable: bool) -> bool:
    if isinstance(error, RateLimited) or (failure.status == 503 and failure.retry_after is not None):
        return True
    return repeatable and isinstance(error, ProviderError) and failure.status in {408, 500, 502, 503, 504}


def _checked(answer: Answer, expect: str) -> Answer:
    if (
        expect == "json"
        and answer.body
        and looks_like_html(answer.body[:200].decode("utf-8", "replace"), answer.headers)
    ):
        raise ProviderError(
            f"{answer.method} {answer.url} was answered by a web page instead of data",
            status=answer.status,
            reason="html",
            remedy="A proxy or a login page of the network may be in the way, or the address is wrong.",
        )
    return answer


def _failure(answer: Answer) -> Failure:
    try:
        body = answer.json()
    except ProviderError:
        body = None
    text = answer.body[: 64 * 1024].decode("utf-8", "replace")
    return Failure(answer.status, answer.headers, body, text, answer.method, answer.url)
