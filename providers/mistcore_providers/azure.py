"""Azure, by Resource Manager: virtual machines of one subscription.

Facts: the REST references of Microsoft.Compute, Microsoft.Network, Microsoft.Authorization and of subscriptions
(Microsoft Learn).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from mistcore import (
    Account,
    Image,
    InvalidFields,
    Location,
    Machine,
    MistError,
    Network,
    Provider,
    ProviderError,
    ServiceRetired,
    Size,
    ca_certificate,
    credential,
    secret,
    verification,
)
from mistcore.http import RestSession
from mistcore.parallel import in_parallel
from mistcore.rows import garbled
from mistcore_providers._azure_arm import COMPUTE, NETWORK, SKUS, SUBSCRIPTIONS, Arm
from mistcore_providers._azure_auth import AzureTokens, Login, read_certificate
from mistcore_providers._azure_cloud import CLOUDS, guid, https, location_name, tenant
from mistcore_providers._azure_create import Plan, create, destroy_storage
from mistcore_providers._azure_errors import arm_error
from mistcore_providers._azure_images import find_images
from mistcore_providers._azure_machines import Join, address_ids, interface_ids, machine_parts
from mistcore_providers._azure_offer import locations, networks, sizes
from mistcore_providers._azure_roles import allowed_operations, role_warnings


class Azure(Provider):
    """Virtual machines of one Azure subscription, seen as an application, or as whoever is logged in.

    A machine's ID is its resource ID. `extra["billed"]` of a stopped machine tells whether it still costs money: one
    that was only powered off does, one that was deallocated does not.
    """

    title = "Azure"
    rights = """
    Register an application (Entra → App registrations), add a client secret or a certificate to it, and give it a
    role: Subscriptions → the subscription → Access control (IAM) → Add role assignment.

    To read, the built-in role **Reader** is enough. A role of your own needs these actions:

    ```text
    Microsoft.Resources/subscriptions/read
    Microsoft.Resources/subscriptions/locations/read
    Microsoft.Authorization/permissions/read
    Microsoft.Compute/virtualMachines/read
    Microsoft.Compute/skus/read
    Microsoft.Compute/images/read
    Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions/read
    Microsoft.Network/networkInterfaces/read
    Microsoft.Network/publicIPAddresses/read
    Microsoft.Network/virtualNetworks/read
    ```

    To start, stop and reboot, add `Microsoft.Compute/virtualMachines/` with `start/action`, `deallocate/action`,
    `powerOff/action` and `restart/action`, and `Microsoft.Compute/locations/operations/read`, by which the end is
    waited for; to destroy, `Microsoft.Compute/virtualMachines/delete`. To create, the built-in roles **Virtual
    Machine Contributor** and **Network Contributor** on one resource group that exists already; a group that is to be
    made needs **Contributor** on the subscription.
    """
    limits = (
        "Only machines of Resource Manager: the classic API is refused with `ServiceRetired`.",
        "Azure has no renaming, and hibernation is not offered.",
        "Instances of scale sets in uniform mode are not listed.",
        "The permissions that `check` tells come from roles on the whole subscription; of others it knows nothing.",
        "Sizes have no prices.",
        "Never tried against Azure itself: the stand-ins it is tested with also serve Microsoft's own SDK.",
    )

    subscription_id: str = credential(
        "Subscription ID",
        help="Azure portal → Subscriptions.",
        env="AZURE_SUBSCRIPTION_ID",
        example="01234567-89ab-cdef-0123-456789abcdef",
        validator=guid,
    )
    tenant_id: str = credential(
        "Tenant ID",
        default="",
        help="The directory that the application is registered in: Entra → Overview. Its ID or its domain.",
        env="AZURE_TENANT_ID",
        validator=tenant,
    )
    client_id: str = credential(
        "Client ID",
        default="",
        help="The application's ID: Entra → App registrations. Leave the secret out to use the identity that this "
        "machine has already (environment, managed identity, az login).",
        env="AZURE_CLIENT_ID",
        validator=guid,
    )
    client_secret: str = secret(
        "Client secret",
        default="",
        help="The value, not the ID, of a secret: App registrations → the application → Certificates & secrets.",
        env="AZURE_CLIENT_SECRET",
    )
    certificate: str = secret(
        "Certificate",
        default="",
        help="Instead of a secret: a PEM file with the certificate that is registered with the application, and its "
        "private key.",
        env="AZURE_CLIENT_CERTIFICATE_PATH",
        file=True,
    )
    cloud: str = credential(
        "Cloud", default="public", choices=tuple(CLOUDS), help="Azure itself, or one of those kept apart from it."
    )
    endpoint: str = credential(
        "API address", default="", help="Resource Manager's; only for private installations and proxies.", address=True
    )
    authority: str = credential(
        "Token service's address",
        default="",
        help="Only for private installations and proxies.",
        address=True,
        validator=https,
    )
    ca_cert: str = ca_certificate()
    verify: bool = verification()

    def problems(self) -> Mapping[str, str]:
        """Return what is wrong with the fields together. Raises `ServiceRetired` for those of the classic API."""
        found: dict[str, str] = {}
        if self.certificate and not (self.tenant_id or self.client_id or self.client_secret):
            raise ServiceRetired(
                "a subscription and a certificate alone belong to Azure's classic API, which is retired: its virtual "
                "machines since 6 September 2023, its cloud services since 31 August 2024",
                reason="service_retired",
                remedy="Azure Resource Manager replaced it. Register an application (Entra → App registrations), give "
                "it a role on the subscription, and give tenant_id, client_id and client_secret; or keep the "
                "certificate, upload it to the application, and add tenant_id and client_id.",
                provider=self.id,
            )
        if self.client_secret and self.certificate:
            found["certificate"] = "give either client_secret or certificate"
        for name in ("tenant_id", "client_id") if self.client_secret or self.certificate else ():
            if not getattr(self, name):
                found[name] = "missing (it goes with the client secret or the certificate)"
        if self.certificate and not found:
            read_certificate(self.certificate)
        return found

    def check(self) -> Account:
        """Get a token, read the subscription, and ask which roles there are on it.

        Permissions come from the roles on the subscription itself; None where there are only roles further down.
        """
        arm = self._arm()
        calls: tuple[Callable[[], Any], ...] = (partial(arm.get, arm.root, SUBSCRIPTIONS), arm.permissions)
        subscription, permissions = in_parallel(lambda call: call(), calls)
        subscription = subscription if isinstance(subscription, Mapping) else {}
        state = str(subscription.get("state") or "")
        return Account(
            id=str(subscription.get("subscriptionId") or self.subscription_id),
            name=str(subscription.get("displayName") or ""),
            details={
                "tenant_id": str(subscription.get("tenantId") or self.tenant_id),
                "client_id": self.client_id,
                "state": state,
                "cloud": self.cloud,
                "login": self._tokens().source,
            },
            permissions=allowed_operations(permissions) if permissions else None,
            warnings=self._warnings(state, permissions),
        )

    def list_machines(self) -> Iterable[Machine]:
        """Return every machine, from four paged listings side by side; never a request for each machine."""
        arm = self._arm()
        statuses, interfaces, addresses, machines = in_parallel(
            lambda call: call(),
            (
                partial(arm.listed, "Microsoft.Compute/virtualMachines", COMPUTE, statusOnly="true"),
                partial(arm.listed_if_allowed, "Microsoft.Network/networkInterfaces", NETWORK),
                partial(arm.listed_if_allowed, "Microsoft.Network/publicIPAddresses", NETWORK),
                partial(arm.listed, "Microsoft.Compute/virtualMachines", COMPUTE),
            ),
        )
        join = Join(statuses, interfaces, addresses)
        return [machine for machine in map(join.machine, machines) if machine is not None]

    def get_machine(self, machine_id: str) -> Machine:
        """Return one machine, with its run-time status and addresses."""
        arm = self._arm()
        raw = self._get_raw(machine_id)
        interfaces = arm.found(interface_ids(raw.get("properties") or {}))
        addresses = arm.found(found for row in interfaces for found in address_ids(row))
        machine = Join((), interfaces, addresses).machine(raw, machine_id=machine_id)
        if machine is None:
            raise ProviderError("Azure describes the machine without an ID", reason="garbled")
        return machine

    def start_machine(self, machine_id: str, *, wait: bool = True) -> None:
        """Start a machine. `wait`: return when it is done, rather than when Azure has accepted it."""
        self._act(machine_id, "start", "start the machine", wait=wait)

    def stop_machine(self, machine_id: str, *, deallocate: bool = True, force: bool = False, wait: bool = True) -> None:
        """Stop a machine and give back what it runs on, so that it costs nothing but its disks and addresses.

        Args:
            machine_id: its ID.
            deallocate: False only powers it off: it keeps its place and its price.
            force: cut the power, rather than ask its operating system.
            wait: return when it is done, rather than when Azure has accepted it.

        """
        if force or not deallocate:
            skip = {"skipShutdown": "true"} if force else {}
            self._act(machine_id, "powerOff", "power off the machine", wait=wait or deallocate, **skip)
        if deallocate:
            self._act(machine_id, "deallocate", "stop the machine", wait=wait)

    def reboot_machine(self, machine_id: str, *, wait: bool = True) -> None:
        """Reboot a machine. `wait`: return when it is done, rather than when Azure has accepted it."""
        self._act(machine_id, "restart", "reboot the machine", wait=wait)

    def destroy_machine(self, machine_id: str, *, storage: bool = False, force: bool = False) -> None:
        """Delete a machine and wait until it is gone. Its disks and interfaces stay, unless `storage` is given.

        Args:
            machine_id: its ID.
            storage: delete its disks and interfaces too, and the public address that `create_machine` made for it.
            force: do not wait for its operating system to shut down.

        Raises:
            Rejected: (reason "leftovers") it is gone, but not all that was to go with it.

        """
        arm = self._arm()
        path = self._path(machine_id)
        options = {"forceDeletion": "true"} if force else {}
        delete = partial(arm.delete, path, COMPUTE, what="delete the machine", **options)
        there = destroy_storage(arm, self._get_raw(machine_id), delete) if storage else self._on(machine_id, delete)
        if not there:
            raise self.machine_not_found(machine_id)

    def create_machine(
        self,
        name: str,
        *,
        image: str,
        size: str,
        location: str = "",
        network: str = "",
        key: str = "",
        user_data: str = "",
        tags: Mapping[str, str] | None = None,
        resource_group: str = "mistcore",
        user: str = "azureuser",
        password: str = "",
        disk: int = 0,
        public_ip: bool = True,
        wait: bool = True,
    ) -> Machine:
        """Create a machine with an interface and a public address of its own, and return it.

        Args:
            name: what it is to be called.
            image: an alias ("Debian12"), a URN ("publisher:offer:sku:version"), or the ID of an image.
            size: "Standard_B1s", say.
            location: "eastus", say; by default where the resource group is.
            network: a subnet's ID, or a network's ID or name, or "network/subnet"; by default the network
                `mistcore-<location>` of the resource group, made when it is first needed, open for SSH only.
            key: a public key's text, or the name of an SSH key that Azure has.
            user_data: for cloud-init; up to 65,535 bytes.
            tags: a mapping. resource_group: made when it is not there yet.
            user, password: the first user; the password may be left out where there is a key.
            disk: the system disk's size in GiB; 0 for the image's.
            public_ip: whether it gets a public address.
            wait: return when it runs, rather than when Azure has accepted it.

        Raises:
            Rejected: a name that is taken, a quota, no capacity. What was made on the way is taken back then.

        """
        plan = Plan(
            name=name,
            image=image,
            size=size,
            location=location,
            resource_group=resource_group,
            network=network,
            key=key,
            password=password,
            user=user,
            user_data=user_data,
            tags=dict(tags or {}),
            disk=disk,
            public_ip=public_ip,
        )
        return self.get_machine(create(self._arm(), plan, wait=wait))

    def list_sizes(self, *, location: str = "") -> Iterable[Size]:
        """Return the sizes of machines; `disk` is the temporary disk. `location` leaves out what others have."""
        place = location_name(location)
        if place and not place.isalnum():
            raise InvalidFields({"location": f"{location!r} is no location of Azure"})
        query = {"$filter": f"location eq '{place}'"} if place else {}
        return sizes(self._arm().listed("Microsoft.Compute/skus", SKUS, **query))

    def list_images(self, search: str = "", *, location: str = "") -> Iterable[Image]:
        """Return the usual images, and the subscription's own.

        Args:
            search: narrows these, and looks into the marketplace: a part of a publisher's name, or
                "publisher:offer", "publisher:offer:sku" (which lists every version); the last may be a part.
            location: whose images; they differ little.

        """
        return find_images(self._arm(), search, location_name(location) or CLOUDS[self.cloud].location)

    def list_locations(self) -> Iterable[Location]:
        """Return the locations of machines that the subscription has."""
        arm = self._arm()
        return locations(arm.rows(f"{arm.root}/locations", SUBSCRIPTIONS))

    def list_networks(self) -> Iterable[Network]:
        """Return the virtual networks, with their subnets in `extra`."""
        return networks(self._arm().listed("Microsoft.Network/virtualNetworks", NETWORK))

    def close(self) -> None:
        """Close the connections and forget the token."""
        kept = self.__dict__.pop("_kept", None)
        for each in kept or ():
            each.close()

    def translate_error(self, error: Exception) -> MistError | None:
        """Return our error for an answer that is not built as it should be."""
        return garbled(error)

    # -- how ----------------------------------------------------------------------------------------------------------

    def _arm(self) -> Arm:
        return self._connections()[0]

    def _tokens(self) -> AzureTokens:
        return self._connections()[1]

    def _connections(self) -> tuple[Arm, AzureTokens]:
        kept = self.__dict__.get("_kept")
        return kept or self.__dict__.setdefault("_kept", self._connect())  # type: ignore[no-any-return]

    def _connect(self) -> tuple[Arm, AzureTokens]:
        cloud = CLOUDS[self.cloud]
        tokens = AzureTokens(
            Login(self.tenant_id, self.client_id, self.client_secret, self.certificate),
            authority=(self.authority or cloud.authority).rstrip("/"),
            audience=cloud.endpoint,
            subscription_id=self.subscription_id,
            session=self._session,
            timeout=lambda: self.timeout,
        )

        def error(failure: Any) -> MistError | None:
            if failure.status == 401:
                tokens.forget()
            return arm_error(failure)

        session = self._session(self.endpoint or cloud.endpoint, auth=tokens.sign(), error=error)
        return Arm(session, self.subscription_id), tokens

    def _session(self, address: str, **options: Any) -> RestSession:
        return RestSession(address, timeout=lambda: self.timeout, verify=self.verify, ca_cert=self.ca_cert, **options)

    def _warnings(self, state: str, permissions: list[Any]) -> Iterator[str]:
        if self.endpoint.startswith("http://"):
            yield "Plain HTTP: whoever is on the way can read the token."
        if not self.verify:
            yield "The certificates of Azure are not verified."
        if state and state != "Enabled":
            yield f"The subscription is {state}: it may be read-only."
        yield from role_warnings(permissions)

    def _path(self, machine_id: str) -> str:
        parts = machine_parts(machine_id, self.subscription_id)
        if parts is None:
            raise self.machine_not_found(machine_id)
        group, name = parts
        return f"{self._arm().root}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines/{name}"

    def _get_raw(self, machine_id: str) -> Mapping[str, Any]:
        path, arm = self._path(machine_id), self._arm()
        raw = arm.find(path, COMPUTE, **{"$expand": "instanceView"})
        if not isinstance(raw, Mapping):
            raise self.machine_not_found(machine_id)
        return raw

    def _act(self, machine_id: str, verb: str, what: str, *, wait: bool, **query: str) -> None:
        path = f"{self._path(machine_id)}/{verb}"
        self._on(machine_id, partial(self._arm().act, path, COMPUTE, what=what, wait=wait, **query))

    def _on(self, machine_id: str, call: Any) -> Any:
        try:
            return call()
        except ProviderError as error:
            if error.reason == "not_found":
                raise self.machine_not_found(machine_id) from error
            raise
