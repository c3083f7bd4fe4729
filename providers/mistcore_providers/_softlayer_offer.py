"""What SoftLayer has to offer: sizes, operating systems, data centres, VLANs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mistcore import Image, Location, Network, Size
from mistcore.rows import parse_time, readable

_FLAVOR = re.compile(r"[A-Z0-9]+_(?P<cpus>\d+)X(?P<memory>\d+)(?:X(?P<disk>\d+))?")
_COUNTRIES = {
    "ams": "NL", "che": "IN", "dal": "US", "fra": "DE", "hkg": "HK", "hou": "US", "lon": "GB", "mel": "AU", "mex": "MX",
    "mil": "IT", "mon": "CA", "osa": "JP", "osl": "NO", "par": "FR", "sao": "BR", "sea": "US", "seo": "KR", "sjc": "US",
    "sng": "SG", "syd": "AU", "tok": "JP", "tor": "CA", "wdc": "US",
}  # fmt: skip


def sizes_of(options: Mapping[str, Any]) -> Iterator[Size]:
    """Yield the flavors, then every combination of processors and memory, which costs what its parts do."""
    yield from readable(_flavor, options.get("flavors") or ())
    processors = _parts(options.get("processors") or (), "startCpus")
    memories = _parts(options.get("memory") or (), "maxMemory")
    for cpus, (cpu_hour, cpu_month) in processors.items():
        for memory, (hour, month) in memories.items():
            yield Size(
                id=f"{cpus}x{memory}",
                name=f"{cpus} cores, {memory / 1024:g} GB",
                cpus=cpus,
                memory=memory,
                architecture="x86_64",
                price_hour=_sum(cpu_hour, hour),
                price_month=_sum(cpu_month, month),
                currency="USD",
                extra={"kind": "custom"},
            )


def _flavor(row: Mapping[str, Any]) -> Size | None:
    flavor = row.get("flavor") or {}
    key = ((row.get("template") or {}).get("supplementalCreateObjectOptions") or {}).get("flavorKeyName")
    key = key or flavor.get("keyName")
    if not key:
        return None
    match = _FLAVOR.match(key)
    return Size(
        id=key,
        name=flavor.get("name") or key,
        cpus=int(match["cpus"]) if match else None,
        memory=int(match["memory"]) * 1024 if match else None,
        disk=int(match["disk"]) if match and match["disk"] else None,
        architecture="x86_64",
        price_hour=_number(flavor.get("totalMinimumHourlyFee")),
        price_month=_number(flavor.get("totalMinimumRecurringFee")),
        currency="USD",
        extra={"kind": "flavor"},
    )


def _parts(rows: Iterable[Mapping[str, Any]], key: str) -> dict[int, tuple[float | None, float | None]]:
    """Return the prices of each amount; where there are several, such as on hosts of one's own, the first counts."""

    def part(row: Mapping[str, Any]) -> tuple[int, tuple[float | None, float | None]] | None:
        template, price = row.get("template") or {}, row.get("itemPrice") or {}
        amount = template.get(key)
        if type(amount) is not int or template.get("dedicatedAccountHostOnlyFlag"):
            return None
        return amount, (_number(price.get("hourlyRecurringFee")), _number(price.get("recurringFee")))

    parts: dict[int, tuple[float | None, float | None]] = {}
    for amount, prices in readable(part, rows):
        parts.setdefault(amount, prices)
    return parts


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else round(one + other, 6)


def images_of(options: Mapping[str, Any]) -> list[Image]:
    """Return the operating systems, each once."""
    found: dict[str, Image] = {}
    for image in readable(_system, options.get("operatingSystems") or ()):
        found.setdefault(image.id, image)
    return list(found.values())


def _system(row: Mapping[str, Any]) -> Image | None:
    code = (row.get("template") or {}).get("operatingSystemReferenceCode")
    if not code:
        return None
    name = ((row.get("itemPrice") or {}).get("item") or {}).get("description") or code
    return Image(
        id=code, name=name, os=name.split(" ")[0], architecture="x86_64" if code.endswith("_64") else "",
        extra={"kind": "operating system"},
    )  # fmt: skip


def image_of(raw: Mapping[str, Any]) -> Image:
    """Return an image of the account's own."""
    return Image(
        id=raw.get("globalIdentifier") or raw["id"],
        name=raw.get("name") or "",
        created_at=parse_time(raw.get("createDate")),
        extra={"kind": "own"} | ({"note": raw["note"]} if raw.get("note") else {}),
    )


def locations_of(options: Mapping[str, Any], places: Iterable[Mapping[str, Any]]) -> list[Location]:
    """Return the data centres that take virtual servers, with the names that the list of all data centres has."""
    names = dict(readable(lambda place: (str(place.get("name")), place.get("longName")), places))

    def location(row: Mapping[str, Any]) -> Location | None:
        code = ((row.get("template") or {}).get("datacenter") or {}).get("name")
        if not code:
            return None
        return Location(id=code, name=names.get(code) or code, country=_COUNTRIES.get(code[:3], ""))

    found = {place.id: place for place in readable(location, options.get("datacenters") or ())}
    return list(found.values())


def network_of(raw: Mapping[str, Any]) -> Network:
    """Return a VLAN; its name is the account's own, or else the router's and the VLAN's number."""
    router = raw.get("primaryRouter") or {}
    number = raw.get("vlanNumber")
    subnets = [
        f"{subnet['networkIdentifier']}/{subnet['cidr']}"
        for subnet in raw.get("primarySubnets") or ()
        if subnet.get("networkIdentifier") and subnet.get("cidr")
    ]
    extra = {
        "space": str(raw.get("networkSpace") or "").lower(),
        "vlan": number,
        "datacenter": (router.get("datacenter") or {}).get("name"),
        "subnets": subnets,
    }
    return Network(
        id=raw["id"],
        name=raw.get("name") or ".".join(filter(None, (router.get("hostname"), str(number or "")))),
        cidr=subnets[0] if subnets else "",
        extra={name: value for name, value in extra.items() if value not in (None, "", [])},
    )
