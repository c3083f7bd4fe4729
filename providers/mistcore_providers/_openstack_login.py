"""Getting into Keystone with keystoneauth1: the API's version, one token request, and why it was refused.

Import this inside methods only: it needs the SDK. Source: the Identity API reference, v3 and v2.0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from keystoneauth1 import access, exceptions
from keystoneauth1.access import AccessInfo
from keystoneauth1.identity import v2, v3
from keystoneauth1.identity.base import BaseIdentityPlugin
from keystoneauth1.session import Session

from mistcore.errors import AuthenticationFailed, MistError, ProviderError, Rejected, Unreachable
from mistcore.http import parse_retry_after
from mistcore.others_logs import silent
from mistcore.redaction import Quiet
from mistcore_providers._openstack_errors import message_in, of_status, origin, redirected, translate

_NOT_THERE = frozenset({300, 404, 405, 410, 501})
_KNOWN = ("v3", "v2.0")
#: What Keystone answers to every login that it refuses, and no answer at all.
_SAYS_NOTHING = re.compile(r"$|The request you have made requires authentication|Unable to authenticate|Invalid user")


@attrs.frozen
class Keys:
    """What somebody gives to be let in; "" for what was not given. Without a domain it is the one with id "default"."""

    username: str = ""
    user_id: str = ""
    password: str = attrs.field(default="", repr=False)
    user_domain_id: str = ""
    user_domain_name: str = ""
    project_id: str = ""
    project_name: str = ""
    project_domain_id: str = ""
    project_domain_name: str = ""
    token: str = attrs.field(default="", repr=False)
    application_credential_id: str = ""
    application_credential_name: str = ""
    application_credential_secret: str = attrs.field(default="", repr=False)

    @property
    def only_v3(self) -> bool:
        """Whether Keystone v2.0 knows nothing of the kind."""
        return bool(self.application_credential_secret)

    def domain(self, prefix: str) -> dict[str, Any]:
        """Return the domain of the user, or of the project: that of the user where none was given."""
        for kind in ("id", "name"):
            value = getattr(self, f"{prefix}_domain_{kind}")
            if value:
                return {f"{prefix}_domain_{kind}": value}
        if prefix == "user":
            return {"user_domain_id": "default"}
        return {key.replace("user", "project"): value for key, value in self.domain("user").items()}


class KeystoneLogin(BaseIdentityPlugin):
    """A login at an address with or without /v3 or /v2.0.

    The version in the address is tried first, else v3; only when that is not there is Keystone asked which versions it
    has. The paths are made from the address given, never from what Keystone says its address is: behind a proxy that
    is often wrong, and the password would go there.
    """

    MIN_TOKEN_LIFE_SECONDS = 60
    #: The versions to look for, best first.
    versions: tuple[str, ...] = _KNOWN

    def __init__(self, auth_url: str, keys: Keys, seconds: Callable[[], float]) -> None:
        base, version = split_auth_url(auth_url)
        super().__init__(auth_url=base)
        self.base = base
        self.keys = keys
        self.version = version or "v3"
        self._seconds = seconds

    def get_access(self, session: Session, **_: Any) -> AccessInfo:
        """Return the token and what came with it, getting a new one if need be. Waits no longer than is allowed."""
        if not self._lock.acquire(timeout=self._seconds()):
            raise Unreachable("another thread is still waiting for the identity service", reason="timeout")
        try:
            current = self.auth_ref
            if current is None or self._needs_reauthenticate():
                current = self.auth_ref = self.get_auth_ref(session)
            return current
        finally:
            self._lock.release()

    def get_cache_id_elements(self) -> dict[str, str | None]:
        """Refuse: the token is not to be kept anywhere but in memory."""
        raise NotImplementedError

    def get_auth_ref(self, session: Session) -> AccessInfo:
        """Log in: one request where the version is the right one."""
        try:
            return self._log_in(session, self.version)
        except (exceptions.HttpError, exceptions.InvalidResponse) as error:
            if _status(error) not in _NOT_THERE and not isinstance(error, exceptions.InvalidResponse):
                raise self._refusal(session, error) from error
            if 300 < _status(error) < 400:
                raise redirected(error.response) from error
            self.version = self._discover(session, error)
        try:
            return self._log_in(session, self.version)
        except exceptions.HttpError as error:
            raise self._refusal(session, error) from error

    def _log_in(self, session: Session, version: str, *, unscoped: bool = False) -> AccessInfo:
        url = f"{self.base}/{version}"
        keys = self.keys
        if version == "v3" and keys.token and not unscoped:
            return self._take_token(session, url)
        plugin: BaseIdentityPlugin
        if version == "v3":
            plugin = self._v3(url, unscoped=unscoped)
        elif keys.only_v3:
            raise Rejected(
                "this Keystone speaks only v2.0, which has no application credentials",
                reason="version",
                remedy="Use a user name, a password and a tenant.",
            )
        else:
            plugin = self._v2(url, unscoped=unscoped)
        return _answered(plugin, session)

    def _v3(self, url: str, *, unscoped: bool) -> BaseIdentityPlugin:
        keys = self.keys
        if keys.application_credential_secret:
            named: dict[str, Any] = {} if keys.application_credential_id else {**self._user(), **keys.domain("user")}
            return v3.ApplicationCredential(
                url,
                application_credential_secret=keys.application_credential_secret,
                application_credential_id=keys.application_credential_id or None,
                application_credential_name=keys.application_credential_name or None,
                **named,
            )
        scope: dict[str, Any] = {}
        if unscoped:
            scope["unscoped"] = True
        elif keys.project_id:
            scope["project_id"] = keys.project_id
        elif keys.project_name:
            scope = {"project_name": keys.project_name, **keys.domain("project")}
        user = self._user()
        domain: dict[str, Any] = {} if "user_id" in user else keys.domain("user")
        return v3.Password(url, password=keys.password, **user, **domain, **scope)

    def _v2(self, url: str, *, unscoped: bool) -> BaseIdentityPlugin:
        keys = self.keys
        scope: dict[str, Any] = {}
        if not unscoped:
            scope = {"tenant_id": keys.project_id or None, "tenant_name": keys.project_name or None}
        if keys.token:
            return v2.Token(url, keys.token, **scope)
        return v2.Password(url, password=keys.password, **self._user(), **scope)

    def _user(self) -> dict[str, Any]:
        return {"user_id": self.keys.user_id} if self.keys.user_id else {"username": self.keys.username}

    def _take_token(self, session: Session, url: str) -> AccessInfo:
        """Use a token as it is; trade it for another only when a project was named that it is not for."""
        token = {"X-Auth-Token": self.keys.token, "X-Subject-Token": self.keys.token}
        headers = Quiet(token, Accept="application/json")
        del token
        response = session.get(f"{url}/auth/tokens", headers=headers, authenticated=False, log=False)
        found = access.create(resp=response, auth_token=self.keys.token)
        wanted, name = self.keys.project_id, self.keys.project_name
        if (wanted and found.project_id != wanted) or (name and not wanted and found.project_name != name):
            scope: dict[str, Any] = (
                {"project_id": wanted} if wanted else {"project_name": name, **self.keys.domain("project")}
            )
            return _answered(v3.Token(url, self.keys.token, **scope), session)
        return found

    # -- when it does not work ----------------------------------------------------------------------------------------

    def _discover(self, session: Session, tried: Exception) -> str:
        """Return the version to use of those that Keystone names; raise when there is no Keystone at all."""
        response = session.get(
            self.base, headers={"Accept": "application/json"}, authenticated=False, raise_exc=False, log=False
        )
        if 300 < response.status_code < 400:
            raise redirected(response) from tried
        offered = _versions_in(response)
        others = [version for version in self.versions if version != self.version]
        for version in others:
            if version in offered:
                return version
            if not offered and response.status_code in (401, 403, 404):
                # Some deployments hide the list of versions; the other one may still be there.
                probe = session.get(f"{self.base}/{version}", authenticated=False, raise_exc=False, log=False)
                if version in _versions_in(probe):
                    return version
        raise ProviderError(
            f"there is no Keystone at {origin(self.base)}: it answers status {response.status_code}"
            + (f" and offers {', '.join(sorted(offered))}" if offered else ""),
            status=response.status_code,
            reason="wrong_path",
            remedy="Take auth_url from the cloud's openrc file (OS_AUTH_URL); often it ends in :5000 or /identity.",
        ) from tried

    def _refusal(self, session: Session, error: Exception) -> MistError:
        """Return why Keystone refused; for a password, by asking for a token without the project."""
        text = message_in(getattr(error, "response", None))
        if _status(error) == 400 and "domain" in text.lower():
            return Rejected(
                f"Keystone wants to know the domain: {text}",
                reason="domain",
                remedy="Give user_domain_name and project_domain_name.",
            )
        if _status(error) != 401:
            headers = getattr(getattr(error, "response", None), "headers", {})
            return translate(error) or of_status(
                _status(error), text, retry_after=parse_retry_after(headers.get("Retry-After"))
            )
        if self.keys.token:
            return AuthenticationFailed(
                "the token is not valid, has expired, or is not good for that project",
                reason="expired",
                remedy="Get a new token, or give a user name and a password: those are renewed by themselves.",
            )
        if self.keys.application_credential_secret:
            return AuthenticationFailed(
                "Keystone does not accept the application credential: wrong id or secret, deleted, or expired",
                remedy="Make a new one: `openstack application credential create NAME`.",
            )
        if re.search(r"password (is|has) expired", text, re.IGNORECASE):
            return AuthenticationFailed(
                "the password has expired", reason="expired", remedy="Set a new one at the cloud."
            )
        return self._refused_password(session, "" if _SAYS_NOTHING.match(text) else f": {text}")

    def _refused_password(self, session: Session, said: str) -> AuthenticationFailed:
        keys = self.keys
        project = keys.project_name or keys.project_id
        open_to_user = self._projects(session) if project else None
        if open_to_user is None:
            domain = keys.user_domain_name or keys.user_domain_id
            if self.version == "v3" and not domain and not keys.user_id:
                remedy = "Check both; if the user is not in the domain 'Default', give user_domain_name."
            else:
                remedy = "Check both, and the domain." if domain else "Check both."
            return AuthenticationFailed(f"Keystone does not accept the user name and password{said}", remedy=remedy)
        names = ", ".join(sorted(open_to_user)) or "none"
        domain = keys.project_domain_name or keys.project_domain_id or keys.user_domain_name or keys.user_domain_id
        return AuthenticationFailed(
            f"user name and password are right, but there is no project {project!r} for this user"
            + (f" in the domain {domain!r}" if domain else ""),
            reason="project",
            remedy=f"Projects open to this user: {names}.",
        )

    def _projects(self, session: Session) -> list[str] | None:
        """Return the names of the user's projects, or None if the password is not accepted without one either."""
        try:
            found = self._log_in(session, self.version, unscoped=True)
            path, key = ("auth/projects", "projects") if self.version == "v3" else ("tenants", "tenants")
            headers = Quiet({"X-Auth-Token": found.auth_token}, Accept="application/json")
            response = session.get(
                f"{self.base}/{self.version}/{path}", headers=headers, authenticated=False, log=False
            )
            return [str(project["name"]) for project in response.json()[key]]
        except exceptions.Unauthorized:
            return None
        except (exceptions.ClientException, ValueError, KeyError, TypeError):
            return []


class ApiKeyLogin(KeystoneLogin):
    """Rackspace's login: Keystone v2.0 with an API key. Source: its identity guide, "Authenticate"."""

    versions = ("v2.0",)

    def __init__(self, address: str, username: str, api_key: str, seconds: Callable[[], float]) -> None:
        base, _ = split_auth_url(address)
        super().__init__(f"{base}/v2.0", Keys(username=username), seconds)
        self._api_key = api_key

    def _log_in(self, session: Session, version: str, *, unscoped: bool = False) -> AccessInfo:
        return _answered(_ApiKey(f"{self.base}/{version}", self.keys.username, self._api_key), session)

    def _refused_password(self, session: Session, said: str) -> AuthenticationFailed:
        return AuthenticationFailed(
            f"Rackspace does not accept the user name and API key{said}",
            remedy="Check both; the key is in the control panel under My profile & settings.",
        )


class _ApiKey(v2.Auth):
    def __init__(self, url: str, username: str, api_key: str) -> None:
        super().__init__(url)
        self._key = {"username": username, "apiKey": api_key}

    def get_auth_data(self, headers: Any = None) -> dict[str, object]:
        return {"RAX-KSKEY:apiKeyCredentials": self._key}


def _answered(plugin: BaseIdentityPlugin, session: Session) -> AccessInfo:
    """Return what Keystone answers to a plugin's token request; keystoneauth fails in its own ways over odd answers."""
    try:
        with silent():
            return plugin.get_auth_ref(session)
    except MistError:
        raise
    except exceptions.MissingAuthMethods as error:
        raise AuthenticationFailed(
            "the user must log in with a second factor", reason="mfa", remedy="Use an application credential."
        ) from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ProviderError(
            f"{origin(plugin.auth_url or '')} does not answer as Keystone would",
            reason="not_openstack",
            remedy="Check the address, and that no proxy or login page is in between.",
        ) from error


def split_auth_url(auth_url: str) -> tuple[str, str]:
    """Return the address of Keystone's root, and the version that the address named ("v3", "v2.0" or "")."""
    base = re.sub(r"(/auth)?/tokens/*$", "", auth_url.rstrip("/"))
    match = re.search(r"/+v(\d)(\.\d+)?$", base)
    if not match:
        return base, ""
    return base[: match.start()].rstrip("/"), "v3" if match[1] == "3" else "v2.0"


def _versions_in(response: Any) -> set[str]:
    """Return which of our versions a version document offers, in any of the forms that it has had."""
    try:
        body = response.json()
    except ValueError:
        return set()
    if not isinstance(body, Mapping):
        return set()
    found = body.get("versions", body.get("version"))
    if isinstance(found, Mapping) and "values" in found:
        found = found["values"]
    rows = found if isinstance(found, list) else [found]
    ids = [str(row.get("id", "")) for row in rows if isinstance(row, Mapping)]
    return {version for version in _KNOWN if any(name.startswith(version[:2]) for name in ids)}


def _status(error: Exception) -> int:
    response = getattr(error, "response", None)
    return int(getattr(error, "http_status", 0) or getattr(response, "status_code", 0))
