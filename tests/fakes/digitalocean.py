"""A stand-in of DigitalOcean's API that keeps state: droplets, actions, keys, volumes, tokens with scopes, rate limits.

It answers as DigitalOcean's OpenAPI document says, which it and its client are held to: see `fakes.described`.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from fakes.described import DescribedService
from fakes.digitalocean_catalog import IMAGES, REGIONS, SIZES, VPC
from fakes.digitalocean_scopes import HIDDEN, NEEDED, NEEDED_TO_DELETE_ALL, token_of
from fakes.openapi import Granted

from mistcore.testing.server import Request, Response, json_response, page_of, route

TOKEN = "dop_v1_" + "a5" * 32
_NAME = re.compile(r"[a-zA-Z0-9]?[a-z0-9A-Z.\-]*[a-z0-9A-Z]\Z")
_PROBLEMS = {
    401: ("unauthorized", "Unable to authenticate you."),
    403: ("forbidden", "You are not authorized to perform this operation."),
    404: ("not_found", "The resource you were accessing could not be found."),
    429: ("too_many_requests", "API rate limit exceeded."),
}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def problem(status: int, message: str = "") -> Response:
    """Return a refusal in DigitalOcean's form."""
    word, words = _PROBLEMS.get(status, ("unprocessable_entity", ""))
    return json_response({"id": word, "message": message or words}, status=status)


class FakeDigitalOcean(DescribedService):
    """DigitalOcean for one account.

    Attributes:
        tokens: what is let in, each with its scopes; None is full access.
        droplets, actions, keys, volumes: the state, by id.
        account: what `/v2/account` answers.
        action_seconds: how long an action takes. failing: the types of actions that end as "errored".
        quota: how many more requests are let through before 429; None is no limit.

    """

    DOCUMENT = "digitalocean/spec/DigitalOcean-public.v2.yaml"

    def __init__(self, *, action_seconds: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.tokens: dict[str, set[str] | None] = {TOKEN: None}
        self.droplets: dict[int, dict[str, Any]] = {}
        self.actions: dict[int, dict[str, Any]] = {}
        self.keys: dict[int, dict[str, Any]] = {}
        self.volumes: set[str] = set()
        self.action_seconds = action_seconds
        self.failing: set[str] = set()
        self.quota: int | None = None
        self.retry_after: int | None = 29
        self.key_listings: list[float] = []
        self.account: dict[str, Any] = {
            "droplet_limit": 25,
            "floating_ip_limit": 5,
            "email": "sammy@example.com",
            "name": "Sammy the Shark",
            "uuid": "b6fr89dbf6d9156cace5f3c78dc9851d957381ef",
            "email_verified": True,
            "status": "active",
            "status_message": " ",
            "team": {"uuid": "5df3e3004a17e242b7c20ca6c9fc25b701a47ece", "name": "My Team"},
        }
        self._ids = itertools.count(3_164_444)

    # -- what every request goes through ------------------------------------------------------------------------------

    def dress(self, request: Request, response: Response) -> None:
        response.headers.setdefault("ratelimit-limit", "5000")
        response.headers.setdefault("ratelimit-remaining", str(5000 if self.quota is None else max(self.quota, 0)))
        response.headers.setdefault("ratelimit-reset", str(int(time.time()) + 60))

    def granted(self, request: Request) -> Granted | None:
        scopes = self.tokens.get(token_of(request))
        return None if scopes is None else scopes.__contains__

    def authorize(self, request: Request) -> Response | None:
        if token_of(request) not in self.tokens:
            return problem(401)
        with self.lock:
            if self.quota is not None:
                self.quota -= 1
                if self.quota < 0:
                    refusal = problem(429)
                    if self.retry_after is not None:
                        refusal.headers["retry-after"] = str(self.retry_after)
                    return refusal
            self._settle()
        return None

    def not_found(self, request: Request) -> Response:
        return problem(404)

    def _needs(self, request: Request, *scopes: str) -> Response | None:
        return None if all(self._has(request, scope) for scope in scopes) else problem(403)

    def _has(self, request: Request, scope: str | None) -> bool:
        scopes = self.tokens[token_of(request)]
        return scopes is None or scope is None or scope in scopes

    def _listing(self, request: Request, name: str, rows: Iterable[Any], *scopes: str) -> Response:
        if refusal := self._needs(request, *scopes):
            return refusal
        page = page_of(rows, request, most=200)
        numbers = {"first": 1, "prev": page.number - 1} if page.number > 1 else {}
        if page.number < page.last:
            numbers |= {"next": page.number + 1, "last": page.last}
        pages = {word: self.link(request, page=number, per_page=page.size) for word, number in numbers.items()}
        return json_response(
            {name: page.rows, "links": {"pages": pages} if pages else {}, "meta": {"total": page.total}}
        )

    # -- state --------------------------------------------------------------------------------------------------------

    def add_droplet(self, name: str = "web-1", **more: Any) -> dict[str, Any]:
        """Put a droplet into the account and return it."""
        number = more.pop("id", None) or next(self._ids)
        entry = next(entry for entry in SIZES if entry["slug"] == more.get("size_slug", "s-1vcpu-1gb"))
        droplet = {
            "id": number,
            "name": name,
            "memory": entry["memory"],
            "vcpus": entry["vcpus"],
            "disk": entry["disk"],
            "locked": False,
            "status": "active",
            "kernel": None,
            "created_at": "2020-07-21T18:37:44Z",
            "features": ["ipv6"],
            "backup_ids": [],
            "next_backup_window": None,
            "snapshot_ids": [],
            "image": IMAGES[0],
            "volume_ids": [],
            "size": entry,
            "size_slug": entry["slug"],
            "networks": {
                "v4": [
                    {"ip_address": f"10.114.{number >> 8 & 15}.{number & 255}", "netmask": "255.255.240.0",
                     "gateway": "<nil>", "type": "private"},
                    {"ip_address": f"104.236.{number >> 8 & 255}.{number & 255}", "netmask": "255.255.192.0",
                     "gateway": "104.236.0.1", "type": "public"},
                ],
                "v6": [
                    {"ip_address": f"2604:a880:0:1010::{number & 0xFFFF:x}", "netmask": 64,
                     "gateway": "2604:a880:0:1010::1", "type": "public"}
                ],
            },
            "region": REGIONS[1],
            "tags": [],
            "vpc_uuid": VPC["id"],
        } | more  # fmt: skip
        if "gpu_info" in entry:
            droplet["gpu_info"] = entry["gpu_info"]
        with self.lock:
            self.droplets[number] = droplet
        return droplet

    def _seen_by(self, request: Request, droplet: dict[str, Any]) -> dict[str, Any]:
        """Return a droplet as this token may see it."""
        return {name: value for name, value in droplet.items() if self._has(request, HIDDEN.get(name))}

    def _begin(self, droplet: dict[str, Any], kind: str, **effect: Any) -> dict[str, Any]:
        action = {
            "id": next(self._ids),
            "status": "in-progress",
            "type": kind,
            "started_at": _now(),
            "completed_at": None,
            "resource_id": droplet["id"],
            "resource_type": "droplet",
            "region": droplet["region"],
            "region_slug": droplet["region"]["slug"],
            "_end": time.monotonic() + self.action_seconds,
            "_effect": effect,
        }
        self.actions[action["id"]] = action
        return action

    def _settle(self) -> None:
        """Let every action that has had its time take effect."""
        for action in self.actions.values():
            if action["status"] == "in-progress" and action["_end"] <= time.monotonic():
                failed = action["type"] in self.failing
                action |= {"status": "errored" if failed else "completed", "completed_at": _now()}
                droplet = self.droplets.get(action["resource_id"])
                if droplet is not None and not failed:
                    droplet.update(action["_effect"])

    # -- account ------------------------------------------------------------------------------------------------------

    @route("GET", "/v2/account")
    def get_account(self, request: Request) -> Response:
        if refusal := self._needs(request, "account:read"):
            return refusal
        shown = {name: value for name, value in self.account.items() if self._has(request, HIDDEN.get(name))}
        return json_response({"account": shown})

    @route("GET", "/v2/account/keys")
    def list_keys(self, request: Request) -> Response:
        with self.lock:
            self.key_listings = [moment for moment in self.key_listings if moment > time.monotonic() - 60]
            if len(self.key_listings) >= 10:
                return problem(429)
            self.key_listings.append(time.monotonic())
        return self._listing(request, "ssh_keys", self.keys.values(), "ssh_key:read")

    @route("POST", "/v2/account/keys")
    def create_key(self, request: Request) -> Response:
        if refusal := self._needs(request, "ssh_key:create"):
            return refusal
        body = request.json()
        try:
            data = base64.b64decode(body["public_key"].split()[1], validate=True)
        except (IndexError, ValueError):
            return problem(422, "Key invalid, key should be of the format `type key [comment]`")
        digest = hashlib.md5(data).hexdigest()
        fingerprint = ":".join(digest[i : i + 2] for i in range(0, 32, 2))
        if any(key["fingerprint"] == fingerprint for key in self.keys.values()):
            return problem(422, "SSH Key is already in use on your account")
        key = {"id": next(self._ids), "fingerprint": fingerprint, **body}
        self.keys[key["id"]] = key
        return json_response({"ssh_key": key}, status=201)

    @route("GET", "/v2/account/keys/{identifier}")
    def get_key(self, request: Request, identifier: str) -> Response:
        if refusal := self._needs(request, "ssh_key:read"):
            return refusal
        for key in self.keys.values():
            if identifier in (str(key["id"]), key["fingerprint"]):
                return json_response({"ssh_key": key})
        return problem(404)

    # -- droplets -----------------------------------------------------------------------------------------------------

    @route("GET", "/v2/droplets")
    def list_droplets(self, request: Request) -> Response:
        gpus = request.query.get("type") == "gpus"
        with self.lock:
            rows = [_public(self._seen_by(request, d)) for d in self.droplets.values() if ("gpu_info" in d) == gpus]
        return self._listing(request, "droplets", rows, "droplet:read")

    @route("POST", "/v2/droplets")
    def create_droplet(self, request: Request) -> Response:
        body = request.json()
        if refusal := self._needs(request, "droplet:create", *(NEEDED[name] for name in body if name in NEEDED)):
            return refusal
        if not _NAME.match(body["name"]):
            return problem(422, "Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)")
        if len(self.droplets) >= self.account["droplet_limit"]:
            return problem(422, "creating this/these droplet(s) will exceed your droplet limit")
        source = next((i for i in IMAGES if body["image"] in (i["id"], i["slug"])), None)
        if source is None:
            return problem(422, "You specified an invalid image for Droplet creation.")
        if body["size"] not in {entry["slug"] for entry in SIZES}:
            return problem(422, "You specified an invalid size for Droplet creation.")
        region = next((r for r in REGIONS if r["slug"] == body.get("region", "nyc3")), None)
        if region is None:
            return problem(422, "You specified an invalid region for Droplet creation.")
        known = {identifier for key in self.keys.values() for identifier in (key["id"], key["fingerprint"])}
        for key in body.get("ssh_keys", ()):
            if key not in known:
                return problem(422, f"{key} are invalid key identifiers for Droplet creation.")
        with self.lock:
            droplet = self.add_droplet(
                body["name"],
                image=source,
                size_slug=body["size"],
                region=region,
                status="new",
                created_at=_now(),
                tags=body.get("tags") or [],
                vpc_uuid=body.get("vpc_uuid") or VPC["id"],
            )
            networks, droplet["networks"] = droplet["networks"], {"v4": [], "v6": []}
            if not body.get("ipv6"):
                networks["v6"] = []
            answer = self._seen_by(request, dict(droplet))
            action = self._begin(droplet, "create", status="active", networks=networks)
            droplet["_body"] = body
        link = {"id": action["id"], "rel": "create", "href": f"{self.url}/v2/actions/{action['id']}"}
        return json_response({"droplet": answer, "links": {"actions": [link]}}, status=202)

    @route("GET", "/v2/droplets/{id}")
    def get_droplet(self, request: Request, id: str) -> Response:
        if refusal := self._needs(request, "droplet:read"):
            return refusal
        droplet = self.droplets.get(int(id))
        return problem(404) if droplet is None else json_response({"droplet": _public(self._seen_by(request, droplet))})

    @route("DELETE", "/v2/droplets/{id}")
    def delete_droplet(self, request: Request, id: str) -> Response:
        if refusal := self._needs(request, "droplet:delete"):
            return refusal
        with self.lock:
            return problem(404) if self.droplets.pop(int(id), None) is None else Response(204)

    @route("DELETE", "/v2/droplets/{id}/destroy_with_associated_resources/selective")
    def delete_selectively(self, request: Request, id: str) -> Response:
        if refusal := self._needs(request, "droplet:delete", *NEEDED_TO_DELETE_ALL):
            return refusal
        with self.lock:
            if self.droplets.pop(int(id), None) is None:
                return problem(404)
            self.volumes -= set(request.json()["volumes"])
        return Response(202)

    @route("POST", "/v2/droplets/{id}/actions")
    def act(self, request: Request, id: str) -> Response:
        if refusal := self._needs(request, "droplet:update"):
            return refusal
        body = request.json()
        with self.lock:
            droplet = self.droplets.get(int(id))
            if droplet is None:
                return problem(404)
            if any(a["status"] == "in-progress" and a["resource_id"] == droplet["id"] for a in self.actions.values()):
                return problem(422, "Droplet already has a pending event.")
            kind = body["type"]
            effects: dict[str, dict[str, Any]] = {
                "power_on": {"status": "active"},
                "shutdown": {"status": "off"},
                "power_off": {"status": "off"},
                "reboot": {},
                "power_cycle": {"status": "active"},
                "rename": {"name": body.get("name")},
            }
            if kind not in effects:
                return problem(422, "No such action.")
            if kind == "rename" and not _NAME.match(body["name"]):
                return problem(422, "Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)")
            if kind in {"reboot", "shutdown"} and droplet["status"] == "off":
                return problem(422, "Droplet is powered off. Please power it on to run this event.")
            action = self._begin(droplet, kind, **effects[kind])
            return json_response({"action": _public(action)}, status=201)

    @route("GET", "/v2/droplets/{id}/actions/{action_id}")
    def get_action(self, request: Request, id: str, action_id: str) -> Response:
        if refusal := self._needs(request, "droplet:read"):
            return refusal
        action = self.actions.get(int(action_id))
        if action is None or action["resource_id"] != int(id):
            return problem(404)
        return json_response({"action": _public(action)})

    @route("GET", "/v2/actions/{action_id}")
    def get_any_action(self, request: Request, action_id: str) -> Response:
        if refusal := self._needs(request, "actions:read"):
            return refusal
        action = self.actions.get(int(action_id))
        return problem(404) if action is None else json_response({"action": _public(action)})

    # -- what a droplet can be made of --------------------------------------------------------------------------------

    @route("GET", "/v2/sizes")
    def list_sizes(self, request: Request) -> Response:
        return self._listing(request, "sizes", SIZES, "sizes:read", "regions:read")

    @route("GET", "/v2/images")
    def list_images(self, request: Request) -> Response:
        rows = IMAGES
        if request.query.get("private") == "true":
            rows = [entry for entry in IMAGES if not entry["public"]]
        elif request.query.get("type") == "distribution":
            rows = [entry for entry in IMAGES if entry["public"]]
        return self._listing(request, "images", rows, "image:read")

    @route("GET", "/v2/regions")
    def list_regions(self, request: Request) -> Response:
        return self._listing(request, "regions", REGIONS, "regions:read")

    @route("GET", "/v2/vpcs")
    def list_vpcs(self, request: Request) -> Response:
        return self._listing(request, "vpcs", [VPC], "vpc:read")


def _public(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if not name.startswith("_")}
