"""A stand-in of VMware Cloud Director: versions, logins, the query service in pages, machines, tasks; JSON and XML.

What it says is in the words and forms of VMware's schemas; pyvcloud, VMware's own client, logs in, lists and
powers machines on and off by it (tests/providers/test_vcloud_stand_in.py). Task names are those of recorded tasks.
"""

from __future__ import annotations

import base64
import re
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from fakes.vcloud_entities import Entities, Vm, uuid_of
from fakes.vcloud_xml import VERSIONS_NS, element, to_json, to_xml

from mistcore.testing.server import Page, Request, Response, json_response, page_of, route

__all__ = ["FakeVcloud", "Vm", "uuid_of"]

_TYPES = {
    "vm": "VMRecord",
    "adminVM": "AdminVMRecord",
    "vAppTemplate": "VAppTemplateRecord",
    "adminVAppTemplate": "AdminVAppTemplateRecord",
    "orgVdc": "OrgVdcRecord",
    "adminOrgVdc": "AdminVdcRecord",
    "orgVdcNetwork": "OrgVdcNetworkRecord",
    "organization": "OrgRecord",
}


class FakeVcloud(Entities):
    """One installation with the organisation Acme: user "jane", password "s3cret", API token "api-token-1".

    Attributes:
        versions: (version, deprecated) as listed. json_since: JSON below /api from this version on.
        cloud_login: whether there is a cloud API. vcfa: API tokens are traded below /tm/oauth.
        task_seconds: how long a task takes.
        forbidden: types of queries that the user may not make.
    """

    def __init__(
        self,
        *,
        versions: tuple[tuple[str, bool], ...] = (("35.2", True), ("36.0", False), ("37.3", False), ("38.1", False)),
        json_since: float = 30,
        cloud_login: bool = True,
        vcfa: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.versions = versions
        self.json_since = json_since
        self.cloud_login = cloud_login
        self.vcfa = vcfa
        self.page_limit = 128
        self.users = {("jane", "acme"): "s3cret", ("admin", "system"): "pr0vider"}
        self.api_tokens = {"api-token-1": ("jane", "acme"), "api-token-2": ("admin", "system")}
        self.sessions: dict[str, dict[str, str]] = {}
        self.rights: list[str] | None = ["vApp: Power Operations", "vApp: Delete", "Organization vDC: View"]
        self.forbidden: set[str] = set()

    # -- what every request goes through ------------------------------------------------------------------------------

    def authorize(self, request: Request) -> Response | None:
        self._settle()
        if request.path == "/api/versions":
            return None
        version = self._version(request)
        if version not in [known for known, _ in self.versions]:
            return self._problem(
                request, 406, "NOT_ACCEPTABLE", f"The version {version} is not supported by this cell."
            )
        wants_json = "json" in (request.headers.get("Accept") or "")
        if request.path.startswith("/api/") and wants_json and float(version) < self.json_since:
            return self._problem(request, 406, "NOT_ACCEPTABLE", "The requested media type is not available.")
        if request.method == "POST" and re.search(r"/sessions(/provider)?$|/token$", request.path):
            return None
        if self._session(request) is None:
            return self._problem(request, 401, "ACCESS_TO_RESOURCE_IS_FORBIDDEN", "This operation is denied.")
        return None

    def not_found(self, request: Request) -> Response:
        return self._problem(request, 404, "RESOURCE_NOT_FOUND", f"There is nothing at {request.path}.")

    def _token(self, request: Request) -> str:
        bearer = request.headers.get("Authorization") or ""
        if bearer.startswith("Bearer "):
            return bearer.removeprefix("Bearer ")
        return request.headers.get("x-vcloud-authorization") or ""

    def _session(self, request: Request) -> dict[str, str] | None:
        return self.sessions.get(self._token(request))

    def _version(self, request: Request) -> str:
        match = re.search(r"version=([\w.-]+)", request.headers.get("Accept") or "")
        return match[1] if match else ""

    def _respond(
        self, request: Request, root: ET.Element, status: int = 200, headers: dict[str, str] | None = None
    ) -> Response:
        if "json" in (request.headers.get("Accept") or ""):
            return Response(
                status, to_json(root), {"Content-Type": "application/vnd.vmware.vcloud.x+json", **(headers or {})}
            )
        return Response(
            status, to_xml(root), {"Content-Type": "application/vnd.vmware.vcloud.x+xml", **(headers or {})}
        )

    def _problem(self, request: Request, status: int, code: str, message: str) -> Response:
        if request.path.startswith("/cloudapi"):
            return json_response(
                {"minorErrorCode": code, "message": f"[ {uuid_of(code)} ] {message}", "stackTrace": None}, status
            )
        return self._respond(
            request, element("Error", majorErrorCode=status, minorErrorCode=code, message=message), status
        )

    # -- versions and logins ------------------------------------------------------------------------------------------

    @route("GET", "/api/versions")
    def list_versions(self, request: Request) -> Response:
        infos = [
            element(
                "VersionInfo",
                element("Version", version, ns=VERSIONS_NS),
                element("LoginUrl", f"{self.url}/api/sessions", ns=VERSIONS_NS),
                ns=VERSIONS_NS,
                deprecated=str(deprecated).lower(),
            )
            for version, deprecated in self.versions
        ]
        alpha = element(
            "AlphaVersion", element("Version", "99.0.0-alpha-1", ns=VERSIONS_NS), ns=VERSIONS_NS, deprecated="false"
        )
        root = element("SupportedVersions", *infos, alpha, ns=VERSIONS_NS)
        return Response(200, to_xml(root), {"Content-Type": "text/xml"})

    def _log_in(self, request: Request) -> tuple[str, str, str] | None:
        """Return user, organisation and a new token, or None for wrong credentials."""
        kind, _, value = (request.headers.get("Authorization") or "").partition(" ")
        if kind != "Basic":
            return None
        pair, _, password = base64.b64decode(value).decode().partition(":")
        user, _, org = pair.rpartition("@")
        if self.users.get((user, org.lower())) != password:
            return None
        return user, org.lower(), self._new_session(user, org.lower())

    def _new_session(self, user: str, org: str) -> str:
        token = f"token-{next(self._ids)}"
        self.sessions[token] = {"id": f"urn:vcloud:session:{uuid_of(token)}", "user": user, "org": org}
        return token

    def _session_json(self, session: dict[str, str]) -> dict[str, Any]:
        role = {"name": "vApp User", "id": f"urn:vcloud:role:{uuid_of('role')}"}
        return {
            "id": session["id"],
            "user": {"name": session["user"], "id": f"urn:vcloud:user:{uuid_of('user', session['user'])}"},
            "org": {"name": session["org"].title(), "id": f"urn:vcloud:org:{uuid_of('org', session['org'])}"},
            "roles": [role["name"]],
            "roleRefs": [role],
            "sessionIdleTimeoutMinutes": 30,
        }

    @route("POST", "/cloudapi/1.0.0/sessions")
    def cloud_login_tenant(self, request: Request) -> Response:
        return self._cloud_login(request, provider=False)

    @route("POST", "/cloudapi/1.0.0/sessions/provider")
    def cloud_login_provider(self, request: Request) -> Response:
        return self._cloud_login(request, provider=True)

    def _cloud_login(self, request: Request, *, provider: bool) -> Response:
        if not self.cloud_login:
            return self.not_found(request)
        found = self._log_in(request)
        if found is None or (found[1] == "system") != provider:
            return self._problem(
                request, 401, "UNAUTHORIZED", "Invalid credentials: the user name or password is wrong."
            )
        headers = {"X-VMWARE-VCLOUD-ACCESS-TOKEN": found[2], "X-VMWARE-VCLOUD-TOKEN-TYPE": "Bearer"}
        return json_response(self._session_json(self.sessions[found[2]]), headers=headers)

    @route("GET", "/cloudapi/1.0.0/sessions/current")
    def current_session(self, request: Request) -> Response:
        return json_response(self._session_json(self.sessions[self._token(request)]))

    @route("DELETE", "/cloudapi/1.0.0/sessions/{session_id}")
    def cloud_logout(self, request: Request, session_id: str) -> Response:
        for token, session in list(self.sessions.items()):
            if session["id"] == session_id:
                del self.sessions[token]
                return Response(204)
        return self.not_found(request)

    @route("POST", "/oauth/tenant/{org}/token")
    def trade_token(self, request: Request, org: str) -> Response:
        return self.not_found(request) if self.vcfa else self._trade(request, org)

    @route("POST", "/tm/oauth/tenant/{org}/token")
    def trade_token_vcfa(self, request: Request, org: str) -> Response:
        return self._trade(request, org) if self.vcfa else self.not_found(request)

    @route("POST", "/oauth/provider/token")
    def trade_token_provider(self, request: Request) -> Response:
        return self._trade(request, "system")

    def _trade(self, request: Request, org: str) -> Response:
        form = request.form()
        owner = self.api_tokens.get(form.get("refresh_token", ""))
        if form.get("grant_type") != "refresh_token" or owner is None or owner[1] != org.lower():
            words = {"error": "invalid_grant", "error_description": f"Invalid token {form.get('refresh_token')}"}
            return json_response(words, 400)
        return json_response(
            {
                "access_token": self._new_session(*owner),
                "token_type": "Bearer",
                "expires_in": 2592000,
                "refresh_token": None,
            }
        )

    @route("POST", "/api/sessions")
    def old_login(self, request: Request) -> Response:
        found = self._log_in(request)
        if found is None:
            return Response(401, b"", {"WWW-Authenticate": 'Basic realm="VMware vCloud"'})
        return self._respond(
            request, self._session_element(found[0], found[1]), headers={"x-vcloud-authorization": found[2]}
        )

    @route("GET", "/api/session")
    def old_session(self, request: Request) -> Response:
        session = self.sessions[self._token(request)]
        return self._respond(request, self._session_element(session["user"], session["org"]))

    @route("DELETE", "/api/session")
    def old_logout(self, request: Request) -> Response:
        self.sessions.pop(self._token(request), None)
        return Response(204)

    def _session_element(self, user: str, org: str) -> ET.Element:
        kinds = {"orgList": "api/org", "query.queryList": "api/query", "org": f"api/org/{uuid_of('org', org)}"}
        links = [
            element(
                "Link",
                rel="down",
                type=f"application/vnd.vmware.vcloud.{kind}+xml",
                href=f"{self.url}/{path}",
                name=org,
            )
            for kind, path in kinds.items()
        ]
        return element("Session", *links, user=user, org=org.title(), href=f"{self.url}/api/session")

    @route("GET", "/cloudapi/1.0.0/roles/{role}/rights")
    def list_rights(self, request: Request, role: str) -> Response:
        if self.rights is None:
            return self._problem(request, 403, "ACCESS_TO_RESOURCE_IS_FORBIDDEN", "[ROLE_VIEW] is needed.")
        return self._values(
            request, [{"id": f"urn:vcloud:right:{uuid_of(name)}", "name": name} for name in self.rights]
        )

    # -- lists --------------------------------------------------------------------------------------------------------

    def _values(self, request: Request, values: list[Any]) -> Response:
        page = self._page(request, values)
        return json_response(
            {
                "resultTotal": page.total,
                "pageCount": page.last if page.total else 0,
                "page": page.number,
                "pageSize": page.size,
                "values": page.rows,
            }
        )

    def _page(self, request: Request, rows: list[Any]) -> Page:
        return page_of(rows, request, size="pageSize", usual=25, most=self.page_limit)

    @route("GET", "/cloudapi/2.0.0/vdcComputePolicies")
    def list_policies(self, request: Request) -> Response:
        values = [{"id": i, "name": n, "cpuCount": c, "memory": m} for i, (n, c, m) in self.policies.items()]
        return self._values(request, values)

    @route("GET", "/cloudapi/1.0.0/orgVdcNetworks")
    def list_networks(self, request: Request) -> Response:
        values = [
            {
                "id": f"urn:vcloud:network:{i}",
                "name": name,
                "networkType": "NAT_ROUTED",
                "subnets": {"values": [{"gateway": gateway, "prefixLength": length}]},
            }
            for i, (name, gateway, length) in self.networks.items()
        ]
        return self._values(request, values)

    @route("GET", "/api/query")
    def query(self, request: Request) -> Response:
        kind = request.query.get("type", "")
        if not kind:
            return self._respond(request, self._query_list())
        if kind in self.forbidden or kind.startswith("admin") != (self._is_system(request) and kind != "orgVdcNetwork"):
            words = f"Access to the query {kind} is forbidden."
            return self._problem(request, 403, "ACCESS_TO_RESOURCE_IS_FORBIDDEN", words)
        if kind not in _TYPES:
            return self._problem(request, 400, "BAD_REQUEST", f"The query type {kind} is unknown.")
        found = self._records(kind)
        for condition in filter(None, re.split(r";|&&", unquote(request.query.get("filter", "")).strip("()"))):
            name, _, value = condition.partition("==")
            found = [one for one in found if str(one.get(name, "")) == value]
        if "sortAsc" in request.query:
            found.sort(key=lambda one: str(one.get(request.query["sortAsc"], "")))
        page = self._page(request, found)
        links = []
        if page.number < page.last:
            links.append(
                element(
                    "Link",
                    rel="nextPage",
                    type="application/vnd.vmware.vcloud.query.records+xml",
                    href=self.link(request, page=page.number + 1),
                )
            )
        root = element(
            "QueryResultRecords",
            *links,
            *(element(_TYPES[kind], **one) for one in page.rows),
            name=kind,
            page=page.number,
            pageSize=page.size,
            total=page.total,
            href=f"{self.url}/api/query?type={kind}",
        )
        return self._respond(request, root)

    def _query_list(self) -> ET.Element:
        media = "application/vnd.vmware.vcloud.query.records+xml"
        return element(
            "QueryList",
            *(
                element(
                    "Link", rel="down", type=media, name=kind, href=f"{self.url}/api/query?type={kind}&format=records"
                )
                for kind in _TYPES
            ),
        )

    def _is_system(self, request: Request) -> bool:
        session = self._session(request)
        return session is not None and session["org"] == "system"

    def _records(self, kind: str) -> list[dict[str, Any]]:
        kind = kind.removeprefix("admin")
        kind = kind[0].lower() + kind[1:] if not kind.startswith("VM") else "vm"
        if kind == "vm":
            return [self._vm_record(vm) for vm in list(self.vms.values())]
        if kind == "vAppTemplate":
            return [
                {"href": f"{self.url}/api/vAppTemplate/vappTemplate-{i}", "name": name, "catalogName": "Linux",
                 "status": "RESOLVED", "creationDate": "2024-03-01T10:00:00.000Z", "numberOfVMs": len(vms)}
                for i, (name, vms) in self.templates.items()
            ]  # fmt: skip
        if kind == "orgVdc":
            return [
                {"href": f"{self.url}/api/vdc/{i}", "name": name, "isEnabled": "true"} for i, name in self.vdcs.items()
            ]
        if kind == "organization":
            return [{"href": f"{self.url}/api/org/{uuid_of('org', 'acme')}", "name": "Acme"}]
        return [
            {
                "href": f"{self.url}/api/admin/network/{i}",
                "name": name,
                "defaultGateway": gateway,
                "netmask": "255.255.255.0",
            }
            for i, (name, gateway, _) in self.networks.items()
        ]

    def _vm_record(self, vm: Vm) -> dict[str, Any]:
        ip = vm.ips[0] if vm.ips and vm.ip_in_record else None
        record: dict[str, Any] = {
            "href": f"{self.url}/api/{'vAppTemplate' if vm.template else 'vApp'}/vm-{vm.id}",
            "name": vm.name,
            "status": vm.status,
            "numberOfCpus": vm.cpus,
            "memoryMB": vm.memory,
            "guestOs": vm.os,
            "ipAddress": ip,
            "isVAppTemplate": str(vm.template).lower(),
            "isDeployed": str(vm.deployed).lower(),
            "container": f"{self.url}/api/vApp/vapp-{vm.vapp}",
            "containerName": self.vapps.get(vm.vapp, ""),
            "vdc": f"{self.url}/api/vdc/{vm.vdc}",
            "vdcName": self.vdcs.get(vm.vdc) if self.cloud_login else None,  # not in the records of version 5
            "catalogName": vm.catalog or None,
            "networkName": vm.network or None,
            "dateCreated": "2024-05-06T07:08:09.123Z",
            "taskStatus": "running" if vm.task else "success",
            "taskStatusName": vm.task or "vappDeploy",
        }
        return {name: value for name, value in record.items() if value is not None}
