"""Google Compute Engine: the instances of one project.

Facts: the REST reference of Compute Engine v1, and of Resource Manager v1 for permissions (Google's docs).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from mistcore import (
    Account,
    Image,
    InvalidFields,
    Location,
    Machine,
    MistError,
    Network,
    PartialResult,
    Provider,
    ProviderError,
    Size,
    ca_certificate,
    credential,
    secret,
    verification,
)
from mistcore.http import RestSession, segment
from mistcore.parallel import in_parallel
from mistcore.rows import garbled
from mistcore_providers._gce_api import Compute
from mistcore_providers._gce_auth import GoogleTokens, Key, read_key
from mistcore_providers._gce_create import Plan, instance_body
from mistcore_providers._gce_errors import api_error
from mistcore_providers._gce_machines import instances, loose_disks, machine, missing, zone_of
from mistcore_providers._gce_offer import (
    find_image,
    images,
    locations,
    machine_types,
    networks,
    sizes,
    subnetworks,
)
from mistcore_providers._gce_roles import allowed_operations, held_permissions, role_warnings

_ENDPOINT = "https://compute.googleapis.com"
_RESOURCE_MANAGER = "https://cloudresourcemanager.googleapis.com"
_PROJECT = re.compile(r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]|[0-9]{4,20}")


def _project_id(value: str) -> None:
    if not _PROJECT.fullmatch(value):
        raise ValueError("must be a project's ID, like my-project-123456 (not its name)")


class Gce(Provider):
    """The instances of one Google Cloud project, seen as a service account, or as whoever is logged in.

    A machine's ID is the instance's number, which stays the same when it is renamed.
    """

    title = "Google Compute Engine"
    rights = """
    Google Cloud console → IAM & Admin → Service accounts → Create, give it a role on the project, and Keys → Add key
    → JSON. Without a key, application default credentials are used: on an instance, those of its own service account.

    To read, the predefined role **Compute Viewer** (`roles/compute.viewer`) is enough. A role of your own needs:

    ```text
    compute.projects.get
    compute.instances.list
    compute.instances.get
    compute.machineTypes.list
    compute.images.list
    compute.zones.list
    compute.networks.list
    compute.subnetworks.list
    ```

    To act, **Compute Instance Admin (v1)** (`roles/compute.instanceAdmin.v1`); where instances run as a service
    account, also **Service Account User** on that. A role of your own needs `compute.zoneOperations.get`, by which
    the end is waited for, and of `compute.instances.start`, `.stop`, `.reset`, `.suspend`, `.resume`, `.setName` and
    `.delete` those that it is to do. To create: `compute.instances.create`, `compute.disks.create` and
    `compute.subnetworks.use`, with `compute.subnetworks.useExternalIp` for a public address, and
    `compute.instances.setMetadata`, `.setLabels` and `.setTags` for key, user data and tags.
    """
    limits = (
        "Google cannot ask an operating system for a reboot: `reboot` is a reset.",
        "Renaming needs a stopped instance.",
        "A machine's image is the licence of its system disk, since Google's list does not name the image.",
        "A zone that cannot be reached is a `PartialResult` warning, and its machines are missing.",
        "Sizes have no prices.",
        "Keys in .p12 files are refused, with the command that makes a PEM of one.",
        "Never tried against Google itself: the stand-in it is tested with also serves Google's own client library.",
    )

    project_id: str = credential(
        "Project ID",
        default="",
        help="Google Cloud console → project selector. May be left out where the key's JSON names it.",
        env="GOOGLE_CLOUD_PROJECT",
        example="my-project-123456",
        validator=_project_id,
    )
    private_key: str = secret(
        "Service account key",
        default="",
        help="The JSON file: IAM → Service accounts → the account → Keys → Add key. Or its PEM key together with the "
        "e-mail address. Leave it out to use application default credentials.",
        file=True,
    )
    email: str = credential(
        "Service account's e-mail", default="", help="Only with a PEM key: IAM → Service accounts.", env="GCE_EMAIL"
    )
    endpoint: str = credential(
        "API address", default="", help="Only for private access to Google's APIs, and emulators.", address=True
    )
    token_uri: str = credential(
        "Token service's address", default="", help="Where it is not the one that the key's JSON names.", address=True
    )
    ca_cert: str = ca_certificate()
    verify: bool = verification()

    def problems(self) -> Mapping[str, str]:
        """Return what is wrong with the fields together."""
        try:
            key = self._key()
        except InvalidFields as error:
            return error.problems
        if key is None and self.email:
            return {"private_key": "missing (it goes with the e-mail address)"}
        if key is not None and not (self.project_id or key.project_id):
            return {"project_id": "missing (the key does not tell it)"}
        if key is not None and self.email and key.email != self.email:
            return {"email": f"the key belongs to {key.email}"}
        return {}

    def check(self) -> Account:
        """Get a token, read the project, and ask which permissions there are on it; None where that is not told."""
        compute, tokens = self._connections()
        calls: tuple[Callable[[], Any], ...] = (partial(compute.get, compute.path()), self._permissions)
        project, held = in_parallel(lambda call: call(), calls)
        project = project if isinstance(project, Mapping) else {}
        key = self._key()
        return Account(
            id=str(project.get("name") or self._project()),
            name=str(project.get("name") or self._project()),
            details={
                "number": str(project.get("id") or ""),
                "email": key.email if key else "",
                "login": tokens.source,
            },
            permissions=None if held is None else allowed_operations(held),
            warnings=tuple(self._warnings(held)),
        )

    def list_machines(self) -> Iterable[Machine]:
        """Return every instance, from the paged list over all zones.

        Where a zone cannot be reached, its instances are missing: then a `PartialResult` (a warning) names it and the
        rest is returned.
        """
        lacking: dict[str, str] = {}

        def rows(body: Any) -> list[Any]:
            if not isinstance(body, Mapping) or not (body.get("kind") or "items" in body):
                raise ProviderError("the answer is no list of instances", reason="garbled")
            lacking.update(missing(body))
            return instances(body)

        raw = list(self._connections()[0].instances(rows))
        found = [one for one in map(machine, raw) if one is not None]
        self._zones().update((one.id, one.region) for one in found)
        if lacking:
            words = "; ".join(f"{zone}: {why}" for zone, why in lacking.items())
            warnings.warn(
                f"{self._project()}: machines are missing from the list: {words}", PartialResult, stacklevel=2
            )
        return found

    def get_machine(self, machine_id: str) -> Machine:
        """Return one instance."""
        found = machine(self._raw(machine_id))
        if found is None:
            raise self.machine_not_found(machine_id)
        return found

    def start_machine(self, machine_id: str, *, wait: bool = True) -> None:
        """Start an instance. `wait`: return when it is done, rather than when Google has accepted it."""
        self._act(machine_id, "start", "start the machine", wait=wait)

    def stop_machine(self, machine_id: str, *, force: bool = False, wait: bool = True) -> None:
        """Stop an instance; then it costs nothing but its disks and addresses.

        Args:
            machine_id: its ID.
            force: do not wait for its operating system, where a graceful shutdown is set.
            wait: return when it is done, rather than when Google has accepted it.

        """
        options = {"noGracefulShutdown": "true"} if force else {}
        self._act(machine_id, "stop", "stop the machine", wait=wait, **options)

    def reboot_machine(self, machine_id: str, *, wait: bool = True) -> None:
        """Reset an instance: Google has no way to ask its operating system for a reboot."""
        self._act(machine_id, "reset", "reboot the machine", wait=wait)

    def suspend_machine(self, machine_id: str, *, wait: bool = True) -> None:
        """Save an instance's memory and stop it."""
        self._act(machine_id, "suspend", "suspend the machine", wait=wait)

    def resume_machine(self, machine_id: str, *, wait: bool = True) -> None:
        """Let a suspended instance go on."""
        self._act(machine_id, "resume", "resume the machine", wait=wait)

    def rename_machine(self, machine_id: str, name: str) -> None:
        """Give an instance another name. Raises `Rejected` unless it is stopped."""
        current = self._raw(machine_id).get("name")
        body = {"name": name, "currentName": current}
        self._act(machine_id, "setName", "rename the machine", wait=True, json=body)

    def destroy_machine(self, machine_id: str, *, storage: bool = False) -> None:
        """Delete an instance and wait until it is gone, with the disks that are set to go with it (`autoDelete`).

        `storage`: delete its other disks too.
        """
        compute = self._connections()[0]
        raw = self._raw(machine_id) if storage else {}
        zone = self._zone(machine_id)
        self._act(machine_id, "", "delete the machine", wait=True, method="DELETE")
        self._zones().pop(machine_id, None)
        for disk in loose_disks(raw):
            compute.act("DELETE", compute.path("zones", zone, "disks", disk), what=f"delete the disk {disk}")

    def create_machine(
        self,
        name: str,
        *,
        image: str,
        size: str,
        location: str,
        network: str = "",
        key: str = "",
        user_data: str = "",
        tags: Mapping[str, str] | None = None,
        user: str = "mist",
        disk: int = 0,
        public_ip: bool = True,
        network_tags: Iterable[str] = (),
        wait: bool = True,
    ) -> Machine:
        """Create an instance with a system disk that goes with it, and return it.

        Args:
            name: lower-case letters, digits and dashes.
            image: a family or a name ("debian-12"), "project/family", or the ID of an image.
            size: a machine type, like "e2-small". location: a zone, like "europe-west1-b".
            network: a network's name, or a subnetwork's ID; by default the network "default".
            key: a public key's text, for `user`.
            user_data: for cloud-init; a text that begins with #! becomes the start-up script, which runs at each start.
            tags: labels. user: the user that the key lets in.
            disk: the system disk's size in GiB; 0 for the image's.
            public_ip: whether it gets a public address. network_tags: for firewall rules.
            wait: return when it runs, rather than when Google has accepted it.

        Raises:
            Rejected: a name that is taken, a quota, no capacity.

        """
        compute = self._connections()[0]
        plan = Plan(
            name=name,
            size=size.strip(),
            location=location.strip(),
            network=network.strip(),
            key=key.strip(),
            user_data=user_data,
            tags=dict(tags or {}),
            user=user,
            disk=disk,
            public_ip=public_ip,
            network_tags=tuple(network_tags),
        )
        plan.examine()
        body = instance_body(plan, find_image(compute, image), self._project())
        path = compute.path("zones", plan.location, "instances")
        operation = compute.act("POST", path, what=f"create the machine {name}", wait=wait, json=body)
        found = machine(compute.get(f"{path}/{segment(operation.get('targetId') or name)}"))
        if found is None:
            raise ProviderError("Google describes the machine without an ID", reason="garbled")
        self._zones()[found.id] = found.region
        return found

    def list_sizes(self, *, location: str = "") -> Iterable[Size]:
        """Return the machine types. `location`: of one zone only, which is much faster."""
        compute = self._connections()[0]
        if location:
            return sizes(compute.rows(compute.path("zones", location, "machineTypes")))
        return sizes(compute.rows(compute.path("aggregated", "machineTypes"), machine_types))

    def list_images(self, search: str = "") -> Iterable[Image]:
        """Return the newest image of each family of Google's public projects, and the project's own images."""
        return images(self._connections()[0], self._project(), search)

    def list_locations(self) -> Iterable[Location]:
        """Return the zones."""
        compute = self._connections()[0]
        return locations(compute.rows(compute.path("zones")))

    def list_networks(self) -> Iterable[Network]:
        """Return the networks, with their subnetworks in `extra`."""
        compute = self._connections()[0]
        rows, inside = in_parallel(
            list,
            (
                compute.rows(compute.path("global", "networks")),
                compute.rows(compute.path("aggregated", "subnetworks"), subnetworks),
            ),
        )
        return networks(rows, inside)

    def close(self) -> None:
        """Close the connections and forget the token."""
        kept = self.__dict__.pop("_kept", None)
        for each in kept or ():
            each.close()

    def translate_error(self, error: Exception) -> MistError | None:
        """Return our error for an answer that is not built as it should be."""
        return garbled(error)

    # -- how ----------------------------------------------------------------------------------------------------------

    def _key(self) -> Key | None:
        return read_key(self.private_key, self.email, self.token_uri) if self.private_key else None

    def _connections(self) -> tuple[Compute, GoogleTokens]:
        kept = self.__dict__.get("_kept")
        return kept or self.__dict__.setdefault("_kept", self._connect())  # type: ignore[no-any-return]

    def _connect(self) -> tuple[Compute, GoogleTokens]:
        tokens = GoogleTokens(self._key(), session=self._session, timeout=lambda: self.timeout)

        def error(failure: Any) -> MistError | None:
            if failure.status == 401:
                tokens.forget()
            return api_error(failure)

        session = self._session(self.endpoint or _ENDPOINT, auth=tokens.sign(), error=error)
        return Compute(session, self._project), tokens

    def _session(self, address: str, **options: Any) -> RestSession:
        return RestSession(address, timeout=lambda: self.timeout, verify=self.verify, ca_cert=self.ca_cert, **options)

    def _project(self) -> str:
        if self.project_id:
            return self.project_id
        known = self.__dict__.get("_known_project")
        return str(known or self.__dict__.setdefault("_known_project", self._connections()[1].project()))

    def _zones(self) -> dict[str, str]:
        """The zone of each instance that was seen: an instance does not move, and its number is never used again."""
        return self.__dict__.setdefault("_known_zones", {})  # type: ignore[no-any-return]

    def _zone(self, machine_id: str) -> str:
        if not re.fullmatch(r"[1-9][0-9]{0,19}", machine_id):
            raise self.machine_not_found(machine_id)
        zone = self._zones().get(machine_id)
        if zone is None:
            for raw in self._connections()[0].instances(instances, filter=f"id={machine_id}"):
                if str(raw.get("id")) == machine_id:
                    zone = self._zones()[machine_id] = zone_of(raw)
        if zone is None:
            raise self.machine_not_found(machine_id)
        return zone

    def _path(self, machine_id: str) -> str:
        return self._connections()[0].path("zones", self._zone(machine_id), "instances", machine_id)

    def _raw(self, machine_id: str) -> Mapping[str, Any]:
        raw = self._connections()[0].find(self._path(machine_id))
        if not isinstance(raw, Mapping):
            raise self.machine_not_found(machine_id)
        return raw

    def _act(
        self, machine_id: str, verb: str, what: str, *, wait: bool, method: str = "POST", json: Any = None, **query: str
    ) -> None:
        path = self._path(machine_id) + (f"/{verb}" if verb else "")
        try:
            self._connections()[0].act(method, path, what=what, wait=wait, json=json, **query)
        except ProviderError as error:
            if error.reason == "not_found":
                raise self.machine_not_found(machine_id) from error
            raise

    def _permissions(self) -> set[str] | None:
        """Return what is held of the permissions that matter here, or None where that is not told."""
        host = urlsplit(self.endpoint or _ENDPOINT).hostname or ""
        # A private installation is asked itself: no token of it goes to Google.
        address = _RESOURCE_MANAGER if host.endswith(".googleapis.com") else self.endpoint
        session = self._session(address, auth=self._connections()[1].sign(), error=api_error)
        try:
            return held_permissions(session, self._project())
        finally:
            session.close()

    def _warnings(self, held: set[str] | None) -> Iterator[str]:
        if self.endpoint.startswith("http://"):
            yield "Plain HTTP: whoever is on the way can read the token."
        if not self.verify:
            yield "The certificates of Google are not verified."
        yield from role_warnings(held)
