"""What an instance of Compute Engine is made from.

Facts: the REST reference of `instances.insert`, "Add SSH keys to VMs" and "Naming resources" (Google's docs).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs

from mistcore import InvalidFields

_NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_KEY = re.compile(r"[a-z][-_a-z0-9]{0,62}")
_LABEL = re.compile(r"[-_a-z0-9]{0,63}")
_METADATA_BYTES = 256 * 1024


@attrs.frozen(kw_only=True)
class Plan:
    """What was asked for."""

    name: str
    size: str
    location: str
    network: str
    key: str
    user_data: str
    tags: Mapping[str, str]
    user: str
    disk: int
    public_ip: bool
    network_tags: tuple[str, ...]

    def examine(self) -> None:
        """Raise `InvalidFields` naming everything that can be told to be wrong without asking Google."""
        problems: dict[str, str] = {}
        if not _NAME.fullmatch(self.name):
            problems["name"] = "must be 1 to 63 lower-case letters, digits and dashes, beginning with a letter"
        for field in ("size", "location"):
            if not getattr(self, field):
                problems[field] = "missing"
        if self.location and not re.fullmatch(r"[a-z]+-[a-z]+[0-9]+-[a-z]", self.location):
            problems["location"] = f"must be a zone like europe-west1-b, not {self.location!r}"
        if self.key and len(self.key.split()) < 2:
            problems["key"] = "must be the text of a public key (ssh-ed25519 AAAA…)"
        if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", self.user) or self.user == "root":
            problems["user"] = f"Google lets no {self.user!r} in by a key; use another name"
        for key, value in self.tags.items():
            if not _LABEL_KEY.fullmatch(key) or not _LABEL.fullmatch(value):
                problems["tags"] = "labels are lower-case letters, digits, - and _, and begin with a letter"
        if any(not _NAME.fullmatch(tag) for tag in self.network_tags):
            problems["network_tags"] = "must be lower-case letters, digits and dashes"
        if len(self.user_data.encode()) > _METADATA_BYTES:
            problems["user_data"] = f"is longer than {_METADATA_BYTES} bytes"
        if self.disk < 0:
            problems["disk"] = "must be a number of GiB"
        if problems:
            raise InvalidFields(problems)


def instance_body(plan: Plan, image: str, project: str) -> dict[str, Any]:
    """Return the body of the request that makes the instance."""
    parameters: dict[str, Any] = {"sourceImage": image}
    if plan.disk:
        parameters["diskSizeGb"] = str(plan.disk)
    interface: dict[str, Any] = {"network": f"projects/{project}/global/networks/{plan.network or 'default'}"}
    if "/subnetworks/" in plan.network:
        interface = {"subnetwork": plan.network}
    elif "/" in plan.network:
        interface = {"network": plan.network}
    if plan.public_ip:
        interface["accessConfigs"] = [{"name": "External NAT", "type": "ONE_TO_ONE_NAT"}]
    metadata = {}
    if plan.key:
        metadata["ssh-keys"] = f"{plan.user}:{plan.key}"
    if plan.user_data:
        # Not all of Google's images have cloud-init; all run a start-up script.
        metadata["startup-script" if plan.user_data.startswith("#!") else "user-data"] = plan.user_data
    body: dict[str, Any] = {
        "name": plan.name,
        "machineType": f"zones/{plan.location}/machineTypes/{plan.size}",
        "disks": [{"boot": True, "autoDelete": True, "initializeParams": parameters}],
        "networkInterfaces": [interface],
        "labels": dict(plan.tags),
        "metadata": {"items": [{"key": key, "value": value} for key, value in metadata.items()]},
    }
    if plan.network_tags:
        body["tags"] = {"items": list(plan.network_tags)}
    return body
