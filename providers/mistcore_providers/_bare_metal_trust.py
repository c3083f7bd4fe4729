"""Which host key a server may show, and with what it is asked to let the user in. Imports asyncssh."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import asyncssh
import attrs

from mistcore import InvalidFields
from mistcore_providers._bare_metal_errors import Where

__all__ = ["HOST_KEY_ALGORITHMS", "Known", "WayIn", "algorithms_but", "fingerprint", "key_fingerprint", "known_for"]

#: By type of key, the signatures to ask for, best first.
HOST_KEY_ALGORITHMS = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
_USER_FILES = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
_PUBLIC = ("ssh-", "ecdsa-", "sk-")
_SYSTEM_FILES = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")


def algorithms_but(seen: Sequence[asyncssh.SSHKey]) -> list[str]:
    """Return the host key algorithms of the types of key that have not been seen yet."""
    types = {key.get_algorithm() for key in seen}
    return [name for kind, names in HOST_KEY_ALGORITHMS.items() if kind not in types for name in names]


def fingerprint(key: asyncssh.SSHKey | None) -> str:
    """Return "SHA256:… (ssh-ed25519)", or "" for none."""
    return f"{key.get_fingerprint()} ({key.get_algorithm()})" if key is not None else ""


def key_fingerprint(pairs: Sequence[asyncssh.SSHKeyPair]) -> str:
    """Return the SHA256 fingerprint of the first of these keys, or ""."""
    if not pairs:
        return ""
    digest = hashlib.sha256(pairs[0].key_public_data).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


@attrs.frozen
class Known:
    """What the known-hosts files say of one host. `here` is False where that was found under its name without port."""

    keys: tuple[asyncssh.SSHKey, ...] = ()
    authorities: tuple[asyncssh.SSHKey, ...] = ()
    revoked: tuple[asyncssh.SSHKey, ...] = ()
    here: bool = True


def known_for(where: Where, address: str, options: asyncssh.SSHClientConnectionOptions, known_hosts: str) -> Known:
    """Look a host up, by name and address, with its port and, as OpenSSH does, then without.

    Args:
        known_hosts: the one file to look in, or "" for those of the configuration or the usual ones.

    Raises:
        InvalidFields: the file given is not there, or cannot be read.

    """
    entries = _read(options, known_hosts)
    names = [options.host_key_alias] if options.host_key_alias else [name for name in (where.host, address) if name]
    spelled = [Where(name, where.port).as_known_host() for name in names]
    for here, spellings in ((True, spelled), (False, names)):
        found = [entries.match(name, "", None) for name in dict.fromkeys(spellings)]
        known = Known(
            keys=tuple(key for match in found for key in match[0]),
            authorities=tuple(key for match in found for key in match[1]),
            revoked=tuple(key for match in found for key in match[2]),
            here=here,
        )
        if known.keys or known.authorities or known.revoked:
            return known
    return Known()


def _read(options: asyncssh.SSHClientConnectionOptions, known_hosts: str) -> asyncssh.SSHKnownHosts:
    if known_hosts:
        files = [Path(known_hosts).expanduser()]
    else:
        user = options.config.get("UserKnownHostsFile", _USER_FILES)
        system = options.config.get("GlobalKnownHostsFile", _SYSTEM_FILES)
        files = [Path(str(name)).expanduser() for name in (*user, *system)]  # type: ignore[misc]
    entries = asyncssh.SSHKnownHosts()
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            if known_hosts:
                raise InvalidFields({"known_hosts": f"cannot read {file}: {error.strerror}"}) from error
            continue
        for line in lines:
            try:
                entries.load(line)
            except ValueError:
                continue  # as OpenSSH does: one damaged line makes none of the others useless
    return entries


@attrs.frozen
class WayIn:
    """With what the server is asked to let the user in.

    What the user gave is all that is tried; where nothing was given and `use_agent` is set, it is what `ssh` would try:
    the identity files of the configuration or the usual ones, and the agent.
    """

    key: str = attrs.field(default="", repr=False)
    passphrase: str = attrs.field(default="", repr=False)
    password: str = attrs.field(default="", repr=False)
    use_agent: bool = True

    @property
    def like_ssh(self) -> bool:
        """Whether agent and identity files are tried."""
        return self.use_agent and not self.key and not self.password

    def pairs(self) -> list[asyncssh.SSHKeyPair]:
        """Return the key given, with its certificate if one lies beside it; an empty list when none was given.

        Raises:
            InvalidFields: there is no such file, it is not a private key, or the passphrase is missing or wrong.

        """
        if not self.key:
            return []
        source, called = self._source()
        try:
            return list(asyncssh.load_keypairs(source, self.passphrase or None))
        except OSError as error:
            raise InvalidFields({"machine_key": f"cannot read {called}: {error.strerror}"}) from error
        except ValueError as error:
            raise self._bad_key(called, _text_of(source), error) from error

    def _source(self) -> tuple[bytes | str, str]:
        """Return the key's text, or the path of its file, and what to call it; what is no path is not shown."""
        text = self.key
        if "-----BEGIN" in text or "\n" in text:
            if "\n" not in text:
                text = text.replace("\\n", "\n")  # a key that came through an environment file in one line
            return text.strip().encode() + b"\n", "the text given"
        if text.startswith(_PUBLIC):
            raise InvalidFields({"machine_key": "this is a public key; the private one is needed"})
        path = str(Path(text).expanduser())
        if not text.startswith(("/", "~", ".")) and not os.path.isfile(path):  # noqa: PTH113 - Path raises for long names
            raise InvalidFields({"machine_key": "neither the path of a file nor the text of a private key"})
        return path, path

    def _bad_key(self, called: str, text: str, error: ValueError) -> InvalidFields:
        if str(error).startswith("Passphrase"):
            return InvalidFields({"key_passphrase": f"missing: the key in {called} is encrypted"})
        if self.passphrase and (isinstance(error, asyncssh.KeyEncryptionError) or "ENCRYPTED" in text):
            return InvalidFields({"key_passphrase": f"does not open the key in {called}"})
        if text.startswith("PuTTY"):
            return InvalidFields(
                {"machine_key": f"{called} is a PuTTY key"},
                remedy="Convert it: puttygen KEY.ppk -O private-openssh -o KEY",
            )
        if text.startswith(_PUBLIC):
            return InvalidFields({"machine_key": f"{called} is a public key; the private one is needed"})
        return InvalidFields({"machine_key": f"there is no private key that can be read in {called}"})

    def identities(self, options: asyncssh.SSHClientConnectionOptions) -> list[str] | tuple[()]:
        """Return the configured identity files that exist (`ssh` passes over the others), or () for the usual ones."""
        names = options.config.get("IdentityFile", None)
        if not names:
            return ()
        return [str(name) for name in names if Path(str(name)).expanduser().is_file()]  # type: ignore[attr-defined]


def _text_of(source: bytes | str) -> str:
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    return data[:4000].decode(errors="replace")
