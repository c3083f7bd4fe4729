"""What Azure has on offer in the stand-in: locations, sizes and platform images, in the vendor's own shapes."""

from __future__ import annotations

from typing import Any

LOCATIONS = {
    "eastus": ("East US", "Physical", "United States"),
    "westeurope": ("West Europe", "Physical", "Europe"),
    "global": ("Global", "Logical", ""),
}

#: name: vCPUs, memory in GiB, temporary disk in MiB, architecture, locations
SIZES: dict[str, tuple[int, float, int, str, tuple[str, ...]]] = {
    "Standard_B1s": (1, 1.0, 4096, "x64", ("eastus", "westeurope")),
    "Standard_B2ats_v2": (2, 1.0, 0, "x64", ("eastus",)),
    "Standard_D2ps_v5": (2, 8.0, 0, "Arm64", ("westeurope",)),
    "Standard_D4s_v5": (4, 16.0, 0, "x64", ("eastus", "westeurope")),
}

#: publisher: offer: SKU: versions, the oldest first
IMAGES: dict[str, dict[str, dict[str, list[str]]]] = {
    "Canonical": {
        "0001-com-ubuntu-server-jammy": {"22_04-lts-gen2": ["22.04.202309190", "22.04.202401010"]},
        "ubuntu-24_04-lts": {"server": ["24.04.202404230"], "minimal": ["24.04.202404230"]},
    },
    "Debian": {
        "debian-11": {"11-backports-gen2": ["0.20240101.1"]},
        "debian-12": {"12": ["0.20240101.1"], "12-gen2": ["0.20240101.1", "0.20240201.2"]},
    },
    "MicrosoftWindowsServer": {"WindowsServer": {"2022-datacenter-g2": ["20348.2113.231109"]}},
}


def locations(subscription: str) -> list[dict[str, Any]]:
    return [
        {
            "id": f"/subscriptions/{subscription}/locations/{name}",
            "name": name,
            "displayName": display,
            "latitude": "1.0",
            "longitude": "-1.0",
            "metadata": {"regionType": kind, "geography": geography, "regionCategory": "Recommended"},
        }
        for name, (display, kind, geography) in LOCATIONS.items()
    ]


def skus(location: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {
            "resourceType": "disks",
            "name": "Premium_LRS",
            "locations": ["eastus"],
            "capabilities": [],
            "restrictions": [],
        }
    ]
    for name, (cpus, memory, disk, architecture, where) in SIZES.items():
        for place in where:
            if location and place.lower() != location.lower():
                continue
            capabilities = {
                "vCPUs": str(cpus),
                "MemoryGB": f"{memory:g}",
                "MaxResourceVolumeMB": str(disk),
                "CpuArchitectureType": architecture,
            }
            restricted = name == "Standard_D4s_v5" and place == "westeurope"
            rows.append(
                {
                    "resourceType": "virtualMachines",
                    "name": name,
                    "tier": "Standard",
                    "size": name.removeprefix("Standard_"),
                    "family": "standardFamily",
                    "locations": [place],
                    "locationInfo": [{"location": place, "zones": ["1", "2"]}],
                    "capabilities": [{"name": key, "value": value} for key, value in capabilities.items()],
                    "restrictions": [
                        {"type": "Location", "values": [place], "reasonCode": "NotAvailableForSubscription"}
                    ]
                    if restricted
                    else [],
                }
            )
    return rows


def images(path: list[str], prefix: str, location: str) -> list[dict[str, Any]] | None:
    """Return the names below publisher, offer and SKU as far as given, or None where there is no such thing."""
    level: Any = IMAGES
    for part in path:
        found = next((name for name in level if name.lower() == part.lower()), None)
        if found is None:
            return None
        level = level[found]
    return [{"location": location, "name": name, "id": f"{prefix}/{name}"} for name in level]


def find_image(reference: dict[str, str]) -> str | None:
    """Return the exact version of a platform image, or None where there is none."""
    rows = images([reference.get(key, "") for key in ("publisher", "offer", "sku")], "", "")
    versions = [row["name"] for row in rows or []]
    if reference.get("version") == "latest" and versions:
        return versions[-1]
    return reference["version"] if reference.get("version") in versions else None
