"""Where a libvirt connection goes: the URI, the files that it needs for a moment, and the answers to its questions."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import attrs

from mistcore import InvalidFields, Unreachable
from mistcore_providers._libvirt_calls import binding

__all__ = [
    "Target",
    "check_hostname",
    "check_uri",
    "parameters",
    "ssh_uri",
    "text_of",
    "transport_of",
    "uri_conflicts",
]

_HOSTNAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(%[\w.-]+)?")
_SCHEME = re.compile(r"([a-z][a-z0-9]*)(?:\+([a-z][a-z0-9]*))?", re.IGNORECASE)
_SSH_LIBRARIES = ("libssh", "libssh2")


def transport_of(uri: str) -> str:
    """Return how a libvirt URI travels: "ssh", "tls", "tcp", "libssh" …, or "unix" where nothing leaves the machine.

    A URI with a host and without a transport is TLS (libvirt.org/uri.html, "Remote URIs").
    """
    split = urlsplit(uri)
    transport = split.scheme.partition("+")[2].lower()
    return transport or ("tls" if split.hostname and split.scheme != "test" else "unix")


def parameters(uri: str) -> Mapping[str, str]:
    """Return the parameters after the question mark, the last of each name."""
    return {name: values[-1] for name, values in parse_qs(urlsplit(uri).query, keep_blank_values=True).items()}


def check_uri(uri: str) -> None:
    """Raise `ValueError` saying what is wrong with a libvirt URI."""
    if any(character.isspace() or not character.isprintable() for character in uri):
        raise ValueError("holds white space")
    try:
        split = urlsplit(uri)
        _ = split.port
    except ValueError as error:
        raise ValueError(f"is not a URI: {error}") from None
    if ":" not in uri or not _SCHEME.fullmatch(split.scheme):
        raise ValueError('is not a libvirt URI, which looks like "qemu:///system" or "qemu+tls://host/system"')
    if split.password is not None:
        raise ValueError("holds a password, which libvirt would not use; give it as auth_password")


def check_hostname(hostname: str) -> None:
    """Raise `ValueError` saying what is wrong with a host name or address."""
    if "://" in hostname:
        raise ValueError("is a URI; give it as uri, or only the host's name here")
    if not _HOSTNAME.fullmatch(hostname):
        raise ValueError("is not a host name or an IP address; user and port have fields of their own")


def uri_conflicts(uri: str, fields: Any) -> dict[str, str]:
    """Return which of a provider's fields a URI leaves without effect, with what is wrong about it."""
    given = parameters(uri)
    if "pkipath" in given and (fields.ca_cert or fields.cert_file):
        return {"uri": "has a pkipath, so ca_cert, cert_file and key_file would not be used"}
    if "keyfile" in given and fields.machine_key:
        return {"uri": "has a keyfile, so machine_key would not be used"}
    if "command" in given and (fields.known_hosts or not fields.verify):
        return {"uri": "has a command, so known_hosts and verify would not be used"}
    if fields.cert_file and not fields.ca_cert and transport_of(uri) == "tls":
        return {"ca_cert": "missing: libvirt takes the three TLS files from one place"}
    return {}


def ssh_uri(hostname: str, user: str, port: int) -> str:
    """Return the URI of QEMU/KVM on a host over SSH."""
    host = f"[{hostname}]" if ":" in hostname else hostname
    return f"qemu+ssh://{quote(user, safe='')}@{host}{f':{port}' if port != 22 else ''}/system"


def text_of(value: str) -> str:
    """Return the text that a field holds, read from the file where it is a path."""
    looks_like_text = "\n" in value or "-----BEGIN" in value or value.startswith(("ssh-", "ecdsa-", "sk-", "@", "|1|"))
    if not value or looks_like_text or len(value.split()) > 1:
        return value
    path = Path(value).expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text file") from None
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None


@attrs.frozen
class Target:
    """What it takes to open a connection. Texts of keys and certificates; the provider has read the files already."""

    uri: str
    ssh_key: str = attrs.field(default="", repr=False)
    known_hosts: str = ""
    verify: bool = True
    ca_cert: str = ""
    client_cert: str = ""
    client_key: str = attrs.field(default="", repr=False)
    user: str = ""
    password: str = attrs.field(default="", repr=False)

    @property
    def transport(self) -> str:
        """How it travels; see `transport_of`."""
        return transport_of(self.uri)

    @contextmanager
    def prepared(self, seconds: float) -> Iterator[tuple[str, list[Any]]]:
        """Yield the URI to open and the answers to libvirt's questions; what they refer to is there until the end.

        Keys and certificates are files that only we can read, in a folder that only we can enter. They are needed
        until the connection is open.
        """
        self._check_host_file()
        folder: Path | None = None
        try:
            if self._needs_files():
                folder = Path(tempfile.mkdtemp(prefix="mistcore-libvirt-", dir=self._parent()))
            extra = self._extra(folder, seconds)
            query = "&".join(f"{name}={quote(value, safe='/')}" for name, value in extra.items())
            uri = f"{self.uri}{'&' if '?' in self.uri else '?'}{query}" if query else self.uri
            yield uri, self._auth()
        finally:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)

    def _check_host_file(self) -> None:
        """Refuse a file of the test driver that is not there: the XML library below libvirt would print about it."""
        split = urlsplit(self.uri)
        path = unquote(split.path)
        if split.scheme == "test" and not split.netloc and path != "/default" and not Path(path).is_file():
            raise InvalidFields({"uri": f"there is no file {path}"})

    def _needs_files(self) -> bool:
        return self.transport == "ssh" or bool(self.ssh_key or self.known_hosts or self.ca_cert or self.client_cert)

    def _parent(self) -> str | None:
        """Return a folder that programs may be run from, where the ssh command is wrapped in a script."""
        if self.transport != "ssh":
            return None
        for parent in (tempfile.gettempdir(), str(Path.home())):
            flags = os.statvfs(parent).f_flag
            if not flags & os.ST_NOEXEC and not flags & os.ST_RDONLY:
                return parent
        raise Unreachable(
            "no folder for temporary programs was found, and ssh has to be started by one",
            reason="network",
            remedy="Set TMPDIR to a folder on a file system that is not mounted noexec.",
        )

    def _extra(self, folder: Path | None, seconds: float) -> dict[str, str]:
        """Return the parameters to add to the URI; those that it has already stay as they are."""
        extra: dict[str, str] = {}
        if folder is not None:
            if self.transport == "ssh":
                extra = self._ssh(folder, seconds)
            elif self.transport in _SSH_LIBRARIES:
                extra = self._ssh_library(folder)
            elif self.ca_cert or self.client_cert:
                extra["pkipath"] = str(folder)
                _write(folder / "cacert.pem", self.ca_cert)
                _write(folder / "clientcert.pem", self.client_cert)
                _write(folder / "clientkey.pem", self.client_key)
        if self.transport == "tls" and not self.verify:
            extra["no_verify"] = "1"
        given = parameters(self.uri)
        return {name: value for name, value in extra.items() if name not in given}

    def _ssh(self, folder: Path, seconds: float) -> dict[str, str]:
        """Return the parameters for the `ssh` command: libvirt passes no options on, so a script of ours does."""
        options = ["BatchMode=yes", f"ConnectTimeout={max(int(seconds), 1)}"]
        options += ["ServerAliveInterval=15", "ServerAliveCountMax=2"]
        extra = {"no_tty": "1"}
        if self.ssh_key:
            options.append("IdentitiesOnly=yes")
            extra["keyfile"] = str(_write(folder / "key", self.ssh_key))
        if not self.verify:
            options += ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "GlobalKnownHostsFile=/dev/null"]
        elif self.known_hosts:
            file = _write(folder / "known_hosts", self._known_hosts_lines())
            options += ["StrictHostKeyChecking=yes", f"UserKnownHostsFile={file}", "GlobalKnownHostsFile=/dev/null"]
        words = [word for option in options for word in ("-o", option)]
        script = folder / "ssh"
        script.write_text(f'#!/bin/sh\nexec ssh {shlex.join(words)} "$@"\n', encoding="utf-8")
        script.chmod(0o700)
        return {**extra, "command": str(script)}

    def _ssh_library(self, folder: Path) -> dict[str, str]:
        extra: dict[str, str] = {}
        if self.ssh_key:
            extra |= {"keyfile": str(_write(folder / "key", self.ssh_key)), "sshauth": "privkey"}
        if not self.verify:
            extra["known_hosts_verify"] = "ignore"
        elif self.known_hosts:
            extra["known_hosts"] = str(_write(folder / "known_hosts", self._known_hosts_lines()))
        return extra

    def _known_hosts_lines(self) -> str:
        """Return the lines of a known_hosts file; a bare key ("ssh-ed25519 AAAA…") is this host's."""
        split = urlsplit(self.uri)
        host = split.hostname or "localhost"
        name = f"[{host}]:{split.port}" if split.port not in (None, 22) else host
        lines = []
        for line in self.known_hosts.splitlines():
            bare = line.split(None, 1)[0].startswith(("ssh-", "ecdsa-", "sk-")) if line.strip() else False
            lines.append(f"{name} {line.strip()}" if bare else line)
        return "\n".join(lines)

    def _auth(self) -> list[Any]:
        libvirt = binding()
        names = [libvirt.VIR_CRED_USERNAME, libvirt.VIR_CRED_AUTHNAME]
        secrets = [libvirt.VIR_CRED_PASSPHRASE, libvirt.VIR_CRED_NOECHOPROMPT]
        user, password = self.user, self.password

        def answer(questions: list[list[Any]], context: object) -> int:
            for question in questions:
                value = user if question[0] in names else password if question[0] in secrets else ""
                if not value:
                    return -1
                question[4] = value
            return 0

        return [[*names, *secrets], answer, None]


def _write(path: Path, text: str) -> Path:
    """Write a file that only we can read; nothing is written for an empty text."""
    if text:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text.replace("\r\n", "\n").strip() + "\n")
    return path
