"""One account of an OpenStack cloud: its session, its endpoints, and requests that follow paging to the end.

Import this inside methods only: it needs the SDK (keystoneauth1).
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
import requests.adapters
from keystoneauth1 import exceptions
from keystoneauth1.access import AccessInfo
from keystoneauth1.session import Session

from mistcore.deadline import sleep
from mistcore.errors import MistError, NotSupported, ProviderError, UnknownRegion
from mistcore.http.read_json import read_json
from mistcore.http.transport import Broken, Transport
from mistcore.others_logs import silence, silent
from mistcore.redaction import Quiet
from mistcore_providers._openstack_errors import message_in, unreadable

log = logging.getLogger(__name__)

#: 2.47 embeds the flavor, so that no flavors need be asked for; 2.69 also lists servers whose cell does not answer.
LISTING_VERSION = "2.69"
_NAMES_PER_REQUEST = 50
_NAMES_LAST = 600.0
_RESTARTS = 5
_PAUSE = 0.2
_LONGEST_ANSWER = 32 * 2**20
_KINDS = {"compute": "compute (Nova)", "image": "image (Glance)", "network": "network (Neutron)"}


class TimedAdapter(requests.adapters.BaseAdapter):
    """Sends what keystoneauth asks for over mistcore's own transport: bounded in time, its failures ours already."""

    def __init__(self, seconds: Callable[[], float], *, verify: bool, ca_cert: str) -> None:
        super().__init__()
        self._seconds = seconds
        self._transport = Transport(verify=verify, ca_cert=ca_cert)

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Send a request and return the whole answer."""
        split = urlsplit(request.url or "")
        try:
            response, body = self._transport.exchange(
                request,
                origin=f"{split.scheme}://{split.netloc}",
                seconds=self._seconds(),
                max_body=_LONGEST_ANSWER,
            )
        except Broken as broken:
            raise broken.error from broken.__cause__
        log.debug("%s %s %s", request.method, split.path, response.status_code)
        response._content = body  # it has been read already, and requests looks for it there
        if response.status_code < 300 and "html" in response.headers.get("Content-Type", "").lower():
            raise unreadable(response)  # novaclient would take a login page for the success of what it asked for
        return response

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()


class _Session(Session):
    """Logs nothing: keystoneauth would write down answers, with the password of a new server in them."""

    def request(self, url: str, method: str, *args: Any, **options: Any) -> requests.Response:
        options = Quiet(options, log=False)
        with silent():
            return super().request(url, method, *args, **options)


silence("novaclient.v2.client", "keystoneauth.identity.v3.base", "keystoneauth.session")


def new_session(login: Any, seconds: Callable[[], float], *, verify: bool = True, ca_cert: str = "") -> Session:
    """Return a keystoneauth session whose every request ends in time, and that follows no redirects."""
    plain = requests.Session()
    plain.trust_env = False  # neither a CA bundle nor a .netrc of the environment; the transport knows the proxies
    adapter = TimedAdapter(seconds, verify=verify, ca_cert=ca_cert)
    plain.mount("https://", adapter)
    plain.mount("http://", adapter)
    return _Session(auth=login, session=plain, redirect=False, user_agent="mistcore")


class Cloud:
    """An account, logged in when it is first used. May be used by several threads at once.

    Args:
        login: the keystoneauth plugin. seconds: how long the next request may take.
        region: the region to use; "" for the only one. interface: "public", "internal" or "admin".
        service: the compute service's name in the catalog, where its type is not enough.
        compute_endpoint: the compute service's address, to be used in place of the catalog's.
        microversions: whether this cloud may have them.
        name_lookup: whether servers are to tell names of flavors and images. If not, Nova is asked for them without a
            microversion, which is less work for it than the higher ones.

    """

    def __init__(
        self,
        login: Any,
        seconds: Callable[[], float],
        *,
        region: str = "",
        interface: str = "public",
        service: str = "",
        compute_endpoint: str = "",
        microversions: bool = True,
        name_lookup: bool = True,
        verify: bool = True,
        ca_cert: str = "",
    ) -> None:
        self.login = login
        self.session = new_session(login, seconds, verify=verify, ca_cert=ca_cert)
        self.interface = interface or "public"
        self.insecure = not verify
        self._wanted_region = region
        self._service = service
        self._compute_endpoint = compute_endpoint
        self.name_lookup = name_lookup
        self._listing_version: str | None = LISTING_VERSION if microversions and name_lookup else None
        #: What the catalog of a login offers, by kind of service: to read it copies it, which takes a while.
        self._read_offers: tuple[AccessInfo | None, dict[str, list[Any]]] = None, {}
        self._names: dict[str, dict[str, str]] = {}
        self._names_end = 0.0

    def close(self) -> None:
        """Let go of the connections and of the token."""
        self.session.session.close()
        self.login.invalidate()
        self._read_offers = None, {}

    # -- the catalog --------------------------------------------------------------------------------------------------

    def access(self) -> AccessInfo:
        """Return who is logged in, with the catalog; logs in if need be."""
        found: AccessInfo = self.login.get_access(self.session)
        return found

    def regions(self) -> list[str]:
        """Return the regions in which the catalog offers a compute service, in its order."""
        return list(dict.fromkeys(str(found.region_name) for found in self._offers("compute") if found.region_name))

    def region(self) -> str:
        """Return the region in use, as the catalog writes it.

        Raises:
            UnknownRegion: there is no such one, or there are several and none was chosen.
            ProviderError: (reason "no_compute") there is no compute service at all.

        """
        regions = self.regions()
        wanted = self._wanted_region
        if self._compute_endpoint:
            return next((name for name in regions if name.lower() == wanted.lower()), wanted)
        if not self._offers("compute"):
            self._no_compute()
        names = ", ".join(regions) or "none by name"
        if not wanted:
            if len(regions) > 1:
                raise UnknownRegion({"region": f"this cloud has several, choose one: {names}"})
            return regions[0] if regions else ""
        for name in regions:
            if name.lower() == wanted.lower():
                return name
        raise UnknownRegion({"region": f"there is no region {wanted!r} for this account; there is {names}"})

    def endpoint(self, kind: str) -> str:
        """Return the address of the service of this kind in the region in use, as the catalog has it.

        Raises:
            NotSupported: the cloud offers no such service here; and what `region` raises.

        """
        if kind == "compute" and self._compute_endpoint:
            return _versioned(self._compute_endpoint)
        region = self.region()
        offers = [found for found in self._offers(kind) if not region or found.region_name in (region, None)]
        if not offers:
            where = f" in the region {region}" if region else ""
            raise NotSupported(f"this cloud's catalog offers no {_KINDS.get(kind, kind)} service{where}")
        url = str(offers[0].url or "").rstrip("/")
        return _versioned(url) if kind == "compute" else url

    def _offers(self, kind: str) -> list[Any]:
        access = self.access()
        if self._read_offers[0] is not access:
            self._read_offers = access, {}
        known = self._read_offers[1]
        if kind not in known:
            known[kind] = self._offers_in(access, kind)
        return known[kind]

    def _offers_in(self, access: AccessInfo, kind: str) -> list[Any]:
        if not access.has_service_catalog():
            return []
        found = access.service_catalog.get_endpoints_data(service_type=kind, interface=self.interface)
        offers = [offer for offers in found.values() for offer in offers if offer.url]
        if kind == "compute" and self._service:
            offers = [offer for offer in offers if offer.service_name == self._service]
        return offers

    def _no_compute(self) -> None:
        access = self.access()
        if not access.project_id:
            raise ProviderError(
                "the login is not for any project, so there is no compute service",
                reason="no_project",
                remedy="Give tenant_name, the name of a project.",
            )
        catalog = access.service_catalog.get_endpoints_data() if access.has_service_catalog() else {}
        kinds = ", ".join(sorted({str(kind) for kind in catalog})) or "nothing"
        raise ProviderError(
            f"the catalog offers no compute service at its {self.interface} interface, only: {kinds}",
            reason="no_compute",
            remedy="Give compute_endpoint if there is one all the same, or ask the cloud's operator.",
        )

    def details(self) -> dict[str, Any]:
        """Return what the login and its catalog tell, after one request; raises what `region` raises."""
        access = self.access()
        return {
            "user": access.username,
            "user_id": access.user_id,
            "user_domain": getattr(access, "user_domain_name", None),
            "project": access.project_name,
            "project_id": access.project_id,
            "project_domain": getattr(access, "project_domain_name", None),
            "roles": sorted(str(role) for role in access.role_names or ()),
            "region": self.region(),
            "regions": self.regions(),
            "compute_endpoint": self.endpoint("compute"),
            "expires_at": access.expires.isoformat() if access.expires else None,
        }

    # -- requests -----------------------------------------------------------------------------------------------------

    def request(
        self, method: str, kind: str, path: str, *, microversion: str | None = None, **options: Any
    ) -> requests.Response:
        """Send a request to a service and return the answer; raises keystoneauth's exceptions and ours."""
        response: requests.Response = self.session.request(
            _joined(self.endpoint(kind), path),
            method,
            headers={"Accept": "application/json"},
            microversion=microversion,
            microversion_service_type="compute" if microversion else None,
            log=False,
            **options,
        )
        if 300 <= response.status_code < 400:
            raise unreadable(response)
        return response

    def get(self, kind: str, path: str, *, microversion: str | None = None, **params: Any) -> dict[str, Any]:
        """Return the JSON object at a path."""
        response = self.request("GET", kind, path, microversion=microversion, params=params)
        try:
            body = read_json(response.content)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise unreadable(response)
        return body

    def servers(self, path: str, **params: Any) -> dict[str, Any]:
        """Return what Nova says at a path of its servers, with the highest microversion that is of use and there."""
        while True:
            version = self._listing_version
            try:
                return self.get("compute", path, microversion=version, **params)
            except exceptions.NotAcceptable as error:
                if version is None:
                    raise
                self._listing_version = _lower_version(message_in(error.response), version)

    def pages(self, kind: str, path: str, key: str, **params: Any) -> Iterator[list[Any]]:
        """Yield the pages of a list, following each page's marker.

        Only the marker is taken from the link to the next page: behind a proxy its address is often wrong. When the
        row that a page ended with has gone meanwhile, or Nova is just moving it (a new server goes from its queue to a
        cell, and a page may lead back to itself), the list is read anew, without the rows given already.
        """
        marker, restarts = "", _RESTARTS
        markers: set[str] = set()
        seen: set[str] = set()
        news = stale = 0  # pages that held something new, and those since the last of them
        while True:
            asked = {**params, "marker": marker} if marker else params
            try:
                body = self.servers(path, **asked) if key == "servers" else self.get(kind, path, **asked)
            except (exceptions.BadRequest, exceptions.NotFound) as error:
                if not marker or not restarts or "marker" not in message_in(error.response).lower():
                    raise
                marker, restarts = "", restarts - 1
                markers.clear()
                continue
            rows = body.get(key)
            if not isinstance(rows, list):
                raise ProviderError(f"the answer of {path} holds no list of {key}", reason="not_openstack")
            fresh = [row for row in rows if not (isinstance(row, Mapping) and str(row.get("id")) in seen)]
            following = next_marker(body, key)
            if following or seen:
                seen.update(str(row.get("id")) for row in fresh if isinstance(row, Mapping))
            news, stale = (news + 1, 0) if fresh else (news, stale + 1)
            if stale > news + _RESTARTS:
                raise ProviderError(f"the pages of {path} hold the same again and again", reason="paging")
            yield fresh
            if not following or not rows:
                return
            if following in markers:
                if not restarts:
                    raise ProviderError(f"the pages of {path} go in circles", reason="paging")
                restarts -= 1
                following = ""
                markers.clear()
                sleep(_PAUSE)
            marker = following
            markers.add(marker)

    # -- names --------------------------------------------------------------------------------------------------------

    def image_names(self, wanted: Iterable[str]) -> Mapping[str, str]:
        """Return the names of images by id, as far as Glance tells them: one request for fifty that are new."""
        known = self._known("images")
        missing = sorted({name for name in wanted if name and name not in known})
        for start in range(0, len(missing), _NAMES_PER_REQUEST):
            some = missing[start : start + _NAMES_PER_REQUEST]
            rows = self._quietly("image", "/v2/images", "images", id="in:" + ",".join(some), limit=len(some) + 1)
            _learn(known, rows, some)
        return known

    def legacy_names(self, what: str, wanted: Iterable[str]) -> Mapping[str, str]:
        """Return the names of "flavors" or "images" by id from Nova itself: one list, read when an id is new."""
        known = self._known(what)
        missing = {name for name in wanted if name and name not in known}
        if missing:
            _learn(known, self._quietly("compute", f"/{what}/detail", what), missing)
        return known

    def _known(self, what: str) -> dict[str, str]:
        if time.monotonic() > self._names_end:
            self._names = {}
            self._names_end = time.monotonic() + _NAMES_LAST
        return self._names.setdefault(what, {})

    def _quietly(self, kind: str, path: str, key: str, **params: Any) -> list[Mapping[str, Any]] | None:
        """Return the rows of a list that a listing of machines can do without, or None where it fails: ids will do."""
        try:
            pages = list(self.pages(kind, path, key, **params))
        except (exceptions.ClientException, MistError):
            return None
        return [row for page in pages for row in page if isinstance(row, Mapping) and row.get("id") is not None]


def _learn(known: dict[str, str], rows: list[Mapping[str, Any]] | None, asked: Iterable[str]) -> None:
    """Keep the names told, and which ids have none; nothing when the service could not be asked."""
    if rows is not None:
        known.update((name, "") for name in asked if name not in known)
        known.update((str(row["id"]), str(row.get("name") or "")) for row in rows)


def next_marker(body: Mapping[str, Any], key: str) -> str:
    """Return the marker of the next page; "" on the last one. Nova and Neutron have `KEY_links`, Glance has `next`."""
    links = body.get(f"{key}_links")
    link = body.get("next")
    for entry in links if isinstance(links, list) else ():
        if isinstance(entry, Mapping) and entry.get("rel") == "next":
            link = entry.get("href")
    if not isinstance(link, str):
        return ""
    return parse_qs(urlsplit(link).query).get("marker", [""])[-1]


def _versioned(url: str) -> str:
    """Return Nova's address with its version: some catalogs leave it out."""
    url = url.rstrip("/")
    named = any(part[:1] == "v" and part[1:2].isdigit() for part in urlsplit(url).path.split("/"))
    return url if named else f"{url}/v2.1"


def _joined(endpoint: str, path: str) -> str:
    """Return the address of a path that begins with a version, whatever the endpoint says about version and project."""
    version = re.match(r"/v\d+(\.\d+)?(?=/)", path) if path.startswith("/v") else None
    if not version:
        return endpoint + path
    base = re.match(r"(.*?)/v\d+(?:\.\d+)?(/[^/]+)?$", endpoint)
    if not base:
        return endpoint + path
    return f"{base[1]}{version[0]}{base[2] or ''}{path[version.end() :]}"


def _lower_version(refusal: str, refused: str) -> str | None:
    """Return the microversion to use instead of one that was refused, or None for none at all."""
    match = re.search(r"maximum is (\d+)\.(\d+)", refusal)
    if not match:
        return None
    highest = int(match[1]), int(match[2])
    return f"{highest[0]}.{highest[1]}" if (2, 1) < highest < tuple(map(int, refused.split("."))) else None
