"""A session with vCloud Director: the version agreed on, the login, and both anew when the service asks for it."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import attrs

from mistcore import (
    AuthenticationFailed,
    InvalidFields,
    MistError,
    ProviderError,
    Rejected,
    Unreachable,
)
from mistcore.deadline import deadline
from mistcore.http import Answer, RestSession
from mistcore.redaction import Quiet
from mistcore_providers._vcloud_data import flag, parse_xml, rows
from mistcore_providers._vcloud_errors import meaning, pin

__all__ = ["Login", "VcloudSession", "base_address"]

#: A logout is a courtesy: nobody waits for it for long.
_LOGOUT_SECONDS = 3.0
#: From this version on there is JSON below `/api`; older ones speak XML only.
_JSON_SINCE = (30, 0)
#: From this version on the login is that of the cloud API.
_CLOUD_LOGIN_SINCE = (33, 0)
#: Parts of addresses that people copy from a browser: where the pages and the API are, not the service.
_PAGES = re.compile(r"/+(?:tenant|provider|cloud|api|cloudapi|login|tm|oauth)(?:/.*)?$", re.IGNORECASE)
_ACCESS_TOKEN = "X-VMWARE-VCLOUD-ACCESS-TOKEN"  # noqa: S105 - the name of a header
_OLD_TOKEN = "x-vcloud-authorization"  # noqa: S105 - the name of a header


def base_address(host: str) -> str:
    """Return where the service is, for a host name or any address of it that a browser shows."""
    address = host if "://" in host else f"https://{host}"
    split = urlsplit(address)
    path = _PAGES.sub("", split.path.rstrip("/"))
    return split._replace(path=path, query="", fragment="").geturl()


@attrs.frozen
class Login:
    """Who wants in. Either `api_token`, or `user` and `password`."""

    organization: str
    user: str = ""
    password: str = attrs.field(default="", repr=False)
    api_token: str = attrs.field(default="", repr=False)

    @property
    def is_provider(self) -> bool:
        """Whether this is an administrator of the whole installation: the organisation is called System."""
        return self.organization.lower() == "system"


@attrs.frozen
class _State:
    """What a login gave. `id` and `user` are empty where the service does not tell."""

    version: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    as_json: bool
    cloud: bool
    session: Mapping[str, Any]


class _Answer(Answer):
    """An answer whose body is read whether it is JSON or XML."""

    def json(self) -> Any:
        kind = (self.headers.get("Content-Type") or "").lower()
        if "xml" in kind or (self.body.lstrip()[:1] == b"<" and "json" not in kind):
            return parse_xml(self.body)
        return super().json()


class VcloudSession(RestSession):
    """Requests to one installation, logged in when the first is made.

    Args:
        host: as `base_address` takes it. login: who wants in.
        timeout, verify, ca_cert: those of `RestSession`.

    """

    def __init__(
        self, host: str, login: Login, *, timeout: Callable[[], float], verify: bool = True, ca_cert: str = ""
    ) -> None:
        try:
            super().__init__(
                base_address(host), timeout=timeout, verify=verify, ca_cert=ca_cert, error=meaning, headers={}
            )
        except InvalidFields as error:
            problem = next(iter(error.problems.values()))
            raise InvalidFields({"host": problem}) from None
        self._login = login
        self._state: _State | None = None
        self._login_lock = threading.Lock()

    @property
    def version(self) -> str:
        """The version of the API that was agreed on ("37.0")."""
        return self._logged_in().version

    @property
    def has_cloud_api(self) -> bool:
        """Whether there is a cloud API (`/cloudapi`) beside the old one."""
        return self._logged_in().cloud

    @property
    def session(self) -> Mapping[str, Any]:
        """What the service says about the session: `id`, `user`, `org`, `roles`, as far as it tells."""
        return self._logged_in().session

    def request(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request within the session, as `RestSession.request` does; log in again when the session is over.

        A version that is not taken any more is agreed on again. Both refusals mean that nothing was done, so that
        the request may be sent once more, whatever it is.
        """
        options = Quiet(options)
        state = self._logged_in()
        recovered: set[type[MistError]] = set()
        while True:
            try:
                return self._within(state, method, path, **options)
            except (AuthenticationFailed, Rejected) as error:
                over = isinstance(error, AuthenticationFailed)
                if type(error) in recovered or not (over or error.reason == "version"):
                    raise
                recovered.add(type(error))
                state = self._logged_in(instead_of=state) if over else self._in_another_version(state, error)

    def close(self) -> None:
        """Log out and close the connections. The session may be used again afterwards."""
        state, self._state = self._state, None
        if state is not None:
            path = "api/session"
            if state.cloud:
                path = f"cloudapi/1.0.0/sessions/{quote(str(state.session.get('id') or 'current'), safe=':')}"
            # Where this fails, the session is over by now, or ends by itself.
            with contextlib.suppress(MistError), deadline(_LOGOUT_SECONDS):
                self._within(state, "DELETE", path, expect="")
        super().close()

    # -- how it is done -----------------------------------------------------------------------------------------------

    def _within(self, state: _State, method: str, path: str, **options: Any) -> Answer:
        options = Quiet(options)
        headers = Quiet({**state.headers, **_accept(state, path), **(options.pop("headers", None) or {})})
        return self._plainly(method, path, headers=headers, **options)

    def _plainly(self, method: str, path: str, **options: Any) -> Answer:
        options = Quiet(options)
        options.setdefault("expect", "json")
        try:
            answer = super().request(method, path, **options)
        except Unreachable as error:
            split = urlsplit(self.base_url)
            pin(error, f"{split.hostname}:{split.port or 443}")
            raise
        return _Answer(answer.status, answer.headers, answer.body, answer.method, answer.url)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one thread at a time see to the login; nobody waits for another longer than for the service."""
        if not self._login_lock.acquire(timeout=self._seconds()):
            raise Unreachable("another request is still waiting for the login", reason="timeout")
        try:
            yield
        finally:
            self._login_lock.release()

    def _logged_in(self, instead_of: _State | None = None) -> _State:
        """Return the login's outcome; log in where there is none yet, or only the one that is over."""
        with self._alone():
            if self._state is None or self._state is instead_of:
                self._state = None
                self._state = self._log_in()
            return self._state

    def _in_another_version(self, state: _State, error: AuthenticationFailed | Rejected) -> _State:
        """Agree on the version again; where that is the same, take XML from a service that should have JSON."""
        with self._alone():
            if self._state is not None and self._state is not state:
                return self._state
            version, number = self._agree()
            if version == state.version and not state.as_json:
                raise error
            as_json = number >= _JSON_SINCE and version != state.version
            self._state = attrs.evolve(state, version=version, as_json=as_json)
            return self._state

    def _log_in(self) -> _State:
        version, number = self._agree()
        if self._login.api_token:
            return self._by_token(version, number)
        if number >= _CLOUD_LOGIN_SINCE:
            return self._by_cloud_api(version, number)
        return self._by_old_api(version, number)

    def _agree(self) -> tuple[str, tuple[int, ...]]:
        """Return the newest version that the service speaks and does not call deprecated, or just the newest."""
        try:
            answer = self._plainly("GET", "api/versions", headers={"Accept": "*/*"}, expect="")
            body = answer.json()
        except ProviderError as error:
            if error.reason not in ("not_found", "garbled", "html"):
                raise
            body = None
        found = []
        for info in rows((body or {}).get("versionInfo") if isinstance(body, Mapping) else None):
            version = str(info.get("version") or "")
            if re.fullmatch(r"\d+(\.\d+)*", version):
                number = tuple(int(part) for part in version.split("."))
                found.append((not flag(info.get("deprecated")), number, version))
        if not found:
            raise ProviderError(
                f"{self.base_url}/api/versions lists no version of the vCloud API",
                reason="not_vcloud",
                remedy="Is host the address of a vCloud Director?",
            )
        _, number, version = max(found)
        return version, number

    def _by_cloud_api(self, version: str, number: tuple[int, ...]) -> _State:
        path = "cloudapi/1.0.0/sessions" + ("/provider" if self._login.is_provider else "")
        try:
            answer = self._plainly(
                "POST", path, headers={"Accept": f"application/json;version={version}", **self._basic()}, safe=True
            )
        except ProviderError as error:
            if error.status != 404:
                raise
            return self._by_old_api(version, number)
        token = answer.headers.get(_ACCESS_TOKEN)
        if not token:
            raise ProviderError("the login was answered without a token", reason="garbled")
        body = answer.json()
        return _State(
            version=version,
            headers=Quiet(Authorization=f"Bearer {token}"),
            as_json=number >= _JSON_SINCE,
            cloud=True,
            session=body if isinstance(body, Mapping) else {},
        )

    def _by_old_api(self, version: str, number: tuple[int, ...]) -> _State:
        answer = self._plainly(
            "POST",
            "api/sessions",
            headers={"Accept": f"application/*+xml;version={version}", **self._basic()},
            safe=True,
        )
        token = answer.headers.get(_OLD_TOKEN)
        if not token:
            raise ProviderError("the login was answered without a token", reason="garbled")
        body = answer.json()
        raw = body if isinstance(body, Mapping) else {}
        session = {"user": {"name": raw.get("user", "")}, "org": {"name": raw.get("org", "")}}
        return _State(
            version=version,
            headers={_OLD_TOKEN: token},
            as_json=number >= _JSON_SINCE,
            cloud=False,
            session=session,
        )

    def _by_token(self, version: str, number: tuple[int, ...]) -> _State:
        """Trade an API token for an access token; VCF Automation 9 does that below another path."""
        tenant = f"tenant/{quote(self._login.organization, safe='')}"
        below = "provider" if self._login.is_provider else tenant
        body: Any = None
        for prefix in ("oauth", "tm/oauth"):
            try:
                body = self._plainly(
                    "POST",
                    f"{prefix}/{below}/token",
                    data={"grant_type": "refresh_token", "refresh_token": self._login.api_token},
                    headers={"Accept": f"application/json;version={version}"},
                    safe=True,
                ).json()
                break
            except ProviderError as error:
                if error.status != 404 or prefix != "oauth":
                    raise
        token = body.get("access_token") if isinstance(body, Mapping) else None
        if not token:
            raise ProviderError("the API token was answered without an access token", reason="garbled")
        state = _State(
            version=version,
            headers=Quiet(Authorization=f"Bearer {token}"),
            as_json=number >= _JSON_SINCE,
            cloud=True,
            session={},
        )
        del token, body
        found = self._within(state, "GET", "cloudapi/1.0.0/sessions/current").json()
        return attrs.evolve(state, session=found if isinstance(found, Mapping) else {})

    def _basic(self) -> dict[str, str]:
        from base64 import b64encode

        pair = f"{self._login.user}@{self._login.organization}:{self._login.password}"
        return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def _accept(state: _State, path: str) -> dict[str, str]:
    if path.lstrip("/").startswith("cloudapi"):
        return {"Accept": f"application/json;version={state.version}"}
    kind = "application/*+json" if state.as_json else "application/*+xml"
    return {"Accept": f"{kind};version={state.version}"}
