"""What the stand-in of DigitalOcean has to offer: sizes, images, regions, a network."""

from __future__ import annotations

from typing import Any


def size(slug: str, cpus: int, memory: int, disk: int, hourly: float, **more: Any) -> dict[str, Any]:
    """Return a size as DigitalOcean describes it."""
    return {
        "slug": slug,
        "memory": memory,
        "vcpus": cpus,
        "disk": disk,
        "transfer": 1.0,
        "price_monthly": round(hourly * 672, 2),
        "price_hourly": hourly,
        "regions": ["ams3", "fra1", "nyc3"],
        "available": True,
        "description": "Basic",
        **more,
    }


def image(id: int, name: str, slug: str | None, distribution: str = "Debian", **more: Any) -> dict[str, Any]:
    """Return an image as DigitalOcean describes it."""
    return {
        "id": id,
        "name": name,
        "type": "base" if slug else "snapshot",
        "distribution": distribution,
        "slug": slug,
        "public": slug is not None,
        "regions": ["ams3", "fra1", "nyc3"],
        "created_at": "2024-01-02T03:04:05Z",
        "min_disk_size": 10,
        "size_gigabytes": 0.5,
        "description": name,
        "tags": [],
        "status": "available",
        **more,
    }


SIZES = [
    size("s-1vcpu-1gb", 1, 1024, 25, 0.00893),
    size("s-2vcpu-4gb", 2, 4096, 80, 0.03571),
    size(
        "gpu-h100x1-80gb", 20, 245760, 720, 3.39, description="H100 GPU - 1X",
        gpu_info={"count": 1, "model": "nvidia_h100", "vram": {"amount": 80, "unit": "gib"}},
    ),
]  # fmt: skip
IMAGES = [
    image(101, "12 x64", "debian-12-x64"),
    image(102, "24.04 (LTS) x64", "ubuntu-24-04-x64", "Ubuntu"),
    image(900, "before the upgrade", None),
]
REGIONS = [
    {"name": name, "slug": slug, "features": ["ipv6", "metadata"], "available": slug != "ams3",
     "sizes": [entry["slug"] for entry in SIZES]}
    for slug, name in (("ams3", "Amsterdam 3"), ("fra1", "Frankfurt 1"), ("nyc3", "New York 3"))
]  # fmt: skip
VPC = {
    "id": "5a4981aa-9653-4bd1-bef5-d6bff52042e4",
    "urn": "do:vpc:5a4981aa-9653-4bd1-bef5-d6bff52042e4",
    "name": "default-fra1",
    "description": "",
    "region": "fra1",
    "ip_range": "10.114.0.0/20",
    "created_at": "2020-03-13T19:20:47.442049222Z",
    "default": True,
}
