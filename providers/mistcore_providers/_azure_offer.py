"""What Azure offers: sizes, locations and networks, turned into records.

Facts: "Resource Skus - List", "Subscriptions - List Locations" and "Virtual Networks - List All" (Microsoft Learn).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mistcore import Location, Network, Size


def sizes(rows: Iterable[Any]) -> Iterator[Size]:
    """Yield each size of a machine once, though the service has a row for each location."""
    found: dict[str, tuple[Mapping[str, Any], list[str], list[str]]] = {}
    for row in rows:
        if not isinstance(row, Mapping) or row.get("resourceType") != "virtualMachines" or not row.get("name"):
            continue
        _, places, closed = found.setdefault(str(row["name"]), (row, [], []))
        restricted = any(
            isinstance(one, Mapping) and one.get("type") == "Location" for one in row.get("restrictions") or ()
        )
        (closed if restricted else places).extend(str(place) for place in row.get("locations") or ())
    for name, (row, places, closed) in found.items():
        has = {
            str(one.get("name")): one.get("value") for one in row.get("capabilities") or () if isinstance(one, Mapping)
        }
        memory, disk = _number(has.get("MemoryGB")), _number(has.get("MaxResourceVolumeMB"))
        yield Size(
            id=name,
            name=name,
            cpus=_number(has.get("vCPUs")),
            memory=None if memory is None else round(memory * 1024),
            disk=None if disk is None else round(disk / 1024),
            architecture={"x64": "x86_64", "Arm64": "arm64"}.get(str(has.get("CpuArchitectureType")), ""),
            extra={
                "family": str(row.get("family") or ""),
                "locations": sorted(set(places)),
                "not_available": sorted(set(closed)),
            },
        )


def locations(rows: Iterable[Any]) -> Iterator[Location]:
    """Yield the locations that machines can be in."""
    for row in rows:
        about = _mapping(row.get("metadata")) if isinstance(row, Mapping) else {}
        if not isinstance(row, Mapping) or not row.get("name") or about.get("regionType", "Physical") != "Physical":
            continue
        yield Location(
            id=str(row["name"]),
            name=str(row.get("displayName") or row["name"]),
            country=str(about.get("geography") or ""),
            extra={
                "category": str(about.get("regionCategory") or ""),
                "place": str(about.get("physicalLocation") or ""),
            },
        )


def networks(rows: Iterable[Any]) -> Iterator[Network]:
    """Yield the virtual networks."""
    for row in rows:
        if not isinstance(row, Mapping) or not isinstance(row.get("id"), str):
            continue
        properties = _mapping(row.get("properties"))
        ranges = [str(one) for one in _mapping(properties.get("addressSpace")).get("addressPrefixes") or ()]
        yield Network(
            id=row["id"],
            name=str(row.get("name") or ""),
            cidr=ranges[0] if ranges else "",
            extra={
                "location": str(row.get("location") or ""),
                "cidrs": ranges,
                "subnets": [_subnet(one) for one in properties.get("subnets") or () if isinstance(one, Mapping)],
            },
        )


def _subnet(row: Mapping[str, Any]) -> dict[str, Any]:
    properties = _mapping(row.get("properties"))
    several = properties.get("addressPrefixes") or [""]
    cidr = properties.get("addressPrefix") or several[0]
    return {"id": row.get("id", ""), "name": row.get("name", ""), "cidr": cidr}


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
