"""Linode (Akamai): Linodes, by version 4 of its API."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from sys import intern
from typing import Any

from mistcore import (
    Account,
    AuthenticationFailed,
    Image,
    Location,
    Machine,
    MachineState,
    MistError,
    Network,
    PermissionDenied,
    Provider,
    ProviderError,
    RateLimited,
    Rejected,
    Size,
    credential,
    secret,
)
from mistcore.addresses import split_addresses
from mistcore.http import Failure, RestSession, error_for
from mistcore.parallel import in_parallel
from mistcore.rows import garbled, lenient, parse_time, readable, seconds_until, tags_of
from mistcore_providers._linode_actions import wait_until
from mistcore_providers._linode_create import checked_label, creation
from mistcore_providers._linode_scopes import permissions

_STATES = {
    "running": MachineState.RUNNING,
    "offline": MachineState.STOPPED,
    "stopped": MachineState.STOPPED,
    "booting": MachineState.STARTING,
    "rebooting": MachineState.REBOOTING,
    "shutting_down": MachineState.STOPPING,
    "provisioning": MachineState.PENDING,
    "rebuilding": MachineState.PENDING,
    "cloning": MachineState.PENDING,
    "restoring": MachineState.PENDING,
    "migrating": MachineState.PENDING,
    "busy": MachineState.PENDING,
    "deleting": MachineState.TERMINATED,
    "billing_suspension": MachineState.SUSPENDED,
}
_PAGE = 500  # the most that the service gives at a time
_INSTANCES = "linode/instances"


class Linode(Provider):
    """Linodes of one Linode (Akamai Connected Cloud) account.

    Facts are from Linode's OpenAPI document, https://github.com/linode/linode-api-docs.
    """

    id = "linode"
    title = "Linode"
    rights = """
    Cloud Manager → profile → API Tokens → Create a Personal Access Token; set all to No Access but these.

    - To list machines: Linodes, Read Only (`linodes:read_only`).
    - Images and networks: Images, Read Only (`images:read_only`), and VPCs, Read Only (`vpc:read_only`). Sizes and
      locations need nothing.
    - To act, create and destroy: Linodes, Read/Write (`linodes:read_write`); to create with a key that the profile
      has, Account, Read Only (`account:read_only`).

    A restricted user with grants on some Linodes only narrows it further: the token can do no more than its user.
    """
    limits = (
        "There is no pause, suspend and resume.",
        "Stopping has no `force`: Linode cuts the power by itself when a shutdown takes too long.",
        "Destroying only detaches volumes.",
        "Of a restricted user's permissions, `check` tells only those to read.",
        "Never tried against Linode itself: the stand-in it is tested with also serves Linode's own client.",
    )

    api_key: str = secret(
        "Personal access token",
        help="Cloud Manager → profile → API Tokens → Create; the scope linodes:read_only is enough to list machines.",
        env="LINODE_TOKEN",
    )
    endpoint: str = credential(
        "API address",
        default="https://api.linode.com",
        help="Where the API is, with or without /v4; to be changed only for a proxy or an emulator.",
        address=True,
    )

    def check(self) -> Account:
        """Return whose token this is and what its scopes allow; raises as every `check` does.

        Every token may read the profile, whatever its scopes; they come in a header of the answer. A restricted user
        may do less than the scopes say, so of its permissions only the reading ones are told.
        """
        answer = self._session.request("GET", "profile")
        profile = answer.json()
        whose = profile.get("uid") or profile.get("username")
        if not whose:
            raise ProviderError("the answer is no profile of a user", reason="garbled", remedy="Is the endpoint right?")
        scopes = re.split(r"[\s,]+", answer.headers.get("X-OAuth-Scopes") or "")
        restricted = bool(profile.get("restricted"))
        allowed = permissions(scopes, self.operations(), reading_only=restricted)
        warnings = list(self._session.warnings)
        if allowed is not None and "list_machines" not in allowed:
            warnings.append("The token lacks the scope linodes:read_only, without which no machine can be listed.")
        if restricted:
            warnings.append("The user is restricted: only what it has been granted is listed, and may be acted on.")
        details = {
            "username": profile.get("username"),
            "email": profile.get("email"),
            "restricted": restricted,
            "two_factor_auth": profile.get("two_factor_auth"),
            "scopes": " ".join(sorted(filter(None, scopes))),
        }
        return Account(
            id=str(whose),
            name=profile.get("username") or profile.get("email") or "",
            details={name: value for name, value in details.items() if value not in (None, "")},
            permissions=allowed,
            warnings=warnings,
        )

    def list_machines(self) -> Iterator[Machine]:
        """Yield every Linode that the token's user may see."""
        for machine in self._pages(_INSTANCES, lenient(_machine)):
            if machine is not None:
                yield machine

    def get_machine(self, machine_id: str) -> Machine:
        """Return one Linode."""
        return _machine(self._instance(machine_id))

    def start_machine(self, machine_id: str) -> None:
        """Boot a Linode with the configuration it last ran, and wait until it runs."""
        self._act(machine_id, "boot", "running")

    def stop_machine(self, machine_id: str) -> None:
        """Shut a Linode down, and wait until it is off. Linode cuts the power itself when that takes too long."""
        self._act(machine_id, "shutdown", "offline", "stopped")

    def reboot_machine(self, machine_id: str) -> None:
        """Reboot a Linode, and wait until it runs again."""
        self._act(machine_id, "reboot", "running")

    def rename_machine(self, machine_id: str, name: str) -> None:
        """Give a Linode another label: 3 to 64 letters, digits, dots, hyphens and underscores, a letter first.

        Raises:
            InvalidFields: the name is no such label.

        """
        body = {"label": checked_label(name)}
        self._session.put(self._path(machine_id), json=body, missing=self.machine_not_found(machine_id))

    def destroy_machine(self, machine_id: str) -> None:
        """Delete a Linode with its disks and backups. Volumes are only detached."""
        self._session.delete(self._path(machine_id), missing=self.machine_not_found(machine_id))

    def create_machine(
        self,
        name: str,
        *,
        image: str,
        size: str,
        location: str,
        network: str = "",
        key: str | Sequence[str] = (),
        user_data: str = "",
        tags: Mapping[str, str] | None = None,
        root_password: str = "",
        backups: bool = False,
        private_ip: bool = False,
        firewall: str = "",
    ) -> Machine:
        """Create a Linode and return it as accepted: `pending`. It boots by itself.

        Args:
            name: its label: 3 to 64 letters, digits, dots, hyphens and underscores, a letter first.
            image, size, location: ids from the listings.
            network: the id of a network from the listing, which it joins beside the internet; `vlan:NAME` is the VLAN
                of that name in the Linode's region, which is made if it is not there yet.
            key: an SSH key, or several, for root: the id or label of one in the user's profile, or a public key's text.
            user_data: for cloud-init. tags: `{"web": "", "env": "prod"}` becomes `web` and `env:prod`.
            root_password: 7 to 128 characters; by default a long random one, which nobody gets to see.
            backups, private_ip: whether to have Linode's backups, and a private IPv4 address.
            firewall: the id of one.

        Raises:
            InvalidFields: the name, key, network, password or firewall is none that Linode takes; nothing has been
                created then.

        """
        label = checked_label(name)
        body = creation(
            self._session,
            {"label": label, "image": image, "type": size, "region": location, "root_pass": root_password},
            network=network,
            keys=[key] if isinstance(key, str) else key,
            user_data=user_data,
            tags=tags or {},
            firewall=firewall,
        )
        flags = {"backups_enabled": backups, "private_ip": private_ip}
        return _machine(self._session.post(_INSTANCES, json=body | {flag: True for flag in flags if flags[flag]}))

    def list_sizes(self) -> Iterator[Size]:
        """Yield the types, with prices in US dollars; `extra["region_prices"]` has those of regions that differ."""
        return self._pages("linode/types", _size, unpaged=True)

    def list_images(self, search: str = "") -> Iterator[Image]:
        """Yield Linode's images and the account's own; `extra["deprecated"]` tells which are no longer kept up."""
        return self._pages("images", _image)

    def list_locations(self) -> Iterator[Location]:
        """Yield the regions."""
        return self._pages("regions", _location, unpaged=True)

    def list_networks(self) -> Iterator[Network]:
        """Yield the subnets of the VPCs, then the VLANs, whose ids are `vlan:REGION/NAME`."""

        def networks(what: tuple[str, Any]) -> list[Any]:
            path, each = what
            return list(self._pages(path, each, key="" if path.endswith("vlans") else "id"))

        vpcs, vlans = in_parallel(networks, (("vpcs", _subnets), ("networking/vlans", _vlan)))
        for subnets in vpcs:
            yield from subnets
        yield from vlans

    def close(self) -> None:
        """Close the connections."""
        self.let_go("_session")

    def translate_error(self, error: Exception) -> MistError | None:
        """Return our error for an answer that is not built as it should be."""
        return garbled(error)

    # -- how it is done -----------------------------------------------------------------------------------------------

    @cached_property
    def _session(self) -> RestSession:
        address = self.endpoint.rstrip("/")
        return RestSession(
            address if re.search(r"/v\d+(beta)?\Z", address) else f"{address}/v4",
            headers={"Authorization": f"Bearer {self.api_key}"},
            timeout=lambda: self.timeout,
            error=_meaning,
        )

    def _pages(self, path: str, each: Any, *, unpaged: bool = False, key: str = "id") -> Iterator[Any]:
        """Yield a listing; `unpaged` ones come in one answer, says the document: more is asked for only if need be."""

        def page(index: int, size: int) -> dict[str, int]:
            if unpaged:
                return {"page": index + 1} if index else {}
            return {"page": index + 1, "page_size": size}

        return self._session.pages(
            path, items="data", page=page, size=_PAGE, total="results", count="pages", each=each, key=key
        )

    def _path(self, machine_id: str) -> str:
        if not re.fullmatch(r"[1-9][0-9]*", machine_id):
            raise self.machine_not_found(machine_id)
        return f"{_INSTANCES}/{machine_id}"

    def _instance(self, machine_id: str) -> dict[str, Any]:
        instance: dict[str, Any] = self._session.get(self._path(machine_id), missing=self.machine_not_found(machine_id))
        return instance

    def _act(self, machine_id: str, action: str, *ends: str) -> None:
        missing = self.machine_not_found(machine_id)
        self._session.post(f"{self._path(machine_id)}/{action}", missing=missing)
        wait_until(action, ends, lambda: str(self._instance(machine_id).get("status")))


def _meaning(failure: Failure) -> MistError | None:
    """Return what Linode means where that is more than the status says."""
    error = error_for(failure)
    words = failure.message.lower()
    if isinstance(error, RateLimited) and error.retry_after is None:
        wait = seconds_until(failure.headers.get("X-RateLimit-Reset"))
        return RateLimited(failure.describe(), retry_after=wait)
    if failure.status == 401 and "not authorized" in words:
        error = PermissionDenied(failure.describe())  # the token is good, its scopes are too few
    if isinstance(error, AuthenticationFailed):
        error.remedy = "Make a new token: Cloud Manager → profile → API Tokens."
    elif isinstance(error, PermissionDenied):
        wanted = " ".join((failure.headers.get("X-Accepted-OAuth-Scopes") or "").split())
        error.remedy = (
            f"The token needs the scope {wanted}, and its user the grant." if wanted
            else "Give the token the scope, and its user the grant, that is needed."
        )  # fmt: skip
    elif isinstance(error, Rejected):
        if "limit" in words:
            error.reason, error.remedy = (
                "quota",
                "Ask Linode's support to raise the limit, or destroy what is not needed.",
            )
        elif "busy" in words:
            error.reason, error.remedy = "busy", "Try again when what is under way is done."
    return error


# -- what the service's records become --------------------------------------------------------------------------------


def _machine(raw: Mapping[str, Any]) -> Machine:
    ipv6 = str(raw.get("ipv6") or "").partition("/")[0]
    public, private = split_addresses([*(raw.get("ipv4") or ()), ipv6])
    status = intern(str(raw.get("status") or ""))
    extra: dict[str, Any] = {"status": status} if status else {}
    for name in _EXTRA:
        if (value := raw.get(name)) or value == 0:
            extra[name] = value
    specs = raw.get("specs") or {}
    for name in _SPECS:
        if value := specs.get(name):
            extra[name] = value
    return Machine(
        id=raw["id"],
        name=raw.get("label") or "",
        state=_STATES.get(status, MachineState.UNKNOWN),
        public_ips=public,
        private_ips=private,
        size=intern(raw.get("type") or ""),
        image=intern(raw.get("image") or ""),
        region=intern(raw.get("region") or ""),
        created_at=parse_time(raw.get("created")),
        tags=tags_of(raw.get("tags") or ()),
        extra=extra,
    )


_SPECS = ("vcpus", "memory", "disk", "gpus")
_EXTRA = ("group", "lke_cluster_id", "placement_group", "capabilities")


def _size(raw: Mapping[str, Any]) -> Size:
    price, disk = raw.get("price") or {}, raw.get("disk")
    return Size(
        id=raw["id"],
        name=raw.get("label") or "",
        cpus=raw.get("vcpus"),
        memory=raw.get("memory"),
        disk=None if disk is None else disk // 1024,
        architecture="x86_64",
        price_hour=price.get("hourly"),
        price_month=price.get("monthly"),
        currency="USD",
        extra={
            name: raw[name] for name in ("class", "gpus", "transfer", "network_out", "region_prices") if raw.get(name)
        },
    )


def _image(raw: Mapping[str, Any]) -> Image:
    return Image(
        id=raw["id"],
        name=raw.get("label") or "",
        os=raw.get("vendor") or "",
        architecture="x86_64",
        created_at=parse_time(raw.get("created")),
        extra={
            name: raw[name]
            for name in ("deprecated", "eol", "is_public", "size", "status", "type", "description", "capabilities")
            if raw.get(name) not in (None, "", [])
        },
    )


def _location(raw: Mapping[str, Any]) -> Location:
    extra = {name: raw[name] for name in ("status", "capabilities") if name in raw}
    if site := raw.get("site_type") or raw.get("site-type"):  # the service writes the one, its document the other
        extra["site_type"] = site
    return Location(
        id=raw["id"],
        name=raw.get("label") or "",
        country=str(raw.get("country") or "").upper(),
        extra=extra,
    )


def _subnets(vpc: Mapping[str, Any]) -> list[Network]:
    label = vpc.get("label") or ""
    about = {"vpc": vpc["id"], "region": vpc.get("region"), "kind": "vpc"}

    def network(subnet: Mapping[str, Any]) -> Network:
        name = "/".join(filter(None, (label, subnet.get("label"))))
        return Network(id=subnet["id"], name=name, cidr=subnet.get("ipv4") or "", extra=about)

    return list(readable(network, vpc.get("subnets") or ()))


def _vlan(raw: Mapping[str, Any]) -> Network:
    return Network(
        id=f"vlan:{raw['region']}/{raw['label']}",  # names are unique in a region only
        name=raw["label"],
        extra={"kind": "vlan", "region": raw.get("region"), "linodes": raw.get("linodes") or []},
    )
