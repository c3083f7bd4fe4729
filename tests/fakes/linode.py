"""A stand-in of Linode's API that keeps state: Linodes, their jobs, tokens with scopes, rate limits.

It answers as Linode's OpenAPI document says, which it and its client are held to: see `fakes.described`.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from fakes.described import DescribedService
from fakes.linode_catalog import IMAGES, REGIONS, TYPES, VLANS, VPCS
from fakes.linode_document import CORRECTIONS
from fakes.openapi import Granted

from mistcore.testing.server import Request, Response, json_response, page_of, route

TOKEN = "a5" * 32
_LABEL = re.compile(r"(?=.{3,64}\Z)[a-zA-Z]((?!--|__|\.\.)[a-zA-Z0-9-_.])+\Z")
_PROBLEMS = {
    401: "Invalid Token",
    403: "Unauthorized",
    404: "Not found",
    429: "Too many requests",
    500: "Internal Server Error",
}
#: What each job does: the state while it is under way, and the one it ends in.
_JOBS = {
    "boot": ("booting", "running"),
    "shutdown": ("shutting_down", "offline"),
    "reboot": ("rebooting", "running"),
    "create": ("provisioning", "running"),
}


def problem(status: int, reason: str = "", field: str = "") -> Response:
    """Return a refusal in Linode's form."""
    error = {"reason": reason or _PROBLEMS[status]} | ({"field": field} if field else {})
    return json_response({"errors": [error]}, status=status)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")


class FakeLinode(DescribedService):
    """Linode for one account.

    Attributes:
        tokens: what is let in, each with its scopes; `*` is full access.
        instances, keys: the state, by id. profile: what `/v4/profile` answers.
        job_seconds: how long a job takes, once it has begun. queue_seconds: how long it takes to begin.
        failing: the jobs that end where they began.
        quota: how many more requests are let through before 429; None is no limit.
        limit: how many Linodes the account may have.

    """

    DOCUMENT = "linode/spec/openapi.yaml"
    CORRECTIONS = CORRECTIONS

    def __init__(self, *, job_seconds: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.tokens: dict[str, str] = {TOKEN: "*"}
        self.instances: dict[int, dict[str, Any]] = {}
        self.keys: dict[int, dict[str, Any]] = {}
        self.job_seconds = job_seconds
        self.queue_seconds = 0.0
        self.failing: set[str] = set()
        self.quota: int | None = None
        self.retry_after: int | None = 29
        self.limit = 10_000
        self.profile: dict[str, Any] = {
            "uid": 1234,
            "username": "exampleUser",
            "email": "example-user@example.com",
            "timezone": "US/Eastern",
            "email_notifications": True,
            "restricted": False,
            "two_factor_auth": True,
            "ip_whitelist_enabled": False,
            "lish_auth_method": "keys_only",
            "authorized_keys": None,
            "authentication_type": "password",
            "verified_phone_number": None,
            "referrals": {
                "code": "871be32f49c1411b14f29f618aaf0c14637fb8d3",
                "url": "https://www.example.com/?r=871be32f49c1411b14f29f618aaf0c14637fb8d3",
                "total": 0, "completed": 0, "pending": 0, "credit": 0,
            },
        }  # fmt: skip
        self._ids = itertools.count(22_344_420)

    # -- what every request goes through ------------------------------------------------------------------------------

    def dress(self, request: Request, response: Response) -> None:
        scopes = self.tokens.get(_token(request))
        response.headers.setdefault("X-RateLimit-Limit", "800")
        response.headers.setdefault("X-RateLimit-Remaining", str(800 if self.quota is None else max(self.quota, 0)))
        response.headers.setdefault("X-RateLimit-Reset", str(int(time.time()) + 60))
        if scopes is not None:
            response.headers.setdefault("X-OAuth-Scopes", scopes)

    def granted(self, request: Request) -> Granted | None:
        scopes = self.tokens.get(_token(request), "*").replace(",", " ").split()
        return None if "*" in scopes else lambda scope: _covers(scopes, scope)

    def authorize(self, request: Request) -> Response | None:
        public = request.path in {"/v4/linode/types", "/v4/regions"}
        if _token(request) not in self.tokens and not (public and not request.headers.get("Authorization")):
            return problem(401)
        with self.lock:
            if self.quota is not None:
                self.quota -= 1
                if self.quota < 0:
                    refusal = problem(429)
                    if self.retry_after is not None:
                        refusal.headers["Retry-After"] = str(self.retry_after)
                    return refusal
            self._settle()
        return None

    def not_found(self, request: Request) -> Response:
        return problem(404)

    def _needs(self, request: Request, scope: str) -> Response | None:
        """Return the refusal of a token without this scope."""
        granted = self.granted(request)
        if granted is None or granted(scope):
            return None
        refusal = problem(401, "Your OAuth token is not authorized to use this endpoint.")
        refusal.headers["X-Accepted-OAuth-Scopes"] = scope
        return refusal

    def _listing(self, request: Request, rows: Iterable[Any]) -> Response:
        rows = list(rows)
        wanted = json.loads(request.headers.get("X-Filter") or "{}")
        for name, value in wanted.items():
            if not name.startswith("+"):
                rows = [row for row in rows if row.get(name) == value]
        page = page_of(rows, request, size="page_size", usual=100)
        if not 25 <= page.size <= 500:
            return problem(400, "Must be 25-500", "page_size")
        if not 1 <= page.number <= page.last:
            return problem(404)
        return json_response({"data": page.rows, "page": page.number, "pages": page.last, "results": page.total})

    # -- state --------------------------------------------------------------------------------------------------------

    def add_instance(self, label: str = "web-1", **more: Any) -> dict[str, Any]:
        """Put a Linode into the account and return it."""
        number = more.pop("id", None) or next(self._ids)
        entry = next(entry for entry in TYPES if entry["id"] == more.get("type", "g6-nanode-1"))
        instance = {
            "id": number,
            "label": label,
            "group": "",
            "status": "running",
            "created": "2024-01-02T03:04:05",
            "updated": "2024-01-02T03:04:05",
            "type": entry["id"],
            "ipv4": [
                f"139.162.{number >> 8 & 255}.{number & 255}", f"192.168.{128 + (number >> 8 & 63)}.{number & 255}",
            ],
            "ipv6": f"2a01:7e00::f03c:92ff:fe48:{number & 0xFFFF:x}/128",
            "image": "linode/debian12",
            "region": "eu-central",
            "specs": {key: entry[key] for key in ("disk", "memory", "vcpus", "gpus", "transfer")},
            "alerts": {"cpu": 90, "network_in": 10, "network_out": 10, "transfer_quota": 80, "io": 10000},
            "backups": {
                "enabled": True, "available": True, "schedule": {"day": "Saturday", "window": "W22"},
                "last_successful": "2024-01-01T00:01:01",
            },
            "hypervisor": "kvm",
            "watchdog_enabled": True,
            "tags": [],
            "host_uuid": "3a3ddd59-d9a7-8bb8-de04-1391075df44d",
            "has_user_data": False,
            "placement_group": None,
            "lke_cluster_id": None,
            "capabilities": [],
        } | more  # fmt: skip
        with self.lock:
            self.instances[number] = instance
        return instance

    def _begin(self, instance: dict[str, Any], job: str) -> None:
        before = instance["status"]
        under_way, end = _JOBS[job]
        instance["_begin"] = time.monotonic() + self.queue_seconds
        instance["_end"] = instance["_begin"] + self.job_seconds
        instance["_job"] = under_way
        instance["_becomes"] = before if job in self.failing else end
        if not self.queue_seconds:
            instance["status"] = under_way

    def _settle(self) -> None:
        """Let every job that has had its time begin, or come to its end."""
        for instance in self.instances.values():
            if "_end" in instance and instance["_begin"] <= time.monotonic():
                instance["status"] = instance["_job"]
                if instance["_end"] <= time.monotonic():
                    instance["status"] = instance["_becomes"]
                    del instance["_end"]

    # -- profile ------------------------------------------------------------------------------------------------------

    @route("GET", "/v4/profile")
    def get_profile(self, request: Request) -> Response:
        return json_response(self.profile)

    @route("GET", "/v4/profile/sshkeys")
    def list_keys(self, request: Request) -> Response:
        return self._needs(request, "account:read_only") or self._listing(request, self.keys.values())

    # -- Linodes ------------------------------------------------------------------------------------------------------

    @route("GET", "/v4/linode/instances")
    def list_instances(self, request: Request) -> Response:
        if refusal := self._needs(request, "linodes:read_only"):
            return refusal
        with self.lock:
            rows = [_public(instance) for instance in self.instances.values()]
        return self._listing(request, rows)

    @route("POST", "/v4/linode/instances")
    def create_instance(self, request: Request) -> Response:
        if refusal := self._needs(request, "linodes:read_write"):
            return refusal
        body = request.json()
        if refusal := self._unfit(body):
            return refusal
        with self.lock:
            instance = self.add_instance(
                body.get("label") or f"linode{next(self._ids)}",
                type=body["type"],
                region=body["region"],
                image=body.get("image"),
                created=_now(),
                tags=body.get("tags") or [],
                has_user_data="metadata" in body,
            )
            if not body.get("private_ip"):
                del instance["ipv4"][1]
            self._begin(instance, "create")
            instance["_body"] = body
            return json_response(_public(instance))

    def _unfit(self, body: dict[str, Any]) -> Response | None:
        """Return what is wrong with the request for a new Linode."""
        for name in ("type", "region"):
            if name not in body:
                return problem(400, f"{name} is required.", name)
        if body["type"] not in {entry["id"] for entry in TYPES}:
            return problem(400, "A valid plan type by that ID was not found", "type")
        if body["region"] not in {entry["id"] for entry in REGIONS}:
            return problem(400, "region is not valid", "region")
        if "image" in body:
            if body["image"] not in {entry["id"] for entry in IMAGES}:
                return problem(400, "You do not have access to this image", "image")
            if not body.get("root_pass"):
                return problem(400, "root_pass is required", "root_pass")
            if len(set(body["root_pass"])) < 6:
                return problem(400, "Password does not meet strength requirement.", "root_pass")
        if refusal := self._unfit_label(body.get("label", "abc")):
            return refusal
        subnets = {subnet["id"] for vpc in VPCS for subnet in vpc["subnets"]}
        for index, interface in enumerate(body.get("interfaces", ())):
            if interface["purpose"] == "vpc" and interface["subnet_id"] not in subnets:
                return problem(400, "Subnet not found", f"interfaces[{index}].subnet_id")
        try:
            base64.b64decode(body.get("metadata", {}).get("user_data", ""), validate=True)
        except binascii.Error:
            return problem(400, "Must be base64 encoded", "metadata.user_data")
        if len(self.instances) >= self.limit:
            return problem(400, "Account Limit reached. Please open a support ticket.")
        return None

    def _unfit_label(self, label: str) -> Response | None:
        if not _LABEL.match(label):
            return problem(400, "Label must be 3-64 characters: letters, numbers, -, _ and .", "label")
        if any(instance["label"] == label for instance in self.instances.values()):
            return problem(400, "Label must be unique among your linodes", "label")
        return None

    @route("GET", "/v4/linode/instances/{id}")
    def get_instance(self, request: Request, id: str) -> Response:
        if refusal := self._needs(request, "linodes:read_only"):
            return refusal
        instance = self.instances.get(int(id))
        return problem(404) if instance is None else json_response(_public(instance))

    @route("PUT", "/v4/linode/instances/{id}")
    def update_instance(self, request: Request, id: str) -> Response:
        if refusal := self._needs(request, "linodes:read_write"):
            return refusal
        with self.lock:
            instance = self.instances.get(int(id))
            if instance is None:
                return problem(404)
            changes = request.json()
            label = changes.get("label", instance["label"])
            if label != instance["label"] and (refusal := self._unfit_label(label)):
                return refusal
            instance |= {name: value for name, value in changes.items() if name in {"label", "tags", "group"}}
            return json_response(_public(instance))

    @route("DELETE", "/v4/linode/instances/{id}")
    def delete_instance(self, request: Request, id: str) -> Response:
        if refusal := self._needs(request, "linodes:read_write"):
            return refusal
        with self.lock:
            return problem(404) if self.instances.pop(int(id), None) is None else json_response({})

    @route("POST", "/v4/linode/instances/{id}/boot")
    def boot(self, request: Request, id: str) -> Response:
        return self._job(request, id, "boot")

    @route("POST", "/v4/linode/instances/{id}/shutdown")
    def shutdown(self, request: Request, id: str) -> Response:
        return self._job(request, id, "shutdown")

    @route("POST", "/v4/linode/instances/{id}/reboot")
    def reboot(self, request: Request, id: str) -> Response:
        return self._job(request, id, "reboot")

    def _job(self, request: Request, id: str, job: str) -> Response:
        if refusal := self._needs(request, "linodes:read_write"):
            return refusal
        with self.lock:
            instance = self.instances.get(int(id))
            if instance is None:
                return problem(404)
            if "_end" in instance:
                return problem(400, "Linode busy.")
            if instance["status"] == "billing_suspension":
                return problem(403, "This Linode has been suspended")
            if job == "boot" and instance["status"] == "running":
                return problem(400, f"Linode {id} already booted.")
            if job != "boot" and instance["status"] != "running":
                return problem(400, f"Linode {id} is not running.")
            self._begin(instance, job)
        return json_response({})

    # -- what a Linode can be made of ---------------------------------------------------------------------------------

    @route("GET", "/v4/linode/types")
    def list_types(self, request: Request) -> Response:
        return self._listing(request, TYPES)

    @route("GET", "/v4/regions")
    def list_regions(self, request: Request) -> Response:
        return self._listing(request, REGIONS)

    @route("GET", "/v4/images")
    def list_images(self, request: Request) -> Response:
        return self._needs(request, "images:read_only") or self._listing(request, IMAGES)

    @route("GET", "/v4/vpcs")
    def list_vpcs(self, request: Request) -> Response:
        return self._needs(request, "vpc:read_only") or self._listing(request, VPCS)

    @route("GET", "/v4/networking/vlans")
    def list_vlans(self, request: Request) -> Response:
        return self._needs(request, "linodes:read_only") or self._listing(request, VLANS)


def _token(request: Request) -> str:
    scheme, _, token = (request.headers.get("Authorization") or "").partition(" ")
    return token if scheme.lower() == "bearer" else ""


def _covers(held: list[str], scope: str) -> bool:
    """Tell whether scopes contain one; what may write may read, too."""
    name, _, access = scope.partition(":")
    return bool({scope, f"{name}:*"} & set(held)) or (access == "read_only" and f"{name}:read_write" in held)


def _public(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if not name.startswith("_")}
