"""What the providers of the OpenStack family share: every operation, over an account that each of them opens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from mistcore import Account, Image, Location, Machine, MachineState, Network, Provider, Size, credential
from mistcore.deadline import sleep
from mistcore.errors import MistError
from mistcore.http import segment
from mistcore.parallel import in_parallel
from mistcore.rows import garbled, readable
from mistcore_providers import _openstack_errors as errors
from mistcore_providers import _openstack_records as records

if TYPE_CHECKING:
    from mistcore_providers._openstack_cloud import Cloud

_FAULT_LOOKS = 8
_FAULT_LOOK = 0.25
_FAULT_AGE = 15.0


class OpenStackProvider(Provider):
    """The base of the providers whose service is Nova. A provider opens its account in `_connect`."""

    #: Whether images come from Glance; else from Nova's own list, as old clouds have it.
    _glance: ClassVar[bool] = True

    def check(self) -> Account:
        """Log in: one request, which proves credentials, project and region.

        Returns:
            The account of the user, with the project, its roles, the domains, and the regions that the catalog offers
            in `details`; the OpenStack Identity API tells no permissions beyond the roles' names.

        Raises:
            AuthenticationFailed: wrong user or password; with reason "project", that project is not open to the user.
            UnknownRegion: naming those that there are.
            ProviderError: reason "no_compute", "no_project", "wrong_path", "not_openstack" or "redirect".
            Unreachable, RateLimited, PermissionDenied.

        """
        cloud = self._cloud()
        details = {key: value for key, value in cloud.details().items() if value not in (None, "")}
        name = " / ".join(str(details[key]) for key in ("user", "project") if key in details)
        return Account(
            id=details.get("user_id") or details.get("user") or "",
            name=name,
            details=details,
            warnings=self._warnings(cloud, details),
        )

    def list_machines(self) -> Iterator[Machine]:
        """Yield every server of the project, in `extra` also its addresses by network, task and fault.

        Costs one request for a page of servers (a thousand, as most clouds are set), and one for the names of images
        that are new to this instance; clouds without microversion 2.47 take one more for the names of flavors. Without
        `name_lookup` it is the first of them alone, and Nova's part of it is less work.
        """
        cloud = self._cloud()
        for page in cloud.pages("compute", "/servers/detail", "servers"):
            yield from self._machines(cloud, page)

    def get_machine(self, machine_id: str) -> Machine:
        """Return one server. One that has just failed is asked for again until its fault is there, for 2 seconds."""
        cloud = self._cloud()
        with self._knowing(machine_id):
            raw = self._server(cloud, machine_id)
            for _ in range(_FAULT_LOOKS):
                if not _lacks_fault(raw):
                    break
                sleep(_FAULT_LOOK)
                raw = self._server(cloud, machine_id)
        for machine in self._machines(cloud, [raw]):
            return machine
        raise self.machine_not_found(machine_id)

    def start_machine(self, machine_id: str) -> None:
        """Start a server that is stopped. Raises `Rejected` (reason "state") for any other."""
        with self._acting("start_machine", machine_id) as servers:
            servers.start(machine_id)

    def stop_machine(self, machine_id: str) -> None:
        """Shut a server down; Nova cuts the power when its system does not end in time."""
        with self._acting("stop_machine", machine_id) as servers:
            servers.stop(machine_id)

    def reboot_machine(self, machine_id: str, *, force: bool = False) -> None:
        """Reboot a server by its operating system, or with `force` by its power."""
        with self._acting("reboot_machine", machine_id) as servers:
            servers.reboot(machine_id, "HARD" if force else "SOFT")

    def pause_machine(self, machine_id: str) -> None:
        """Freeze a server in memory."""
        with self._acting("pause_machine", machine_id) as servers:
            servers.pause(machine_id)

    def suspend_machine(self, machine_id: str) -> None:
        """Save a server's memory to disk and stop it."""
        with self._acting("suspend_machine", machine_id) as servers:
            servers.suspend(machine_id)

    def resume_machine(self, machine_id: str) -> None:
        """Let a paused or suspended server go on. Takes one more request, to tell which of them it is."""
        with self._acting("resume_machine", machine_id) as servers:
            paused = records.state_of(self._server(self._cloud(), machine_id)) is MachineState.PAUSED
            (servers.unpause if paused else servers.resume)(machine_id)

    def rename_machine(self, machine_id: str, name: str) -> None:
        """Give a server another name; its host name inside stays."""
        with self._acting("rename_machine", machine_id) as servers:
            servers.update(machine_id, name=name)

    def destroy_machine(self, machine_id: str, *, floating_ip: bool = False) -> None:
        """Delete a server; with `floating_ip`, give its floating addresses back as well."""
        with self._acting("destroy_machine", machine_id) as servers:
            if floating_ip:
                from mistcore_providers._openstack_create import release_floating_ips

                release_floating_ips(self._cloud(), machine_id)
            servers.delete(machine_id)

    def create_machine(
        self,
        name: str,
        *,
        image: str,
        size: str,
        location: str = "",
        network: str | Sequence[str] = (),
        key: str = "",
        user_data: str = "",
        tags: Mapping[str, str] | None = None,
        security_groups: str | Sequence[str] = (),
        floating_ip: bool | str = False,
    ) -> Machine:
        """Create a server and return it as Nova has accepted it, usually `pending`.

        Args:
            name: its name.
            image: id or name of an image.
            size: id or name of a flavor.
            location: an availability zone.
            network: ids or names of networks, or "none"; by default the only one that the project has.
            key: the name of a key pair, or the text of a public key, which is then kept as one.
            user_data: for cloud-init, as plain text.
            tags: become its metadata.
            security_groups: names of security groups; by default the project's "default".
            floating_ip: whether it gets a floating address, or the name of the external network to take it from; then
                this waits until the server has a port.

        Returns:
            The machine; the administrator's password, where the cloud makes one, is in `extra["admin_password"]` and
            is never told again.

        Raises:
            InvalidFields: an image, size or network that is not there, naming those that are.
            Rejected: reason "quota", "network" (several, choose one) or "invalid".
            PermissionDenied: the user's role may not create servers.

        """
        from mistcore_providers._openstack_create import create_server

        if self._lacks("create_machine"):
            raise self.not_supported("create_machine")
        cloud = self._cloud()
        made = create_server(
            cloud,
            name,
            image=image,
            size=size,
            zone=location,
            networks=_listed(network),
            key=key,
            user_data=user_data,
            tags={str(tag): str(value) for tag, value in (tags or {}).items()},
            security_groups=_listed(security_groups),
            floating_ip=floating_ip,
            glance=self._glance,
        )
        return self._created(cloud, name, *made)

    def list_sizes(self) -> Iterator[Size]:
        """Yield the flavors: memory in MiB, disk in GiB."""
        for page in self._cloud().pages("compute", "/flavors/detail", "flavors"):
            yield from filter(None, map(records.size, page))

    def list_images(self, search: str = "") -> Iterator[Image]:
        """Yield the images that can be used now, those whose name holds `search`, in whatever case."""
        cloud = self._cloud()
        if self._glance:
            pages = cloud.pages("image", "/v2/images", "images", status="active", limit=1000)
        else:
            pages = cloud.pages("compute", "/images/detail", "images")
        for page in pages:
            for image in filter(None, map(records.image, page)):
                if search.lower() in image.name.lower():
                    yield image

    def list_locations(self) -> Iterator[Location]:
        """Yield the availability zones; the region alone where the cloud does not tell any."""
        from keystoneauth1 import exceptions

        cloud = self._cloud()
        region = cloud.region()
        try:
            zones = cloud.get("compute", "/os-availability-zone").get("availabilityZoneInfo")
        except (exceptions.NotFound, exceptions.BadRequest, exceptions.Forbidden):
            zones = None
        if not zones:
            yield Location(id=region, name=region)
            return

        def location(zone: dict[str, Any]) -> Location:
            available = bool((zone.get("zoneState") or {}).get("available", True))
            return Location(
                id=zone["zoneName"], name=zone["zoneName"], extra={"available": available, "region": region}
            )

        yield from readable(location, zones)

    def list_networks(self) -> Iterator[Network]:
        """Yield Neutron's networks with the address ranges of their subnets; `NotSupported` where there is none."""
        cloud = self._cloud()

        def rows(key: str) -> list[Any]:
            return [row for page in cloud.pages("network", f"/v2.0/{key}", key) for row in page]

        networks, subnets = in_parallel(rows, ("networks", "subnets"))
        for raw in networks:
            network = records.network(raw, subnets)
            if network is not None:
                yield network

    def close(self) -> None:
        """Let go of the connections and of the token."""
        self.let_go("_open")

    def translate_error(self, error: Exception) -> MistError | None:
        """Return our error for keystoneauth's and novaclient's, and for an answer that is not built as it should be."""
        return errors.translate(error) or garbled(error)

    # -- the account --------------------------------------------------------------------------------------------------

    def _connect(self) -> Cloud:
        """Return the account, not yet logged in."""
        raise NotImplementedError

    def _cloud(self) -> Cloud:
        found: Cloud | None = self.__dict__.get("_open")
        if found is not None:
            return found
        kept: Cloud = self.__dict__.setdefault("_open", self._connect())
        return kept

    def _lacks(self, operation: str) -> bool:
        """Tell whether this account's service does not offer an operation that others of the family do."""
        return False

    def _seconds(self) -> float:
        return self.timeout

    def _warnings(self, cloud: Cloud, details: Mapping[str, Any]) -> tuple[str, ...]:
        found = []
        if cloud.insecure:
            found.append("The certificate is not verified: anybody in between can read and change everything.")
        if (cloud.login.auth_url or "").startswith("http://"):
            found.append("Credentials and tokens go over plain HTTP, readable by everybody in between.")
        if "admin" in details["roles"]:
            found.append("The user has the role admin: it may see and change every project of the cloud.")
        return tuple(found)

    def _created(self, cloud: Cloud, name: str, machine_id: str, password: str) -> Machine:
        """Return a new server, in any case: it is there, even if it cannot be asked for at once."""
        from keystoneauth1 import exceptions

        machine = Machine(id=machine_id, name=name, state=MachineState.PENDING)
        with suppress(exceptions.ClientException, MistError):
            machine = next(self._machines(cloud, [self._server(cloud, machine_id)]), machine)
        return attrs.evolve(machine, extra={**machine.extra, "admin_password": password}) if password else machine

    # -- servers ------------------------------------------------------------------------------------------------------

    @contextmanager
    def _acting(self, operation: str, machine_id: str) -> Iterator[Any]:
        """Hand out novaclient's servers, to act on one of them."""
        if self._lacks(operation):
            raise self.not_supported(operation)
        from mistcore_providers._openstack_create import nova

        with self._knowing(machine_id):
            yield nova(self._cloud()).servers

    @contextmanager
    def _knowing(self, machine_id: str) -> Iterator[None]:
        """Turn "no such server" into `MachineNotFound`, also for an id that could not be one."""
        if segment(machine_id) != machine_id:
            raise self.machine_not_found(machine_id)
        try:
            yield
        except Exception as error:
            if (getattr(error, "http_status", 0) or getattr(error, "code", 0)) == 404:
                raise self.machine_not_found(machine_id) from error
            raise

    def _server(self, cloud: Cloud, machine_id: str) -> dict[str, Any]:
        raw = cloud.servers(f"/servers/{machine_id}").get("server")
        return raw if isinstance(raw, dict) else {}

    def _machines(self, cloud: Cloud, rows: Sequence[Any]) -> Iterator[Machine]:
        known = [row for row in rows if isinstance(row, Mapping)]
        region = cloud.region()
        to_name = known if cloud.name_lookup else ()
        flavors = {records.flavor_id(row) for row in to_name}
        images = {records.image_id_of(row) for row in to_name}
        size_names = cloud.legacy_names("flavors", flavors)
        image_names = cloud.image_names(images) if self._glance else cloud.legacy_names("images", images)
        for row in known:
            machine = records.machine(row, region=region, sizes=size_names, images=image_names)
            if machine is not None:
                yield machine


def _lacks_fault(raw: Mapping[str, Any]) -> bool:
    """Tell whether a server has failed a moment ago and Nova has not written down why: it does that afterwards."""
    if records.state_of(raw) is not MachineState.ERROR or records.fault_of(raw):
        return False
    updated = records.time_of(raw.get("updated"))
    return updated is not None and abs((datetime.now(UTC) - updated).total_seconds()) < _FAULT_AGE


def _listed(value: str | Sequence[str]) -> list[str]:
    words = value.split(",") if isinstance(value, str) else list(value)
    return [word.strip() for word in words if word.strip()]


def lookup() -> Any:
    """Declare the field that says whether names are looked up: `name_lookup: bool = lookup()`."""
    help = "Off lists sizes and images by their ids: fewer requests, and less work for the cloud."
    return credential("Look up names", default=True, help=help)


def address_problem(value: str) -> None:
    """Validate the address of a service: raises `ValueError` in words."""
    if not value.startswith(("http://", "https://")) or not value.partition("://")[2].strip("/"):
        raise ValueError("must start with http:// or https:// and name a host")
