"""A stand-in for Azure Resource Manager with its token service: stateful, strict, paged, with long-running operations.

It behaves as the Swagger documents and "Track asynchronous Azure operations" (Microsoft Learn) say, and is proven by
Microsoft's own SDK in tests/providers/test_azure_stand_in.py. Names are compared without regard to case, and the
spelling of a resource group differs from one listing to the next, as it does at Azure.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from typing import Any

import attrs
from fakes import azure_catalog as catalog
from fakes.azure_entra import TENANT, Entra
from fakes.azure_resources import Refused, Resources

from mistcore.testing.server import FakeService, Request, Response, json_response, route

SUBSCRIPTION = "99999999-9999-9999-9999-999999999999"
_GROUP_PATH = r"/resourcegroups/(?P<group>[^/]+)"
_PATH = re.compile(
    rf"/subscriptions/(?P<subscription>[^/]+)(?:{_GROUP_PATH})?(?:/providers/(?P<namespace>[^/]+)/(?P<tail>.+))?\Z",
    re.IGNORECASE,
)
_IMAGES = re.compile(
    r"locations/(?P<location>[^/]+)/publishers(?:/(?P<publisher>[^/]+)/artifacttypes/vmimage/offers"
    r"(?:/(?P<offer>[^/]+)/skus(?:/(?P<sku>[^/]+)/versions)?)?)?\Z",
    re.IGNORECASE,
)
_OPERATION = re.compile(r"locations/[^/]+/(operations|operationresults)/(?P<id>[^/]+)\Z", re.IGNORECASE)


@attrs.define
class Operation:
    """Something that takes its time. `effect` happens when it ends; `error` is told instead when it is to fail."""

    id: str
    ends: float
    effect: Callable[[], Any]
    error: dict[str, str] | None = None
    status: str = "InProgress"


class FakeAzure(Entra, FakeService):
    """Resource Manager and token service at one address.

    Attributes:
        resources: everything there is. page_size: rows on one page of a listing.
        operation_seconds: how long an operation takes. retry_after: what its answers advise.
        location_only: tell of operations in the older way only.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.subscriptions = {SUBSCRIPTION: {"tenant": TENANT, "displayName": "Pay-As-You-Go", "state": "Enabled"}}
        self.resources = Resources(SUBSCRIPTION)
        self.page_size = 100
        self.operation_seconds = 0.05
        self.retry_after = "0"
        self.location_only = False
        self.operations: dict[str, Operation] = {}
        self.failures: list[tuple[str, dict[str, str]]] = []
        self.exchanges: list[tuple[Request, Response]] = []
        self.recording = False

    def fail_operation(self, path_end: str, code: str, message: str) -> None:
        """Let the next operation that a path with this end starts be accepted, and fail later."""
        self.failures.append((path_end.lower(), {"code": code, "message": message}))

    def handle(self, request: Request) -> Response:
        response = super().handle(request)
        if self.recording:
            self.exchanges.append((request, response))
        return response

    # -- who may ------------------------------------------------------------------------------------------------------

    def authorize(self, request: Request) -> Response | None:
        if not request.path.lower().startswith("/subscriptions"):
            return None
        header = request.headers.get("Authorization", "")
        if not header.startswith("Bearer "):
            return _unauthorized(
                "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."
            )
        found = self.tokens.get(header.removeprefix("Bearer "))
        if found is None:
            return _unauthorized("InvalidAuthenticationToken", "The access token is invalid.")
        tenant, client_id, expires = found
        if expires < self.clock():
            return _unauthorized("ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than now.")
        name = request.path.removeprefix("/subscriptions").strip("/").partition("/")[0]
        subscription = self.subscriptions.get(name.lower())
        roles = self.tenants[tenant][client_id].roles if client_id in self.tenants[tenant] else []
        if subscription is None or not roles:
            return arm_error(404, "SubscriptionNotFound", f"The subscription '{name}' could not be found.")
        if subscription["tenant"] != tenant:
            return _unauthorized(
                "InvalidAuthenticationTokenTenant",
                "The access token is from the wrong issuer. It must match the tenant.",
            )
        if not re.fullmatch(r"\d{4}-\d\d-\d\d(-preview)?", request.query.get("api-version", "")):
            return arm_error(400, "MissingApiVersionParameter", "The api-version query parameter is required.")
        action = _action(request)
        if _allowed(roles, action):
            return None
        text = f"does not have authorization to perform action '{action}' over scope '{request.path}'"
        return arm_error(403, "AuthorizationFailed", f"The client '{client_id}' with object id '1' {text}.")

    # -- the routes ---------------------------------------------------------------------------------------------------

    @route("GET", "/subscriptions/{rest...}")
    @route("PUT", "/subscriptions/{rest...}")
    @route("POST", "/subscriptions/{rest...}")
    @route("DELETE", "/subscriptions/{rest...}")
    def arm(self, request: Request, rest: str) -> Response:
        with self.lock:
            self._settle()
            try:
                return self._arm(request)
            except Refused as refused:
                return arm_error(refused.status, refused.code, refused.message)

    def _arm(self, request: Request) -> Response:
        where = _PATH.match(request.path)
        if where is None:
            return self._plain(request)
        namespace, tail = (where["namespace"] or "").lower(), where["tail"] or ""
        operation = _OPERATION.match(tail)
        if operation:
            return self._operation(operation["id"], result="/operationresults/" in request.path)
        if request.method == "GET" and namespace == "microsoft.authorization" and tail.lower() == "permissions":
            _, client_id, _ = self.tokens[request.headers["Authorization"].removeprefix("Bearer ")]
            return self._page(request, self.tenants[TENANT][client_id].roles)
        if request.method == "GET" and namespace == "microsoft.compute":
            if tail.lower() == "skus":
                found = re.fullmatch(r"location eq '(\w+)'", request.query.get("$filter", ""))
                return self._page(request, catalog.skus(found[1] if found else ""))
            images = _IMAGES.match(tail)
            if images:
                parts = [images[key] for key in ("publisher", "offer", "sku") if images[key]]
                rows = catalog.images(parts, request.path, images["location"])
                if rows is None:
                    return arm_error(404, "NotFound", f"Artifact: VMImage was not found: {tail}")
                return json_response(rows)
        if not namespace:
            return self._groups(request, where["group"] or "")
        return self._resource(request, where["group"] or "", namespace, tail.split("/"))

    def _plain(self, request: Request) -> Response:
        subscription = request.path.split("/")[2]
        if request.method == "GET" and request.path.endswith("/locations"):
            return json_response({"value": catalog.locations(subscription)})
        if request.method == "GET" and request.path.lower().endswith("/resourcegroups"):
            return self._page(request, self.resources.collection("", "groups"))
        return self.not_found(request)

    def _groups(self, request: Request, name: str) -> Response:
        if not name:
            subscription = request.path.split("/")[2].lower()
            row = self.subscriptions[subscription]
            policies = {"locationPlacementId": "Public_2014-09-01", "spendingLimit": "Off"}
            body = {"id": f"/subscriptions/{subscription}", "subscriptionId": subscription}
            names = {"tenantId": row["tenant"], "displayName": row["displayName"], "state": row["state"]}
            return json_response({**body, **names, "subscriptionPolicies": policies})
        if request.method == "PUT":
            made, body = self.resources.put_group(name, request.json())
            return json_response(body, status=201 if made else 200)
        if request.method == "GET":
            return json_response(self.resources.group(name))
        if request.method == "DELETE":
            self.resources.group(name)
            return self._accept(request, lambda: self.resources.delete_group(name), both=False)
        return self.not_found(request)

    def _resource(self, request: Request, group: str, namespace: str, parts: list[str]) -> Response:
        kind = f"{namespace}/{'/'.join(parts[0::2] if len(parts) % 2 == 0 else parts[0:-1:2] or parts)}".lower()
        if len(parts) == 1:
            status = request.query.get("statusOnly", "").lower() == "true"
            return self._page(request, self.resources.collection(group, kind, status=status))
        name = "/".join(parts[1::2])
        if request.method == "POST" and len(parts) == 3:
            effect = self.resources.action(group, kind, name, parts[2], request.query)
            return self._accept(request, effect)
        if request.method == "GET" and len(parts) == 3 and parts[2].lower() == "instanceview":
            return json_response(self.resources.view(group, kind, name, expand=True)["properties"]["instanceView"])
        if request.method == "GET" and len(parts) % 2 == 0:
            expand = request.query.get("$expand", "").lower() == "instanceview"
            return json_response(self.resources.view(group, kind, name, expand=expand))
        if request.method == "PUT" and len(parts) % 2 == 0:
            made, body, effect = self.resources.put(group, kind, name, request.json())
            accepted = self._accept(request, effect).headers
            headers = {name: accepted[name] for name in ("Azure-AsyncOperation", "Retry-After")}
            return json_response(body, status=201 if made else 200, headers=headers)
        if request.method == "DELETE" and len(parts) % 2 == 0:
            removal = self.resources.delete(group, kind, name)
            return Response(204) if removal is None else self._accept(request, removal)
        return self.not_found(request)

    def not_found(self, request: Request) -> Response:
        return arm_error(404, "InvalidResourceType", f"The resource type could not be found: {request.path}")

    # -- paging and operations ----------------------------------------------------------------------------------------

    def _page(self, request: Request, rows: list[dict[str, Any]]) -> Response:
        token = request.query.get("$skiptoken") or request.query.get("$skipToken") or "page!0"
        if not re.fullmatch(r"page!\d+", token):
            return arm_error(400, "InvalidParameter", "The $skiptoken is not valid.")
        start = int(token.partition("!")[2])
        body: dict[str, Any] = {"value": rows[start : start + self.page_size]}
        if start + self.page_size < len(rows):
            body["nextLink"] = self.link(request, **{"$skiptoken": f"page!{start + self.page_size}"})
        return json_response(body)

    def _accept(self, request: Request, effect: Callable[[], Any], *, both: bool = True) -> Response:
        operation = Operation(str(uuid.uuid4()), time.monotonic() + self.operation_seconds, effect)
        for failure in self.failures:
            if request.path.lower().endswith(failure[0]):
                self.failures.remove(failure)
                operation.error = failure[1]
                break
        self.operations[operation.id] = operation
        base = f"{self.url}/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/locations/eastus"
        headers = {
            "Azure-AsyncOperation": f"{base}/operations/{operation.id}?api-version=2024-07-01",
            "Location": f"{base}/operationresults/{operation.id}?api-version=2024-07-01",
            "Retry-After": self.retry_after,
        }
        if not both or self.location_only:
            del headers["Azure-AsyncOperation"]
        return Response(202, b"", headers)

    def _operation(self, operation_id: str, *, result: bool) -> Response:
        operation = self.operations.get(operation_id)
        if operation is None:
            return arm_error(404, "OperationNotFound", f"The operation '{operation_id}' could not be found.")
        if result:
            if operation.status == "InProgress":
                location = (
                    f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/locations/eastus/operationresults"
                )
                url = f"{self.url}{location}/{operation_id}?api-version=2024-07-01"
                return Response(202, b"", {"Location": url, "Retry-After": self.retry_after})
            if operation.error is not None:
                return json_response({"error": operation.error}, status=409)
            return Response(200, b"", {})
        body: dict[str, Any] = {"name": operation_id, "status": operation.status, "startTime": "2026-01-01T00:00:00Z"}
        if operation.status != "InProgress":
            body["endTime"] = "2026-01-01T00:00:01Z"
        if operation.status == "Failed":
            body["error"] = operation.error
        return json_response(body, headers={"Retry-After": self.retry_after})

    def _settle(self) -> None:
        for operation in self.operations.values():
            if operation.status == "InProgress" and operation.ends <= time.monotonic():
                operation.status = "Failed" if operation.error else "Succeeded"
                if operation.error is None:
                    operation.effect()


def _action(request: Request) -> str:
    """Return the permission that a request needs, as Azure's role definitions name them."""
    where = _PATH.match(request.path)
    if where is None or not where["namespace"]:
        tail = request.path.strip("/").split("/")[2:]
        kind = "Microsoft.Resources/subscriptions" + "".join(
            f"/{part}" for part in (["resourceGroups"] if "resourcegroups" in [t.lower() for t in tail] else tail)
        )
        verb = {"GET": "read", "PUT": "write", "DELETE": "delete"}.get(request.method, "action")
        return f"{kind}/{verb}"
    parts = where["tail"].split("/")
    if request.method == "POST":
        return f"{where['namespace']}/{'/'.join(parts[0:-1:2])}/{parts[-1]}/action"
    verb = {"GET": "read", "PUT": "write", "DELETE": "delete"}[request.method]
    return f"{where['namespace']}/{'/'.join(parts[0::2])}/{verb}"


def _allowed(roles: list[dict[str, list[str]]], action: str) -> bool:
    def fits(patterns: list[str]) -> bool:
        return any(re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), action, re.IGNORECASE) for pattern in patterns)

    return any(fits(role["actions"]) and not fits(role["notActions"]) for role in roles)


def arm_error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    """Return a refusal as Resource Manager words it."""
    return json_response({"error": {"code": code, "message": message}}, status=status, headers=headers)


def _unauthorized(code: str, message: str) -> Response:
    challenge = 'Bearer authorization_uri="https://login.windows.net/", error="invalid_token"'
    return arm_error(401, code, message, {"WWW-Authenticate": challenge})
