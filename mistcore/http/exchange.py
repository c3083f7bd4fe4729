"""One request and its answer: with the credentials, followed where it is redirected, and written to the log."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import attrs

from mistcore.errors import AuthenticationFailed, InvalidFields, MistError, ProviderError
from mistcore.http import addresses
from mistcore.http.read_json import read_json
from mistcore.redaction import Quiet

if TYPE_CHECKING:
    from requests import PreparedRequest
    from requests.auth import AuthBase

    from mistcore.http.connections import Lease
    from mistcore.http.transport import Transport

__all__ = ["READS", "Answer", "Sender"]

log = logging.getLogger(__name__)

#: The methods that change nothing.
READS = frozenset({"GET", "HEAD", "OPTIONS"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
#: Headers that go along to another host: nothing that could let anybody in.
_HARMLESS = frozenset({"accept", "accept-encoding", "user-agent"})


@attrs.frozen
class Answer:
    """A service's answer with a status below 400.

    Attributes:
        status: the HTTP status.
        headers: those of the answer; names are case-insensitive.
        body: the body, unpacked.
        method: the method of the request.
        url: what was asked, without query and credentials.

    """

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    method: str
    url: str

    def json(self) -> Any:
        """Return the body read as JSON, or None when it is empty. Raises `ProviderError` when it is anything else."""
        if not self.body or self.body.isspace():
            return None
        try:
            return read_json(self.body)
        except RecursionError as error:
            cause: Exception = error
            words = "is nested too deeply"
        except UnicodeDecodeError as error:
            cause, words = error, "is not text in UTF-8"
        except ValueError as error:
            cause, words = error, "is not JSON, or was cut off"
        raise ProviderError(
            f"the answer to {self.method} {self.url} {words}",
            status=self.status,
            reason="garbled",
            remedy="Is the address of the service right?",
        ) from cause


class Sender:
    """What a session sends with: its headers, credentials, connections and limits."""

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str],
        auth: tuple[str, str] | AuthBase | None,
        seconds: Callable[[], float],
        verify: bool,
        ca_cert: str,
        max_body: int,
    ) -> None:
        self._base_url = base_url
        self._headers = {
            "User-Agent": _user_agent(),
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            **headers,
        }
        # As bytes, because requests would write them in Latin-1, which has no word for most passwords.
        self._auth = (auth[0].encode(), auth[1].encode()) if isinstance(auth, tuple) else auth
        self._seconds = seconds
        self._verify = verify
        self._ca_cert = ca_cert
        self._max_body = max_body
        self._lease: Lease | None = None
        self._pid = 0
        self._lock = threading.Lock()

    def send(self, method: str, url: str, **options: Any) -> Answer:
        """Send a request, follow where it is redirected, and return the answer. Raises `Broken` where none comes."""
        options = Quiet(options)
        headers = Quiet({**self._headers, **(options.pop("headers") or {})})
        trusted = True
        started = time.monotonic()
        for _ in range(_MOST_REDIRECTS):
            prepared = self._prepared(method, url, headers=headers, trusted=trusted, **options)
            response, body = self._connections().exchange(
                prepared, origin=addresses.origin(url), seconds=self._seconds(), max_body=self._max_body
            )
            shown = addresses.shown(url)
            took = (time.monotonic() - started) * 1000
            log.debug("%s %s %s %.0f ms", method, urlsplit(url).path, response.status_code, took)
            location = response.headers.get("Location")
            if response.status_code not in _REDIRECTS or not location:
                return Answer(response.status_code, response.headers, body, method, shown)
            target = urljoin(url, location)
            self._may_redirect(method, url, target, response.status_code)
            if addresses.origin(target) != addresses.origin(url) and not addresses.is_upgrade(url, target):
                headers = Quiet({name: value for name, value in headers.items() if name.lower() in _HARMLESS})
                trusted = False
                options |= {"json": None, "data": None}
            options["params"] = None
            url = target
        raise ProviderError(
            f"{addresses.shown(url)} redirects without end", reason="redirect", remedy="Is the address right?"
        )

    def _prepared(self, method: str, url: str, *, trusted: bool, **parts: Any) -> PreparedRequest:
        from requests import Request as Outgoing
        from requests.exceptions import RequestException

        parts = Quiet(parts)
        try:
            return Outgoing(method, url, auth=self._auth if trusted else None, **parts).prepare()
        except (RequestException, UnicodeError) as error:
            problem = self._unsendable(error)
        raise problem  # out here, so that not even its context holds what could not be sent

    def _may_redirect(self, method: str, url: str, target: str, status: int) -> None:
        if addresses.malformed(target) or (url.startswith("https:") and not target.startswith("https:")):
            follow = False
        elif method in READS:
            follow = True
        else:
            same = addresses.origin(target) == addresses.origin(url) or addresses.is_upgrade(url, target)
            follow = same and status in {307, 308}
        if not follow:
            raise ProviderError(
                f"{addresses.shown(url)} redirects {method} to {addresses.shown(target)}, which is not followed",
                status=status,
                reason="redirect",
                remedy="If that is where the service is now, give its address.",
            )

    def _connections(self) -> Transport:
        from mistcore.http.connections import Lease

        with self._lock:
            if self._lease is None or self._pid != os.getpid():  # a forked child must not share sockets
                origin = addresses.origin(self._base_url)
                self._lease = Lease(origin, verify=self._verify, ca_cert=self._ca_cert)
                self._pid = os.getpid()
            return self._lease.transport

    def close(self) -> None:
        """Give the connections back; the next request gets some again."""
        with self._lock:
            lease, self._lease = self._lease, None
        if lease is not None:
            lease.close()

    def _unsendable(self, error: Exception) -> MistError:
        if "header" in type(error).__name__.lower() or isinstance(error, UnicodeError):
            return AuthenticationFailed(
                "the credentials hold characters that cannot be sent", reason="malformed", remedy="Copy them again."
            )
        return InvalidFields({"endpoint": f"{self._base_url!r} is not an address that can be used"})


@cache
def _user_agent() -> str:
    try:
        return f"mistcore/{version('mistcore')}"
    except PackageNotFoundError:
        return "mistcore"
