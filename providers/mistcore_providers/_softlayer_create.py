"""What a new SoftLayer server is asked for with: its size, image, networks and keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from mistcore import InvalidFields, MachineNotFound
from mistcore.http import RestSession

_CUSTOM = re.compile(r"(\d{1,3})x(\d{3,7})")
_OWN_IMAGE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PUBLIC_KEY = re.compile(r"(?:ssh|ecdsa|sk-ssh|sk-ecdsa)-\S+\s+(?P<data>[A-Za-z0-9+/=]+)(?:\s+(?P<comment>.*))?\Z")


def names_of(name: str) -> tuple[str, str]:
    """Return host name and domain of a name; no domain is ""."""
    hostname, _, domain = name.strip().rstrip(".").partition(".")
    return hostname, domain


def creation(
    session: RestSession,
    body: Mapping[str, Any],
    *,
    image: str,
    size: str,
    location: str,
    networks: Iterable[str],
    keys: Iterable[str],
    user_data: str,
    local_disk: bool,
) -> dict[str, Any]:
    """Return the whole template of a new virtual server.

    Raises:
        InvalidFields: a key or a network is none.

    """
    whole = {**body, "datacenter": {"name": location}}
    if custom := _CUSTOM.fullmatch(size):
        whole |= {"startCpus": int(custom[1]), "maxMemory": int(custom[2]), "localDiskFlag": local_disk}
    else:
        whole["supplementalCreateObjectOptions"] = {"flavorKeyName": size}
    if _OWN_IMAGE.fullmatch(image):
        whole["blockDeviceTemplateGroup"] = {"globalIdentifier": image}
    else:
        whole["operatingSystemReferenceCode"] = image
    for network in filter(None, networks):
        whole |= _component(session, network)
    if user_data:
        whole["userData"] = [{"value": user_data}]
    if wanted := [_key(session, key.strip()) for key in keys if key.strip()]:
        whole["sshKeys"] = wanted
    return whole


def _component(session: RestSession, network: str) -> dict[str, Any]:
    """Return the part of the template that puts a server into a VLAN: which part depends on the VLAN's space."""
    if not (network.isascii() and network.isdecimal()):
        raise InvalidFields({"network": f"{network!r} is no id of a VLAN, which is a number"})
    unknown = InvalidFields({"network": f"the account has no VLAN {network}"})
    path, mask = f"SoftLayer_Network_Vlan/{network}/getObject.json", "mask[id,networkSpace]"
    try:
        vlan = session.get(path, params={"objectMask": mask}, missing=unknown)
    except MachineNotFound as error:  # what the code of the refusal is taken for
        raise unknown from error
    place = "primaryBackendNetworkComponent" if vlan.get("networkSpace") == "PRIVATE" else "primaryNetworkComponent"
    return {place: {"networkVlan": {"id": int(network)}}}


def _key(session: RestSession, key: str) -> dict[str, int]:
    if key.isdecimal():
        return {"id": int(key)}
    if "PRIVATE KEY" in key:
        raise InvalidFields({"key": "this is a private key; give the public one, the line of its .pub file"})
    public = _PUBLIC_KEY.match(key)
    known = session.get("SoftLayer_Account/getSshKeys.json", params={"objectMask": "mask[id,label,fingerprint,key]"})
    for row in known:
        if public is None and key.removeprefix("MD5:") in (row.get("label"), row.get("fingerprint")):
            return {"id": int(row["id"])}
        held = _PUBLIC_KEY.match(str(row.get("key") or "").strip())
        if public and held and held["data"] == public["data"]:
            return {"id": int(row["id"])}
    if public is None:
        raise InvalidFields(
            {"key": f"the account has no SSH key {key!r}; give its id, label or fingerprint, or the public key"}
        )
    template = {"label": public["comment"] or f"mistcore {public['data'][-8:]}", "key": key}
    created = session.post("SoftLayer_Security_Ssh_Key/createObject.json", json={"parameters": [template]})
    return {"id": int(created["id"])}
