"""Single servers over SSH, and the machine that this runs on."""

from __future__ import annotations

import base64
import binascii
import getpass
import hashlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mistcore import (
    Account,
    InvalidFields,
    Machine,
    MachineState,
    NotSupported,
    PermissionDenied,
    Provider,
    Rejected,
    Unreachable,
    credential,
    secret,
)
from mistcore.redaction import Quiet
from mistcore_providers import _bare_metal_facts as facts

if TYPE_CHECKING:
    from mistcore_providers._bare_metal_config import Login
    from mistcore_providers._bare_metal_ssh import Answer

__all__ = ["BareMetal"]

_LOCAL = "local"
_NO_CONFIG = "none"
# What OpenSSH refuses in a host or user name, because shells and options would see more in it (ssh.c, valid_hostname
# and valid_ruser); white space and control characters besides.
_UNSAFE = re.compile(r"""[\s\x00-\x1f\x7f'"`$\\;&<>|(){}]""")
_KEY_LINE = re.compile(r"\b(?:ssh-|ecdsa-sha2-|sk-)[\w@.-]+\s+([A-Za-z0-9+/]+={0,2})")


def _one_word(value: str) -> None:
    if value.startswith("-"):
        raise ValueError("may not start with a hyphen")
    if _UNSAFE.search(value):
        raise ValueError("may not hold spaces, control characters or shell characters")


def _host(value: str) -> None:
    _one_word(value)
    if "@" in value:
        raise ValueError("holds an @: give the user as machine_user")
    if "/" in value:
        raise ValueError("is not a host name or address; give it without scheme and path")
    if value.count(":") == 1:
        raise ValueError("holds a port: give it as machine_port")
    if len(value) > 255:
        raise ValueError("is longer than a host name can be")


def _port(value: int) -> None:
    if not 0 < value < 65536:
        raise ValueError("must be between 1 and 65535")


def _pin(value: str) -> str:
    """Return the SHA256 fingerprint that a pinned host key stands for: itself, or that of a line with a public key."""
    if "SHA256:" in value:
        fingerprint = re.search(r"SHA256:[A-Za-z0-9+/]{43}(?![A-Za-z0-9+/])", value)
        if fingerprint is None:
            raise ValueError("is not a whole fingerprint: SHA256: and 43 characters")
        return fingerprint[0]
    line = _KEY_LINE.search(value)
    try:
        blob = base64.b64decode(line[1], validate=True) if line else b""
    except binascii.Error:
        blob = b""
    if not blob.startswith(b"\0\0\0"):
        raise ValueError('must be a fingerprint ("SHA256:…") or a public key ("ssh-ed25519 AAAA…")')
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _local_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        return "unknown"


class BareMetal(Provider):
    """One server that answers SSH, or, as `machine_ip="local"`, the machine that this runs on.

    There is exactly one machine, running whenever the server can be asked. Of `~/.ssh/config` the settings of the host
    are used (HostName, Port, User, IdentityFile, ProxyJump, ProxyCommand, UserKnownHostsFile …), except where the
    field here is given. The server's key must be known or pinned; `StrictHostKeyChecking no` is not followed.
    """

    title = "Other Server"
    rights = """
    Any user who may log in by SSH reads all that there is to read: no command needs root. Make one for this alone,
    put the public key into its `~/.ssh/authorized_keys`, and give its name as `machine_user`, which is `root`
    otherwise. To read and nothing else, restrict the key there: `restrict ssh-ed25519 AAAA…` forbids terminals and
    forwarding.

    To stop and reboot, the user needs sudo without a password for one program. With `visudo`:

    ```text
    mist ALL=(root) NOPASSWD: /sbin/shutdown
    ```
    """
    limits = (
        "It is one machine; it cannot be started, since nothing answers while it is off.",
        "A server that does not answer is an error and not a machine in the state `stopped`.",
        "Facts come from a POSIX shell: appliances and Windows are listed without them, and cannot be stopped.",
        "`StrictHostKeyChecking no` of `~/.ssh/config` is not followed: the server's key must be known or pinned.",
    )

    machine_ip: str = credential(
        "Host name or address",
        help='Where the server answers SSH, or a Host of ~/.ssh/config; "local" is this machine itself, without SSH.',
        example="203.0.113.5",
        address=True,
        validator=_host,
    )
    machine_user: str = credential(
        "User name",
        default="root",
        help="Whom to log in as. Stopping and rebooting need root or sudo.",
        validator=_one_word,
    )
    machine_key: str = secret(
        "Private key",
        default="",
        help="The key that lets the user in: the path of its file, or its text. Default: the SSH agent and ~/.ssh.",
        file=True,
    )
    key_passphrase: str = secret(
        "Passphrase of the key", default="", help="What the private key is encrypted with, if it is."
    )
    machine_port: int = credential(
        "SSH port", default=22, help="The port that the SSH server listens at.", validator=_port
    )
    password: str = secret("Password", default="", help="The user's password, where the server takes one.")
    host_key: str = credential(
        "Host key",
        default="",
        help="The server's key, instead of known_hosts: what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints "
        "on the server (SHA256:…), or the public key itself.",
        example="SHA256:FJMW1XjKUtJN7CDtSeyGDDJ7hLHZ3Yp3TbXTM3uTNpQ",
        validator=_pin,
    )
    known_hosts: str = credential(
        "Known hosts file", default="~/.ssh/known_hosts", help="The file that the server's key is looked up in."
    )
    ssh_config: str = credential(
        "SSH configuration file",
        default="~/.ssh/config",
        help='Settings of hosts, as `ssh` reads them; "none" for none.',
    )
    use_agent: bool = credential(
        "Use the SSH agent",
        default=True,
        help="Without a key and password given: try the SSH agent and the keys in ~/.ssh, as `ssh` does.",
    )

    _given = frozenset[str]()

    if not TYPE_CHECKING:  # type checkers see the signature that the fields make

        def __init__(self, **values: Any) -> None:
            values = Quiet(values)
            super().__init__(**values)
            self._given = frozenset(name for name, value in values.items() if value not in (None, ""))

    def check(self) -> Account:
        """Log in and return who that is: id "root@203.0.113.5", with what the server is in `details`.

        `permissions` is told for root only; for others it depends on sudo, which is not asked.
        """
        found, answer = self._collect()
        details = found.to_dict()
        user = answer.user if answer else _local_user()
        if answer is not None:
            details |= {"ssh_server": answer.server, "host_key": answer.host_key}
        return Account(
            id=f"{user}@{self.machine_ip}",
            name=f"{user}@{found.hostname or self.machine_ip}",
            details=details,
            permissions=self.operations() if found.root else None,
        )

    def list_machines(self) -> Iterator[Machine]:
        """Yield the one machine: its id is `machine_ip`, its image the operating system.

        `extra` has hostname, os, os_id, kernel, architecture, cpus, memory (MiB), disk (GiB, of the root file system),
        boot_time, machine_id and model, as far as they are known. A server that cannot be asked raises, as in `check`.
        """
        yield self.get_machine(self.machine_ip)

    def get_machine(self, machine_id: str) -> Machine:
        """Return the machine. Raises `MachineNotFound` for another id than `machine_ip`, and as `check` does."""
        self._known(machine_id)
        found, answer = self._collect()
        public, private = found.sorted_addresses([answer.address] if answer else [])
        return Machine(
            id=self.machine_ip,
            name=found.hostname or self.machine_ip,
            state=MachineState.RUNNING,
            public_ips=public,
            private_ips=private,
            size=found.size(),
            image=found.os,
            extra=found.to_dict(),
        )

    def stop_machine(self, machine_id: str) -> None:
        """Shut the machine down (`shutdown -h now`, through `sudo -n` unless the user is root).

        Raises:
            PermissionDenied: (reason "sudo") sudo is missing, wants a password, or does not allow it.
            Rejected: the command failed.

        """
        self._power(machine_id, facts.STOP)

    def reboot_machine(self, machine_id: str) -> None:
        """Reboot the machine (`shutdown -r now`), on the same terms as `stop_machine`."""
        self._power(machine_id, facts.REBOOT)

    def translate_error(self, error: Exception) -> Unreachable | None:
        """Turn a failing network call into `Unreachable`; what SSH can say is told apart where it happens."""
        return Unreachable(str(error), reason="network") if isinstance(error, OSError) else None

    @property
    def _is_local(self) -> bool:
        return self.machine_ip.lower() == _LOCAL

    def _known(self, machine_id: str) -> None:
        if machine_id != self.machine_ip:
            raise self.machine_not_found(machine_id)

    def _login(self) -> Login:
        from mistcore_providers._bare_metal_config import Login
        from mistcore_providers._bare_metal_trust import WayIn

        return Login(
            host=self.machine_ip.strip("[]"),
            port=self.machine_port if self._chosen("machine_port") else None,
            user=self.machine_user if self._chosen("machine_user") else None,
            default_user=self.machine_user,
            way_in=WayIn(
                key=self.machine_key,
                passphrase=self.key_passphrase,
                password=self.password,
                use_agent=self.use_agent,
            ),
            pin=_pin(self.host_key) if self.host_key else "",
            known_hosts=self.known_hosts if self._chosen("known_hosts") else "",
            config=self._config(),
        )

    def _chosen(self, name: str) -> bool:
        """Tell whether the user gave this field; a default gives way to ~/.ssh/config."""
        default = next(field.default for field in self.fields() if field.name == name)
        return name in self._given or getattr(self, name) != default

    def _config(self) -> Path | None:
        if self.ssh_config == _NO_CONFIG:
            return None
        path = Path(self.ssh_config).expanduser()
        if path.is_file():
            return path
        if self._chosen("ssh_config"):
            raise InvalidFields({"ssh_config": f"there is no file {path}"}, provider=self.id)
        return None

    def _run(self, script: str) -> tuple[str, Answer | None]:
        """Let `sh` run a script, here or there, and return what it prints; no `Answer` for this machine."""
        if not self._is_local:
            from mistcore_providers import _bare_metal_ssh

            answer = _bare_metal_ssh.run(self._login(), script, self.timeout)
            return answer.output, answer
        seconds = self.timeout
        try:
            done = subprocess.run(
                ["/bin/sh"],
                input=script.encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Unreachable(
                f"this machine did not answer within {seconds:.3g} seconds", reason="timeout", remedy="Allow more time."
            ) from error
        return done.stdout.decode(errors="replace"), None

    def _collect(self) -> tuple[facts.Facts, Answer | None]:
        """Return what the machine is; where it tells nothing (no POSIX shell, an appliance), that is all blank."""
        try:
            output, answer = self._run(facts.COLLECT)
        except FileNotFoundError:
            return facts.plain_facts(), None
        found = facts.parse(output)
        if found is None and answer is not None and (facts.begun(output) or not answer.whole):
            from mistcore_providers._bare_metal_errors import half_an_answer

            raise half_an_answer(self.machine_ip)
        return found or (facts.Facts() if answer else facts.plain_facts()), answer

    def _power(self, machine_id: str, script: str) -> None:
        self._known(machine_id)
        try:
            output, answer = self._run(script)
        except FileNotFoundError as error:
            raise NotSupported("this machine has no sh to shut it down with", provider=self.id) from error
        ended, words = facts.outcome(output)
        if ended == "done":
            return
        user = answer.user if answer else _local_user()
        if ended in ("sudo", "no sudo"):
            raise PermissionDenied(
                f"{user!r} may not shut the machine down: {words or 'it is not root, and there is no sudo'}",
                reason="sudo",
                remedy=f"Use root, or allow it with `visudo`: {user} ALL=(root) NOPASSWD: /sbin/shutdown",
            )
        if ended == "not run":
            raise NotSupported(
                "the server does not run POSIX shell commands" + (f": {words}" if words else ""), provider=self.id
            )
        raise Rejected(f"the machine refused: {words or 'the command failed'}", reason="shutdown")
