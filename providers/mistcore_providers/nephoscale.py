"""NephoScale: cloud servers, by the API that the company offered until it closed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
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
    Provider,
    ProviderError,
    Rejected,
    Size,
    credential,
    secret,
)
from mistcore.addresses import split_addresses
from mistcore.http import Failure, RestSession, error_for, segment
from mistcore.rows import garbled, lenient, parse_time, readable

_STATES = {
    "on": MachineState.RUNNING,
    "off": MachineState.STOPPED,
    "starting": MachineState.STARTING,
    "stopping": MachineState.STOPPING,
    "unknown": MachineState.UNKNOWN,
}


class NephoScale(Provider):
    """Cloud servers of a NephoScale account, at an address that still answers as NephoScale did.

    Facts are from the recorded answers that apache/libcloud kept (test/compute/fixtures/nephoscale, up to its version
    3.7) and from its driver's requests; the vendor's own documents went with the company.
    """

    id = "nephoscale"
    title = "NephoScale"
    retired = "NephoScale has closed, and libcloud removed its driver in 3.8.0 for that; there is no successor."
    rights = """
    The API knows one user name and password for everything: there is nothing less to give.
    """
    limits = (
        "The service has closed: without an `endpoint`, nothing is sent anywhere.",
        "The API has no paging: all servers come in one answer.",
        "Its documents went with the company: what is known comes from answers that another project recorded.",
    )

    username: str = credential("User name", help="The user name of the account, as for the control panel.")
    password: str = secret("Password", help="The password of that user.")
    endpoint: str = credential(
        "API address",
        default="",
        help="Where an installation answers; there is no public one any more.",
        example="https://api.nephoscale.example",
        address=True,
    )

    def check(self) -> Account:
        """Return the account: its name is the user's, since the API tells nothing else of it."""
        self._rows("datacenter/zone/")
        return Account(id=self.username, name=self.username, warnings=self._session.warnings)

    def list_machines(self) -> Iterator[Machine]:
        """Yield every cloud server; the API gives them all in one answer."""
        for row in self._rows("server/cloud/"):
            machine = lenient(_machine)(row)
            if machine is not None:
                yield machine

    def get_machine(self, machine_id: str) -> Machine:
        """Return one server. The API gives it as an object, or as a list of one."""
        data = self._data(self._session.get(self._path(machine_id), missing=self.machine_not_found(machine_id)))
        row = data[0] if isinstance(data, list) and data else data
        if not isinstance(row, Mapping) or not row:
            raise self.machine_not_found(machine_id)
        return _machine(row)

    def start_machine(self, machine_id: str) -> None:
        """Start a server. Returns when the service has accepted the job."""
        self._initiate(machine_id, "start")

    def stop_machine(self, machine_id: str) -> None:
        """Stop a server. Returns when the service has accepted the job."""
        self._initiate(machine_id, "stop")

    def reboot_machine(self, machine_id: str) -> None:
        """Restart a server. Returns when the service has accepted the job."""
        self._initiate(machine_id, "restart")

    def rename_machine(self, machine_id: str, name: str) -> None:
        """Rename a server."""
        self._change("PUT", machine_id, data={"name": name})

    def destroy_machine(self, machine_id: str) -> None:
        """Delete a server with its disk."""
        self._change("DELETE", machine_id)

    def create_machine(
        self, name: str, *, image: str, size: str, location: str = "", key: str = "", console_key: str = ""
    ) -> Machine:
        """Create a server, and return it as it is listed once the service has accepted the job.

        Args:
            name: also the host name.
            image, size, location: ids from the listings; a location is a zone.
            key: the id or name of an SSH key of the account. console_key: the same of a password key, for the console.

        """
        body = {
            "name": name,
            "hostname": name,
            "image": image,
            "service_type": size,
            "server_key": self._key(key, "key/sshrsa/", "key") if key else "",
            "console_key": self._key(console_key, "key/password/", "console_key") if console_key else "",
            "zone": location,
        }
        before = {machine.id for machine in self.list_machines()}
        self._data(self._session.post("server/cloud/", data={option: v for option, v in body.items() if v}))
        for machine in self.list_machines():
            if machine.id not in before and machine.name == name:
                return machine
        raise ProviderError(
            f"the service accepted the server {name!r} but does not list it yet",
            reason="not_listed",
            remedy="Look again in a minute; do not create it twice.",
        )

    def list_sizes(self) -> Iterator[Size]:
        """Yield the sizes. The API tells no prices."""
        return readable(_size, self._rows("server/type/cloud/"))

    def list_images(self, search: str = "") -> Iterator[Image]:
        """Yield the images that a cloud server can be made from."""
        rows = self._rows("image/server/")
        return readable(_image, (row for row in rows if row.get("deployable_type") in (None, "both", "cloud")))

    def list_locations(self) -> Iterator[Location]:
        """Yield the zones."""
        return readable(_location, self._rows("datacenter/zone/"))

    def list_networks(self) -> Iterator[Network]:
        """Yield the networks."""
        return readable(_network, self._rows("network/"))

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
            self.service_address(self.endpoint),
            auth=(self.username, self.password),
            timeout=lambda: self.timeout,
            error=_meaning,
        )

    def _rows(self, path: str) -> list[dict[str, Any]]:
        data = self._data(self._session.get(path))
        if not isinstance(data, list):
            raise ProviderError(f"the answer to {path} holds no list", reason="nonsense")
        return [row for row in data if isinstance(row, dict)]

    def _data(self, answer: Any) -> Any:
        """Return what an answer holds. The API wraps everything, and may refuse with the HTTP status 200."""
        if not isinstance(answer, dict) or "data" not in answer:
            raise ProviderError(
                "the service's answer is not what NephoScale's was",
                reason="nonsense",
                remedy="Is the address of the service right?",
            )
        if answer.get("success") is False:
            raise Rejected(str(answer.get("message") or "the service refused the request"))
        return answer["data"]

    def _path(self, machine_id: str, *more: str) -> str:
        return "/".join(["server/cloud", segment(machine_id), *more, ""])

    def _initiate(self, machine_id: str, action: str) -> None:
        path = self._path(machine_id, "initiator", action)
        self._data(self._session.post(path, missing=self.machine_not_found(machine_id)))

    def _change(self, method: str, machine_id: str, **options: Any) -> None:
        path, missing = self._path(machine_id), self.machine_not_found(machine_id)
        self._data(self._session.request(method, path, missing=missing, **options).json())

    def _key(self, wanted: str, path: str, option: str) -> str:
        found = {str(row.get("id")) for row in self._rows(path) if wanted in (str(row.get("id")), row.get("name"))}
        if len(found) != 1:
            problem = "several keys of the account have this name" if found else "the account has no such key"
            raise InvalidFields({option: problem}, provider=self.id)
        return found.pop()


def _meaning(failure: Failure) -> MistError | None:
    """Return what NephoScale means where that is more than the status says."""
    error = error_for(failure)
    if failure.status == 401:
        error.remedy = "Check the user name and the password."
    return error


# -- what the service's records become --------------------------------------------------------------------------------


def _machine(raw: Mapping[str, Any]) -> Machine:
    public, private = split_addresses(re.split(r"[,\s]+", str(raw.get("ipaddresses") or "")))
    kind, image, zone = raw.get("service_type") or {}, raw.get("image") or {}, raw.get("zone") or {}
    extra = {name: raw[name] for name in ("hostname", "podzone", "memory", "network_ports") if raw.get(name)}
    return Machine(
        id=raw["id"],
        name=raw.get("name") or "",
        state=_STATES.get(str(raw.get("power_status")).lower(), MachineState.UNKNOWN),
        public_ips=public,
        private_ips=private,
        size=kind.get("friendly_name") or "",
        image=image.get("friendly_name") or "",
        region=zone.get("name") or "",
        created_at=parse_time(raw.get("create_time")),
        extra=extra,
    )


def _size(raw: Mapping[str, Any]) -> Size:
    return Size(
        id=raw["id"],
        name=raw.get("friendly_name") or "",
        cpus=raw.get("vcpus"),
        memory=raw.get("ram"),
        disk=raw.get("storage"),
        extra={"sku": (raw.get("sku") or {}).get("name") or ""},
    )


def _image(raw: Mapping[str, Any]) -> Image:
    return Image(
        id=raw["id"],
        name=raw.get("friendly_name") or "",
        os=raw.get("base_type") or "",
        architecture=raw.get("architecture") or "",
        created_at=parse_time(raw.get("create_time")),
        extra={"active": bool(raw.get("is_active"))},
    )


def _location(raw: Mapping[str, Any]) -> Location:
    place = (raw.get("datacenter") or {}).get("airport_code") or ""
    return Location(id=raw["id"], name=raw.get("name") or "", country="US", extra={"airport_code": place})


def _network(raw: Mapping[str, Any]) -> Network:
    return Network(id=raw["id"], name=raw.get("name") or "", cidr=raw.get("network") or "")
