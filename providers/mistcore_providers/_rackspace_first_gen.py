"""Rackspace's first generation: the Cloud Servers API v1.0, with a login by headers.

Import this inside methods only: it needs the SDK (keystoneauth1). Source: Rackspace's "Cloud Servers Developer Guide,
API v1.0".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from keystoneauth1.plugin import BaseAuthPlugin
from keystoneauth1.session import Session

from mistcore.errors import AuthenticationFailed, NotSupported, ProviderError, Unreachable
from mistcore.http import parse_retry_after
from mistcore_providers._openstack_cloud import Cloud
from mistcore_providers._openstack_create import find
from mistcore_providers._openstack_errors import message_in, of_status, origin, redirected, unreadable

_PAGE = 1000


class HeaderLogin(BaseAuthPlugin):
    """A login that hands a user name and a key over in headers, and gets a token and an address back in headers."""

    def __init__(self, address: str, username: str, api_key: str, seconds: Callable[[], float]) -> None:
        super().__init__()
        address = address.rstrip("/")
        self.auth_url: str | None = address if address.endswith("/v1.0") else f"{address}/v1.0"
        self.username = username
        self._headers = {"X-Auth-User": username, "X-Auth-Key": api_key, "Accept": "application/json"}
        self._seconds = seconds
        self._lock = Lock()
        self._found: tuple[str, str] | None = None

    def get_token(self, session: Session, **_: Any) -> str:
        """Return the token, logging in if need be."""
        return self.log_in(session)[0]

    def log_in(self, session: Session) -> tuple[str, str]:
        """Return the token and the address of the servers."""
        if not self._lock.acquire(timeout=self._seconds()):
            raise Unreachable("another thread is still waiting for the login", reason="timeout")
        try:
            if self._found is None:
                self._found = self._ask(session)
            return self._found
        finally:
            self._lock.release()

    def invalidate(self) -> bool:
        """Forget the token. It is worth another try if there was one."""
        found, self._found = self._found, None
        return found is not None

    def _ask(self, session: Session) -> tuple[str, str]:
        url = self.auth_url or ""
        response = session.get(url, headers=self._headers, authenticated=False, raise_exc=False, log=False)
        status = response.status_code
        if status == 401:
            said = message_in(response)
            words = f"the user name and API key are not accepted{f': {said}' if said else ''}"
            raise AuthenticationFailed(words, remedy="Check both.")
        if 300 < status < 400:
            raise redirected(response)
        if status == 404:
            raise ProviderError(
                f"there is no first generation API at {origin(url)}", status=404, reason="wrong_path",
                remedy="Give the address of its v1.0 login as endpoint.",
            )  # fmt: skip
        if status >= 400:
            raise of_status(
                status, message_in(response), retry_after=parse_retry_after(response.headers.get("Retry-After"))
            )
        token = response.headers.get("X-Auth-Token", "")
        servers = response.headers.get("X-Server-Management-Url", "")
        if not token or not servers:
            raise unreadable(response)
        # A private installation may still name the address that Rackspace had: the token stays where the login was.
        asked = urlsplit(url)
        return token, urlsplit(servers)._replace(scheme=asked.scheme, netloc=asked.netloc).geturl().rstrip("/")


class FirstGen(Cloud):
    """An account of the first generation, whose servers look like Nova's once their ids are where Nova has them."""

    login: HeaderLogin

    def __init__(self, login: HeaderLogin, seconds: Callable[[], float], **options: Any) -> None:
        super().__init__(login, seconds, microversions=False, **options)

    def region(self) -> str:
        """Return the region chosen: each has a login of its own."""
        return self._wanted_region

    def endpoint(self, kind: str) -> str:
        """Return the address that the login told; there is nothing but servers."""
        if kind != "compute":
            raise NotSupported(f"Rackspace's first generation has no {kind} service")
        return self.login.log_in(self.session)[1]

    def details(self) -> dict[str, Any]:
        """Return what the login tells, after one request."""
        return {
            "user": self.login.username,
            "roles": [],
            "region": self.region(),
            "compute_endpoint": self.endpoint("compute"),
        }

    def servers(self, path: str, **params: Any) -> dict[str, Any]:
        """Return one server as Nova would tell it."""
        body = self.get("compute", path, **params)
        return {**body, "server": _as_nova(body.get("server"))}

    def pages(self, kind: str, path: str, key: str, **params: Any) -> Iterator[list[Any]]:
        """Yield the pages of a list: they are counted by offset, and the last one is empty."""
        seen: set[str] = set()
        offset = 0
        while True:
            rows = self.get(kind, path, **{**params, "limit": _PAGE, "offset": offset}).get(key)
            if not isinstance(rows, list):
                raise ProviderError(f"the answer of {path} holds no list of {key}", reason="not_openstack")
            fresh = [row for row in rows if isinstance(row, Mapping) and str(row.get("id")) not in seen]
            seen.update(str(row.get("id")) for row in fresh)
            if rows and not fresh:
                raise ProviderError(f"the pages of {path} hold the same again and again", reason="paging")
            yield [_as_nova(row) if key == "servers" else row for row in fresh]
            if not fresh:
                return
            offset += len(rows)

    def create(self, name: str, *, image: str, size: str, tags: Mapping[str, str]) -> tuple[str, str]:
        """Create a server and return its id and its root password."""
        rows = {
            key: [row for page in self.pages("compute", f"/{key}/detail", key) for row in page]
            for key in ("images", "flavors")
        }
        server = {
            "name": name,
            "imageId": int(find(image, "image", rows["images"])),
            "flavorId": int(find(size, "size", rows["flavors"])),
            "metadata": {str(key): str(value) for key, value in tags.items()},
        }
        body = self.request("POST", "compute", "/servers", json={"server": server}).json()
        return str(body["server"]["id"]), str(body["server"].get("adminPass") or "")


def _as_nova(row: Any) -> Any:
    if not isinstance(row, Mapping):
        return row
    return {**row, "flavor": {"id": row.get("flavorId")}, "image": {"id": row.get("imageId")}}
