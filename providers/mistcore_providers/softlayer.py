"""SoftLayer, today IBM Cloud classic infrastructure: virtual and bare metal servers, by its REST API v3.1."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from mistcore import (
    Account,
    AuthenticationFailed,
    Image,
    InvalidFields,
    Location,
    Machine,
    MistError,
    Network,
    PermissionDenied,
    Provider,
    ProviderError,
    Rejected,
    Size,
    credential,
    secret,
)
from mistcore.http import Failure, RestSession, error_for
from mistcore.parallel import in_parallel
from mistcore.rows import garbled, lenient, words_of
from mistcore_providers._softlayer_create import creation, names_of
from mistcore_providers._softlayer_offer import image_of, images_of, locations_of, network_of, sizes_of
from mistcore_providers._softlayer_records import (
    BARE_METAL,
    GUEST_MASK,
    HARDWARE_MASK,
    guest_machine,
    hardware_machine,
    permissions,
)

log = logging.getLogger(__name__)

_PAGE = 100  # the service fails when an answer grows too long, and speaks of no limit
_GUEST, _HARDWARE = "SoftLayer_Virtual_Guest", "SoftLayer_Hardware_Server"
_NETWORK_MASK = (
    "mask[id,name,vlanNumber,networkSpace,primaryRouter[hostname,datacenter[name]],"
    "primarySubnets[networkIdentifier,cidr]]"
)


_REFUSALS = {
    "SoftLayer_Exception_InvalidValue",
    "SoftLayer_Exception_MissingCreationProperty",
    "SoftLayer_Exception_MissingValue",
    "SoftLayer_Exception_Public",
}


class SoftLayer(Provider):
    """Virtual servers and bare metal servers of one account of IBM Cloud classic infrastructure.

    The id of a virtual server is its number, that of a bare metal server `hardware:` and its number.

    Facts are from the reference at https://sldn.softlayer.com/reference/softlayerapi/ and from IBM's own client,
    https://github.com/softlayer/softlayer-python.
    """

    id = "softlayer"
    title = "SoftLayer"
    rights = """
    Manage → Access (IAM) → Users → Invite users; then the user → Classic infrastructure → Permissions, and Devices
    for those that the user is to see. The key is made on the user's page: API keys → Create classic infrastructure
    key. These are the permissions, as the API names them:

    - to list machines, `VIRTUAL_GUEST_VIEW` and `HARDWARE_VIEW`;
    - to start, stop, reboot, pause and resume, `REMOTE_MANAGEMENT`;
    - to rename, `HOSTNAME_EDIT`;
    - to destroy, `SERVER_CANCEL`;
    - to create, `SERVER_ADD`.

    `check` tells which of these the user has, and warns of the account's master user.
    """
    limits = (
        "A bare metal server is stopped with `force` only, is never paused, and counts as running while it is active.",
        "Only virtual servers are created.",
        "Of networks, VLANs are listed.",
        "VPC infrastructure of IBM Cloud is another API, which this is not.",
        "Never tried against IBM itself: the stand-in it is tested with also serves IBM's own client.",
    )

    username: str = credential(
        "User name",
        help="The classic infrastructure user name, such as SL123456; or the word apikey, for an IBM Cloud API key.",
        env="SL_USERNAME",
        example="SL123456",
    )
    api_key: str = secret(
        "API key",
        help="Manage → Access (IAM) → Users → the user → Classic infrastructure API key; or an IBM Cloud API key.",
        env="SL_API_KEY",
    )
    endpoint: str = credential(
        "API address",
        default="https://api.softlayer.com/rest/v3.1",
        help="Where the REST API is; from IBM's private network, https://api.service.softlayer.com/rest/v3.1.",
        address=True,
    )

    def check(self) -> Account:
        """Return whose key this is, and what the user's permissions allow; raises as every `check` does."""
        path, mask = "SoftLayer_Account/getCurrentUser.json", "id,username,email,accountId,isMasterUserFlag"
        whole = f"mask[{mask},account[companyName],permissions[keyName]]"
        try:
            user = self._session.get(path, params={"objectMask": whole})
        except (PermissionDenied, Rejected):  # not every user may see the company
            user = self._session.get(path, params={"objectMask": f"mask[{mask}]"})
        whose = user.get("accountId") or user.get("id")
        if not whose:
            raise ProviderError("the answer describes no user", reason="garbled", remedy="Is the endpoint right?")
        allowed = permissions(user, self.operations())
        warnings = list(self._session.warnings)
        if user.get("isMasterUserFlag"):
            warnings.append("This is the account's master user, who may do everything; one with less would be safer.")
        if allowed is not None and "list_machines" not in allowed:
            warnings.append("The user lacks the permissions to view servers, so none will be listed.")
        company = (user.get("account") or {}).get("companyName")
        details = {"username": user.get("username"), "email": user.get("email"), "company": company}
        return Account(
            id=str(whose),
            name=company or user.get("username") or "",
            details={name: value for name, value in details.items() if value},
            permissions=allowed,
            warnings=warnings,
        )

    def list_machines(self) -> Iterator[Machine]:
        """Yield every virtual server, then every bare metal server; both are asked for at the same time.

        Whether a bare metal server has power is not in the listing: an active one is `running` there.
        """

        def machines(kind: tuple[str, str, str, Any]) -> list[Any]:
            method, holder, mask, each = kind
            return list(self._pages(f"SoftLayer_Account/{method}.json", holder, mask, lenient(each)))

        kinds = (
            ("getVirtualGuests", "virtualGuests", GUEST_MASK, guest_machine),
            ("getHardware", "hardware", HARDWARE_MASK, hardware_machine),
        )
        for found in in_parallel(machines, kinds):
            yield from (machine for machine in found if machine is not None)

    def get_machine(self, machine_id: str) -> Machine:
        """Return one server; whether a bare metal server has power is asked for, too."""
        service, path = self._service(machine_id)
        if service == _GUEST:
            return guest_machine(self._call(machine_id, "getObject", params={"objectMask": GUEST_MASK}))
        raw = self._call(machine_id, "getObject", params={"objectMask": HARDWARE_MASK})
        if (raw.get("hardwareStatus") or {}).get("status") == "ACTIVE" and not raw.get("activeTransaction"):
            try:
                raw["powerState"] = self._session.get(f"{path}/getServerPowerState.json")
            except MistError as error:
                log.info("the power state of %s is not to be had: %s", machine_id, type(error).__name__)
        return hardware_machine(raw)

    def start_machine(self, machine_id: str) -> None:
        """Power a server on. Returns when the service has accepted that."""
        self._do(machine_id, "powerOn")

    def stop_machine(self, machine_id: str, *, force: bool = False) -> None:
        """Shut a server down, or with `force` cut its power. Returns when the service has accepted that.

        Bare metal servers can only have their power cut, so for them `force=True` is needed.
        """
        if not force:
            self._guests_only(machine_id, "shut down", "Shut it down from inside, or cut its power with force=True.")
        self._do(machine_id, "powerOff" if force else "powerOffSoft")

    def reboot_machine(self, machine_id: str, *, force: bool = False) -> None:
        """Reboot a server by its operating system, or with `force` reset it."""
        self._do(machine_id, "rebootHard" if force else "rebootSoft")

    def pause_machine(self, machine_id: str) -> None:
        """Freeze a virtual server in memory."""
        self._guests_only(machine_id, "pause", "Stop it instead.")
        self._do(machine_id, "pause")

    def resume_machine(self, machine_id: str) -> None:
        """Let a paused virtual server go on."""
        self._guests_only(machine_id, "resume", "Start it instead.")
        self._do(machine_id, "resume")

    def rename_machine(self, machine_id: str, name: str) -> None:
        """Give a server another host name; with dots in it, another domain, too."""
        hostname, domain = names_of(name)
        change = {"hostname": hostname} | ({"domain": domain} if domain else {})
        self._call(machine_id, "editObject", change)

    def destroy_machine(self, machine_id: str) -> None:
        """Cancel a server with its local disks, at once; a bare metal server paid by the month, at its next bill."""
        if self._service(machine_id)[0] == _GUEST:
            self._do(machine_id, "deleteObject")
            return
        mask = "mask[id,hourlyBillingFlag,billingItem[id]]"
        raw = self._call(machine_id, "getObject", params={"objectMask": mask})
        item = (raw.get("billingItem") or {}).get("id")
        if not item:
            raise Rejected("the server has no open bill: it may have been cancelled already", reason="cancelled")
        arguments = [bool(raw.get("hourlyBillingFlag")), False, "No longer needed", ""]
        self._session.post(f"SoftLayer_Billing_Item/{int(item)}/cancelItem.json", json={"parameters": arguments})

    def create_machine(
        self,
        name: str,
        *,
        image: str,
        size: str,
        location: str,
        domain: str = "",
        network: str | Sequence[str] = (),
        key: str | Sequence[str] = (),
        user_data: str = "",
        tags: Mapping[str, str] | None = None,
        monthly: bool = False,
        local_disk: bool = False,
    ) -> Machine:
        """Create a virtual server and return it as accepted: `pending`, its addresses still to come.

        Args:
            name: the host name, best with its domain: `web-1.example.com`. domain: where the name has none.
            image: an operating system's code, or the id of one of the account's own images.
            size: a flavor such as B1_2X4X100, or processors and memory in MiB: `2x4096`. location: a data centre.
            network: the id of a VLAN, or those of a public and a private one; by default the account's own.
            key: an SSH key, or several: the id, label or fingerprint of one that the account has, or a public key's
                text, which is added to the account if it is not there yet.
            user_data: for cloud-init. tags: `{"web": "", "env": "prod"}` becomes `web` and `env:prod`.
            monthly: pay by the month. local_disk: on the host, where no flavor says it.

        """
        hostname, own_domain = names_of(name)
        if not (own_domain or domain):
            raise InvalidFields({"name": "a server has a domain, too: web-1.example.com, or give domain="})
        body = creation(
            self._session,
            {"hostname": hostname, "domain": own_domain or domain, "hourlyBillingFlag": not monthly},
            image=image,
            size=size,
            location=location,
            networks=[network] if isinstance(network, str) else network,
            keys=[key] if isinstance(key, str) else key,
            user_data=user_data,
            local_disk=local_disk,
        )
        raw = self._session.post(f"{_GUEST}/createObject.json", json={"parameters": [body]})
        machine = guest_machine(raw | {"datacenter": {"name": location}, "new": True})
        if tags:
            try:
                self._call(machine.id, "setTags", ",".join(words_of(tags)))
            except MistError as error:  # the server is there by now, and must not be lost for want of a tag
                log.warning("the server %s was created without its tags: %s", machine.id, error)
        return machine

    def list_sizes(self) -> Iterator[Size]:
        """Yield the flavors, then what else can be put together of processors and memory; prices in US dollars."""
        yield from sizes_of(self._options())

    def list_images(self, search: str = "") -> Iterator[Image]:
        """Yield the operating systems, then the account's own images."""

        def ask(own: bool) -> list[Image]:
            if not own:
                return images_of(self._options())
            mask = "mask[id,globalIdentifier,name,note,createDate]"
            path = "SoftLayer_Account/getPrivateBlockDeviceTemplateGroups.json"
            return list(self._pages(path, "privateBlockDeviceTemplateGroups", mask, image_of))

        for found in in_parallel(ask, (False, True)):
            yield from found

    def list_locations(self) -> Iterator[Location]:
        """Yield the data centres where virtual servers can be created."""

        def ask(path: str) -> Any:
            return self._session.get(path)

        paths = (f"{_GUEST}/getCreateObjectOptions.json", "SoftLayer_Location_Datacenter/getDatacenters.json")
        options, places = in_parallel(ask, paths)
        yield from locations_of(options, places)

    def list_networks(self) -> Iterator[Network]:
        """Yield the VLANs; `extra["space"]` tells public ones from private ones."""
        return self._pages("SoftLayer_Account/getNetworkVlans.json", "networkVlans", _NETWORK_MASK, network_of)

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
            address if re.search(r"/rest/v\d", address) else f"{address}/rest/v3.1",
            auth=(self.username, self.api_key),
            timeout=lambda: self.timeout,
            error=_meaning,
        )

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = self._session.get(f"{_GUEST}/getCreateObjectOptions.json")
        return options

    def _pages(self, path: str, holder: str, mask: str, each: Any) -> Iterator[Any]:
        """Yield a listing, in the order of ids: without an order the service may give a row on two pages."""
        order = {holder: {"id": {"operation": "orderBy", "options": [{"name": "sort", "value": ["ASC"]}]}}}
        return self._session.pages(
            path,
            items="",
            params={"objectMask": mask, "objectFilter": _compact(order)},
            page=lambda index, size: {"resultLimit": f"{index * size},{size}"},
            size=_PAGE,
            total="header:softlayer-total-items",
            each=each,
        )

    def _service(self, machine_id: str) -> tuple[str, str]:
        """Return the service of a machine, and its path."""
        service, number = _GUEST, machine_id
        if machine_id.startswith(BARE_METAL):
            service, number = _HARDWARE, machine_id.removeprefix(BARE_METAL)
        if not (number.isascii() and number.isdecimal()):
            raise self.machine_not_found(machine_id)
        return service, f"{service}/{number}"

    def _call(self, machine_id: str, method: str, *arguments: Any, params: Mapping[str, Any] | None = None) -> Any:
        path, missing = f"{self._service(machine_id)[1]}/{method}.json", self.machine_not_found(machine_id)
        reading = method.startswith("get")
        body = {"parameters": list(arguments)} if arguments else None
        try:
            return self._session.request(
                "POST" if arguments else "GET", path, json=body, params=params, safe=reading, missing=missing
            ).json()
        except Rejected as error:
            if error.reason == "not_found":  # which is said with other statuses, too
                raise missing from error
            raise

    def _do(self, machine_id: str, method: str) -> None:
        if self._call(machine_id, method) is False:
            raise Rejected(f"the service did not do {method}, without a reason", reason="action_failed")

    def _guests_only(self, machine_id: str, action: str, remedy: str) -> None:
        if self._service(machine_id)[0] == _HARDWARE:
            self._call(machine_id, "getObject", params={"objectMask": "mask[id]"})
            raise Rejected(f"a bare metal server cannot be told to {action}", reason="bare_metal", remedy=remedy)


def _compact(value: Any) -> str:
    import json

    return json.dumps(value, separators=(",", ":"))


def _meaning(failure: Failure) -> MistError | None:
    """Return what SoftLayer means: most refusals come with the status 500 and a code in the body."""
    error = error_for(failure)
    body = failure.body if isinstance(failure.body, dict) else {}
    code, words = str(body.get("code") or ""), str(body.get("error") or "").lower()
    if failure.status in {401, 403} or "InvalidLegacyToken" in code or "invalid api token" in words:
        if "permission" in words or "not authorized" in words:
            return PermissionDenied(failure.describe(), remedy="Give the user the permission, under Access (IAM).")
        return AuthenticationFailed(
            failure.describe(),
            remedy="Is it a classic infrastructure API key? An IBM Cloud API key goes with the user name apikey.",
        )
    if code.endswith("ObjectNotFound"):
        # Also said to users who may not see the object.
        remedy = "It is gone, or the user has no access to it."
        return Rejected(failure.describe(), reason="not_found", remedy=remedy)
    if code.endswith(("RateLimitExceeded", "TooManyRequests")):
        return error_for(_with_status(failure, 429))
    if not code.startswith("SoftLayer_Exception") or failure.status in {429, 502, 503, 504}:
        return error
    if "permission" in words:
        return PermissionDenied(failure.describe(), remedy="Give the user the permission, under Access (IAM).")
    if "active transaction" in words or "outstanding transaction" in words:
        return Rejected(failure.describe(), reason="busy", remedy="Try again when what is under way is done.")
    if code in {
        "SoftLayer_Exception_Public",
        "SoftLayer_Exception_InvalidValue",
        "SoftLayer_Exception_MissingValue",
    } or ("Order" in code):
        return Rejected(failure.describe(), reason="quota" if "limit" in words else "rejected")
    return error


def _with_status(failure: Failure, status: int) -> Failure:
    import attrs

    return attrs.evolve(failure, status=status)
