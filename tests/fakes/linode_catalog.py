"""What the stand-in of Linode has to offer: types, images, regions, networks."""

from __future__ import annotations

from typing import Any


def plan(
    id: str, label: str, kind: str, vcpus: int, memory: int, disk: int, hourly: float, **more: Any
) -> dict[str, Any]:
    """Return a type as Linode describes it."""
    return {
        "id": id,
        "label": label,
        "class": kind,
        "vcpus": vcpus,
        "memory": memory,
        "disk": disk,
        "gpus": 0,
        "transfer": 1000,
        "network_out": 1000,
        "successor": None,
        "price": {"hourly": hourly, "monthly": round(hourly * 666.7)},
        "region_prices": [],
        "addons": {"backups": {"price": {"hourly": 0.003, "monthly": 2.0}, "region_prices": []}},
        **more,
    }


def image(id: str, label: str, vendor: str | None, **more: Any) -> dict[str, Any]:
    """Return an image as Linode describes it."""
    return {
        "id": id,
        "label": label,
        "vendor": vendor,
        "description": None,
        "created": "2023-06-12T15:11:23",
        "updated": "2023-06-12T15:11:23",
        "created_by": "linode",
        "deprecated": False,
        "is_public": id.startswith("linode/"),
        "size": 1500,
        "type": "manual",
        "status": "available",
        "eol": "2028-06-10T04:00:00",
        "expiry": None,
        "capabilities": ["cloud-init"],
        "regions": [],
        "tags": [],
        "total_size": 1500,
        **more,
    }


TYPES = [
    plan("g6-nanode-1", "Nanode 1GB", "nanode", 1, 1024, 25600, 0.0075),
    plan("g6-standard-2", "Linode 4GB", "standard", 2, 4096, 81920, 0.036,
         region_prices=[{"id": "id-cgk", "hourly": 0.043, "monthly": 28.8}]),
    plan("g1-gpu-rtx6000-1", "Dedicated 32GB + RTX6000 GPU x1", "gpu", 8, 32768, 655360, 1.5, gpus=1),
]  # fmt: skip
IMAGES = [
    image("linode/debian12", "Debian 12", "Debian"),
    image("linode/ubuntu24.04", "Ubuntu 24.04 LTS", "Ubuntu"),
    image("linode/alpine3.12", "Alpine 3.12", "Alpine", deprecated=True),
    image("private/12345", "before the upgrade", None, created_by="exampleUser", eol=None),
]
REGIONS = [
    {
        "id": id,
        "label": label,
        "country": country,
        "capabilities": ["Linodes", "Block Storage", "Vlans", "VPCs"],
        "status": "ok",
        "site-type": "core",
        "resolvers": {"ipv4": "192.0.2.0,192.0.2.1", "ipv6": "2001:0db8::,2001:0db8::1"},
        "placement_group_limits": {"maximum_pgs_per_customer": None, "maximum_linodes_per_pg": 5},
    }
    for id, label, country in (("us-east", "Newark, NJ", "us"), ("eu-central", "Frankfurt, DE", "de"))
]
VPCS: list[dict[str, Any]] = [
    {
        "id": 1234,
        "label": "cool-vpc",
        "description": "A description of my VPC.",
        "region": "eu-central",
        "created": "2023-07-11T00:00:00",
        "updated": "2024-01-25T00:00:00",
        "subnets": [
            {
                "id": 5678,
                "label": "cool-subnet",
                "ipv4": "10.0.1.0/24",
                "linodes": [{"id": 111, "interfaces": [{"active": True, "id": 421}]}],
                "created": "2023-07-11T00:00:00",
                "updated": "2024-01-25T00:00:00",
            }
        ],
    },
    {
        "id": 1235, "label": "empty", "description": "", "region": "us-east", "created": "2023-07-11T00:00:00",
        "updated": None, "subnets": [],
    },
]  # fmt: skip
VLANS = [
    {"label": "vlan-example", "region": region, "linodes": linodes, "created": "2020-01-01T00:01:01"}
    for region, linodes in (("us-east", [111, 222]), ("eu-central", []))
]
