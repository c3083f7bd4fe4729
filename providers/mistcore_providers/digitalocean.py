"""DigitalOcean: droplets, by version 2 of its API."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from sys import intern
from typing import Any

from mistcore import (
    Account,
    Image,
    InvalidFields,
    Location,
    Machine,
    MachineState,
    MistError,
    Network,
    PermissionDenied,
    Provider,
    RateLimited,
    Rejected,
    Size,
    credential,
    secret,
)
from mistcore.addresses import only_addresses
from mistcore.http import Failure, RestSession, error_for
from mistcore.parallel import in_parallel
from mistcore.rows import garbled, lenient, parse_time, seconds_until, tags_of, words_of
from mistcore_providers._digitalocean_actions import wait_for_action
from mistcore_providers._digitalocean_keys import key_identifiers

_STATES = {
    "new": MachineState.PENDING,
    "active": MachineState.RUNNING,
    "off": MachineState.STOPPED,
    "archive": MachineState.TERMINATED,
}
_PAGE = 200  # the most that the service gives at a time
_COUNTRIES = {
    "ams": "NL", "atl": "US", "blr": "IN", "fra": "DE", "lon": "GB", "nyc": "US", "ric": "US", "sfo": "US", "sgp": "SG",
    "syd": "AU", "tor": "CA",
}  # fmt: skip


class DigitalOcean(Provider):
    """Droplets of one DigitalOcean account or team.

    Facts are from DigitalOcean's OpenAPI document, https://github.com/digitalocean/openapi.
    """

    id = "digitalocean"
    title = "DigitalOcean"
    rights = """
    Control panel → API → Tokens → Generate New Token → Custom Scopes; an expiry date is wise.

    - To list machines: `droplet:read`. With `account:read`, `check` also tells whose account it is.
    - Sizes, images, locations and networks: `sizes:read` with `regions:read`, `image:read`, `regions:read`,
      `vpc:read`.
    - To start, stop, reboot and rename: `droplet:update`.
    - To destroy: `droplet:delete`; with `storage`, also `droplet:read` and `block_storage:read` to see the volumes, and
      `block_storage:delete`, `block_storage_snapshot:delete`, `image:delete` and `reserved_ip:delete`, which the
      service wants for that request as a whole.
    - To create: `droplet:create` and `image:read`; with tags, `tag:create`; with a network, `vpc:read`; with a key,
      `ssh_key:read`, and for one that the account has not got, `ssh_key:create`.
    """
    limits = (
        "Machines have no pause, suspend and resume: DigitalOcean has no such thing.",
        "A scope cannot be limited to some droplets: a token may do to all of the team what it may do to one.",
        "Permissions are not told by `check`, since the service does not say which scopes a token has.",
        "Never tried against DigitalOcean itself: the stand-in it is tested with also serves its own client.",
    )

    token: str = secret(
        "API token",
        help="Control panel → API → Tokens → Generate New Token; the scope droplet:read is enough to list machines.",
        env="DIGITALOCEAN_TOKEN",
        example="dop_v1_…",
    )
    endpoint: str = credential(
        "API address",
        default="https://api.digitalocean.com",
        help="Where the API is; to be changed only for a proxy or an emulator.",
        address=True,
    )

    def check(self) -> Account:
        """Return whose token this is: id, e-mail address, team, droplet limit; raises as every `check` does.

        A token that may read droplets but not the account is good: then the account is nameless. An account that
        DigitalOcean has locked is `PermissionDenied`, with its words.
        """
        try:
            account = self._session.get("v2/account")["account"]
        except PermissionDenied:
            return self._check_by_listing()
        status = str(account.get("status") or "")
        said = str(account.get("status_message") or "").strip()
        if status == "locked":
            raise PermissionDenied(
                f"the account is locked{said and ': '}{said}",
                reason="account_locked",
                remedy="Log in at https://cloud.digitalocean.com or ask DigitalOcean's support.",
            )
        warnings = list(self._session.warnings)
        if status == "warning":
            warnings.append(f"DigitalOcean warns about this account{said and ': '}{said}")
        if account.get("email_verified") is False:
            warnings.append("The e-mail address of this account has not been verified.")
        if account.get("droplet_limit") is None:
            warnings.append("The token lacks the scope droplet:read, without which no machine can be listed.")
        team = account.get("team") or {}
        email = str(account.get("email") or "")
        details = {
            "email": email,
            "name": account.get("name"),
            "team": team.get("name"),
            "status": status,
            "droplet_limit": account.get("droplet_limit"),
        }
        return Account(
            id=team.get("uuid") or account.get("uuid") or "",
            name=team.get("name") or email,
            details={name: value for name, value in details.items() if value not in (None, "")},
            warnings=warnings,
        )

    def list_machines(self) -> Iterator[Machine]:
        """Yield every droplet. Those with GPUs come from a listing of their own, asked at the same time."""

        def droplets(query: Mapping[str, str]) -> list[Machine]:
            found = self._pages("v2/droplets", "droplets", lenient(_machine), query)
            return [machine for machine in found if machine is not None]

        seen: set[str] = set()
        for found in in_parallel(droplets, ({}, {"type": "gpus"})):
            for machine in found:
                if machine.id not in seen:
                    seen.add(machine.id)
                    yield machine

    def get_machine(self, machine_id: str) -> Machine:
        """Return one droplet."""
        return _machine(self._droplet(machine_id))

    def start_machine(self, machine_id: str) -> None:
        """Power a droplet on, and wait until that is done."""
        self._act(machine_id, "power_on")

    def stop_machine(self, machine_id: str, *, force: bool = False) -> None:
        """Shut a droplet down, or with `force` cut its power, and wait until that is done."""
        self._act(machine_id, "power_off" if force else "shutdown")

    def reboot_machine(self, machine_id: str, *, force: bool = False) -> None:
        """Reboot a droplet, or with `force` reset it, and wait until that is done."""
        self._act(machine_id, "power_cycle" if force else "reboot")

    def rename_machine(self, machine_id: str, name: str) -> None:
        """Rename a droplet: letters, digits, dots and hyphens.

        Raises:
            InvalidFields: the name is none that DigitalOcean takes.

        """
        self._act(machine_id, "rename", name=_checked_name(name))

    def destroy_machine(self, machine_id: str, *, storage: bool = False) -> None:
        """Delete a droplet, with its own disk; with `storage` the volumes that are attached to it, too.

        Raises:
            PermissionDenied: the token may not delete, or with `storage` may not even see the volumes; nothing has been
                deleted then.

        """
        volumes = self._volumes(machine_id) if storage else []
        path, missing = self._path(machine_id), self.machine_not_found(machine_id)
        if volumes:
            path = f"{path}/destroy_with_associated_resources/selective"
            self._session.delete(path, json={"volumes": volumes}, missing=missing)
        else:
            self._session.delete(path, missing=missing)

    def create_machine(
        self,
        name: str,
        *,
        image: str,
        size: str,
        location: str = "",
        network: str = "",
        key: str | Sequence[str] = (),
        user_data: str = "",
        tags: Mapping[str, str] | None = None,
        ipv6: bool = False,
        monitoring: bool = False,
        backups: bool = False,
    ) -> Machine:
        """Create a droplet and return it as accepted: `pending`, its addresses still to come.

        Args:
            name: letters, digits, dots and hyphens.
            image: the slug or id of an image. size, location: slugs; without a location DigitalOcean chooses.
            network: the id of a VPC; by default the location's own.
            key: an SSH key, or several: the id, fingerprint or name of one that the account has, or a public key's
                text, which is added to the account if it is not there yet.
            user_data: for cloud-init. tags: `{"web": "", "env": "prod"}` becomes `web` and `env:prod`.
            ipv6, monitoring, backups: as DigitalOcean calls them.

        Raises:
            InvalidFields: the name or a key is none that DigitalOcean takes; nothing has been created then.

        """
        source = int(image) if image.isdecimal() else image
        body: dict[str, Any] = {"name": _checked_name(name), "image": source, "size": size}
        optional = {
            "region": location,
            "vpc_uuid": network,
            "ssh_keys": key_identifiers(self._session, [key] if isinstance(key, str) else key),
            "user_data": user_data,
            "tags": words_of(tags or {}),
            "ipv6": ipv6,
            "monitoring": monitoring,
            "backups": backups,
        }
        body |= {option: value for option, value in optional.items() if value}
        return _machine(self._session.post("v2/droplets", json=body)["droplet"])

    def list_sizes(self) -> Iterator[Size]:
        """Yield the sizes, with prices in US dollars."""
        return self._pages("v2/sizes", "sizes", _size)

    def list_images(self, search: str = "") -> Iterator[Image]:
        """Yield the distributions, then the account's own snapshots, backups and uploads."""

        def images(query: Mapping[str, str]) -> list[Image]:
            return list(self._pages("v2/images", "images", _image, query))

        for found in in_parallel(images, ({"type": "distribution"}, {"private": "true"})):
            yield from found

    def list_locations(self) -> Iterator[Location]:
        """Yield the regions; `extra["available"]` tells whether droplets can be created there now."""
        return self._pages("v2/regions", "regions", _location)

    def list_networks(self) -> Iterator[Network]:
        """Yield the VPCs."""
        return self._pages("v2/vpcs", "vpcs", _network)

    def close(self) -> None:
        """Close the connections."""
        self.let_go("_session")

    def translate_error(self, error: Exception) -> MistError | None:
        """Return our error for an answer that is not built as it should be."""
        return garbled(error)

    # -- how it is done -----------------------------------------------------------------------------------------------

    @cached_property
    def _session(self) -> RestSession:
        return RestSession(
            self.endpoint,
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=lambda: self.timeout,
            error=_meaning,
        )

    def _check_by_listing(self) -> Account:
        """Accept a token that may not read the account, if it may read droplets."""
        try:
            self._session.get("v2/droplets", params={"per_page": 1})
        except PermissionDenied as error:
            error.remedy = "Give the token at least the scope droplet:read."
            raise
        return Account(id="", details={"scopes": "without account:read"}, warnings=self._session.warnings)

    def _pages(self, path: str, items: str, each: Any, query: Mapping[str, str] | None = None) -> Iterator[Any]:
        return self._session.pages(path, items=items, params=query, size=_PAGE, total="meta.total", each=each)

    def _path(self, machine_id: str) -> str:
        if not re.fullmatch(r"[1-9][0-9]*", machine_id):
            raise self.machine_not_found(machine_id)
        return f"v2/droplets/{machine_id}"

    def _droplet(self, machine_id: str) -> dict[str, Any]:
        droplet: dict[str, Any] = self._session.get(self._path(machine_id), missing=self.machine_not_found(machine_id))[
            "droplet"
        ]
        return droplet

    def _volumes(self, machine_id: str) -> list[str]:
        droplet = self._droplet(machine_id)
        if "volume_ids" not in droplet:
            raise PermissionDenied(
                "the token may not see which volumes are attached",
                remedy="Give the token the scope block_storage:read, or destroy the machine without its storage.",
            )
        return list(droplet["volume_ids"] or ())

    def _act(self, machine_id: str, action: str, **arguments: Any) -> None:
        path, missing = f"{self._path(machine_id)}/actions", self.machine_not_found(machine_id)
        answer = self._session.post(path, json={"type": action, **arguments}, missing=missing)
        wait_for_action(self._session, path, answer["action"])


def _checked_name(name: str) -> str:
    if len(name) > 255 or not re.fullmatch(r"[a-zA-Z0-9.-]*[a-zA-Z0-9]", name):
        raise InvalidFields(
            {"name": f"{name[:80]!r} is no name that DigitalOcean takes for a droplet"},
            remedy="Use up to 255 letters, digits, dots and hyphens, of which the last is a letter or a digit.",
        )
    return name


def _meaning(failure: Failure) -> MistError | None:
    """Return what DigitalOcean means where that is more than the status says."""
    error = error_for(failure)
    if isinstance(error, RateLimited) and error.retry_after is None:
        wait = seconds_until(failure.headers.get("ratelimit-reset"))
        return RateLimited(failure.describe(), retry_after=wait)
    if failure.status == 401:
        error.remedy = "Make a new token: Control panel → API → Tokens."
    elif isinstance(error, PermissionDenied):
        error.remedy = "Give the token the scope that is needed, or use one with full access."
    elif isinstance(error, Rejected):
        words = failure.message.lower()
        if "limit" in words:
            error.reason, error.remedy = "quota", "Ask DigitalOcean to raise the limit, or destroy what is not needed."
        elif "pending event" in words:
            error.reason, error.remedy = "busy", "Try again when what is under way is done."
    return error


# -- what the service's records become --------------------------------------------------------------------------------


def _machine(raw: Mapping[str, Any]) -> Machine:
    image, region = raw.get("image") or {}, raw.get("region") or {}
    addresses: dict[Any, list[str]] = {"public": [], "private": []}
    networks = raw.get("networks") or {}
    for version in ("v4", "v6"):
        for entry in networks.get(version) or ():
            if entry.get("type") in addresses:
                addresses[entry["type"]].append(entry.get("ip_address"))
    extra = {name: value for name in _EXTRA if (value := raw.get(name)) is not None and value != []}
    if image.get("id"):
        extra["image_id"] = image["id"]
    return Machine(
        id=raw["id"],
        name=raw.get("name") or "",
        state=_STATES.get(str(raw.get("status")), MachineState.UNKNOWN),
        public_ips=only_addresses(addresses["public"]),
        private_ips=only_addresses(addresses["private"]),
        size=intern(raw.get("size_slug") or (raw.get("size") or {}).get("slug") or ""),
        image=intern(image.get("slug") or image.get("name") or str(image.get("id") or "")),
        region=intern(region.get("slug") or ""),
        created_at=parse_time(raw.get("created_at")),
        tags=tags_of(raw.get("tags") or ()),
        extra=extra,
    )


_EXTRA = ("vcpus", "memory", "disk", "locked", "vpc_uuid", "features", "volume_ids", "gpu_info")


def _size(raw: Mapping[str, Any]) -> Size:
    return Size(
        id=raw["slug"],
        name=f"{raw.get('description') or ''} {raw['slug']}".strip(),
        cpus=raw.get("vcpus"),
        memory=raw.get("memory"),
        disk=raw.get("disk"),
        architecture="x86_64",
        price_hour=raw.get("price_hourly"),
        price_month=raw.get("price_monthly"),
        currency="USD",
        extra={name: raw[name] for name in ("available", "regions", "transfer", "gpu_info") if name in raw},
    )


def _image(raw: Mapping[str, Any]) -> Image:
    distribution, name = raw.get("distribution") or "", raw.get("name") or ""
    return Image(
        id=raw.get("slug") or raw["id"],
        name=name if distribution in name else f"{distribution} {name}".strip(),
        os=distribution,
        architecture="x86_64" if re.search(r"\bx64\b", name) else "",
        created_at=parse_time(raw.get("created_at")),
        extra={name: raw[name] for name in ("id", "type", "status", "regions", "min_disk_size") if name in raw},
    )


def _location(raw: Mapping[str, Any]) -> Location:
    slug = raw["slug"]
    return Location(
        id=slug,
        name=raw.get("name") or "",
        country=_COUNTRIES.get(slug[:3], ""),
        extra={name: raw[name] for name in ("available", "features") if name in raw},
    )


def _network(raw: Mapping[str, Any]) -> Network:
    return Network(
        id=raw["id"],
        name=raw.get("name") or "",
        cidr=raw.get("ip_range") or "",
        extra={name: raw[name] for name in ("region", "default", "description") if name in raw},
    )
