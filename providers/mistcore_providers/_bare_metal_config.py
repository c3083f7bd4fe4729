"""Where to log in and as whom, and what ~/.ssh/config has to say about it. Imports asyncssh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncssh
import attrs

from mistcore import InvalidFields
from mistcore_providers._bare_metal_trust import WayIn

__all__ = ["FIXED_OPTIONS", "Login", "jump_login", "options_for"]

#: What an operation never wants, whatever the configuration says: forwarding, terminals, X.509, Kerberos, and packets
#: that unpack to a thousand times their size.
FIXED_OPTIONS: dict[str, Any] = {
    "agent_forwarding": False,
    "x11_forwarding": False,
    "request_pty": False,
    "command": None,
    "env": None,
    "send_env": None,
    "x509_trusted_certs": None,
    "gss_host": None,
    "connect_timeout": None,
    "compression_algs": ["none"],
}


@attrs.frozen
class Login:
    """Where to go and as whom.

    Attributes:
        port, user: None where the user did not choose: then the configuration may, and `default_user` comes last.
        pin: the SHA256 fingerprint that the server's key must have, or "".
        known_hosts: the one file of known keys, or "" for those of the configuration or the usual ones.
        config: the SSH configuration, or None for none.
        jump: it is a host on the way.

    """

    host: str
    port: int | None = None
    user: str | None = None
    default_user: str = ""
    way_in: WayIn = attrs.field(factory=WayIn)
    pin: str = ""
    known_hosts: str = ""
    config: Path | None = None
    jump: bool = False


def options_for(login: Login) -> asyncssh.SSHClientConnectionOptions:
    """Return what the configuration says of a host, without loading a key."""
    try:
        return asyncssh.SSHClientConnectionOptions(
            config=[str(login.config)] if login.config else None,
            host=login.host,
            port=login.port or (),
            username=login.user or (),
            client_keys=None,
            known_hosts=None,
            **FIXED_OPTIONS,
        )
    except (ValueError, OSError) as error:
        raise InvalidFields({"ssh_config": str(error)}) from error


def jump_login(hop: str, login: Login) -> Login:
    """Return the login to a host of ProxyJump ([user@]host[:port]); who may go in is for the configuration to say."""
    user, _, place = hop.strip().rpartition("@")
    place = place.removeprefix("ssh://")
    host, colon, port = place.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")) or not port.isdigit():
        host, port = place, ""
    return Login(
        host=host.strip("[]"),
        port=int(port) if port else None,
        user=user.removeprefix("ssh://") or None,
        way_in=WayIn(use_agent=login.way_in.use_agent),
        known_hosts=login.known_hosts,
        config=login.config,
        jump=True,
    )
