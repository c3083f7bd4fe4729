"""What the stand-in of SoftLayer has to offer: flavors and parts, operating systems, data centres, VLANs."""

from __future__ import annotations

from typing import Any


def part(key: str, value: Any, text: str, hourly: str, monthly: str, **more: Any) -> dict[str, Any]:
    """Return an option with its price as SoftLayer describes it: money is text there."""
    price = {"hourlyRecurringFee": hourly, "recurringFee": monthly, "item": {"description": text}}
    return {"template": {key: value, **more}, "itemPrice": price}


def flavor(key: str, hourly: str, monthly: str) -> dict[str, Any]:
    """Return a flavor as SoftLayer describes it."""
    return {
        "flavor": {
            "keyName": key,
            "name": key.replace("_", "-"),
            "totalMinimumHourlyFee": hourly,
            "totalMinimumRecurringFee": monthly,
        },
        "template": {"supplementalCreateObjectOptions": {"flavorKeyName": key}},
    }


OPTIONS: dict[str, list[dict[str, Any]]] = {
    "flavors": [flavor("B1_2X4X100", ".072", "47.41"), flavor("AC1_8X60X25", "1.95", "1286.7")],
    "processors": [
        part("startCpus", 1, "1 x 2.0 GHz Core", ".07", "29"),
        part("startCpus", 2, "2 x 2.0 GHz Cores", ".14", "78"),
        part("startCpus", 2, "Private 2 x 2.0 GHz Cores", ".24", "99", dedicatedAccountHostOnlyFlag=True),
    ],
    "memory": [part("maxMemory", 1024, "1 GB", ".03", "21"), part("maxMemory", 4096, "4 GB", ".11", "77")],
    "operatingSystems": [
        part("operatingSystemReferenceCode", "DEBIAN_12_64", "Debian GNU/Linux 12 Minimal (64 bit)", "0", "0"),
        part("operatingSystemReferenceCode", "UBUNTU_24_64", "Ubuntu Linux 24.04 LTS Minimal (64 bit)", "0", "0"),
        part("operatingSystemReferenceCode", "UBUNTU_24_64", "Ubuntu Linux 24.04 LTS Minimal (64 bit)", "0", "0"),
    ],
    "datacenters": [{"template": {"datacenter": {"name": name}}} for name in ("ams03", "sjc01", "xyz01")],
    "blockDevices": [],
    "networkComponents": [],
}
DATACENTERS = [
    {"id": 814994, "name": "ams03", "longName": "Amsterdam 3"},
    {"id": 168642, "name": "sjc01", "longName": "San Jose 1"},
    {"id": 138124, "name": "dal05", "longName": "Dallas 5"},
]
OWN_IMAGES = [
    {
        "id": 4711,
        "globalIdentifier": "1a2b3c4d-1701-4a4b-8c8d-0123456789ab",
        "name": "before the upgrade",
        "note": "with the old kernel",
        "createDate": "2023-06-12T15:11:23-05:00",
    }
]
VLANS = [
    {
        "id": 502,
        "name": "",
        "vlanNumber": 1800,
        "networkSpace": "PRIVATE",
        "primaryRouter": {"hostname": "bcr01a.sjc01", "datacenter": {"id": 168642, "name": "sjc01"}},
        "primarySubnets": [{"id": 1, "networkIdentifier": "10.54.0.0", "cidr": 26}],
    },
    {
        "id": 501,
        "name": "front",
        "vlanNumber": 1700,
        "networkSpace": "PUBLIC",
        "primaryRouter": {"hostname": "fcr01a.sjc01", "datacenter": {"id": 168642, "name": "sjc01"}},
        "primarySubnets": [
            {"id": 2, "networkIdentifier": "50.23.0.0", "cidr": 28}, {"id": 3, "networkIdentifier": "", "cidr": 28},
        ],
    },
]  # fmt: skip
