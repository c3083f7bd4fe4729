"""SSH keys at DigitalOcean, found by whatever a person has at hand: id, fingerprint, name, or the public key itself."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable

from mistcore import InvalidFields, MachineNotFound
from mistcore.http import RestSession

_PUBLIC_KEY = re.compile(r"(?:ssh|ecdsa|sk-ssh|sk-ecdsa)-\S+\s+(?P<data>[A-Za-z0-9+/=]+)(?:\s+(?P<comment>.*))?\Z")
_MD5 = re.compile(r"(?:MD5:)?((?:[0-9a-f]{2}:){15}[0-9a-f]{2})", re.IGNORECASE)
_PATH = "v2/account/keys"


def key_identifiers(session: RestSession, keys: Iterable[str]) -> list[int | str]:
    """Return what DigitalOcean takes for each key; a public key that the account does not have yet is added to it.

    Raises:
        InvalidFields: there is no such key, or it is not a public key.

    """
    return [_identifier(session, key.strip()) for key in keys if key.strip()]


def _identifier(session: RestSession, key: str) -> int | str:
    if key.isdecimal():
        return int(key)
    if fingerprint := _MD5.fullmatch(key):
        return fingerprint[1].lower()
    if public := _PUBLIC_KEY.match(key):
        return _added(session, key, public)
    if "PRIVATE KEY" in key:
        raise InvalidFields({"key": "this is a private key; give the public one, the line of its .pub file"})
    for known in session.pages(_PATH, items="ssh_keys", size=200, total="meta.total"):
        if key in (known.get("name"), _sha256(str(known.get("public_key") or ""))):
            return int(known["id"])
    raise InvalidFields({"key": f"the account has no SSH key {key!r}; give its id or fingerprint, or the public key"})


def _added(session: RestSession, key: str, public: re.Match[str]) -> int | str:
    """Return the fingerprint of a public key, having made sure that the account has it."""
    try:
        digest = hashlib.md5(base64.b64decode(public["data"], validate=True), usedforsecurity=False).hexdigest()
    except (binascii.Error, ValueError) as error:
        raise InvalidFields({"key": "this is not a whole public key"}) from error
    fingerprint = ":".join(digest[index : index + 2] for index in range(0, 32, 2))
    absent = MachineNotFound("no such key")
    try:
        session.get(f"{_PATH}/{fingerprint}", missing=absent)
    except MachineNotFound:
        name = public["comment"] or f"mistcore {fingerprint[:8]}"
        session.post(_PATH, json={"name": name, "public_key": key})
    return fingerprint


def _sha256(public_key: str) -> str:
    """Return the fingerprint that `ssh-keygen -l` shows, or "" for what is not a public key."""
    match = _PUBLIC_KEY.match(public_key.strip())
    try:
        data = base64.b64decode(match["data"], validate=True) if match else b""
    except (binascii.Error, ValueError):
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(data).digest()).decode().rstrip("=") if data else ""
