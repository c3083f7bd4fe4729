"""What Compute Engine offers: machine types, images, zones and networks, turned into records.

Facts: the REST references of these resources and "Operating system details" (Google's docs).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mistcore import Image, InvalidFields, Location, Network, Size
from mistcore.parallel import in_parallel
from mistcore.rows import parse_time
from mistcore_providers._gce_api import Compute
from mistcore_providers._gce_machines import last, zone_of

#: The projects whose images everybody may use, and the beginnings of their families' names.
PUBLIC_PROJECTS = {
    "almalinux-cloud": ("almalinux",),
    "centos-cloud": ("centos",),
    "cos-cloud": ("cos",),
    "debian-cloud": ("debian",),
    "fedora-coreos-cloud": ("fedora-coreos",),
    "opensuse-cloud": ("opensuse",),
    "oracle-linux-cloud": ("oracle-linux",),
    "rhel-cloud": ("rhel",),
    "rocky-linux-cloud": ("rocky-linux",),
    "suse-cloud": ("sles",),
    "ubuntu-os-cloud": ("ubuntu",),
    "windows-cloud": ("windows",),
}
_GONE = {"DEPRECATED", "OBSOLETE", "DELETED"}
_ARCHITECTURES = {"X86_64": "x86_64", "ARM64": "arm64"}
_SELF = re.compile(r"(?:https://[^/]+/compute/(?:v1|beta)/)?(projects/[^/]+/global/images/(?:family/)?[^/]+)")


def sizes(rows: Iterable[Any]) -> Iterator[Size]:
    """Yield each machine type once, though there is a row for each zone."""
    found: dict[str, tuple[Mapping[str, Any], list[str]]] = {}
    for row in rows:
        if isinstance(row, Mapping) and row.get("name"):
            found.setdefault(str(row["name"]), (row, []))[1].append(zone_of(row) or last(row.get("zone")))
    for name, (row, zones) in found.items():
        yield Size(
            id=name,
            name=name,
            cpus=row.get("guestCpus"),
            memory=row.get("memoryMb"),
            architecture=_ARCHITECTURES.get(str(row.get("architecture")), ""),
            extra={"description": str(row.get("description") or ""), "locations": sorted(set(zones))},
        )


def machine_types(body: Any) -> list[Any]:
    """Return the machine types of a page of the aggregated list."""
    scopes = body.get("items") if isinstance(body, Mapping) else None
    if not isinstance(scopes, Mapping):
        return []
    return [row for scope in scopes.values() if isinstance(scope, Mapping) for row in scope.get("machineTypes") or ()]


def images(compute: Compute, own: str, search: str) -> Iterator[Image]:
    """Yield the newest image of each family of the public projects, and the project's own, that `search` is part of."""
    word = search.strip().lower()

    def of(project: str) -> list[Any]:
        return list(compute.rows(compute.path("global", "images", project=project)))

    projects = [own, *PUBLIC_PROJECTS]
    for project, rows in zip(projects, in_parallel(of, projects), strict=True):
        newest: dict[tuple[str, str], Mapping[str, Any]] = {}
        for row in rows:
            if not isinstance(row, Mapping) or not row.get("name") or _is_gone(row):
                continue
            family = str(row.get("family") or row["name"])
            key = (family, str(row.get("architecture") or ""))
            if str(row.get("creationTimestamp") or "") >= str(newest.get(key, {}).get("creationTimestamp") or ""):
                newest[key] = row
        for (family, architecture), row in newest.items():
            if word in f"{project}/{family} {row['name']}".lower():
                yield _image(project, row, family, architecture)


def _image(project: str, row: Mapping[str, Any], family: str, architecture: str) -> Image:
    kind = "family/" if row.get("family") else ""
    return Image(
        id=f"projects/{project}/global/images/{kind}{family}",
        name=family,
        os="windows" if "windows" in f"{project} {family}" else "linux",
        architecture=_ARCHITECTURES.get(architecture, ""),
        created_at=parse_time(row.get("creationTimestamp")),
        extra={"project": project, "image": str(row["name"]), "description": str(row.get("description") or "")},
    )


def find_image(compute: Compute, image: str) -> str:
    """Return the address of an image: by family or name ("debian-12"), "project/family", or an address itself.

    Raises:
        InvalidFields: there is no such image.

    """
    image = image.strip()
    match = _SELF.fullmatch(image)
    if match:
        return match[1]
    project, _, name = image.rpartition("/")
    if "/" in project or not re.fullmatch(r"[a-z0-9.-]+", name):
        raise InvalidFields({"image": f"{image!r} is no family, no project/family and no address of an image"})
    projects = [project]
    if not project:  # the public ones first: not every role may look at the project's own images
        projects = [public for public, families in PUBLIC_PROJECTS.items() if name.startswith(families)] + projects
    for each in projects:
        for parts in (("family", name), (name,)):
            found = compute.find(compute.path("global", "images", *parts, project=each))
            if isinstance(found, Mapping):
                where = str(found.get("selfLink") or "").partition("/projects/")[2] or f"{each}/global/images/{name}"
                return f"projects/{where}"
    raise InvalidFields({"image": f"there is no image {image!r} (see the images of this backend)"})


def locations(rows: Iterable[Any]) -> Iterator[Location]:
    """Yield the zones."""
    for row in rows:
        if isinstance(row, Mapping) and row.get("name"):
            extra = {"region": last(row.get("region")), "status": str(row.get("status") or "")}
            yield Location(id=str(row["name"]), name=str(row.get("description") or row["name"]), extra=extra)


def networks(rows: Iterable[Any], subnetworks: Iterable[Any]) -> Iterator[Network]:
    """Yield the networks, with their subnetworks in `extra`."""
    inside: dict[str, list[dict[str, Any]]] = {}
    for row in subnetworks:
        if isinstance(row, Mapping) and row.get("name"):
            address = str(row.get("selfLink") or "").partition("/compute/v1/")[2]
            about = {"id": address, "name": row["name"], "region": last(row.get("region"))}
            inside.setdefault(last(row.get("network")), []).append({**about, "cidr": row.get("ipCidrRange") or ""})
    for row in rows:
        if isinstance(row, Mapping) and row.get("name"):
            name = str(row["name"])
            yield Network(
                id=name,
                name=name,
                cidr=str(row.get("IPv4Range") or ""),
                extra={"subnetworks": inside.get(name, []), "automatic": bool(row.get("autoCreateSubnetworks"))},
            )


def subnetworks(body: Any) -> list[Any]:
    """Return the subnetworks of a page of the aggregated list."""
    scopes = body.get("items") if isinstance(body, Mapping) else None
    if not isinstance(scopes, Mapping):
        return []
    return [row for scope in scopes.values() if isinstance(scope, Mapping) for row in scope.get("subnetworks") or ()]


def _is_gone(row: Mapping[str, Any]) -> bool:
    about = row.get("deprecated")
    return isinstance(about, Mapping) and about.get("state") in _GONE
