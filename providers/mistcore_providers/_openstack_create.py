"""Creating a server: names made into ids, a key pair for a key, and a floating address once there is a port.

Import this inside methods only: it needs the SDK (novaclient).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from keystoneauth1 import exceptions
from novaclient import client as novaclient
from novaclient import exceptions as novaclient_errors

from mistcore.deadline import sleep
from mistcore.errors import InvalidFields, MistError, NotSupported, ProviderError
from mistcore_providers._openstack_cloud import Cloud
from mistcore_providers._openstack_errors import translate
from mistcore_providers._openstack_records import is_uuid

_PORT_WAIT = 120.0
_PORT_LOOK = 0.5


def nova(cloud: Cloud, version: str = "2.1") -> Any:
    """Return a novaclient for this account; it sends over the account's own session."""
    return novaclient.Client(version, session=cloud.session, endpoint_override=cloud.endpoint("compute"))


def create_server(
    cloud: Cloud,
    name: str,
    *,
    image: str,
    size: str,
    zone: str,
    networks: Sequence[str],
    key: str,
    user_data: str,
    tags: Mapping[str, str],
    security_groups: Sequence[str],
    floating_ip: bool | str,
    glance: bool,
) -> tuple[str, str]:
    """Create a server and return its id, and the administrator's password where the cloud made one.

    Everything that can be wrong is looked up first, so that a mistake leaves nothing behind.
    """
    image_id = find(image, "image", _images(cloud, image, glance=glance))
    size_id = find(size, "size", _rows(cloud, "compute", "/flavors/detail", "flavors"))
    version, nics = _nics(cloud, networks)
    pool = _pool(cloud, floating_ip) if floating_ip else ""
    client = nova(cloud, version)
    pair = _key_name(cloud, key) if key else None
    try:
        server = client.servers.create(
            name,
            image_id,
            size_id,
            meta=dict(tags) or None,
            userdata=user_data or None,
            key_name=pair,
            availability_zone=zone or None,
            security_groups=list(security_groups) or None,
            nics=nics,
        )
    except novaclient_errors.BadRequest as error:
        if pair and "key_name" in str(error):
            names = ", ".join(sorted(found.name for found in client.keypairs.list())) or "none"
            raise InvalidFields({"key": f"there is no key pair {pair!r}; there is {names}"}) from error
        raise
    if pool:
        try:
            _attach_floating_ip(cloud, server.id, pool)
        except (MistError, exceptions.ClientException) as error:
            said = translate(error) if not isinstance(error, MistError) else error
            raise ProviderError(
                f"the server {server.id} was created, but got no floating address: {said.message if said else error}",
                reason="floating_ip",
                remedy="Attach one by hand, or destroy the server.",
            ) from error
    return str(server.id), str(getattr(server, "adminPass", "") or "")


def _images(cloud: Cloud, image: str, *, glance: bool) -> list[Mapping[str, Any]]:
    if not glance:
        return _rows(cloud, "compute", "/images/detail", "images")
    wanted = {"id": f"in:{image}"} if is_uuid(image) else {"name": image}
    found = _rows(cloud, "image", "/v2/images", "images", **wanted)
    return found or _rows(cloud, "image", "/v2/images", "images", status="active")


def _rows(cloud: Cloud, kind: str, path: str, key: str, **params: Any) -> list[Mapping[str, Any]]:
    return [row for page in cloud.pages(kind, path, key, **params) for row in page if isinstance(row, Mapping)]


def find(wanted: str, field: str, rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the id of the one thing with this id or name."""
    rows = list(rows)
    for row in rows:
        if str(row.get("id")) == wanted:
            return wanted
    named = [row for row in rows if row.get("name") == wanted]
    if len(named) > 1:
        ids = ", ".join(str(row.get("id")) for row in named)
        raise InvalidFields({field: f"{len(named)} are called {wanted!r}, give the id of one: {ids}"})
    if not named:
        names = sorted({str(row.get("name")) for row in rows if row.get("name")})
        shown = ", ".join(names[:15]) + (" …" if len(names) > 15 else "") if names else "none"
        raise InvalidFields({field: f"there is no {wanted!r} in this cloud; there is {shown}"})
    return str(named[0]["id"])


def _nics(cloud: Cloud, networks: Sequence[str]) -> tuple[str, Any]:
    """Return the microversion to create with, and the networks in novaclient's form.

    Without a choice, Nova before 2.37 takes the only network there is, and none where there is none.
    """
    if not networks:
        return "2.1", None
    if list(networks) == ["none"]:
        return "2.37", "none"
    rows = _rows(cloud, "network", "/v2.0/networks", "networks")
    return "2.1", [{"net-id": find(network, "network", rows)} for network in networks]


def _key_name(cloud: Cloud, key: str) -> str:
    """Return the name of a key pair: the one of that name, or one made from a public key, once."""
    words = key.split()
    if len(words) < 2:
        return key
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (ValueError, binascii.Error):
        raise InvalidFields({"key": "neither the name of a key pair nor the text of a public key"}) from None
    fingerprint = hashlib.sha256(blob).hexdigest()[:16]
    name = f"mistcore-{fingerprint}"
    pairs = nova(cloud).keypairs
    if not any(pair.name == name for pair in pairs.list()):
        pairs.create(name, public_key=key.strip())
    return name


def _pool(cloud: Cloud, floating_ip: bool | str) -> str:
    """Return the id of the external network that floating addresses come from."""
    params = {"router:external": "true"}
    rows = _rows(cloud, "network", "/v2.0/networks", "networks", **params)
    if isinstance(floating_ip, str):
        return find(floating_ip, "floating_ip", rows)
    if not rows:
        raise NotSupported("this cloud has no external network, so no floating addresses")
    if len(rows) > 1:
        names = ", ".join(str(row.get("name")) for row in rows)
        raise InvalidFields({"floating_ip": f"there are several external networks, name one: {names}"})
    return str(rows[0]["id"])


def _attach_floating_ip(cloud: Cloud, server_id: str, pool: str) -> None:
    """Give a new server a floating address; its port appears a moment after the server."""
    end = time.monotonic() + _PORT_WAIT
    while True:
        ports = cloud.get("network", "/v2.0/ports", device_id=server_id).get("ports")
        fixed = [port for port in ports or () if port.get("fixed_ips")]
        if fixed:
            break
        if time.monotonic() > end:
            raise ProviderError("the server has no network port", reason="timeout")
        if str(cloud.servers(f"/servers/{server_id}").get("server", {}).get("status")) == "ERROR":
            raise ProviderError("the server failed before it had a network port", reason="error_state")
        sleep(_PORT_LOOK)
    body = {"floatingip": {"floating_network_id": pool, "port_id": fixed[0]["id"]}}
    cloud.request("POST", "network", "/v2.0/floatingips", json=body)


def release_floating_ips(cloud: Cloud, server_id: str) -> None:
    """Give the floating addresses of a server back to the cloud."""
    ports = cloud.get("network", "/v2.0/ports", device_id=server_id).get("ports") or ()
    for port in ports:
        found = cloud.get("network", "/v2.0/floatingips", port_id=port["id"]).get("floatingips") or ()
        for address in found:
            cloud.request("DELETE", "network", f"/v2.0/floatingips/{address['id']}")
