"""Images of Azure: the names that people use, and the walk from publisher to offer, SKU and version.

Facts: "Find and use Azure Marketplace VM images" and the list of aliases that `az vm create` reads (Microsoft Learn;
Azure/azure-rest-api-specs, arm-compute/quickstart-templates/aliases.json).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mistcore import Image, InvalidFields, Rejected
from mistcore.http import segment
from mistcore.parallel import in_parallel
from mistcore_providers._azure_arm import COMPUTE, Arm

ALIASES = {
    "AlmaLinux9": "almalinux:almalinux-x86_64:9-gen2:latest",
    "Debian11": "Debian:debian-11:11-backports-gen2:latest",
    "Debian12": "Debian:debian-12:12-gen2:latest",
    "Debian13": "Debian:debian-13:13-gen2:latest",
    "FlatcarLinuxFreeGen2": "kinvolk:flatcar-container-linux-free:stable-gen2:latest",
    "OpenSuseLeap154Gen2": "SUSE:openSUSE-leap-15-4:gen2:latest",
    "RHELRaw8LVMGen2": "RedHat:RHEL:8-lvm-gen2:latest",
    "SuseSles15SP5": "SUSE:sles-15-sp5:gen2:latest",
    "Ubuntu2204": "Canonical:0001-com-ubuntu-server-jammy:22_04-lts-gen2:latest",
    "Ubuntu2404": "Canonical:ubuntu-24_04-lts:server:latest",
    "Ubuntu2404Pro": "Canonical:ubuntu-24_04-lts:ubuntu-pro:latest",
    "Win2016Datacenter": "MicrosoftWindowsServer:WindowsServer:2016-datacenter-gensecond:latest",
    "Win2019Datacenter": "MicrosoftWindowsServer:WindowsServer:2019-datacenter-gensecond:latest",
    "Win2022AzureEditionCore": "MicrosoftWindowsServer:WindowsServer:2022-datacenter-azure-edition-core:latest",
    "Win2022Datacenter": "MicrosoftWindowsServer:WindowsServer:2022-datacenter-g2:latest",
    "Win2025Datacenter": "MicrosoftWindowsServer:WindowsServer:2025-datacenter-g2:latest",
}
_URNS = {alias.lower(): urn for alias, urn in ALIASES.items()}
_SPELLING = {alias.lower(): alias for alias in ALIASES}
_NAMES = {urn.lower(): alias for alias, urn in ALIASES.items()}
#: More publishers than this are no answer to a question.
_MOST_PUBLISHERS = 25
_GALLERIES = {"/communitygalleries/": "communityGalleryImageId", "/sharedgalleries/": "sharedGalleryImageId"}


def image_reference(image: str) -> dict[str, str]:
    """Return what Azure calls an image: by alias ("Debian12"), URN ("publisher:offer:sku[:version]") or ID.

    Raises:
        InvalidFields: it is none of these; the nearest aliases are named.

    """
    image = image.strip()
    if image.startswith("/"):
        kinds = (name for part, name in _GALLERIES.items() if image.lower().startswith(part))
        return {next(kinds, "id"): image}
    parts = [part.strip() for part in _URNS.get(image.lower(), image).split(":")]
    if len(parts) == 3:
        parts.append("latest")
    if len(parts) == 4 and all(parts):
        return dict(zip(("publisher", "offer", "sku", "version"), parts, strict=True))
    from difflib import get_close_matches

    near = [_SPELLING[name] for name in get_close_matches(image.lower(), _URNS, n=3, cutoff=0.5)]
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise InvalidFields({"image": f"{image!r} is no alias, no publisher:offer:sku:version and no resource ID{hint}"})


def find_images(arm: Arm, search: str, location: str) -> Iterator[Image]:
    """Yield the usual images, the subscription's own, and those of the marketplace that `search` leads to."""
    text = search.strip().lower()
    words = text.split(":")
    for alias, urn in ALIASES.items():
        if text in alias.lower() or text in urn.lower():
            yield _image(urn)
    for raw in arm.rows(f"{arm.root}/providers/Microsoft.Compute/images", COMPUTE):
        found = _own(raw)
        if found is not None and text in f"{found.id} {found.name}".lower():
            yield found
    if text:
        for urn in _walk(arm, words, location):
            if urn.lower() not in _NAMES:
                yield _image(urn)


def _walk(arm: Arm, words: list[str], location: str) -> Iterator[str]:
    """Yield URNs: of each SKU the latest version; every version where publisher, offer and SKU are all given."""
    base = f"{arm.root}/providers/Microsoft.Compute/locations/{segment(location)}/publishers"

    def below(path: str) -> list[str]:
        rows = arm.find(path, COMPUTE)
        return [str(row["name"]) for row in rows or () if isinstance(row, Mapping) and row.get("name")]

    def offers_of(publisher: str) -> list[tuple[str, ...]]:
        path = f"{base}/{segment(publisher)}/artifacttypes/vmimage/offers"
        return [(publisher, offer) for offer in _fitting(below(path), words, 1)]

    def skus_of(found: tuple[str, ...]) -> list[tuple[str, ...]]:
        path = f"{base}/{segment(found[0])}/artifacttypes/vmimage/offers/{segment(found[1])}/skus"
        return [(*found, sku) for sku in _fitting(below(path), words, 2)]

    def versions_of(found: tuple[str, ...]) -> list[str]:
        if len(words) < 3:
            return ["latest"]
        path = f"{base}/{segment(found[0])}/artifacttypes/vmimage/offers/{segment(found[1])}/skus"
        return _fitting(below(f"{path}/{segment(found[2])}/versions"), words, 3)

    publishers = _fitting(below(base), words, 0)
    if len(publishers) > _MOST_PUBLISHERS:
        raise Rejected(
            f"{len(publishers)} publishers have {words[0]!r} in their name",
            reason="too_many",
            remedy="Search for publisher:offer, or for more of the publisher's name.",
        )
    for offers in in_parallel(offers_of, publishers):
        for skus in in_parallel(skus_of, offers):
            for found, versions in zip(skus, in_parallel(versions_of, skus), strict=True):
                yield from (":".join((*found, version)) for version in versions)


def _fitting(names: list[str], words: list[str], level: int) -> list[str]:
    """Return the names that a part of the search asks for: exactly, else those that hold it."""
    word = words[level] if level < len(words) else ""
    exact = [name for name in names if name.lower() == word]
    return exact or [name for name in names if word in name.lower()]


def _image(urn: str) -> Image:
    publisher, offer, sku, version = urn.split(":")
    alias = _NAMES.get(urn.lower(), "")
    windows = "windows" in offer.lower() or publisher == "MicrosoftWindowsServer"
    return Image(
        id=urn,
        name=alias or f"{offer} {sku}" + ("" if version == "latest" else f" {version}"),
        os="windows" if windows else "linux",
        architecture="arm64" if "arm64" in f"{offer} {sku}".lower() else "",
        extra={"publisher": publisher, "offer": offer, "sku": sku, "version": version},
    )


def _own(raw: Any) -> Image | None:
    if not isinstance(raw, Mapping) or not isinstance(raw.get("id"), str):
        return None
    properties = raw.get("properties")
    profile = properties.get("storageProfile") if isinstance(properties, Mapping) else None
    disk = profile.get("osDisk") if isinstance(profile, Mapping) else None
    system = disk.get("osType") if isinstance(disk, Mapping) else ""
    extra = {"location": str(raw.get("location") or ""), "own": True}
    return Image(id=raw["id"], name=str(raw.get("name") or ""), os=str(system or "").lower(), extra=extra)
