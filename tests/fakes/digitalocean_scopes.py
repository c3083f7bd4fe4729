"""The scopes of DigitalOcean's tokens: what is seen and may be asked for only with which, as the stand-in keeps it."""

from __future__ import annotations

from mistcore.testing.server import Request

#: What only tokens with a scope get to see.
HIDDEN = {
    "backup_ids": "image:read",
    "droplet_limit": "droplet:read",
    "floating_ip_limit": "reserved_ip:read",
    "image": "image:read",
    "snapshot_ids": "image:read",
    "tags": "tag:read",
    "volume_ids": "block_storage:read",
    "vpc_uuid": "vpc:read",
}
#: What only tokens with a scope may ask for in a new droplet, and what else deleting a droplet with others takes.
NEEDED = {"image": "image:read", "ssh_keys": "ssh_key:read", "tags": "tag:create", "vpc_uuid": "vpc:read"}
NEEDED_TO_DELETE_ALL = ("block_storage:delete", "block_storage_snapshot:delete", "image:delete", "reserved_ip:delete")


def token_of(request: Request) -> str:
    scheme, _, token = (request.headers.get("Authorization") or "").partition(" ")
    return token if scheme == "Bearer" else ""
