"""What went wrong on the way into a server, in words and with a remedy."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Sequence

import attrs

from mistcore import AuthenticationFailed, Unreachable

__all__ = [
    "Where",
    "algorithms",
    "closed",
    "half_an_answer",
    "host_key_changed",
    "host_key_revoked",
    "host_key_unknown",
    "no_connection",
    "no_way_on",
    "not_let_in",
    "not_ssh",
    "password_expired",
    "pin_differs",
    "silent",
    "timed_out",
    "too_many_keys",
    "unresolved",
]


@attrs.frozen
class Where:
    """A host and its port, as they are shown; `jump` for one on the way."""

    host: str
    port: int
    jump: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'jump host ' if self.jump else ''}{host}:{self.port}"

    def as_known_host(self) -> str:
        """Return it as known_hosts spells it."""
        return self.host if self.port == 22 else f"[{self.host}]:{self.port}"


def unresolved(where: Where, error: Exception) -> Unreachable:
    """The name stands for no address."""
    known = error.strerror if isinstance(error, socket.gaierror) else ""
    return Unreachable(
        f"the name {where.host!r} does not resolve" + (f" ({known})" if known else ""),
        reason="dns",
        remedy="Check its spelling and this machine's DNS, or give an address.",
    )


def no_connection(where: Where, failures: Sequence[OSError], seconds: float) -> Unreachable:
    """No address of the host took the connection."""
    if any(isinstance(error, ConnectionRefusedError) for error in failures):
        return Unreachable(
            f"{where} refuses connections",
            reason="refused",
            remedy="Check that the SSH server runs, and that machine_port is its port.",
        )
    if all(isinstance(error, TimeoutError) for error in failures):
        return Unreachable(
            f"no answer from {where} within {seconds:.3g} seconds",
            reason="timeout",
            remedy="Check the address, that the machine is up, and that no firewall drops the connection.",
        )
    words = next((str(error.strerror or error) for error in failures if not isinstance(error, TimeoutError)), "")
    return Unreachable(
        f"cannot connect to {where}: {words}",
        reason="network",
        remedy="Check the address and the network between here and there.",
    )


def timed_out(doing: str, seconds: float) -> Unreachable:
    """Time ran out after the connection stood, or while the name was being looked up."""
    return Unreachable(
        f"{doing} took longer than {seconds:.3g} seconds",
        reason="timeout",
        remedy="Check that the server is well, or allow more time.",
    )


def not_ssh(where: Where, greeting: bytes = b"") -> Unreachable:
    """Something listens there that is not an SSH server."""
    line = greeting.split(b"\n")[0][:60].decode("ascii", errors="replace").strip()
    said = f": it says {line!r}" if line else ""
    return Unreachable(
        f"what listens at {where} is not an SSH server{said}",
        reason="not_ssh",
        remedy="Check that machine_port is the SSH server's port.",
    )


def silent(where: Where, seconds: float) -> Unreachable:
    """The connection is taken, and then nothing comes."""
    return Unreachable(
        f"{where} takes connections, but no SSH server greets within {seconds:.3g} seconds",
        reason="timeout",
        remedy="Check that machine_port is the SSH server's port, and that the machine is not overloaded.",
    )


def closed(where: Where, error: Exception | None = None, *, doing: str = "") -> Unreachable:
    """The connection broke, in the middle of something or before the server said anything."""
    when = f"during {doing}" if doing else "before it said anything"
    words = f" ({error})" if error is not None and str(error) else ""
    return Unreachable(
        f"{where} closed the connection {when}{words}",
        reason="network",
        remedy="The server may be limiting logins (MaxStartups), or banning this address (fail2ban, hosts.deny).",
    )


def half_an_answer(where: str) -> Unreachable:
    """The connection or the script ended before all was told."""
    return Unreachable(
        f"{where} stopped in the middle of its answer",
        reason="network",
        remedy="Ask again; if it stays so, look at what ends the user's sessions on the server.",
    )


def algorithms(where: Where, error: Exception) -> Unreachable:
    """The two sides know no common way to talk."""
    return Unreachable(
        f"{where} speaks only SSH algorithms that are no longer used here: {error}",
        reason="algorithms",
        remedy="Update the SSH server.",
    )


def host_key_unknown(where: Where, shown: str, known_hosts: str, *, through: bool) -> Unreachable:
    """The server's key is not known yet."""
    file = known_hosts if known_hosts.startswith("~/") and " " not in known_hosts else shlex.quote(known_hosts)
    learn = (
        f"log in once with `ssh {where.host}`" if through else f"`ssh-keyscan -p {where.port} {where.host} >> {file}`"
    )
    return Unreachable(
        f"the host key of {where} is not known; it shows {shown}",
        reason="host_key",
        remedy="Compare that with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the server itself (or with "
        f"that type's file). If it is the same, give it as host_key, or learn it: {learn}.",
    )


def host_key_changed(where: Where, shown: str, known: Sequence[str]) -> Unreachable:
    """The server's key is another one than the one known."""
    return Unreachable(
        f"THE HOST KEY OF {where} HAS CHANGED: it shows {shown}, known is {', '.join(known)}",
        reason="host_key_changed",
        remedy="Nothing was sent. Somebody may be standing between you and the server. Only if you know that it was "
        f"installed anew: forget the old key with `ssh-keygen -R '{where.as_known_host()}'` and learn the new one.",
    )


def host_key_revoked(where: Where) -> Unreachable:
    """The key is marked as revoked in known_hosts."""
    return Unreachable(
        f"the host key of {where} is marked as revoked in known_hosts",
        reason="host_key_changed",
        remedy="Nothing was sent. That key must not be trusted any more; give the server a new one.",
    )


def pin_differs(where: Where, shown: Sequence[str], pin: str) -> Unreachable:
    """The server's key is not the one given as host_key."""
    return Unreachable(
        f"the host key of {where} is not the one in host_key: it shows {', '.join(shown)}, not {pin}",
        reason="host_key_changed",
        remedy="Nothing was sent. Somebody may be standing between you and the server; change host_key only if you "
        "know that the server has this key.",
    )


def too_many_keys(where: Where, user: str) -> AuthenticationFailed:
    """The server hung up before the right key had its turn."""
    return AuthenticationFailed(
        f"{where} hung up after too many keys that do not let {user!r} in",
        reason="too_many_keys",
        remedy="Give machine_key, or set IdentityFile and IdentitiesOnly in ~/.ssh/config.",
    )


def password_expired(where: Where, user: str) -> AuthenticationFailed:
    """The password is right, but must be changed first."""
    return AuthenticationFailed(
        f"{where} wants the password of {user!r} to be changed first",
        reason="expired",
        remedy="Log in once with `ssh`, change it, and give the new one.",
    )


def no_way_on(jump: str, where: Where, error: Exception) -> Unreachable:
    """The jump host does not connect to the next host."""
    words = str(error)
    reasons = {"refused": "refused", "not known": "dns", "resolution": "dns", "timed out": "timeout"}
    return Unreachable(
        f"the jump host {jump} does not connect to {where}: {words}",
        reason=next((reason for sign, reason in reasons.items() if sign in words), "network"),
        remedy="Check the address as the jump host sees it, and that it allows forwarding (AllowTcpForwarding).",
    )


def not_let_in(
    where: Where, user: str, offered: Sequence[str], *, key: str = "", password: bool = False, agent: bool = False
) -> AuthenticationFailed:
    """The server accepts none of what it was shown. `key` is the fingerprint of the key given."""
    takes = f"; it takes {', '.join(offered)}" if offered else ""
    takes_passwords = not offered or {"password", "keyboard-interactive"} & set(offered)
    if password and not takes_passwords and not key:
        return AuthenticationFailed(
            f"{where} takes no password of {user!r}{takes}",
            reason="password_refused",
            remedy="Give machine_key.",
        )
    if password:
        what = f"the key {key} or with this password" if key else "this password"
        return AuthenticationFailed(
            f"{where} does not let {user!r} in with {what}{takes}",
            reason="password_refused",
            remedy="Check machine_user and password, and that the server lets this user log in with one.",
        )
    if key:
        return AuthenticationFailed(
            f"{where} does not let {user!r} in with the key {key}{takes}",
            reason="key_refused",
            remedy=f"Add its public half to ~{user}/.ssh/authorized_keys on the server, or check machine_user."
            + (" Give password too, if the server wants both." if offered and takes_passwords else ""),
        )
    shown = "any key of the SSH agent or of ~/.ssh" if agent else "nothing"
    return AuthenticationFailed(
        f"{where} does not let {user!r} in with {shown}{takes}",
        reason="no_key",
        remedy=(
            f"Set User and IdentityFile of {where.host} in ~/.ssh/config, or load its key into the SSH agent."
            if where.jump
            else "Give machine_key or password, or load the right key into the SSH agent."
        ),
    )
