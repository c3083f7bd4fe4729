"""What lives in the stand-in's subscription, and the rules by which Azure lets it be made, used and deleted."""

from __future__ import annotations

import base64
import ipaddress
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from fakes import azure_catalog as catalog

VM = "microsoft.compute/virtualmachines"
NIC = "microsoft.network/networkinterfaces"
ADDRESS = "microsoft.network/publicipaddresses"
NETWORK = "microsoft.network/virtualnetworks"
DISK = "microsoft.compute/disks"
GROUP = "groups"
_NAMES = {
    VM: "Microsoft.Compute/virtualMachines",
    NIC: "Microsoft.Network/networkInterfaces",
    ADDRESS: "Microsoft.Network/publicIPAddresses",
    NETWORK: "Microsoft.Network/virtualNetworks",
    DISK: "Microsoft.Compute/disks",
    "microsoft.network/networksecuritygroups": "Microsoft.Network/networkSecurityGroups",
    "microsoft.compute/images": "Microsoft.Compute/images",
    "microsoft.compute/sshpublickeys": "Microsoft.Compute/sshPublicKeys",
}
_ACTIONS = {
    "start": ("starting", "running"),
    "restart": ("running", "running"),
    "poweroff": ("stopping", "stopped"),
    "deallocate": ("deallocating", "deallocated"),
}


class Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Resources:
    """Every resource of one subscription, by its id in lower case."""

    def __init__(self, subscription: str) -> None:
        self.subscription = subscription
        self.items: dict[str, dict[str, Any]] = {}
        self.power: dict[str, str] = {}
        self.user_data: dict[str, str] = {}
        self._next_address = 10

    # -- reading ----------------------------------------------------------------------------------------------------

    def id_of(self, group: str, kind: str, name: str) -> str:
        namespace, _, kind_name = _NAMES[kind].partition("/")
        return f"/subscriptions/{self.subscription}/resourceGroups/{group}/providers/{namespace}/{kind_name}/{name}"

    def get(self, resource_id: str) -> dict[str, Any] | None:
        return self.items.get(resource_id.lower())

    def collection(self, group: str, kind: str, *, status: bool = False) -> list[dict[str, Any]]:
        if kind == GROUP:
            return [item for item in self.items.values() if item["type"] == "Microsoft.Resources/resourceGroups"]
        if kind not in _NAMES:
            raise Refused(404, "InvalidResourceType", f"The resource type {kind!r} could not be found.")
        rows = [item for item in self.items.values() if item["type"] == _NAMES[kind]]
        if group:
            self.group(group)
            rows = [item for item in rows if f"/resourcegroups/{group.lower()}/" in item["id"].lower()]
        if kind != VM:
            return rows
        if not status:
            return rows
        return [self._status_row(item) for item in rows]

    def view(self, group: str, kind: str, name: str, *, expand: bool = False) -> dict[str, Any]:
        item = self._find(group, kind, name)
        if expand:
            item = {**item, "properties": {**item["properties"], "instanceView": self._instance_view(item)}}
        return item

    def group(self, name: str) -> dict[str, Any]:
        found = self.items.get(f"/subscriptions/{self.subscription}/resourcegroups/{name.lower()}")
        if found is None:
            raise Refused(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")
        return found

    def _find(self, group: str, kind: str, name: str) -> dict[str, Any]:
        self.group(group)
        if kind == f"{NETWORK}/subnets":
            network, _, subnet = name.partition("/")
            for row in self._find(group, NETWORK, network)["properties"]["subnets"]:
                if row["name"].lower() == subnet.lower():
                    return dict(row)
        found = self.get(self.id_of(group, kind, name)) if kind in _NAMES else None
        if found is None:
            text = f"The Resource '{_NAMES.get(kind, kind)}/{name}' under resource group '{group}' was not found."
            raise Refused(404, "ResourceNotFound", text)
        return found

    def _status_row(self, item: dict[str, Any]) -> dict[str, Any]:
        group = item["id"].split("/")[4]
        properties = {key: item["properties"][key] for key in ("vmId", "provisioningState", "hardwareProfile")}
        properties["instanceView"] = self._instance_view(item)
        row = {key: item[key] for key in ("name", "type", "location")}
        return {**row, "id": item["id"].replace(f"/{group}/", f"/{group.upper()}/", 1), "properties": properties}

    def _instance_view(self, item: dict[str, Any]) -> dict[str, Any]:
        provisioning = item["properties"]["provisioningState"].lower()
        statuses = [{"code": f"ProvisioningState/{provisioning}", "level": "Info", "displayStatus": provisioning}]
        power = self.power.get(item["id"].lower())
        if power:
            statuses.append({"code": f"PowerState/{power}", "level": "Info", "displayStatus": f"VM {power}"})
        return {"statuses": statuses}

    # -- changing ---------------------------------------------------------------------------------------------------

    def put_group(self, name: str, body: Mapping[str, Any]) -> tuple[bool, dict[str, Any]]:
        if body.get("location") not in catalog.LOCATIONS:
            raise Refused(400, "LocationNotAvailableForResourceGroup", f"The location {body.get('location')!r} is not.")
        resource_id = f"/subscriptions/{self.subscription}/resourceGroups/{name}"
        made = resource_id.lower() not in self.items
        self.items[resource_id.lower()] = {
            "id": resource_id,
            "name": name,
            "type": "Microsoft.Resources/resourceGroups",
            "location": body["location"],
            "tags": body.get("tags", {}),
            "properties": {"provisioningState": "Succeeded"},
        }
        return made, self.items[resource_id.lower()]

    def delete_group(self, name: str) -> None:
        for key in [key for key in self.items if f"/resourcegroups/{name.lower()}" in key]:
            del self.items[key]

    def put(
        self, group: str, kind: str, name: str, body: dict[str, Any]
    ) -> tuple[bool, dict[str, Any], Callable[[], None]]:
        self.group(group)
        if kind not in _NAMES:
            raise Refused(404, "InvalidResourceType", f"The resource type {kind!r} could not be found.")
        if body.get("location") not in catalog.LOCATIONS:
            raise Refused(400, "LocationRequired", "The location property is required for this definition.")
        resource_id = self.id_of(group, kind, name)
        made = resource_id.lower() not in self.items
        properties = dict(body.get("properties", {}))
        item = {key: body[key] for key in ("location", "tags", "zones", "sku", "plan") if key in body}
        item |= {"id": resource_id, "name": name, "type": _NAMES[kind], "properties": properties}
        prepare = {VM: self._prepare_vm, NIC: self._prepare_nic, ADDRESS: self._prepare_address}.get(kind)
        prepare = self._prepare_network if kind == NETWORK else prepare
        if prepare is not None:
            prepare(item, group)
        properties["provisioningState"] = "Creating" if kind == VM else "Updating"
        self.items[resource_id.lower()] = item

        def finish() -> None:
            properties["provisioningState"] = "Succeeded"
            if kind == VM and made:
                self.power[resource_id.lower()] = "running"

        return made, item, finish

    def _prepare_vm(self, item: dict[str, Any], group: str) -> None:
        properties = item["properties"]
        if properties.get("hardwareProfile", {}).get("vmSize") not in catalog.SIZES:
            raise Refused(400, "InvalidParameter", "The value provided for the VM size is not valid.")
        storage = properties["storageProfile"]
        reference = storage["imageReference"]
        if "id" in reference:
            if self.get(reference["id"]) is None:
                raise Refused(404, "NotFound", f"The image {reference['id']} was not found.")
        elif (version := catalog.find_image(reference)) is None:
            raise Refused(404, "PlatformImageNotFound", f"The platform image {reference} is not available.")
        else:
            storage["imageReference"] = {**reference, "exactVersion": version}
        self._check_os(properties.get("osProfile", {}))
        for interface in properties["networkProfile"]["networkInterfaces"]:
            nic = self.get(interface["id"])
            if nic is None:
                raise Refused(400, "InvalidResourceReference", f"Resource {interface['id']} was not found.")
            user = nic["properties"].get("virtualMachine", {}).get("id", item["id"])
            if user.lower() != item["id"].lower():
                raise Refused(409, "NicInUse", f"Network Interface {nic['id']} is used by {user}.")
            nic["properties"]["virtualMachine"] = {"id": item["id"]}
        disk = {"name": f"{item['name']}_OsDisk_1", "caching": "ReadWrite", **storage.get("osDisk", {})}
        disk_id = self.id_of(group.upper(), DISK, disk["name"])
        disk["managedDisk"] = {"storageAccountType": "Premium_LRS", **disk.get("managedDisk", {}), "id": disk_id}
        storage["osDisk"] = {**disk, "osType": "Windows" if "Windows" in reference.get("offer", "") else "Linux"}
        storage.setdefault("dataDisks", [])
        self.items[disk_id.lower()] = {
            "id": disk_id,
            "name": disk["name"],
            "type": _NAMES[DISK],
            "location": item["location"],
            "managedBy": item["id"],
            "properties": {"provisioningState": "Succeeded", "diskState": "Attached"},
        }
        properties |= {"vmId": str(uuid.uuid4()), "timeCreated": "2026-01-02T03:04:05.678+00:00"}

    def _check_os(self, profile: dict[str, Any]) -> None:
        if not profile.get("adminUsername") or profile["adminUsername"] in ("root", "admin", "administrator"):
            raise Refused(400, "InvalidParameter", "The Admin Username specified is not allowed.")
        linux = profile.get("linuxConfiguration", {})
        keys = linux.get("ssh", {}).get("publicKeys", [])
        for key in keys:
            if key["path"] != f"/home/{profile['adminUsername']}/.ssh/authorized_keys":
                raise Refused(400, "InvalidParameter", "Destination path for SSH public keys is limited.")
            if not key["keyData"].startswith(("ssh-rsa ", "ssh-ed25519 ")):
                raise Refused(400, "InvalidParameter", "The value of parameter linuxConfiguration.ssh is invalid.")
        if not keys and not profile.get("adminPassword"):
            raise Refused(400, "InvalidParameter", "Authentication using either SSH or a password must be enabled.")
        profile.pop("adminPassword", None)
        if "customData" in profile:
            self.user_data[profile["computerName"]] = base64.b64decode(profile.pop("customData")).decode()

    def _prepare_nic(self, item: dict[str, Any], group: str) -> None:
        configurations = item["properties"]["ipConfigurations"]
        item["properties"] |= {"macAddress": "00-0D-3A-1B-C7-21", "primary": True}
        for number, configuration in enumerate(configurations):
            values = configuration["properties"]
            configuration["id"] = f"{item['id']}/ipConfigurations/{configuration['name']}"
            network_id, _, subnet = values["subnet"]["id"].rpartition("/subnets/")
            network = self.get(network_id)
            subnets = [] if network is None else [row["name"].lower() for row in network["properties"]["subnets"]]
            if subnet.lower() not in subnets:
                raise Refused(400, "InvalidResourceReference", f"Resource {values['subnet']['id']} was not found.")
            assert network is not None
            if network["location"] != item["location"]:
                raise Refused(400, "InvalidResourceReference", "The network is in another location.")
            self._next_address += 1
            base = ipaddress.ip_network(network["properties"]["addressSpace"]["addressPrefixes"][0])
            values |= {"privateIPAddress": str(base[self._next_address]), "primary": number == 0}
            if "publicIPAddress" in values:
                address = self.get(values["publicIPAddress"]["id"])
                if address is None:
                    raise Refused(400, "InvalidResourceReference", "The public IP address was not found.")
                address["properties"]["ipConfiguration"] = {"id": configuration["id"]}

    def _prepare_address(self, item: dict[str, Any], group: str) -> None:
        if item.get("sku", {}).get("name", "Basic") == "Basic":
            raise Refused(400, "BasicSkuPublicIpAddressesAreRetired", "Basic public addresses cannot be created.")
        if item["properties"].get("publicIPAllocationMethod") != "Static":
            raise Refused(400, "PublicIPAllocationMethodInvalid", "Standard public addresses are to be static.")
        self._next_address += 1
        item["properties"]["ipAddress"] = f"203.0.113.{self._next_address}"

    def _prepare_network(self, item: dict[str, Any], group: str) -> None:
        for subnet in item["properties"].setdefault("subnets", []):
            subnet["id"] = f"{item['id']}/subnets/{subnet['name']}"
            guard = subnet["properties"].get("networkSecurityGroup")
            if guard and self.get(guard["id"]) is None:
                raise Refused(400, "InvalidResourceReference", f"Resource {guard['id']} was not found.")

    def action(self, group: str, kind: str, name: str, verb: str, query: Mapping[str, str]) -> Callable[[], None]:
        item = self._find(group, kind, name)
        if kind != VM or verb.lower() not in _ACTIONS:
            raise Refused(404, "NotFound", f"There is no action {verb!r}.")
        key = item["id"].lower()
        during, after = _ACTIONS[verb.lower()]
        if verb.lower() in ("restart", "poweroff") and self.power.get(key) == "deallocated":
            raise Refused(409, "OperationNotAllowed", f"Operation '{verb}' is not allowed: the VM is deallocated.")
        self.power[key] = during
        return lambda: self.power.__setitem__(key, after)

    def delete(self, group: str, kind: str, name: str) -> Callable[[], None] | None:
        try:
            item = self._find(group, kind, name)
        except Refused as refused:
            if refused.code == "ResourceGroupNotFound":
                raise
            return None
        if kind == NIC and "virtualMachine" in item["properties"]:
            raise Refused(400, "NicInUse", f"Network Interface {item['id']} is used by an existing resource.")
        if kind == ADDRESS and "ipConfiguration" in item["properties"]:
            raise Refused(400, "PublicIPAddressCannotBeDeleted", f"Public IP address {item['id']} is still allocated.")
        if kind == DISK and "managedBy" in item:
            raise Refused(409, "OperationNotAllowed", f"Disk {name} is attached to VM {item['managedBy']}.")
        if kind == VM:
            item["properties"]["provisioningState"] = "Deleting"
        return lambda: self._remove(item)

    def _remove(self, item: dict[str, Any]) -> None:
        key = item["id"].lower()
        self.items.pop(key, None)
        self.power.pop(key, None)
        for other in self.items.values():
            properties = other["properties"]
            if properties.get("virtualMachine", {}).get("id", "").lower() == key:
                del properties["virtualMachine"]
            if other.get("managedBy", "").lower() == key:
                del other["managedBy"]
            if properties.get("ipConfiguration", {}).get("id", "").lower().startswith(f"{key}/"):
                del properties["ipConfiguration"]

    def seed(self, count: int, *, group: str = "seeded", location: str = "eastus") -> None:
        """Put so many running machines there, each with one interface and one public address."""
        self.put_group(group, {"location": location})
        network = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}
        subnet = {"name": "default", "properties": {"addressPrefix": "10.0.0.0/16"}}
        self.put(group, NETWORK, "net", {"location": location, "properties": {**network, "subnets": [subnet]}})
        for number in range(count):
            name = f"vm-{number:04}"
            address = {"location": location, "sku": {"name": "Standard"}}
            address["properties"] = {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv4"}
            self.put(group, ADDRESS, f"{name}-ip", address)
            configuration = {
                "subnet": {"id": self.id_of(group, NETWORK, "net") + "/subnets/default"},
                "publicIPAddress": {"id": self.id_of(group, ADDRESS, f"{name}-ip")},
            }
            ips = [{"name": "primary", "properties": configuration}]
            self.put(group, NIC, f"{name}-nic", {"location": location, "properties": {"ipConfigurations": ips}})
            image = {"publisher": "Debian", "offer": "debian-12", "sku": "12-gen2", "version": "latest"}
            properties = {
                "hardwareProfile": {"vmSize": "Standard_B1s"},
                "storageProfile": {"imageReference": image, "osDisk": {"createOption": "FromImage"}},
                "osProfile": {"computerName": name, "adminUsername": "azureuser", "adminPassword": "x"},
                "networkProfile": {"networkInterfaces": [{"id": self.id_of(group.upper(), NIC, f"{name}-nic")}]},
            }
            body = {"location": location, "tags": {"number": str(number)}, "properties": properties}
            self.put(group, VM, name, body)[2]()
