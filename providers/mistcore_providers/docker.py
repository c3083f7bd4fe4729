"""Docker Engines: every container is a machine.

Facts are from the Docker Engine API reference (v1.41 to v1.51) unless another source is named.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from mistcore import Account, Image, Machine, MistError, Network, Provider, credential, secret, verification
from mistcore.errors import InvalidFields, Unreachable
from mistcore.rows import garbled
from mistcore_providers import _docker_records as records
from mistcore_providers._docker_address import Address, BadAddress, read_address

if TYPE_CHECKING:
    from mistcore_providers._docker_engine import Engine

_GRACE = 10  # seconds that the engine gives a container to stop when the container's own settings do not say


def _port(number: int) -> None:
    if not 0 < number < 65536:
        raise ValueError("must be from 1 to 65535")


class Docker(Provider):
    """One Docker Engine, through its socket, TCP with or without TLS, or SSH."""

    title = "Docker"
    rights = """
    Docker itself knows no rights: whoever may talk to the engine is root on its host. That goes for the group
    `docker`, for the holder of a client certificate, and for SSH to a user in that group (`ssh://`). So

    - for this machine, add your user to the group `docker`, or use rootless Docker, whose socket is
      `unix:///run/user/1000/docker.sock` and gives away one user only;
    - for another machine, use `ssh://user@host`, or TLS with a client certificate of the engine's own CA, and never
      plain TCP;
    - to read and nothing else, put a proxy before the socket that lets through `GET` of `/version`, `/_ping`,
      `/info`, `/containers/json`, `/containers/*/json`, `/images/json` and `/networks` only (also below `/v1.…`), and
      give its address as `docker_host`. Creating, stopping and destroying need `POST` and `DELETE` on `/containers`,
      and on `/images/create` to pull.
    """
    limits = (
        "The newest API that engine and SDK both know is used; engines without version 1.24 or newer are refused.",
        "Only containers of one engine: neither Swarm's services nor Compose's projects as such, and no Kubernetes.",
        "There are no sizes and locations, and no suspend: containers have none.",
        "Images are those that the engine has; a registry is not searched.",
    )

    docker_host: str = credential(
        "Docker host",
        default="",
        help="Where the engine is: a host name, tcp://, https://, unix:// or ssh://. Empty: this machine's socket.",
        env="DOCKER_HOST",
        example="tcp://docker.example.com:2376",
        address=True,
    )
    docker_port: int | None = credential(
        "Port",
        default=None,
        help="Where docker_host does not say it. Otherwise 2376 with TLS, 2375 without.",
        example="2376",
        address=True,
        validator=_port,
    )
    key_file: str = secret(
        "Private key",
        default="",
        help="Path or PEM text of the key that belongs to the client certificate (key.pem), or of the SSH key for ssh://.",
        file=True,
    )
    cert_file: str = credential(
        "Client certificate",
        default="",
        help="Path or PEM text of the certificate that the engine knows you by (cert.pem).",
        file=True,
    )
    ca_cert_file: str = credential(
        "CA certificate",
        default="",
        help="Path or PEM text of the certificate of the authority that signed the engine's (ca.pem).",
        file=True,
    )
    verify: bool = verification()
    auth_user: str = credential("Proxy user", default="", help="User name at a reverse proxy before the engine.")
    auth_password: str = secret("Proxy password", default="", help="Password at a reverse proxy before the engine.")

    def problems(self) -> Mapping[str, str]:
        """Return what is wrong with the fields taken together."""
        try:
            address = self._address()
        except BadAddress as error:
            return {error.field: str(error)}
        problems: dict[str, str] = {}
        if self.auth_user and not self.auth_password:
            problems |= {"auth_password": "missing, as auth_user is given"}
        if self.auth_password and not self.auth_user:
            problems |= {"auth_user": "missing, as auth_password is given"}
        if ":" in self.auth_user:
            problems["auth_user"] = "holds a colon, which a user name over HTTP cannot have"
        if self.key_file and not self.cert_file and address.scheme != "ssh":
            problems["cert_file"] = "missing: the certificate that belongs to key_file"
        unused: tuple[str, ...] = {"ssh": ("cert_file", "ca_cert_file", "auth_user"), "https": ()}.get(
            address.scheme, ("key_file", "cert_file", "ca_cert_file")
        )
        for name in unused:
            if getattr(self, name):
                problems[name] = f"not used with {address.scheme}://"
        if not problems:
            try:
                self._check_files(address)
            except InvalidFields as error:
                problems = error.problems
        return problems

    def check(self) -> Account:
        """Return the engine: its id and host name; `details` are its versions, its system and how much it holds.

        Two requests: `GET /version` and `GET /info`.
        """
        from docker.errors import APIError

        engine = self._engine()
        try:
            info = engine.info()
        except APIError as error:
            if error.status_code not in (403, 404):
                raise
            info = {}  # proxies that guard a socket often keep /info to themselves
        address = self._address()
        return Account(
            info.get("ID") or str(address),
            name=info.get("Name") or address.host,
            details=records.details(engine.daemon, info, engine.api_version),
            warnings=tuple(self._warnings(address)),
        )

    def list_machines(self) -> list[Machine]:
        """Return every container, running or not; one request."""
        return records.read_list(self._engine().containers(all=True), records.listed_machine)

    def get_machine(self, machine_id: str) -> Machine:
        """Return one container, by its id, the beginning of its id, or its name."""
        return records.inspected_machine(self._engine().inspect_container(self._container(machine_id)))

    def start_machine(self, machine_id: str) -> None:
        """Start a container; one that runs already is left alone."""
        self._engine().start(self._container(machine_id))

    def stop_machine(self, machine_id: str, *, force: bool = False) -> None:
        """Stop a container and wait until it has: it gets its stop signal, and after its own grace period is killed.

        `force` kills it at once.
        """
        engine, container = self._engine(), self._container(machine_id)
        engine.stop(container, timeout=0 if force else self._grace(engine, container))

    def reboot_machine(self, machine_id: str, *, force: bool = False) -> None:
        """Stop a container as `stop_machine` does, and start it again."""
        engine, container = self._engine(), self._container(machine_id)
        engine.restart(container, timeout=0 if force else self._grace(engine, container))

    def pause_machine(self, machine_id: str) -> None:
        """Freeze the processes of a container."""
        self._engine().pause(self._container(machine_id))

    def resume_machine(self, machine_id: str) -> None:
        """Let a paused container go on."""
        self._engine().unpause(self._container(machine_id))

    def rename_machine(self, machine_id: str, name: str) -> None:
        """Give a container another name."""
        self._engine().rename(self._container(machine_id), name)

    def destroy_machine(self, machine_id: str, *, force: bool = False, storage: bool = False) -> None:
        """Remove a container; `force` also a running one, `storage` with its anonymous volumes.

        Raises:
            Rejected: (reason "state") it is running.

        """
        from docker.errors import APIError

        try:
            self._engine().remove_container(self._container(machine_id), force=force, v=storage)
        except APIError as error:
            if error.status_code != 409 or "already in progress" not in str(error.explanation):
                raise

    def create_machine(
        self,
        name: str,
        *,
        image: str,
        command: str | Iterable[str] = "",
        network: str = "",
        environment: Mapping[str, str] | Iterable[str] = (),
        ports: Iterable[str] | str = (),
        volumes: Iterable[str] | str = (),
        restart: str = "",
        tags: Mapping[str, str] | None = None,
        pull: bool = False,
        start: bool = True,
    ) -> Machine:
        """Create a container, start it and return it.

        Args:
            image: name or id. command: what to run instead of the image's own command.
            network: name or id of the one network to attach it to, "none" or "host".
            environment: variables, as a mapping or as "NAME=value".
            ports: to publish, as `docker run -p` takes them: "8080:80", "127.0.0.1:53:53/udp", "80".
            volumes: to mount, as `docker run -v` takes them: "/srv/www:/www:ro", "data:/var/lib/data".
            restart: "no", "always", "unless-stopped", "on-failure" or "on-failure:5".
            tags: its labels.
            pull: fetch the image from its registry if the engine does not have it.
            start: whether to start it.

        Raises:
            Rejected: the engine does not have the image (reason "no_image"), the name is taken ("name_taken"), or it
                cannot be started; then nothing of it is left.

        """
        from docker.errors import ImageNotFound

        from mistcore_providers._docker_create import Creation, fetch_image

        creation = Creation(
            command=command,
            network=network,
            environment=environment,
            ports=ports,
            volumes=volumes,
            restart=restart,
            tags=tags,
        )
        engine = self._engine()
        try:
            made = engine.create_container(image, name=name or None, **creation.arguments(engine))
        except ImageNotFound:
            if not pull:
                raise
            fetch_image(engine, image)
            made = engine.create_container(image, name=name or None, **creation.arguments(engine))
        if start:
            try:
                engine.start(made["Id"])
            except Exception:
                with suppress(Exception):  # what went wrong first is what counts
                    engine.remove_container(made["Id"], force=True, v=True)
                raise
        return self.get_machine(made["Id"])

    def list_images(self, search: str = "") -> list[Image]:
        """Return the images that the engine has; several names of one are in `extra["names"]`."""
        return records.read_list(self._engine().images(), records.image)

    def list_networks(self) -> list[Network]:
        """Return the engine's networks."""
        return records.read_list(self._engine().networks(), records.network)

    def close(self) -> None:
        """Close the connection to the engine."""
        self.let_go("_connected")

    def translate_error(self, error: Exception) -> MistError | None:
        """Return our error for one of the SDK or of a library below it."""
        if isinstance(error, ImportError):
            return None
        from mistcore_providers._docker_errors import translate

        ours = translate(error, self._address(), user=bool(self.auth_user), certificate=bool(self.cert_file))
        if ours is not None and ours.reason == "version":
            self.__dict__.pop("_connected", None)  # the engine was replaced by another version: settle anew
        return ours or garbled(error)

    def _address(self) -> Address:
        tls = bool(self.key_file or self.cert_file or self.ca_cert_file or not self.verify)
        return read_address(self.docker_host, self.docker_port, tls=tls)

    def _engine(self) -> Engine:
        """Return the connection; the first call makes it and settles the API version."""
        engine: Engine | None = self.__dict__.get("_connected")
        if engine is not None:
            return engine
        lock = self.__dict__.setdefault("_connecting", threading.Lock())
        if not lock.acquire(timeout=self.timeout):
            raise Unreachable(f"{self._address()} does not answer in time", reason="timeout")
        try:
            engine = self.__dict__.get("_connected")
            if engine is None:
                engine = self._connect()
                self.__dict__["_connected"] = engine
            return engine
        finally:
            lock.release()

    def _connect(self) -> Engine:
        from mistcore_providers._docker_engine import Engine
        from mistcore_providers._docker_tls import tls_context

        address = self._address()
        context = None
        if address.tls:
            context = tls_context(ca=self.ca_cert_file, cert=self.cert_file, key=self.key_file, verify=self.verify)
        engine = Engine(
            address,
            lambda: self.timeout,
            context=context,
            auth=(self.auth_user, self.auth_password) if self.auth_user else None,
            ssh_key=self.key_file if address.scheme == "ssh" else "",
        )
        try:
            engine.negotiate()
        except BaseException:
            engine.close()
            raise
        return engine

    def _check_files(self, address: Address) -> None:
        from mistcore_providers._docker_tls import check_key, tls_context

        if address.scheme == "ssh" and self.key_file:
            check_key(self.key_file)
        elif address.tls and (self.cert_file or self.ca_cert_file):
            verify = self.verify and bool(self.ca_cert_file)
            tls_context(ca=self.ca_cert_file, cert=self.cert_file, key=self.key_file, verify=verify)

    def _warnings(self, address: Address) -> list[str]:
        if address.scheme == "http" and not self.auth_user:
            return ["Plain TCP without TLS: whoever reaches this port is root on that host."]
        if address.scheme == "http":
            return ["Plain HTTP: the proxy's password and all else can be read on the way."]
        warnings = []
        if address.tls and not self.verify:
            warnings.append("Verification is off: nobody knows whether this is the right engine.")
        if address.tls and not (self.cert_file or self.auth_user):
            warnings.append("No client certificate is asked for: whoever reaches this port is root on that host.")
        return warnings

    def _container(self, machine_id: str) -> str:
        """Return an id or name that is safe in a path, or say that there is no such container."""
        name = machine_id.removeprefix("/")
        if not records.is_container_name(name):
            raise self.machine_not_found(machine_id)
        return name

    def _grace(self, engine: Engine, container: str) -> int:
        config = engine.inspect_container(container).get("Config") or {}
        seconds = config.get("StopTimeout")
        return seconds if isinstance(seconds, int) else _GRACE
