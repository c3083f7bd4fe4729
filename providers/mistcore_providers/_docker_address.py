"""Where a Docker Engine listens: what people write into `docker_host`, read with care."""

from __future__ import annotations

import ipaddress
import os
import sys
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import attrs

DEFAULT_SOCKET = "/var/run/docker.sock"
_DEFAULT_PIPE = "//./pipe/docker_engine"
_PLAIN_PORT, _TLS_PORT = 2375, 2376  # registered with IANA: "docker" and "docker-s"
_TLS_PORTS = (_TLS_PORT, 443)


class BadAddress(ValueError):
    """An address that cannot be used. `field` is the credential field at fault."""

    def __init__(self, problem: str, field: str = "docker_host") -> None:
        super().__init__(problem)
        self.field = field


@attrs.frozen
class Address:
    """Where an engine listens.

    Attributes:
        scheme: "unix", "npipe", "ssh", "http" or "https".
        host: the name or number; empty for a local socket.
        port: 0 where the scheme has none, or (ssh) where `~/.ssh/config` may say which.
        user: whom to log in as (ssh), or "".
        path: the path of the socket, or what comes before "/containers" behind a reverse proxy.

    """

    scheme: str
    host: str = ""
    port: int = 0
    user: str = ""
    path: str = ""

    @property
    def local(self) -> bool:
        """Tell whether this is a socket or pipe of this machine."""
        return self.scheme in ("unix", "npipe")

    @property
    def tls(self) -> bool:
        """Tell whether the way there is encrypted by TLS."""
        return self.scheme == "https"

    @property
    def url(self) -> str:
        """Return the address as a URL."""
        if self.local:
            return f"{self.scheme}://{self.path}"
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}://{user}{host}{port}{self.path}"

    def __str__(self) -> str:
        return self.path if self.local else self.url


def read_address(docker_host: str, docker_port: int | None, *, tls: bool) -> Address:
    """Return the address that these fields give; `tls` says that some of them are about TLS.

    A host name or `tcp://` means TLS where `tls` is true or the port is one of TLS, plain HTTP otherwise.

    Raises:
        BadAddress: in words that say what is wrong with it.

    """
    if any(ord(character) < 32 or ord(character) == 127 for character in docker_host):
        raise BadAddress("holds control characters")
    if docker_host.startswith(("/", "~")):
        docker_host = f"unix://{docker_host}"
    scheme, separator, rest = docker_host.partition("://")
    if not separator:
        scheme, rest = "tcp", docker_host
    scheme = scheme.lower()
    if not docker_host or scheme in ("unix", "npipe"):
        return _local_address(scheme if docker_host else "", rest, docker_port)
    if scheme not in ("tcp", "http", "https", "ssh"):
        raise BadAddress(
            "must be a host name, or an address that begins with unix://, tcp://, https://, http:// or ssh://"
        )
    split = _split(rest)
    host = split.hostname or ""
    user = _user(split, scheme)
    path = split.path.rstrip("/")
    if scheme == "ssh" and path:
        raise BadAddress("has a path, which ssh:// cannot have")
    port = _port(split, docker_port)
    if scheme == "tcp":
        scheme = "https" if tls or port in _TLS_PORTS else "http"
    if not port and scheme != "ssh":
        port = _TLS_PORT if scheme == "https" else _PLAIN_PORT
    return Address(scheme, host, port, user, path)


def other_sockets() -> list[str]:
    """Return the sockets of this user's own engines (rootless, Docker Desktop) that are there."""
    places = [Path.home() / ".docker/run/docker.sock", Path.home() / ".docker/desktop/docker.sock"]
    if os.environ.get("XDG_RUNTIME_DIR"):
        places.insert(0, Path(os.environ["XDG_RUNTIME_DIR"]) / "docker.sock")
    return [str(place) for place in places if place.exists()]


def _local_address(scheme: str, path: str, docker_port: int | None) -> Address:
    if docker_port is not None:
        raise BadAddress("is not used with a local socket; give docker_host too", "docker_port")
    if scheme == "npipe" or (not scheme and sys.platform == "win32"):
        if sys.platform != "win32":
            raise BadAddress("npipe:// works on Windows only")
        return Address("npipe", path=path or _DEFAULT_PIPE)
    if "?" in path or "#" in path:
        raise BadAddress("holds ? or #, which the path of a socket cannot have here")
    path = os.path.expanduser(path) or DEFAULT_SOCKET  # noqa: PTH111 - Path would drop a slash at the end
    return Address("unix", path=path if path.startswith("/") else f"/{path}")


def _split(rest: str) -> SplitResult:
    if any(character.isspace() for character in rest):
        raise BadAddress("holds spaces")
    try:
        if "[" not in rest and ipaddress.ip_address(rest).version == 6:
            rest = f"[{rest}]"
    except ValueError:
        pass  # a name, or a number with a port
    try:
        split = urlsplit(f"//{rest}")
        host = split.hostname or ""
    except ValueError:
        raise BadAddress("is not an address: an IPv6 number goes into brackets, [2001:db8::1]:2376") from None
    if not host:
        raise BadAddress("names no host")
    if "//" in split.path:
        raise BadAddress("holds :// or // twice")
    if split.query or split.fragment:
        raise BadAddress("holds ? or #, which an engine's address cannot have")
    if host.startswith("-") or not all(character.isalnum() or character in "._-:%" for character in host):
        raise BadAddress(f"{host!r} is not a host name")
    return split


def _user(split: SplitResult, scheme: str) -> str:
    if scheme != "ssh":
        if split.username is not None:
            raise BadAddress("holds a user name; it goes into auth_user, and its password into auth_password")
        return ""
    if split.password is not None:
        raise BadAddress("holds a password; ssh:// takes a key only, from key_file, an agent or ~/.ssh")
    user = split.username or ""
    if user.startswith("-") or (user and not user.isprintable()):
        raise BadAddress(f"{user!r} is not a user name")
    return user


def _port(split: SplitResult, docker_port: int | None) -> int:
    try:
        port = split.port
    except ValueError:
        raise BadAddress("its port must be a number from 1 to 65535") from None
    if port == 0:
        raise BadAddress("its port must be a number from 1 to 65535")
    if port and docker_port and port != docker_port:
        raise BadAddress(f"says {docker_port}, but docker_host says {port}; give one of them", "docker_port")
    return port or docker_port or 0
