"""KVM and everything else that libvirt manages, through libvirt-python.

Facts are from libvirt.org: uri.html (addresses), html/libvirt-libvirt-domain.html (states, calls), format.html (XML).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mistcore import (
    Account,
    Image,
    InvalidFields,
    Machine,
    MachineNotFound,
    MistError,
    Network,
    Provider,
    credential,
    secret,
)
from mistcore.deadline import remaining
from mistcore.rows import garbled
from mistcore_providers._libvirt_actions import destroy, rename, resume
from mistcore_providers._libvirt_connection import Connection
from mistcore_providers._libvirt_create import NewMachine, create
from mistcore_providers._libvirt_errors import error_of
from mistcore_providers._libvirt_listing import Listing
from mistcore_providers._libvirt_target import (
    Target,
    check_hostname,
    check_uri,
    parameters,
    ssh_uri,
    text_of,
    transport_of,
    uri_conflicts,
)
from mistcore_providers._libvirt_xml import network_of

#: Saving a guest's memory and copying an image take as long as they are big.
_LONG_SECONDS = 600.0
_READING = ("check", "list_machines", "get_machine", "list_images", "list_networks")
_ENCRYPTED = ("ssh", "tls", "libssh", "libssh2", "unix")


def _port(value: int) -> None:
    if not 0 < value < 65536:
        raise ValueError("must be between 1 and 65535")


class Libvirt(Provider):
    """The virtual machines of one host, as its libvirt daemon manages them.

    Give `machine_hostname` to reach QEMU/KVM on a host over SSH, or `uri` for any other way that libvirt knows: the
    machine itself (`qemu:///system`), TLS with client certificates (`qemu+tls://host/system`), SASL over TCP, other
    hypervisors. A URI can name programs to run (`command=`), so take one only from people who may run programs.

    A machine's id is its UUID. Its `size` is "2x2048": virtual CPUs and MiB. `extra` holds `cpus`, `memory` (MiB),
    `disks` (`target`, `device`, `path`, `format`, `size` in GiB), `macs` and `networks`. libvirt does not tell when a
    machine was made. Addresses come from the leases of libvirt's own networks, from guest agents and from the host's
    ARP table.
    """

    title = "KVM (via libvirt)"
    rights = """
    To read, libvirt's read-only socket is enough, which by default every user of the host may open
    (`unix_sock_ro_perms` in the daemon's settings): any SSH user will do as `machine_user`, which is `root`
    otherwise. mistcore opens a connection for writing, or for reading where only that is allowed, and `check` tells
    which it is.

    To act, the user must be in the group `libvirt`, which may do as much as root: it can attach any file of the host
    to a machine. With polkit, finer rules are possible: `org.libvirt.unix.monitor` reads, `org.libvirt.unix.manage`
    writes, and with libvirt's access driver there is an action for each operation (`org.libvirt.api.domain.start` …).

    Over TLS, whoever has a client certificate of the CA may do everything, unless the daemon's `tls_allowed_dn_list`
    or SASL says less.
    """
    limits = (
        "Creating copies a volume of a storage pool; nothing is installed from a medium or downloaded.",
        "There are no sizes and locations: `size` is processors and MiB, such as 2x2048.",
        "libvirt does not tell when a machine was made.",
        "Addresses come from leases, guest agents and the ARP table; a bridged machine without agent may have none.",
        "A machine whose disks are in no storage pool is not destroyed with `storage`.",
    )

    machine_hostname: str = credential(
        "Host",
        default="",
        help="The host's name or address; QEMU/KVM there is reached over SSH.",
        example="kvm1.example.com",
        address=True,
        validator=check_hostname,
    )
    machine_user: str = credential(
        "SSH user", default="root", help="Who may manage libvirt there: root, or in group libvirt."
    )
    machine_key: str = secret(
        "SSH private key",
        default="",
        help="The private key's file or its text, without a passphrase. Without one, ssh uses its agent and own keys.",
        file=True,
    )
    ssh_port: int = credential("SSH port", default=22, help="Where the SSH server listens.", validator=_port)
    known_hosts: str = credential(
        "SSH host key",
        default="",
        help="Lines of a known_hosts file, or the host's public key, to trust instead of ~/.ssh/known_hosts.",
        file=True,
    )
    uri: str = credential(
        "libvirt URI",
        default="",
        help="Any libvirt URI, instead of the host's name: see libvirt.org/uri.html.",
        example="qemu:///system",
        address=True,
        validator=check_uri,
    )
    ca_cert: str = credential(
        "CA certificate",
        default="",
        help="TLS: the certificate of the authority that signed the server's. Default: /etc/pki/CA/cacert.pem.",
        file=True,
    )
    cert_file: str = credential("Client certificate", default="", help="TLS: the certificate to show.", file=True)
    key_file: str = secret("Client key", default="", help="TLS: the private key of the client certificate.", file=True)
    auth_user: str = credential("SASL user", default="", help="Where the daemon asks for one (TCP and TLS).")
    auth_password: str = secret("SASL password", default="", help="The password of that user.")
    verify: bool = credential(
        "Verify the server", default=True, help="Check the server's TLS certificate or SSH host key. Leave it on."
    )

    def problems(self) -> Mapping[str, str]:
        """Return what is wrong with the fields taken together."""
        problems: dict[str, str] = {}
        if bool(self.machine_hostname) == bool(self.uri):
            problems["machine_hostname"] = (
                "give this or uri, not both" if self.uri else "missing (Host); or give uri (libvirt URI)"
            )
        if bool(self.cert_file) != bool(self.key_file):
            missing = "key_file" if self.cert_file else "cert_file"
            problems[missing] = "cert_file and key_file belong together"
        if self.auth_password and not self.auth_user:
            problems["auth_user"] = "missing, although there is a password"
        if self.uri:
            problems |= uri_conflicts(self.uri, self)
        return problems

    def check(self) -> Account:
        """Connect and ask who answers.

        Returns:
            the host's own name, with the hypervisor, its version, libvirt's, and whether the connection may write.

        Raises:
            AuthenticationFailed: a refused SSH key (reason "ssh_key"), or SASL user and password.
            PermissionDenied: the daemon's socket is not for this user (reason "socket").
            Unreachable: "dns", "refused" (no SSH server or no daemon), "timeout", "tls", "host_key", "network".
            MissingDependency: libvirt's binding is not installed.

        """
        connection = self._connection()

        def ask(raw: Any) -> dict[str, Any]:
            return {
                "hostname": raw.getHostname(),
                "hypervisor": raw.getType(),
                "hypervisor_version": _version(raw.getVersion()),
                "libvirt_version": _version(raw.getLibVersion()),
            }

        details = connection.read(ask, self.timeout)
        transport = connection.target.transport
        read_only = connection.read_only
        warnings: list[str] = []
        if transport not in _ENCRYPTED:
            warnings.append(f"The connection ({transport}) is encrypted by SASL at the most.")
        if not self.verify or parameters(self.uri).get("no_verify") == "1":
            warnings.append("The server's identity is not verified.")
        if read_only:
            warnings.append("The connection may only read: machines cannot be changed.")
        return Account(
            id=details["hostname"],
            name=details["hostname"],
            details={**details, "transport": transport, "read_only": read_only},
            permissions=_READING if read_only else self.operations(),
            warnings=warnings,
        )

    def list_machines(self) -> Iterator[Machine]:
        """Yield every domain, running or not. Raises as `check` does."""
        seconds = self.timeout
        listing = self._listing()
        yield from self._connection().read(lambda raw: listing.machines(raw, seconds), seconds)

    def get_machine(self, machine_id: str) -> Machine:
        """Return one domain. Raises `MachineNotFound`, and as `check` does."""
        seconds = self.timeout
        listing = self._listing()
        return self._connection().read(
            lambda raw: listing.machine(raw, self._domain(raw, machine_id), seconds), seconds
        )

    def start_machine(self, machine_id: str) -> None:
        """Start a domain; one that was suspended goes on where it was. Raises `Rejected` (state) when it runs."""
        self._on_domain(machine_id, lambda domain: domain.create(), limit=_LONG_SECONDS)

    def stop_machine(self, machine_id: str, *, force: bool = False) -> None:
        """Ask a domain's operating system to shut down, or cut the power (`force`).

        Raises:
            MachineNotFound, Rejected: (reason "state") it does not run. A guest may ignore being asked.

        """
        self._on_domain(machine_id, lambda domain: domain.destroy() if force else domain.shutdown())

    def reboot_machine(self, machine_id: str, *, force: bool = False) -> None:
        """Ask a domain's operating system to reboot, or press the reset button (`force`)."""
        self._on_domain(machine_id, lambda domain: domain.reset(0) if force else domain.reboot(0))

    def pause_machine(self, machine_id: str) -> None:
        """Stop a domain's CPUs; it stays in memory."""
        self._on_domain(machine_id, lambda domain: domain.suspend())

    def suspend_machine(self, machine_id: str) -> None:
        """Save a domain's memory to the host's disk and stop it."""
        self._on_domain(machine_id, lambda domain: domain.managedSave(0), limit=_LONG_SECONDS)

    def resume_machine(self, machine_id: str) -> None:
        """Let a domain go on that is paused, saved to disk, or asleep by itself. Raises `Rejected` for any other."""
        self._on_domain(machine_id, resume, limit=_LONG_SECONDS)

    def rename_machine(self, machine_id: str, name: str) -> None:
        """Give a domain another name. Raises `Rejected`: it runs (reason "state"), or the name is taken ("exists")."""
        _name(name)
        self._on_domain(machine_id, lambda domain: rename(domain, name))

    def destroy_machine(self, machine_id: str, *, force: bool = False, storage: bool = False) -> None:
        """Delete a domain with its saved memory, firmware variables and the records of its snapshots.

        Args:
            force: do it although it runs, by cutting the power first.
            storage: delete its disks and the medium that `create_machine` made for it, too. A disk that another
                domain uses, or that may only be read, is left.

        Raises:
            MachineNotFound, Rejected: (reason "state") it runs, or (reason "storage") a disk is in no storage pool, so
                that libvirt cannot delete it; nothing was changed.

        """
        self._connection().write(
            lambda raw: destroy(raw, self._domain(raw, machine_id), force=force, storage=storage),
            self.timeout,
            limit=remaining(_LONG_SECONDS),
        )
        self._listing().forget(machine_id)

    def create_machine(
        self,
        name: str,
        *,
        image: str,
        size: str = "1x1024",
        network: str = "default",
        key: str = "",
        user_data: str = "",
        tags: Mapping[str, str] | None = None,
        disk: int = 0,
        pool: str = "",
        linked: bool = False,
        start: bool = True,
        firmware: str = "",
        machine_type: str = "",
        domain_type: str = "",
    ) -> Machine:
        """Create a machine from a copy of a volume, and start it.

        Args:
            image: an image's id (a volume's path), "pool/volume", or a volume's name if only one has it.
            size: virtual CPUs and MiB of memory, "2x2048".
            network: a network's id or name, "bridge:br0" for a bridge of the host, or "none".
            key: a public SSH key, put in by cloud-init. user_data: cloud-init's user data. Either one adds a small
                medium with the NoCloud label "cidata", which holds the machine's name too.
            tags: kept in the domain's metadata.
            disk: GiB, to make the copy bigger than the image. pool: the storage pool for it; default: the image's.
            linked: do not copy the image but keep only the differences to it (qcow2); the image must stay as it is.
            start: start it. firmware: "efi" or "bios"; default: what the architecture usually has.
            machine_type, domain_type: libvirt's words, as "q35" and "qemu"; default: the host's, and KVM where it can.

        Raises:
            InvalidFields: the image, network, pool or size is not there, or is ambiguous.
            Rejected: (reason "exists") the name is taken; libvirt's own refusals. What was made by then is removed.

        """
        _name(name)
        if firmware not in ("", "efi", "bios"):
            raise InvalidFields({"firmware": 'must be "efi" or "bios"'})
        wanted = NewMachine(
            name=name,
            image=image,
            size=size,
            network=network,
            key=key,
            user_data=user_data,
            tags=dict(tags or {}),
            disk=disk,
            pool=pool,
            linked=linked,
            start=start,
            firmware=firmware,
            machine_type=machine_type,
            domain_type=domain_type,
        )
        uuid = self._connection().write(lambda raw: create(raw, wanted), self.timeout, limit=remaining(_LONG_SECONDS))
        return self.get_machine(uuid)

    def list_images(self, search: str = "") -> Iterator[Image]:
        """Yield the volumes of every running storage pool; `search` is a part of the name, whatever the case."""

        def volumes(raw: Any) -> list[tuple[str, str, str]]:
            pools = [pool for pool in raw.listAllStoragePools(0) if pool.isActive()]
            return [(pool.name(), volume.name(), volume.key()) for pool in pools for volume in pool.listAllVolumes(0)]

        for pool, name, key in self._connection().read(volumes, self.timeout):
            if search.lower() in name.lower():
                yield Image(id=key, name=name, extra={"pool": pool})

    def list_networks(self) -> Iterator[Network]:
        """Yield libvirt's virtual networks. `extra`: `active`, `cidrs` (all), `forward`, `bridge`, `domain`, `dhcp`."""

        def networks(raw: Any) -> list[tuple[str, str, bool, str]]:
            found = raw.listAllNetworks(0)
            return [(one.UUIDString(), one.name(), bool(one.isActive()), one.XMLDesc(0)) for one in found]

        for uuid, name, active, text in self._connection().read(networks, self.timeout):
            facts = network_of(text)
            cidr = facts["cidrs"][0] if facts["cidrs"] else ""
            yield Network(id=uuid, name=name, cidr=cidr, extra={"active": active, **facts})

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        connection = self.__dict__.get("_kept_connection")
        if connection is not None:
            connection.close()

    def translate_error(self, error: Exception) -> MistError | None:
        """Return our error for one of libvirt's, or for an answer that is not what it should be."""
        return error_of(error, transport_of(self.uri) if self.uri else "ssh") or garbled(error)

    def _connection(self) -> Connection:
        kept = self.__dict__.get("_kept_connection")
        if kept is None:
            kept = self.__dict__.setdefault("_kept_connection", Connection(self._target()))
        connection: Connection = kept
        return connection

    def _listing(self) -> Listing:
        listing: Listing = self.__dict__.setdefault("_kept_listing", Listing())
        return listing

    def _target(self) -> Target:
        texts = {}
        problems = {}
        for field in ("machine_key", "known_hosts", "ca_cert", "cert_file", "key_file"):
            try:
                texts[field] = text_of(getattr(self, field))
            except ValueError as error:
                problems[field] = str(error)
        if problems:
            raise InvalidFields(problems, provider=self.id)
        return Target(
            uri=self.uri or ssh_uri(self.machine_hostname, self.machine_user, self.ssh_port),
            ssh_key=texts["machine_key"],
            known_hosts=texts["known_hosts"],
            verify=self.verify,
            ca_cert=texts["ca_cert"],
            client_cert=texts["cert_file"],
            client_key=texts["key_file"],
            user=self.auth_user,
            password=self.auth_password,
        )

    def _domain(self, raw: Any, machine_id: str) -> Any:
        from uuid import UUID

        try:
            return raw.lookupByUUID(UUID(machine_id).bytes)
        except ValueError:
            raise self.machine_not_found(machine_id) from None
        except Exception as error:
            ours = self.translate_error(error)
            if isinstance(ours, MachineNotFound):
                raise self.machine_not_found(machine_id) from error
            raise

    def _on_domain(self, machine_id: str, action: Any, limit: float | None = None) -> None:
        self._connection().write(
            lambda raw: action(self._domain(raw, machine_id)),
            self.timeout,
            limit=remaining(limit) if limit is not None else None,
        )
        self._listing().forget(machine_id)


def _version(number: int) -> str:
    """Return libvirt's number for a version in the usual form: 9000000 is 9.0.0."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def _name(name: str) -> None:
    if not name.strip() or name.startswith(".") or any(c in "/\\" or not c.isprintable() for c in name):
        raise InvalidFields({"name": "must have no slash, no line break and no dot at its beginning"})
