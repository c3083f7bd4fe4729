"""Making a machine at Azure out of what it takes: a group, a network, an address, an interface; and taking it down.

Facts: "Virtual Machines - Create Or Update", "Naming rules and restrictions for Azure resources" and "Public IP
addresses" (Microsoft Learn; Basic addresses cannot be made since 31 March 2025, and Standard ones let nothing in
unless a security group says so).
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from mistcore import InvalidFields, MistError, Rejected, Unreachable
from mistcore.parallel import in_parallel
from mistcore_providers._azure_arm import COMPUTE, DISKS, GROUPS, NETWORK, Arm
from mistcore_providers._azure_cloud import location_name
from mistcore_providers._azure_images import image_reference
from mistcore_providers._azure_machines import address_ids, disk_ids, interface_ids

#: The tag of what was made together with a machine, and goes with it.
MADE_FOR = "mistcore-machine"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9_])?")
_GROUP = re.compile(r"[A-Za-z0-9_().-]{0,89}[A-Za-z0-9_()-]")
_USER_DATA_BYTES = 65535
_REFUSED_USERS = {"root", "admin", "administrator", "user", "guest", "test"}


@attrs.frozen(kw_only=True)
class Plan:
    """What was asked for. Everything that can be told to be wrong without asking Azure is told at once."""

    name: str
    image: str
    size: str
    location: str
    resource_group: str
    network: str
    key: str
    password: str = attrs.field(repr=False)
    user: str
    user_data: str
    tags: Mapping[str, str]
    disk: int
    public_ip: bool

    def reference(self) -> dict[str, str]:
        """Return the image as Azure calls it. Raises `InvalidFields` naming everything that is wrong."""
        problems: dict[str, str] = {}
        reference: dict[str, str] = {}
        try:
            reference = image_reference(self.image)
        except InvalidFields as error:
            problems |= error.problems
        if not _NAME.fullmatch(self.name):
            problems["name"] = "must be 1 to 64 letters, digits, . _ or -, beginning with a letter or digit"
        if not self.size.strip():
            problems["size"] = "missing"
        if not _GROUP.fullmatch(self.resource_group):
            problems["resource_group"] = "must be 1 to 90 letters, digits, ( ) . _ or -, not ending with a full stop"
        if not self.key and not self.password:
            problems["key"] = "give a public SSH key, or a password"
        if self.user.lower() in _REFUSED_USERS or not re.fullmatch(r"[A-Za-z_][\w.-]{0,63}", self.user):
            problems["user"] = f"Azure does not take {self.user!r} as the name of the first user"
        if len(self.user_data.encode()) > _USER_DATA_BYTES:
            problems["user_data"] = f"is longer than {_USER_DATA_BYTES} bytes"
        if self.disk < 0:
            problems["disk"] = "must be a number of GiB"
        if problems:
            raise InvalidFields(problems)
        return reference


def create(arm: Arm, plan: Plan, *, wait: bool) -> str:
    """Make a machine and return its ID."""
    reference = plan.reference()
    location = location_name(plan.location)
    key = _public_key(arm, plan.key) if plan.key else ""
    group, location = _group(arm, plan.resource_group, location)
    machine = f"{group}/providers/Microsoft.Compute/virtualMachines/{plan.name}"
    if arm.find(machine, COMPUTE) is not None:
        raise Rejected(
            f"there is a machine {plan.name!r} in the resource group {plan.resource_group!r} already",
            reason="exists",
            remedy="Use another name, or another resource group.",
        )
    subnet = _subnet(arm, group, location, plan.network)
    made: list[str] = []
    try:
        interface = _interface(arm, group, location, subnet, plan, made)
        body = _body(plan, reference, location, key, interface)
        answer = arm.begin_put(machine, COMPUTE, body, new=True)
    except MistError as error:
        if not isinstance(error, Unreachable):  # otherwise it may have been made
            _undo(arm, made)
        raise
    if wait:
        arm.wait(answer, f"create the machine {plan.name}")
    return machine


def _group(arm: Arm, name: str, location: str) -> tuple[str, str]:
    path = f"{arm.root}/resourceGroups/{name}"
    found = arm.find(path, GROUPS)
    if not isinstance(found, Mapping):
        if not location:
            problem = f"missing: the resource group {name!r} does not exist yet, so it cannot say where"
            raise InvalidFields({"location": problem})
        arm.put(path, GROUPS, {"location": location}, what=f"create the resource group {name}")
        return path, location
    return path, location or str(found["location"])


def _subnet(arm: Arm, group: str, location: str, network: str) -> str:
    """Return the ID of the subnet to use: the one asked for, or that of this location's own network."""
    if not network:
        return _own_network(arm, group, location)
    if network.startswith("/") and "/subnets/" in network.lower():
        return network
    wanted, _, subnet = (network, "", "") if network.startswith("/") else network.partition("/")
    fitting = [
        row
        for row in arm.rows(f"{arm.root}/providers/Microsoft.Network/virtualNetworks", NETWORK)
        if wanted.lower() in (row["id"].lower(), row["name"].lower()) and row.get("location") == location
    ]
    inside = [s for row in fitting for s in row["properties"].get("subnets", [])]
    if subnet:
        inside = [s for s in inside if s["name"].lower() == subnet.lower()]
    if len(fitting) == 1 and inside:
        return str(inside[0]["id"])
    many = "several networks have that name; give the ID of one, or of a subnet"
    problem = many if len(fitting) > 1 else f"there is no network {network!r} with a subnet in {location}"
    raise InvalidFields({"network": problem})


def _own_network(arm: Arm, group: str, location: str) -> str:
    name = f"mistcore-{location}"
    path = f"{group}/providers/Microsoft.Network/virtualNetworks/{name}"
    found = arm.find(path, NETWORK)
    if found is None:
        guard = f"{group}/providers/Microsoft.Network/networkSecurityGroups/{name}"
        rule = {
            "priority": 1000,
            "direction": "Inbound",
            "access": "Allow",
            "protocol": "Tcp",
            "sourceAddressPrefix": "*",
            "sourcePortRange": "*",
            "destinationAddressPrefix": "*",
            "destinationPortRange": "22",
        }
        rules = {"securityRules": [{"name": "ssh", "properties": rule}]}
        arm.put(guard, NETWORK, {"location": location, "properties": rules}, what="create the security group")
        subnet = {"addressPrefix": "10.0.0.0/20", "networkSecurityGroup": {"id": guard}}
        properties = {
            "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
            "subnets": [{"name": "default", "properties": subnet}],
        }
        arm.put(path, NETWORK, {"location": location, "properties": properties}, what="create the network")
        return f"{path}/subnets/default"
    return str(found["properties"]["subnets"][0]["id"])


def _interface(arm: Arm, group: str, location: str, subnet: str, plan: Plan, made: list[str]) -> str:
    # A name of its own each time: nothing that is there already is changed, or deleted when this fails.
    stem = f"{group}/providers/Microsoft.Network"
    suffix = secrets.token_hex(3)
    tags = {**plan.tags, MADE_FOR: plan.name}
    configuration: dict[str, Any] = {"subnet": {"id": subnet}, "privateIPAllocationMethod": "Dynamic"}
    if plan.public_ip:
        address = f"{stem}/publicIPAddresses/{plan.name}-ip-{suffix}"
        body = {
            "location": location,
            "tags": tags,
            "sku": {"name": "Standard"},
            "properties": {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv4"},
        }
        made.append(address)
        arm.put(address, NETWORK, body, what="create the public address")
        configuration["publicIPAddress"] = {"id": address}
    interface = f"{stem}/networkInterfaces/{plan.name}-nic-{suffix}"
    properties = {"ipConfigurations": [{"name": "primary", "properties": configuration}]}
    made.append(interface)
    body = {"location": location, "tags": tags, "properties": properties}
    arm.put(interface, NETWORK, body, what="create the network interface")
    return interface


def _body(plan: Plan, reference: Mapping[str, str], location: str, key: str, interface: str) -> dict[str, Any]:
    disk: dict[str, Any] = {"createOption": "FromImage"}
    if plan.disk:
        disk["diskSizeGB"] = plan.disk
    windows = "windows" in f"{reference.get('publisher', '')}{reference.get('offer', '')}".lower()
    profile: dict[str, Any] = {
        "computerName": re.sub(r"[._]", "-", plan.name)[: 15 if windows else 64].strip("-"),
        "adminUsername": plan.user,
    }
    if plan.password:
        profile["adminPassword"] = plan.password
    if key:
        keys = [{"path": f"/home/{plan.user}/.ssh/authorized_keys", "keyData": key}]
        profile["linuxConfiguration"] = {
            "disablePasswordAuthentication": not plan.password,
            "ssh": {"publicKeys": keys},
        }
    if plan.user_data:
        profile["customData"] = base64.b64encode(plan.user_data.encode()).decode()
    return {
        "location": location,
        "tags": dict(plan.tags),
        "properties": {
            "hardwareProfile": {"vmSize": plan.size.strip()},
            "storageProfile": {"imageReference": dict(reference), "osDisk": disk},
            "osProfile": profile,
            "networkProfile": {"networkInterfaces": [{"id": interface, "properties": {"primary": True}}]},
        },
    }


def _public_key(arm: Arm, key: str) -> str:
    key = key.strip()
    if " " in key:
        return key
    names = []
    for row in arm.rows(f"{arm.root}/providers/Microsoft.Compute/sshPublicKeys", COMPUTE):
        names.append(str(row["name"]))
        if key.lower() in (row["name"].lower(), row["id"].lower()):
            return str(row["properties"]["publicKey"]).strip()
    known = f"; it knows {', '.join(names[:10])}" if names else ""
    raise InvalidFields({"key": f"Azure knows no SSH key {key!r}, and it is not a public key's text{known}"})


def _undo(arm: Arm, made: list[str]) -> None:
    for path in reversed(made):
        try:
            arm.delete(path, NETWORK, what="clean up")
        except MistError:  # what failed before is what the caller is to hear of
            continue


def destroy_storage(arm: Arm, raw: Mapping[str, Any], delete: Callable[[], bool]) -> bool:
    """Delete a machine, then its disks, its interfaces, and the addresses that were made for it.

    Args:
        raw: the machine as the service describes it.
        delete: deletes the machine itself, and tells whether it was there.

    Raises:
        Rejected: (reason "leftovers") the machine is gone, but not all of the rest.

    """
    properties = raw["properties"]
    interfaces = list(interface_ids(properties))
    found = [row for row in in_parallel(lambda path: arm.find(path, NETWORK), interfaces) if row is not None]
    addresses = [path for row in found for path in address_ids(row)]
    known = in_parallel(lambda path: arm.find(path, NETWORK), addresses)
    addresses = [
        path for path, row in zip(addresses, known, strict=True) if MADE_FOR in ((row or {}).get("tags") or {})
    ]
    disks = list(disk_ids(properties))
    if not delete():
        return False
    failed: dict[str, MistError] = {}

    def remove(item: tuple[str, str]) -> None:
        path, version = item
        try:
            arm.delete(path, version, what=f"delete {path.rpartition('/')[2]}")
        except MistError as error:
            if error.reason != "not_found":
                failed[path.rpartition("/")[2]] = error

    # An address can go once no interface has it.
    list(in_parallel(remove, [*((path, NETWORK) for path in interfaces), *((path, DISKS) for path in disks)]))
    list(in_parallel(remove, [(path, NETWORK) for path in addresses]))
    if failed:
        name, error = next(iter(failed.items()))
        raise Rejected(
            f"the machine is gone, but not {', '.join(failed)}: {error.message}",
            reason="leftovers",
            remedy=f"Delete {name if len(failed) == 1 else 'them'} by hand; they may cost money.",
        ) from error
    return True
