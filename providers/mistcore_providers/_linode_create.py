"""What a new Linode is asked for with: keys, networks, a password for root."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from mistcore import InvalidFields
from mistcore.http import RestSession
from mistcore.rows import words_of

_LABEL = re.compile(r"[a-zA-Z](?:(?!--|__|\.\.)[a-zA-Z0-9._-]){2,63}")
_PUBLIC_KEY = re.compile(r"(?:ssh|ecdsa|sk-ssh|sk-ecdsa)-\S+\s+[A-Za-z0-9+/=]+(?:\s.*)?\Z")


def checked_label(name: str) -> str:
    """Return the name if Linode's document allows it as a label; raises InvalidFields otherwise."""
    if not _LABEL.fullmatch(name):
        raise InvalidFields(
            {"name": f"{name[:80]!r} is no label that Linode takes"},
            remedy="Use 3 to 64 letters, digits, dots, hyphens and underscores, a letter first and none of -, _ and . "
            "twice in a row.",
        )
    return name


def creation(
    session: RestSession,
    body: Mapping[str, Any],
    *,
    network: str,
    keys: Iterable[str],
    user_data: str,
    tags: Mapping[str, str],
    firewall: str,
) -> dict[str, Any]:
    """Return the whole body of the request that creates a Linode.

    Raises:
        InvalidFields: a key, the network, the password or the firewall is none.

    """
    problems: dict[str, str] = {}
    optional: dict[str, Any] = {"tags": words_of(tags)}
    if network:
        interface = _interface(network, str(body["region"]))
        if interface is None:
            problems["network"] = (
                f"{network!r} is no id of a network there: those are numbers (of subnets), or vlan:REGION/NAME"
            )
        optional["interfaces"] = [{"purpose": "public"}, interface]
    if firewall:
        if not (firewall.isascii() and firewall.isdecimal()):
            problems["firewall"] = "not the id of a firewall, which is a number"
        else:
            optional["firewall_id"] = int(firewall)
    # Linode wants a password whenever there is an image, even where only keys are used.
    password = body.get("root_pass") or secrets.token_urlsafe(32)
    if not 7 <= len(password) <= 128:
        problems |= {"root_password": "not as long as Linode wants it, which is 7 to 128 characters"}
    if user_data:
        optional["metadata"] = {"user_data": base64.b64encode(user_data.encode()).decode()}
    if problems:
        raise InvalidFields(problems)
    optional["authorized_keys"] = [_public_key(session, key.strip()) for key in keys if key.strip()]
    return {**body, "root_pass": password, **{name: value for name, value in optional.items() if value}}


def _interface(network: str, region: str) -> dict[str, Any] | None:
    vlan = re.fullmatch(r"vlan:(?:(?P<region>[a-z0-9-]+)/)?(?P<label>[A-Za-z0-9-]{1,64})", network)
    if vlan and vlan["region"] in (None, region):
        return {"purpose": "vlan", "label": vlan["label"]}
    if network.isascii() and network.isdecimal():
        return {"purpose": "vpc", "subnet_id": int(network)}
    return None


def _public_key(session: RestSession, key: str) -> str:
    if _PUBLIC_KEY.match(key):
        return key
    if "PRIVATE KEY" in key:
        raise InvalidFields({"key": "this is a private key; give the public one, the line of its .pub file"})
    for known in session.pages("profile/sshkeys", items="data", per_page="page_size", size=500, count="pages"):
        if key in (str(known.get("id")), known.get("label")):
            return str(known["ssh_key"]).strip()
    raise InvalidFields({"key": f"the profile has no SSH key {key!r}; give its id or label, or the public key"})
