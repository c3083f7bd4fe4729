"""What Compute Engine has on offer in the stand-in, in Google's own shapes."""

from __future__ import annotations

from typing import Any

ZONES = ("europe-west1-b", "us-central1-a", "us-central1-b")
#: name: vCPUs, memory in MiB, architecture, zones
TYPES = {
    "e2-small": (2, 2048, "X86_64", ZONES),
    "n2-standard-4": (4, 16384, "X86_64", ZONES[:2]),
    "t2a-standard-1": (1, 4096, "ARM64", ("us-central1-a",)),
}
#: project: image, its family, architecture, when made, whether deprecated
IMAGES: dict[str, list[tuple[str, str, str, str, bool]]] = {
    "debian-cloud": [
        ("debian-11-bullseye-v20240101", "debian-11", "X86_64", "2024-01-01T01:00:00.000-08:00", True),
        ("debian-12-bookworm-v20250101", "debian-12", "X86_64", "2025-01-01T01:00:00.000-08:00", False),
        ("debian-12-bookworm-v20250201", "debian-12", "X86_64", "2025-02-01T01:00:00.000-08:00", False),
        ("debian-12-bookworm-arm64-v20250201", "debian-12-arm64", "ARM64", "2025-02-01T01:00:00.000-08:00", False),
    ],
    "ubuntu-os-cloud": [
        ("ubuntu-2204-jammy-v20250101", "ubuntu-2204-lts", "X86_64", "2025-01-01T01:00:00.000-08:00", False)
    ],
    "windows-cloud": [
        ("windows-server-2022-dc-v20250101", "windows-2022", "X86_64", "2025-01-01T01:00:00.000-08:00", False)
    ],
    "my-project-123": [("golden-7", "", "X86_64", "2025-03-01T01:00:00.000-08:00", False)],
    **{
        f"{name}-cloud": []
        for name in (
            "almalinux",
            "centos",
            "cos",
            "fedora-coreos",
            "opensuse",
            "oracle-linux",
            "rhel",
            "rocky-linux",
            "suse",
        )
    },
}


def zone(link: str, name: str) -> dict[str, Any]:
    region = f"{link}/regions/{name[:-2]}"
    about = {"kind": "compute#zone", "id": "2000", "name": name, "description": name, "status": "UP"}
    return {**about, "region": region, "selfLink": f"{link}/zones/{name}"}


def machine_types(link: str) -> list[dict[str, Any]]:
    return [
        {
            "kind": "compute#machineType",
            "id": "334004",
            "name": name,
            "description": f"{cpus} vCPU, {memory // 1024} GB RAM",
            "guestCpus": cpus,
            "memoryMb": memory,
            "architecture": architecture,
            "zone": place,
            "selfLink": f"{link}/zones/{place}/machineTypes/{name}",
        }
        for place in ZONES
        for name, (cpus, memory, architecture, zones) in TYPES.items()
        if place in zones
    ]


def images(url: str, project: str) -> list[dict[str, Any]]:
    base = f"https://www.googleapis.com/compute/v1/projects/{project}/global"
    rows = []
    for name, family, architecture, made, deprecated in IMAGES.get(project, []):
        row: dict[str, Any] = {
            "kind": "compute#image",
            "id": "3000",
            "name": name,
            "architecture": architecture,
            "creationTimestamp": made,
            "status": "READY",
            "diskSizeGb": "10",
            "licenses": [f"{base}/licenses/{(family or name)}"],
            "selfLink": f"{base}/images/{name}",
        }
        if family:
            row["family"] = family
        if deprecated:
            row["deprecated"] = {"state": "DEPRECATED"}
        rows.append(row)
    return rows


def networks(link: str) -> list[dict[str, Any]]:
    base = {"kind": "compute#network", "id": "4000"}
    return [
        {**base, "name": "default", "autoCreateSubnetworks": True, "selfLink": f"{link}/global/networks/default"},
        {**base, "name": "office", "autoCreateSubnetworks": False, "selfLink": f"{link}/global/networks/office"},
    ]


def subnetworks(link: str) -> list[dict[str, Any]]:
    return [
        {
            "kind": "compute#subnetwork",
            "id": "5000",
            "name": name,
            "network": f"{link}/global/networks/{network}",
            "ipCidrRange": cidr,
            "region": f"{link}/regions/{region}",
            "selfLink": f"{link}/regions/{region}/subnetworks/{name}",
        }
        for name, network, cidr, region in (
            ("default", "default", "10.128.0.0/20", "us-central1"),
            ("desks", "office", "192.168.0.0/24", "europe-west1"),
        )
    ]
