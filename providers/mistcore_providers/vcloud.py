"""VMware Cloud Director, and vCloud Director before it.

Facts are from VMware's schemas of the API (github.com/vmware/vcd-api-schemas) and from its own client (pyvcloud).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from mistcore import (
    Account,
    Image,
    InvalidFields,
    Location,
    Machine,
    MachineState,
    MistError,
    Network,
    NotSupported,
    PermissionDenied,
    Provider,
    Size,
    ca_certificate,
    credential,
    secret,
    verification,
)
from mistcore.addresses import split_addresses
from mistcore.parallel import in_parallel
from mistcore.rows import garbled
from mistcore_providers._vcloud_actions import NewMachine, Vms
from mistcore_providers._vcloud_data import (
    address_rows,
    href_id,
    image_of,
    listed_machine,
    location_of,
    machine_of,
    network_of,
    number,
    record_of,
    rows,
    size_of,
    state_of,
)
from mistcore_providers._vcloud_rights import allowed_operations
from mistcore_providers._vcloud_session import Login, VcloudSession

_PAGE = 128  # the most that the service gives at a time


class Vcloud(Provider):
    """The virtual machines of an organisation at a VMware Cloud Director, from vCloud Director 5.1 on.

    The version of the API is agreed on at each login. The organisation "System" is that of the installation's own
    administrators, who see the machines of all. A machine's id is its UUID; its `region` is its virtual data centre,
    and its `size` is "2x4096": virtual CPUs and MiB. A suspended or stopped machine keeps its place in its vApp.
    """

    title = "VMware vCloud"
    extra = "vcloud"
    rights = """
    The organisation's administrator makes the user or, from Cloud Director 10.3.1 on, the user makes an API token:
    User preferences → API tokens → New, which has no more rights than the user and can be revoked by itself.

    To read, a role of your own with nothing but the rights to view is enough, as in the predefined role **Console
    Access Only**: a machine is listed to whoever may see its vApp. To act, the role needs, by these names:

    - start, stop, reboot, suspend, resume: `vApp: Power Operations`
    - rename: `vApp: Edit VM Properties`
    - create: `vApp: Create / Reconfigure`, and the catalogue shared with the user
    - destroy: `vApp: Delete`

    The predefined role **vApp User** has all but creating, **vApp Author** has all of these.
    """
    limits: ClassVar[tuple[str, ...]] = (
        "Sizes are sizing policies, which Cloud Director 10.0 and newer have; older ones have no list of sizes.",
        "A template with several machines cannot be created from, and a machine is never added to a vApp that exists.",
        "Machines have no tags: the metadata of Cloud Director is not read.",
        "A stop without `force` needs VMware Tools in the machine.",
        "Never tried against a Cloud Director itself: the stand-in it is tested with also serves VMware's own client.",
    )

    host: str = credential(
        "Host",
        help="Name or address of the Cloud Director, with or without https://, port and path.",
        example="vcd.example.com",
        address=True,
    )
    organization: str = credential(
        "Organization", help="The organisation's short name, as in /tenant/NAME of the web pages' address."
    )
    username: str = credential("User name", default="", help="The user's name within the organisation.")
    password: str = secret("Password", default="", help="The user's password.")
    api_token: str = secret(
        "API token",
        default="",
        help="Instead of user name and password: User preferences → API tokens → New (Cloud Director 10.3.1 or newer).",
    )
    ca_cert: str = ca_certificate()
    verify: bool = verification()

    def problems(self) -> Mapping[str, str]:
        """Return what is wrong with the fields taken together."""
        if self.api_token:
            if self.username or self.password:
                return {"api_token": "give this, or username and password, not both"}
            return {}
        return {
            name: f"missing ({label}); or give api_token"
            for name, label in (("username", "User name"), ("password", "Password"))
            if not getattr(self, name)
        }

    def check(self) -> Account:
        """Log in, and ask for one machine.

        Returns:
            the user, with the organisation, the roles, the version of the API and the number of machines. The
            permissions are those of the user's role, where it may read that.

        Raises:
            AuthenticationFailed, PermissionDenied, Unreachable, RateLimited, ProviderError: (reason "not_vcloud")
                there is something else at this address.

        """
        found = self._session.session
        query = {"type": self._kind("vm"), "format": "records", "page": 1, "pageSize": 1}
        first = self._session.get("api/query", params={**query, "filter": "isVAppTemplate==false"})
        user, organization = found.get("user") or {}, found.get("org") or {}
        name = str(user.get("name") or self.username)
        details = {
            "organization": organization.get("name") or self.organization,
            "roles": [str(role) for role in rows(found.get("roles"))],
            "api_version": self._session.version,
            "machines": number(first.get("total")),
        }
        return Account(
            id=str(user.get("id") or f"{name}@{self.organization}"),
            name=f"{name}@{details['organization']}",
            details={name: value for name, value in details.items() if value not in (None, [], "")},
            permissions=self._permissions(found),
            warnings=self._session.warnings,
        )

    def list_machines(self) -> Iterator[Machine]:
        """Yield every machine, templates left out. Raises as `check` does.

        The records of vCloud Director 5 do not name the data centre, which costs one request more for all of them. A
        running machine's record without an address costs one more for its whole vApp.
        """
        bare: list[Machine] = []
        regions: dict[str, str] | None = None
        for machine in self._query("vm", listed_machine, filter="isVAppTemplate==false"):
            if machine is None:
                continue
            if machine.region and machine.region == machine.extra.get("vdc_id"):
                regions = self._regions() if regions is None else regions
                machine = _with(machine, region=regions.get(machine.region, machine.region))
            addresses = machine.public_ips or machine.private_ips
            running = machine.state in (MachineState.RUNNING, MachineState.REBOOTING, MachineState.STARTING)
            if running and not addresses and machine.extra.get("vapp_id"):
                bare.append(machine)
            else:
                yield machine
        yield from self._completed(bare)

    def get_machine(self, machine_id: str) -> Machine:
        """Return one machine, with the addresses of all its networks."""
        vm_id = self._vm_id(machine_id)
        vm = self._vms.get(vm_id, self.machine_not_found(machine_id))
        record = record_of(vm)
        name = str(vm.get("name") or "")
        if re.fullmatch(r"[\w.-]+", name, re.ASCII):  # how others are escaped in a filter differs between versions
            for found in self._query("vm", dict, filter=f"isVAppTemplate==false;name=={name}"):
                if href_id(found.get("href")) == vm_id:
                    record = found
        machine = machine_of(record, address_rows(vm))
        if machine.region and machine.region == machine.extra.get("vdc_id"):
            machine = _with(machine, region=self._regions().get(machine.region, machine.region))
        if machine.state is MachineState.UNKNOWN:
            return _with(machine, state=state_of(vm.get("status")))
        return machine

    def start_machine(self, machine_id: str) -> None:
        """Power a machine on, and wait until that is done."""
        self._act(machine_id, "power/action/powerOn")

    def stop_machine(self, machine_id: str, *, force: bool = False) -> None:
        """Ask a machine's system to shut down, or with `force` cut its power; wait until that is done.

        Raises:
            Rejected: (reason "tools") VMware Tools do not run in it, so that it cannot be asked.

        """
        if force:
            self._vms.undeploy(self._vm_id(machine_id), self.machine_not_found(machine_id))
        else:
            self._act(machine_id, "power/action/shutdown")

    def reboot_machine(self, machine_id: str, *, force: bool = False) -> None:
        """Ask a machine's system to reboot, or with `force` reset it; wait until that is done."""
        self._act(machine_id, "power/action/reset" if force else "power/action/reboot")

    def suspend_machine(self, machine_id: str) -> None:
        """Save a machine's memory to disk and stop it."""
        self._act(machine_id, "power/action/suspend")

    def resume_machine(self, machine_id: str) -> None:
        """Let a suspended machine go on."""
        self._act(machine_id, "power/action/powerOn")

    def rename_machine(self, machine_id: str, name: str) -> None:
        """Give a machine another name; its host name stays."""
        if not name.strip():
            raise InvalidFields({"name": "missing"}, provider=self.id)
        self._vms.rename(self._vm_id(machine_id), name, self.machine_not_found(machine_id))

    def destroy_machine(self, machine_id: str, *, force: bool = False) -> None:
        """Delete a machine with its disks, and its vApp if that was made for it alone.

        Args:
            force: do it although it runs, by cutting its power first.

        Raises:
            MachineNotFound, Rejected: (reason "state") it runs.

        """
        self._vms.destroy(self._vm_id(machine_id), self.machine_not_found(machine_id), force=force)

    def create_machine(
        self,
        name: str,
        *,
        image: str,
        location: str = "",
        size: str = "",
        network: str = "",
        address: str = "pool",
        user_data: str = "",
        start: bool = True,
    ) -> Machine:
        """Create a machine from a catalogue's template, in a vApp of the same name, and wait until it is there.

        Args:
            image: a template's id or name. location: a virtual data centre's id or name, needed if there are several.
            size: a sizing policy's id or name; by default what the template says.
            network: a network's id or name; by default what the template says.
            address: in that network, "pool" (one that the service chooses), "dhcp", or the very address.
            user_data: the script that guest customisation runs (a shell script, or a batch file on Windows).
            start: power it on.

        Raises:
            InvalidFields: one of them is not there, or several have the name.
            Rejected: (reason "exists", "quota" …) what the service says.

        """
        if not name.strip():
            raise InvalidFields({"name": "missing"}, provider=self.id)
        if address.lower() not in ("pool", "dhcp") and not any(split_addresses([address])):
            raise InvalidFields({"address": 'must be "pool", "dhcp" or an IP address'}, provider=self.id)
        wanted = NewMachine(
            name=name,
            template=self._find("image", image, self.list_images()),
            vdc=self._vdc(location),
            network=self._find("network", network, self.list_networks()) if network else "",
            address=address,
            policy=self._find("size", size, self.list_sizes()) if size else "",
            script=user_data,
            start=start,
        )
        missing = InvalidFields({"image": f"the template {image!r} is gone"}, provider=self.id)
        return self.get_machine(self._vms.create(wanted, missing))

    def list_sizes(self) -> Iterator[Size]:
        """Yield the sizing policies (Cloud Director 10.0 or newer)."""
        if not self._session.has_cloud_api:
            raise NotSupported("this version of vCloud Director has no sizing policies", provider=self.id)
        return self._cloud_api("cloudapi/2.0.0/vdcComputePolicies", size_of, {"filter": "isSizingOnly==true"})

    def list_images(self, search: str = "") -> Iterator[Image]:
        """Yield the templates of all catalogues; `search` is a part of the name, whatever the case."""
        for image in self._query("vAppTemplate", image_of):
            if search.lower() in image.name.lower():
                yield image

    def list_locations(self) -> Iterator[Location]:
        """Yield the virtual data centres."""
        return self._query("orgVdc", location_of)

    def list_networks(self) -> Iterator[Network]:
        """Yield the networks of the organisation's virtual data centres."""
        if self._session.has_cloud_api:
            return self._cloud_api("cloudapi/1.0.0/orgVdcNetworks", network_of, {})
        return self._query("orgVdcNetwork", network_of)

    def close(self) -> None:
        """Log out, and close the connections."""
        self.let_go("_kept_session")

    def translate_error(self, error: Exception) -> MistError | None:
        """Return our error for an answer that is not built as it should be."""
        return garbled(error)

    # -- how it is done -----------------------------------------------------------------------------------------------

    @property
    def _session(self) -> VcloudSession:
        kept = self.__dict__.get("_kept_session")
        if kept is None:
            login = Login(self.organization, self.username, self.password, self.api_token)
            new = VcloudSession(
                self.host, login, timeout=lambda: self.timeout, verify=self.verify, ca_cert=self.ca_cert
            )
            kept = self.__dict__.setdefault("_kept_session", new)
        session: VcloudSession = kept
        return session

    @property
    def _vms(self) -> Vms:
        return Vms(self._session)

    def _kind(self, kind: str) -> str:
        """Return a query's type; the installation's administrators have their own, which sees all organisations."""
        if self.organization.lower() != "system" or kind == "orgVdcNetwork":
            return kind
        return {"vm": "adminVM"}.get(kind, f"admin{kind[0].upper()}{kind[1:]}")

    def _query(self, kind: str, each: Any, **params: str) -> Iterator[Any]:
        return self._session.pages(
            "api/query",
            items="record",
            params={"type": self._kind(kind), "format": "records", "sortAsc": "name", **params},
            per_page="pageSize",
            size=_PAGE,
            total=lambda body: number(body.get("total")),
            each=each,
            key="href",
        )

    def _cloud_api(self, path: str, each: Any, params: Mapping[str, str]) -> Iterator[Any]:
        return self._session.pages(
            path, items="values", params=params, per_page="pageSize", size=_PAGE, total="resultTotal", each=each
        )

    def _regions(self) -> dict[str, str]:
        """Return the names of the virtual data centres by id; nothing where the user may not list them."""
        try:
            return {location.id: location.name for location in self.list_locations()}
        except PermissionDenied:
            return {}

    def _completed(self, machines: list[Machine]) -> Iterator[Machine]:
        """Yield the machines with the addresses that their vApps know."""
        vapps = list(dict.fromkeys(machine.extra["vapp_id"] for machine in machines))
        addresses: dict[str, list[str]] = {}
        for found in in_parallel(self._vms.addresses_of_vapp, vapps):
            addresses |= found
        for machine in machines:
            public, private = split_addresses(addresses.get(machine.id, ()))
            yield _with(machine, public_ips=public, private_ips=private)

    def _permissions(self, session: Mapping[str, Any]) -> Iterable[str] | None:
        """Return the operations that the user's roles allow, or None where the user may not read these."""

        def rights(role: str) -> Iterator[Any]:
            return self._cloud_api(f"cloudapi/1.0.0/roles/{role}/rights", dict, {})

        return allowed_operations(session, rights)

    def _vm_id(self, machine_id: str) -> str:
        vm_id = href_id(machine_id)
        if not vm_id or vm_id != machine_id.lower().removeprefix("urn:vcloud:vm:").removeprefix("vm-"):
            raise self.machine_not_found(machine_id)
        return vm_id

    def _act(self, machine_id: str, action: str) -> None:
        self._vms.act(self._vm_id(machine_id), action, self.machine_not_found(machine_id))

    def _vdc(self, location: str) -> str:
        locations = list(self.list_locations())
        if not location and len(locations) == 1:
            return locations[0].id
        if not location:
            names = ", ".join(one.name for one in locations) or "none"
            raise InvalidFields({"location": f"missing, one of {names}"}, provider=self.id)
        return self._find("location", location, locations)

    def _find(self, field: str, wanted: str, things: Iterable[Any]) -> str:
        """Return the id of the thing that has this id or name."""
        named = []
        for thing in things:
            if wanted == thing.id:
                return wanted
            if wanted == thing.name:
                named.append(str(thing.id))
        if len(named) == 1:
            return named[0]
        problem = f"{len(named)} have the name {wanted!r}: {', '.join(named)}" if named else f"there is no {wanted!r}"
        raise InvalidFields({field: problem}, provider=self.id)


def _with(machine: Machine, **changes: Any) -> Machine:
    import attrs

    return attrs.evolve(machine, **changes)
