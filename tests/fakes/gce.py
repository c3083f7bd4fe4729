"""A stand-in for Compute Engine, stateful and strict; who is let in, and to what, is in `fakes.gce_access`.

It behaves as Google's discovery documents and "Using OAuth 2.0 for Server to Server Applications" say, and is proven
by Google's own SDK in tests/providers/test_gce_stand_in.py.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from typing import Any

from fakes import gce_catalog as catalog
from fakes.gce_access import PROJECT, GceAccess
from fakes.gce_errors import Refused, api_error

from mistcore.testing.server import Request, Response, json_response, route

_DURING = {"start": "STAGING", "stop": "STOPPING", "suspend": "SUSPENDING", "resume": "STAGING", "reset": "RUNNING"}
_AFTER = {"start": "RUNNING", "stop": "TERMINATED", "suspend": "SUSPENDED", "resume": "RUNNING", "reset": "RUNNING"}
_FROM = {
    "start": {"TERMINATED"},
    "stop": {"RUNNING", "SUSPENDED"},
    "suspend": {"RUNNING"},
    "resume": {"SUSPENDED"},
    "reset": {"RUNNING"},
}


class FakeGce(GceAccess):
    """One project.

    Attributes:
        instances: by zone and name. page_size: rows on one page at the most.
        unreachable: zones that cannot be reached. operation_seconds: how long an operation takes.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.instances: dict[tuple[str, str], dict[str, Any]] = {}
        self.disks: set[tuple[str, str]] = set()
        self.operations: dict[str, dict[str, Any]] = {}
        self.failures: list[tuple[str, str, str]] = []
        self.unreachable: set[str] = set()
        #: Google's documents recommend a parameter that its newest client does not know any more.
        self.always_partial = False
        self.page_size = 500
        self.operation_seconds = 0.05
        self.recording = False
        self.exchanges: list[tuple[Request, Response]] = []
        self._numbers = iter(range(10**18, 10**19))

    def fail_operation(self, verb: str, code: str, message: str) -> None:
        """Let the next operation of this kind be accepted, and fail later."""
        self.failures.append((verb, code, message))

    def handle(self, request: Request) -> Response:
        response = super().handle(request)
        if self.recording:
            self.exchanges.append((request, response))
        return response

    # -- reading ----------------------------------------------------------------------------------------------------

    @route("GET", "/compute/v1/projects/{project}")
    def project(self, request: Request, project: str) -> Response:
        return json_response({"kind": "compute#project", "id": "123456789012", "name": project})

    @route("GET", "/compute/v1/projects/{project}/aggregated/instances")
    def aggregated_instances(self, request: Request, project: str) -> Response:
        with self.lock:
            self._settle()
            rows = [row for (zone, _), row in self.instances.items() if zone not in self.unreachable]
            wanted = re.fullmatch(r"id ?= ?(\d+)", request.query.get("filter", ""))
            if wanted:
                rows = [row for row in rows if row["id"] == wanted[1]]
            partial = self.always_partial or request.query.get("returnPartialSuccess") == "true"
            if self.unreachable and not partial:
                return api_error(503, "backendError", "A zone cannot be reached.")
            page = self._page(request, rows, "compute#instanceAggregatedList")
            items: dict[str, Any] = {}
            for zone in catalog.ZONES:
                found = [row for row in page["items"] if row["zone"].endswith(f"/{zone}")]
                items[f"zones/{zone}"] = {"instances": found} if found else _no_results(zone)
            for zone in self.unreachable:
                warning = {"code": "UNREACHABLE", "message": f"The zone '{zone}' is unreachable."}
                items[f"zones/{zone}"] = {"warning": warning}
            return json_response({**page, "items": items})

    @route("GET", "/compute/v1/projects/{project}/zones")
    def zones(self, request: Request, project: str) -> Response:
        rows = [catalog.zone(self._link(), name) for name in catalog.ZONES]
        return json_response(self._page(request, rows, "compute#zoneList"))

    @route("GET", "/compute/v1/projects/{project}/zones/{zone}/machineTypes")
    def machine_types(self, request: Request, project: str, zone: str) -> Response:
        self._need_zone(zone)
        rows = [row for row in catalog.machine_types(self._link()) if row["zone"] == zone]
        return json_response(self._page(request, rows, "compute#machineTypeList"))

    @route("GET", "/compute/v1/projects/{project}/aggregated/machineTypes")
    def aggregated_machine_types(self, request: Request, project: str) -> Response:
        page = self._page(request, catalog.machine_types(self._link()), "compute#machineTypeAggregatedList")
        items: dict[str, Any] = {}
        for row in page["items"]:
            items.setdefault(f"zones/{row['zone']}", {"machineTypes": []})["machineTypes"].append(row)
        return json_response({**page, "items": items})

    @route("GET", "/compute/v1/projects/{project}/global/networks")
    def networks(self, request: Request, project: str) -> Response:
        return json_response(self._page(request, catalog.networks(self._link()), "compute#networkList"))

    @route("GET", "/compute/v1/projects/{project}/aggregated/subnetworks")
    def aggregated_subnetworks(self, request: Request, project: str) -> Response:
        page = self._page(request, catalog.subnetworks(self._link()), "compute#subnetworkAggregatedList")
        scopes = {f"regions/{row['region'].rpartition('/')[2]}": {"subnetworks": [row]} for row in page["items"]}
        return json_response({**page, "items": scopes})

    @route("GET", "/compute/v1/projects/{project}/global/images")
    def images(self, request: Request, project: str) -> Response:
        page = self._page(request, catalog.images(self.url, project), "compute#imageList")
        if not page["items"]:
            del page["items"]
        return json_response(page)

    @route("GET", "/compute/v1/projects/{project}/global/images/family/{family}")
    def image_of_family(self, request: Request, project: str, family: str) -> Response:
        rows = [r for r in catalog.images(self.url, project) if r.get("family") == family and "deprecated" not in r]
        if not rows:
            return self._missing(f"projects/{project}/global/images/family/{family}")
        return json_response(max(rows, key=lambda row: row["creationTimestamp"]))

    @route("GET", "/compute/v1/projects/{project}/global/images/{name}")
    def image(self, request: Request, project: str, name: str) -> Response:
        rows = [row for row in catalog.images(self.url, project) if row["name"] == name]
        return json_response(rows[0]) if rows else self._missing(f"projects/{project}/global/images/{name}")

    @route("GET", "/compute/v1/projects/{project}/zones/{zone}/instances/{instance}")
    def instance(self, request: Request, project: str, zone: str, instance: str) -> Response:
        with self.lock:
            self._settle()
            return self._guarded(lambda: json_response(self._find(zone, instance)))

    @route("GET", "/compute/v1/projects/{project}/zones/{zone}/operations/{name}")
    def operation(self, request: Request, project: str, zone: str, name: str) -> Response:
        with self.lock:
            self._settle()
            found = self.operations.get(name)
            return json_response(_public(found)) if found else self._missing(f"operations/{name}")

    @route("POST", "/compute/v1/projects/{project}/zones/{zone}/operations/{name}/wait")
    def wait(self, request: Request, project: str, zone: str, name: str) -> Response:
        time.sleep(self.operation_seconds)
        return self.operation(request, project, zone, name)

    # -- changing ---------------------------------------------------------------------------------------------------

    @route("POST", "/compute/v1/projects/{project}/zones/{zone}/instances")
    def insert(self, request: Request, project: str, zone: str) -> Response:
        with self.lock:
            self._settle()
            return self._guarded(lambda: self._insert(request, zone))

    def _insert(self, request: Request, zone: str) -> Response:
        self._need_zone(zone)
        body = request.json()
        name = body["name"]
        if (zone, name) in self.instances:
            text = f"The resource 'projects/{PROJECT}/zones/{zone}/instances/{name}' already exists"
            raise Refused(409, "alreadyExists", text)
        size = body["machineType"].rpartition("/")[2]
        if not any(row["name"] == size and row["zone"] == zone for row in catalog.machine_types(self._link())):
            raise Refused(400, "invalid", f"Invalid value for field 'resource.machineType': '{body['machineType']}'.")
        source = re.fullmatch(
            r"projects/([^/]+)/global/images/(family/)?([^/]+)", body["disks"][0]["initializeParams"]["sourceImage"]
        )
        known = catalog.images(self.url, source[1]) if source else []
        kind = "family" if source and source[2] else "name"
        image = next((row for row in known if source and row.get(kind) == source[3]), None)
        if image is None:
            raise Refused(404, "notFound", "The resource of the source image was not found")
        row = self.add(zone, name, size=size, image=image, status="PROVISIONING")
        row |= {key: body[key] for key in ("labels", "metadata", "tags") if key in body}
        interface = {**row["networkInterfaces"][0], **body["networkInterfaces"][0]}
        if interface.get("network", "default").rpartition("/")[2] not in ("default", "office"):
            del self.instances[(zone, name)]
            raise Refused(404, "notFound", "The network was not found")
        if "accessConfigs" in body["networkInterfaces"][0]:
            interface["accessConfigs"] = [{**interface["accessConfigs"][0], "natIP": row["_public"]}]
        else:
            interface["accessConfigs"] = []
        row["networkInterfaces"] = [interface]
        return self._begin(request, "insert", zone, row, lambda: row.update(status="RUNNING"))

    @route("POST", "/compute/v1/projects/{project}/zones/{zone}/instances/{instance}/{verb}")
    def act(self, request: Request, project: str, zone: str, instance: str, verb: str) -> Response:
        with self.lock:
            self._settle()
            return self._guarded(lambda: self._act(request, zone, instance, verb))

    def _act(self, request: Request, zone: str, instance: str, verb: str) -> Response:
        row = self._find(zone, instance)
        if verb == "setName":
            name = request.json()["name"]
            if row["status"] != "TERMINATED":
                raise Refused(400, "resourceNotReady", "The instance is to be stopped to be renamed.")
            if request.json().get("currentName") != row["name"]:
                raise Refused(412, "conditionNotMet", "The current name is another.")

            def rename() -> None:
                self.instances[(zone, name)] = self.instances.pop((zone, row["name"]))
                row.update(name=name, selfLink=self._link("zones", zone, "instances", name))

            return self._begin(request, verb, zone, row, rename)
        if verb not in _AFTER:
            return self.not_found(request)
        if row["status"] not in _FROM[verb] and row["status"] != _AFTER[verb]:
            raise Refused(400, "resourceNotReady", f"Instance is not in a state in which it can {verb}.")
        row["status"] = _DURING[verb]
        return self._begin(request, verb, zone, row, lambda: row.update(status=_AFTER[verb]))

    @route("DELETE", "/compute/v1/projects/{project}/zones/{zone}/instances/{instance}")
    def delete(self, request: Request, project: str, zone: str, instance: str) -> Response:
        with self.lock:
            self._settle()
            return self._guarded(lambda: self._delete(request, zone, instance))

    def _delete(self, request: Request, zone: str, instance: str) -> Response:
        row = self._find(zone, instance)
        row["status"] = "STOPPING"

        def remove() -> None:
            del self.instances[(zone, row["name"])]
            for disk in row["disks"]:
                if disk["autoDelete"]:
                    self.disks.discard((zone, disk["source"].rpartition("/")[2]))

        return self._begin(request, "delete", zone, row, remove)

    @route("DELETE", "/compute/v1/projects/{project}/zones/{zone}/disks/{disk}")
    def delete_disk(self, request: Request, project: str, zone: str, disk: str) -> Response:
        with self.lock:
            self._settle()
            if (zone, disk) not in self.disks:
                return self._missing(f"disks/{disk}")
            used = [
                row["name"]
                for row in self.instances.values()
                for one in row["disks"]
                if one["source"].endswith(f"/{disk}")
            ]
            if used:
                return api_error(400, "resourceInUseByAnotherResource", f"The disk is used by {used[0]}")
            row = {"id": "1", "selfLink": self._link("zones", zone, "disks", disk)}
            return self._begin(request, "delete", zone, row, lambda: self.disks.discard((zone, disk)))

    # -- how --------------------------------------------------------------------------------------------------------

    def add(self, zone: str, name: str, *, size: str = "e2-small", image: Any = None, status: str = "RUNNING") -> Any:
        """Put an instance there and return it."""
        number = next(self._numbers)
        public = f"203.0.113.{number % 250 + 1}"
        image = image or {"licenses": [f"{self._link()}/global/licenses/debian-12-bookworm"], "architecture": "X86_64"}
        disk = {
            "boot": True,
            "autoDelete": True,
            "type": "PERSISTENT",
            "mode": "READ_WRITE",
            "source": self._link("zones", zone, "disks", name),
            "licenses": image["licenses"],
            "architecture": image["architecture"],
        }
        access = {"name": "External NAT", "type": "ONE_TO_ONE_NAT", "natIP": public, "kind": "compute#accessConfig"}
        interface = {"name": "nic0", "networkIP": f"10.128.{number // 250 % 250}.{number % 250 + 2}"}
        interface |= {"network": self._link("global", "networks", "default"), "accessConfigs": [access]}
        self.disks.add((zone, name))
        self.instances[(zone, name)] = {
            "kind": "compute#instance",
            "id": str(number),
            "name": name,
            "status": status,
            "zone": self._link("zones", zone),
            "machineType": self._link("zones", zone, "machineTypes", size),
            "creationTimestamp": "2026-01-02T03:04:05.678-08:00",
            "disks": [disk],
            "networkInterfaces": [interface],
            "labels": {},
            "tags": {"fingerprint": "42WmSpB8rSM="},
            "metadata": {"kind": "compute#metadata", "fingerprint": "42WmSpB8rSM="},
            "scheduling": {"automaticRestart": True, "onHostMaintenance": "MIGRATE", "preemptible": False},
            "canIpForward": False,
            "selfLink": self._link("zones", zone, "instances", name),
            "_public": public,
        }
        return self.instances[(zone, name)]

    def _link(self, *parts: str) -> str:
        return "/".join((f"https://www.googleapis.com/compute/v1/projects/{PROJECT}", *parts))

    def _find(self, zone: str, instance: str) -> dict[str, Any]:
        self._need_zone(zone)
        for (place, name), row in self.instances.items():
            if place == zone and instance in (name, row["id"]):
                return row
        raise Refused(
            404, "notFound", f"The resource 'projects/{PROJECT}/zones/{zone}/instances/{instance}' was not found"
        )

    def _need_zone(self, zone: str) -> None:
        if zone not in catalog.ZONES:
            raise Refused(404, "notFound", f"The resource 'projects/{PROJECT}/zones/{zone}' was not found")

    def _guarded(self, call: Callable[[], Response]) -> Response:
        try:
            response = call()
        except Refused as refused:
            return refused.response
        if response.body and b'"_' in response.body:
            import json

            return json_response(_public(json.loads(response.body)), status=response.status)
        return response

    def _missing(self, name: str) -> Response:
        return api_error(404, "notFound", f"The resource '{name}' was not found")

    def not_found(self, request: Request) -> Response:
        return api_error(404, "notFound", f"no such path: {request.method} {request.path}")

    def _page(self, request: Request, rows: list[Any], kind: str) -> dict[str, Any]:
        size = min(self.page_size, int(request.query.get("maxResults", 500)))
        token = request.query.get("pageToken", "")
        start = int(token.removeprefix("t-")) if token else 0
        page: dict[str, Any] = {"kind": kind, "id": f"projects/{PROJECT}", "selfLink": self._link()}
        page["items"] = [_public(row) for row in rows[start : start + size]]
        if start + size < len(rows):
            page["nextPageToken"] = f"t-{start + size}"
        return page

    def _begin(self, request: Request, verb: str, zone: str, row: Any, effect: Callable[[], Any]) -> Response:
        name = f"operation-{secrets.token_hex(8)}"
        failure = next((one for one in self.failures if one[0] == verb), None)
        if failure is not None:
            self.failures.remove(failure)
        operation = {
            "kind": "compute#operation",
            "id": str(next(self._numbers)),
            "name": name,
            "operationType": verb,
            "zone": self._link("zones", zone),
            "targetLink": row["selfLink"],
            "targetId": row["id"],
            "status": "RUNNING",
            "progress": 0,
            "insertTime": "2026-01-02T03:04:05.678-08:00",
            "selfLink": self._link("zones", zone, "operations", name),
            "_ends": time.monotonic() + self.operation_seconds,
            "_effect": effect,
            "_failure": failure,
        }
        self.operations[name] = operation
        return json_response(_public(operation))

    def _settle(self) -> None:
        for operation in self.operations.values():
            if operation["status"] == "DONE" or operation["_ends"] > time.monotonic():
                continue
            operation.update(status="DONE", progress=100)
            if operation["_failure"] is None:
                operation["_effect"]()
                continue
            _, code, message = operation["_failure"]
            operation["error"] = {"errors": [{"code": code, "message": message}]}
            operation.update(httpErrorStatusCode=503, httpErrorMessage="SERVICE UNAVAILABLE")
            self.instances = {
                key: row
                for key, row in self.instances.items()
                if operation["operationType"] != "insert" or row["id"] != operation["targetId"]
            }


def _public(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if not key.startswith("_")}


def _no_results(zone: str) -> dict[str, Any]:
    data = [{"key": "scope", "value": f"zones/{zone}"}]
    text = f"There are no results for scope 'zones/{zone}' on this page."
    return {"warning": {"code": "NO_RESULTS_ON_PAGE", "message": text, "data": data}}
