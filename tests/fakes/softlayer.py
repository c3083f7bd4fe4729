"""A stand-in of SoftLayer's REST API v3.1 that keeps state: guests, hardware, keys, users with permissions.

It answers as https://sldn.softlayer.com/reference/softlayerapi/ says: object masks choose what is in an answer,
`resultLimit` cuts lists, whose whole length is in a header, and a refusal is `{"error", "code"}`.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from fakes.softlayer_catalog import DATACENTERS, OPTIONS, OWN_IMAGES, VLANS

from mistcore.testing.server import FakeService, Request, Response, json_response, route

USERNAME, API_KEY = "SL123456", "a5" * 32
_TOKENS = re.compile(r"[\w.]+|[\[\],()]")
#: What each power method makes of a guest, by the state that it was in; others are refused.
_POWER = {
    "powerOn": {"HALTED": "RUNNING"},
    "powerOff": {"RUNNING": "HALTED", "PAUSED": "HALTED"},
    "powerOffSoft": {"RUNNING": "HALTED"},
    "rebootSoft": {"RUNNING": "RUNNING"},
    "rebootHard": {"RUNNING": "RUNNING"},
    "rebootDefault": {"RUNNING": "RUNNING"},
    "pause": {"RUNNING": "PAUSED"},
    "resume": {"PAUSED": "RUNNING"},
}


def problem(status: int, error: str, code: str = "SoftLayer_Exception_Public") -> Response:
    """Return a refusal in SoftLayer's form."""
    return json_response({"error": error, "code": code}, status=status)


def missing(number: str) -> Response:
    """Return the refusal for an object that is not there, or that the user may not see."""
    return problem(404, f"Unable to find object with id of '{number}'.", "SoftLayer_Exception_ObjectNotFound")


class FakeSoftLayer(FakeService):
    """SoftLayer for one account.

    Attributes:
        users: what is let in: user name and key, each with its permissions; None is the master user.
        guests, hardware, keys: the state, by id. cancelled: billing items, each with whether at once.
        masks: every object mask so far.
        accepted: whether power methods answer true.

    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.users: dict[tuple[str, str], set[str] | None] = {(USERNAME, API_KEY): None}
        self.guests: dict[int, dict[str, Any]] = {}
        self.hardware: dict[int, dict[str, Any]] = {}
        self.keys: dict[int, dict[str, Any]] = {}
        self.cancelled: dict[int, bool] = {}
        self.masks: list[str] = []
        self.accepted = True
        self._ids = itertools.count(2_875_152)

    # -- what every request goes through ------------------------------------------------------------------------------

    def authorize(self, request: Request) -> Response | None:
        if _login(request) not in self.users:
            if not request.headers.get("Authorization"):
                return problem(401, "No valid authentication found.", "SoftLayer_Exception")
            return problem(401, "Invalid API token.", "SoftLayer_Exception")
        if "objectMask" in request.query:
            with self.lock:
                self.masks.append(request.query["objectMask"])
        return None

    def not_found(self, request: Request) -> Response:
        return problem(404, "Service does not exist", "SoftLayer_Exception_WebService_Rest_InvalidService")

    def _lacks(self, request: Request, permission: str) -> Response | None:
        held = self.users[_login(request)]
        if held is None or permission in held:
            return None
        return problem(500, "You do not have permission to perform this action.")

    def _listing(self, request: Request, rows: list[dict[str, Any]], holder: str) -> Response:
        order = json.loads(request.query.get("objectFilter") or "{}").get(holder, {}).get("id", {})
        if order.get("operation") == "orderBy":
            rows = sorted(rows, key=lambda row: row["id"])
        offset, limit = (int(part) for part in request.query.get("resultLimit", f"0,{len(rows)}").split(","))
        shown = [_masked(row, request) for row in rows[offset : offset + limit]]
        return json_response(shown, headers={"softlayer-total-items": str(len(rows))})

    # -- state --------------------------------------------------------------------------------------------------------

    def add_guest(self, hostname: str = "web-1", **more: Any) -> dict[str, Any]:
        """Put a virtual server into the account and return it."""
        guest = self._record(hostname, **more)
        with self.lock:
            self.guests[guest["id"]] = guest
        return guest

    def _record(self, hostname: str, **more: Any) -> dict[str, Any]:
        number = more.pop("id", None) or next(self._ids)
        domain = more.get("domain", "example.com")
        return {
            "id": number,
            "globalIdentifier": str(uuid.UUID(int=number)),
            "accountId": 282402,
            "hostname": hostname,
            "domain": domain,
            "fullyQualifiedDomainName": f"{hostname}.{domain}",
            "primaryIpAddress": f"50.23.{number >> 8 & 255}.{number & 255}",
            "primaryBackendIpAddress": f"10.54.{number >> 8 & 255}.{number & 255}",
            "primaryNetworkComponent": {
                "port": 0,
                "primaryVersion6IpAddressRecord": {"ipAddress": f"2607:f0d0:1002:51::{number & 0xFFFF:x}"},
            },
            "powerState": {"keyName": "RUNNING", "name": "Running"},
            "status": {"keyName": "ACTIVE", "name": "Active"},
            "maxCpu": 2,
            "maxMemory": 4096,
            "hourlyBillingFlag": True,
            "datacenter": {"id": 168642, "name": "sjc01", "longName": "San Jose 1"},
            "operatingSystem": {
                "id": 2200995,
                "passwords": [{"username": "root", "password": "L3TJVubf"}],
                "softwareLicense": {
                    "softwareDescription": {
                        "name": "Debian", "version": "12.0.0-64 Minimal", "referenceCode": "DEBIAN_12_64",
                    }
                },
            },
            "createDate": "2024-01-02T03:04:05-06:00",
            "provisionDate": "2024-01-02T03:08:05-06:00",
            "tagReferences": [],
        } | more  # fmt: skip

    def add_hardware(self, hostname: str = "db-1", **more: Any) -> dict[str, Any]:
        """Put a bare metal server into the account and return it."""
        guest = self._record(hostname, **more)
        with self.lock:
            for name in ("powerState", "status", "maxCpu", "maxMemory", "createDate", "accountId"):
                guest.pop(name, None)
            self.hardware[guest["id"]] = (
                guest
                | {
                    "processorPhysicalCoreAmount": 16,
                    "memoryCapacity": 64,
                    "hardwareStatus": {"id": 5, "status": "ACTIVE"},
                    "billingItem": {"id": guest["id"] + 1_000_000},
                    "remoteManagementAccounts": [{"username": "root", "password": "L3TJVubf"}],
                    "_power": "on",
                }
                | more
            )
            return self.hardware[guest["id"]]

    # -- the account --------------------------------------------------------------------------------------------------

    @route("GET", "/rest/v3.1/SoftLayer_Account/getCurrentUser.json")
    def current_user(self, request: Request) -> Response:
        held = self.users[_login(request)]
        user = {
            "id": 202402,
            "username": _login(request)[0],
            "email": "ops@example.com",
            "accountId": 282402,
            "isMasterUserFlag": held is None,
            "account": {"companyName": "Example Ltd"},
            "permissions": [{"key": "X", "keyName": name, "name": name.title()} for name in sorted(held or ())],
        }
        return json_response(_masked(user, request))

    @route("GET", "/rest/v3.1/SoftLayer_Account/getVirtualGuests.json")
    def list_guests(self, request: Request) -> Response:
        return self._listing(request, list(self.guests.values()), "virtualGuests")

    @route("GET", "/rest/v3.1/SoftLayer_Account/getHardware.json")
    def list_hardware(self, request: Request) -> Response:
        return self._listing(request, list(self.hardware.values()), "hardware")

    @route("GET", "/rest/v3.1/SoftLayer_Account/getSshKeys.json")
    def list_keys(self, request: Request) -> Response:
        return self._listing(request, list(self.keys.values()), "sshKeys")

    @route("GET", "/rest/v3.1/SoftLayer_Account/getNetworkVlans.json")
    def list_vlans(self, request: Request) -> Response:
        return self._listing(request, VLANS, "networkVlans")

    @route("GET", "/rest/v3.1/SoftLayer_Account/getPrivateBlockDeviceTemplateGroups.json")
    def list_own_images(self, request: Request) -> Response:
        return self._listing(request, OWN_IMAGES, "privateBlockDeviceTemplateGroups")

    @route("GET", "/rest/v3.1/SoftLayer_Network_Vlan/{id}/getObject.json")
    def get_vlan(self, request: Request, id: str) -> Response:
        vlan = next((vlan for vlan in VLANS if str(vlan["id"]) == id), None)
        return missing(id) if vlan is None else json_response(_masked(vlan, request))

    @route("GET", "/rest/v3.1/SoftLayer_Location_Datacenter/getDatacenters.json")
    def list_datacenters(self, request: Request) -> Response:
        return json_response(DATACENTERS)

    @route("POST", "/rest/v3.1/SoftLayer_Security_Ssh_Key/createObject.json")
    def create_key(self, request: Request) -> Response:
        (template,) = request.json()["parameters"]
        key = {"id": next(self._ids), "fingerprint": f"{len(self.keys):02x}:00", **template}
        self.keys[key["id"]] = key
        return json_response(key)

    # -- virtual servers ----------------------------------------------------------------------------------------------

    @route("GET", "/rest/v3.1/SoftLayer_Virtual_Guest/getCreateObjectOptions.json")
    def create_options(self, request: Request) -> Response:
        return json_response(OPTIONS)

    @route("POST", "/rest/v3.1/SoftLayer_Virtual_Guest/createObject.json")
    def create_guest(self, request: Request) -> Response:
        if refusal := self._lacks(request, "SERVER_ADD"):
            return refusal
        (template,) = request.json()["parameters"]
        code = template.get("operatingSystemReferenceCode")
        if code not in {row["template"]["operatingSystemReferenceCode"] for row in OPTIONS["operatingSystems"]} and (
            template.get("blockDeviceTemplateGroup", {}).get("globalIdentifier") != OWN_IMAGES[0]["globalIdentifier"]
        ):
            return problem(500, "Invalid value provided for 'operatingSystemReferenceCode'. It must be valid.")
        for needed in ("hostname", "domain", "datacenter", "hourlyBillingFlag"):
            if needed not in template:
                words = f"Property '{needed}' must be set to create an instance of 'SoftLayer_Virtual_Guest'."
                return problem(500, words, "SoftLayer_Exception_MissingCreationProperty")
        flavor = template.get("supplementalCreateObjectOptions", {}).get("flavorKeyName")
        if flavor is None and not (template.get("startCpus") and template.get("maxMemory")):
            return problem(500, "The number of CPUs, and memory, must be provided.")
        if flavor is not None and flavor not in {row["flavor"]["keyName"] for row in OPTIONS["flavors"]}:
            return problem(500, f"Invalid value provided for 'flavorKeyName': {flavor}.")
        cpus, memory = (2, 4096) if flavor else (template["startCpus"], template["maxMemory"])
        with self.lock:
            guest = self.add_guest(
                template["hostname"], domain=template["domain"], maxCpu=cpus, maxMemory=memory, createDate=_now(),
                hourlyBillingFlag=template["hourlyBillingFlag"],
            )  # fmt: skip
            addresses = {
                name: guest.pop(name)
                for name in (
                    "primaryIpAddress",
                    "primaryBackendIpAddress",
                    "primaryNetworkComponent",
                    "operatingSystem",
                )
            }
            del guest["provisionDate"], guest["status"]
            guest["datacenter"] = {"name": template["datacenter"]["name"]}
            guest["powerState"] = {"keyName": "HALTED", "name": "Halted"}
            guest["activeTransaction"] = {
                "id": 1, "transactionStatus": {"name": "ASSIGN_HOST", "friendlyName": "Assign Host"},
            }  # fmt: skip
            guest["_body"], guest["_ready"] = template, addresses
            answer = {name: value for name, value in guest.items() if name in _IN_ANSWER}
            return json_response(answer)

    def finish(self, number: int) -> None:
        """Let a new server be ready."""
        with self.lock:
            guest = self.guests[number]
            guest |= guest.pop("_ready")
            guest |= {"powerState": {"keyName": "RUNNING"}, "status": {"keyName": "ACTIVE"}, "provisionDate": _now()}
            del guest["activeTransaction"]

    @route("GET", "/rest/v3.1/SoftLayer_Virtual_Guest/{id}/{method}.json")
    @route("POST", "/rest/v3.1/SoftLayer_Virtual_Guest/{id}/{method}.json")
    def on_guest(self, request: Request, id: str, method: str) -> Response:
        with self.lock:
            guest = self.guests.get(int(id))
            if guest is None:
                return missing(id)
            if method in _POWER:
                if refusal := self._lacks(request, "REMOTE_MANAGEMENT"):
                    return refusal
                return self._power(guest, method)
            if method == "deleteObject":
                if refusal := self._lacks(request, "SERVER_CANCEL"):
                    return refusal
                del self.guests[int(id)]
                return json_response(True)
            return self._on_any(request, guest, method)

    def _power(self, guest: dict[str, Any], method: str) -> Response:
        if "activeTransaction" in guest:
            return problem(500, "There is currently an active transaction for this server.")
        becomes = _POWER[method].get(guest["powerState"]["keyName"])
        if becomes is None:
            return problem(500, f"The virtual server is {guest['powerState']['keyName'].lower()}.")
        if self.accepted:
            guest["powerState"] = {"keyName": becomes, "name": becomes.title()}
        return json_response(self.accepted)

    def _on_any(self, request: Request, server: dict[str, Any], method: str) -> Response:
        if method == "getObject":
            return json_response(_masked(server, request))
        if method == "getPowerState":
            return json_response(server["powerState"])
        if method == "editObject":
            if refusal := self._lacks(request, "HOSTNAME_EDIT"):
                return refusal
            (change,) = request.json()["parameters"]
            if "_" in change.get("hostname", ""):
                return problem(500, "Invalid hostname: only letters, digits and hyphens.")
            server |= change
            server["fullyQualifiedDomainName"] = f"{server['hostname']}.{server['domain']}"
            return json_response(True)
        if method == "setTags":
            (tags,) = request.json()["parameters"]
            server["tagReferences"] = [{"id": i, "tag": {"id": i, "name": t}} for i, t in enumerate(tags.split(","))]
            return json_response(True)
        return problem(500, f'Function ("{method}") is not a valid method for this service', "SoftLayer_Exception")

    # -- bare metal servers -------------------------------------------------------------------------------------------

    @route("GET", "/rest/v3.1/SoftLayer_Hardware_Server/{id}/{method}.json")
    @route("POST", "/rest/v3.1/SoftLayer_Hardware_Server/{id}/{method}.json")
    def on_hardware(self, request: Request, id: str, method: str) -> Response:
        with self.lock:
            server = self.hardware.get(int(id))
            if server is None:
                return missing(id)
            if method == "getServerPowerState":
                return json_response(server["_power"])
            if method in {"powerOn", "powerOff", "rebootSoft", "rebootHard", "rebootDefault"}:
                if refusal := self._lacks(request, "REMOTE_MANAGEMENT"):
                    return refusal
                server["_power"] = "off" if method == "powerOff" else "on"
                return json_response(True)
            return self._on_any(request, server, method)

    @route("POST", "/rest/v3.1/SoftLayer_Billing_Item/{id}/cancelItem.json")
    def cancel(self, request: Request, id: str) -> Response:
        if refusal := self._lacks(request, "SERVER_CANCEL"):
            return refusal
        at_once, _, _, _ = request.json()["parameters"]
        with self.lock:
            self.cancelled[int(id)] = at_once
            for server in list(self.hardware.values()):
                if (server.get("billingItem") or {}).get("id") == int(id):
                    del server["billingItem"]
                    if at_once:
                        del self.hardware[server["id"]]
        return json_response(True)


_IN_ANSWER = (
    "id", "accountId", "createDate", "domain", "fullyQualifiedDomainName", "globalIdentifier", "hostname", "maxCpu",
    "maxMemory", "powerState",
)  # fmt: skip


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _login(request: Request) -> tuple[str, str]:
    scheme, _, encoded = (request.headers.get("Authorization") or "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    name, _, key = base64.b64decode(encoded).decode().partition(":")
    return name, key


# -- object masks -----------------------------------------------------------------------------------------------------


def _masked(record: dict[str, Any], request: Request) -> dict[str, Any]:
    """Return what the request's mask chooses of a record; without one, what is no object in itself."""
    mask = request.query.get("objectMask")
    if not mask:
        return {name: value for name, value in record.items() if not isinstance(value, (dict, list)) and name[0] != "_"}
    tree = _parsed(mask)
    chosen: dict[str, Any] = _chosen(record, tree)
    return chosen


def _parsed(mask: str) -> dict[str, Any]:
    words = iter(_TOKENS.findall(mask))
    tree: dict[str, Any] = {}
    _read(words, tree)
    return tree


def _read(words: Iterator[str], tree: dict[str, Any]) -> None:
    """Read properties up to the closing bracket; `mask[…]` and `mask(Type)[…]` add to what they stand in."""
    last = tree
    for word in words:
        if word == "]":
            return
        if word == "[":
            _read(words, last)
        elif word == "(":
            next(words)
            next(words)
        elif word == "mask":
            last = tree
        elif word != ",":
            last = tree
            for part in word.split("."):
                last = last.setdefault(part, {})


def _chosen(value: Any, tree: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_chosen(item, tree) for item in value]
    if not isinstance(value, dict):
        return value
    if not tree:
        return {name: item for name, item in value.items() if not isinstance(item, (dict, list))}
    return {name: _chosen(value[name], part) for name, part in tree.items() if name in value}
