"""EC2's XML turned into records. What is in the answers is said in AWS's API reference, "Data Types"."""

from __future__ import annotations

from datetime import UTC, datetime
from sys import intern
from typing import Any

from mistcore import Image, Location, Machine, MachineState, Network, Size
from mistcore.addresses import only_addresses
from mistcore_providers._ec2_xml import Flat, items, text

__all__ = ["image", "images", "location", "network", "read_instances", "size"]

#: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceState.html
_STATES = {
    "pending": MachineState.PENDING,
    "running": MachineState.RUNNING,
    "shutting-down": MachineState.STOPPING,
    "terminated": MachineState.TERMINATED,
    "stopping": MachineState.STOPPING,
    "stopped": MachineState.STOPPED,
}
#: What goes into `extra` as it is: EC2's tag, our key.
_EXTRA = {
    "launchTime": "launched_at",
    "vpcId": "vpc",
    "subnetId": "subnet",
    "keyName": "key",
    "architecture": "architecture",
    "instanceLifecycle": "lifecycle",
    "platformDetails": "platform",
    "privateDnsName": "private_dns",
    "dnsName": "public_dns",
    "reason": "state_reason",
}
#: What becomes a field of the machine. Of these, and of those above, the first within an instance is its own.
_OWN = frozenset({"instanceId", "imageId", "instanceType", "availabilityZone"})
#: Addresses that count as public; of those of IPv6 all but the unique local ones (RFC 4193).
_PUBLIC = frozenset({"ipAddress", "publicIp", "ipv6Address"})
_MANY = frozenset({"privateIpAddress", "groupId", "attachTime"})
_NESTED = frozenset({"instanceState", "name", "tagSet", "key", "value"})
_WANTED = frozenset(_EXTRA) | _OWN | _PUBLIC | _MANY | _NESTED


def read_instances(body: bytes, expected: str, region: str) -> tuple[list[Machine], str]:
    """Return the machines in the answer to DescribeInstances or RunInstances, and the token of the next page.

    The order of the elements, unknown elements and unknown words do no harm; what an instance lacks is empty.
    """
    document = Flat(body, expected)
    machines = [_machine(leaves, region) for leaves in document.entries("instancesSet", "instanceId", _WANTED)]
    return [machine for machine in machines if machine.id], document.only("nextToken").strip()


def _machine(leaves: list[tuple[str, str]], region: str) -> Machine:
    own: dict[str, str] = {}
    extra: dict[str, Any] = {"region": region}
    tags: dict[str, str] = {}
    public: list[str] = []
    private: list[str] = []
    groups: list[str] = []
    since = ""
    state = MachineState.UNKNOWN
    key = within = ""
    for tag, value in leaves:
        if tag in _EXTRA:
            if value:
                extra.setdefault(_EXTRA[tag], value)
        elif tag == "value":
            if within == "tagSet":
                tags[key] = value
            continue
        elif tag == "key":
            key = intern(value)
            continue
        elif tag == "privateIpAddress":
            private.append(value)
        elif tag in _PUBLIC:
            (private if value.startswith(("fc", "fd")) else public).append(value)
        elif tag in _OWN:
            own.setdefault(tag, value)
        elif tag == "groupId":
            groups.append(value)
        elif tag == "attachTime":
            # The launch time is that of the last start. The first interface and disk are attached when the instance is
            # made, and nothing can be before, so the oldest of all these times is when that was.
            if value and (not since or value < since):
                since = value
        elif tag == "name" and within == "instanceState":
            state = _STATES.get(value, MachineState.UNKNOWN)
        within = tag
    launched = extra.get("launched_at", "")
    if groups:
        extra["security_groups"] = list(dict.fromkeys(groups))
    return Machine(
        id=own.get("instanceId", ""),
        name=tags.get("Name", ""),
        state=state,
        public_ips=only_addresses(public),
        private_ips=only_addresses(private),
        size=intern(own.get("instanceType", "")),
        image=intern(own.get("imageId", "")),
        region=intern(own.get("availabilityZone") or region),
        created_at=_time(min(since or launched, launched or since)),
        tags=tags,
        extra=extra,
    )


def size(element: Any) -> Size:
    """Return the size in an entry of DescribeInstanceTypes. EC2 tells memory in MiB, instance storage in GB."""
    name = text(element, "instanceType")
    processor = items(element, "processorInfo")
    architectures = [entry.text or "" for entry in items(processor, "supportedArchitectures")]
    gpus = items(items(element, "gpuInfo"), "gpus")
    extra: dict[str, Any] = {
        "current_generation": text(element, "currentGeneration") == "true",
        "architectures": architectures,
        "bare_metal": text(element, "bareMetal") == "true",
    }
    if len(gpus):
        extra["gpus"] = [f"{text(gpu, 'count')} x {text(gpu, 'manufacturer')} {text(gpu, 'name')}" for gpu in gpus]
    storage = _whole(text(element, "instanceStorageInfo", "totalSizeInGB"))
    return Size(
        id=name,
        name=name,
        cpus=_whole(text(element, "vCpuInfo", "defaultVCpus")),
        memory=_whole(text(element, "memoryInfo", "sizeInMiB")),
        disk=None if storage is None else int(storage * 10**9 / 2**30),
        architecture=next((name for name in architectures if name != "i386"), ""),
        extra=extra,
    )


def images(root: Any, region: str) -> list[Image]:
    """Return the images in the answer to DescribeImages."""
    return [image(element, region) for element in items(root, "imagesSet") if text(element, "imageId")]


def image(element: Any, region: str) -> Image:
    """Return the image in an entry of DescribeImages."""
    name, description = text(element, "name"), text(element, "description")
    return Image(
        id=text(element, "imageId"),
        name=name or text(element, "imageLocation"),
        os=text(element, "platformDetails") or text(element, "platform") or "Linux/UNIX",
        architecture=text(element, "architecture"),
        created_at=_time(text(element, "creationDate")),
        extra={
            "region": region,
            "owner": text(element, "imageOwnerId") or text(element, "ownerId"),
            "owner_alias": text(element, "imageOwnerAlias"),
            "description": description,
            "public": text(element, "isPublic") == "true",
            "state": text(element, "imageState"),
            "root_device": text(element, "rootDeviceType"),
        },
    )


def location(element: Any, place: str) -> Location:
    """Return the zone in an entry of DescribeAvailabilityZones; `place` is where its region is."""
    zone = text(element, "zoneName")
    return Location(
        id=zone,
        name=f"{place} ({zone})" if place else zone,
        extra={
            "region": text(element, "regionName"),
            "zone_id": text(element, "zoneId"),
            "zone_type": text(element, "zoneType"),
            "state": text(element, "zoneState"),
        },
    )


def network(element: Any, region: str) -> Network:
    """Return the subnet in an entry of DescribeSubnets: that is what an instance is attached to."""
    v6 = [text(entry, "ipv6CidrBlock") for entry in items(element, "ipv6CidrBlockAssociationSet")]
    subnet = text(element, "subnetId")
    return Network(
        id=subnet,
        name=_tags(items(element, "tagSet")).get("Name", ""),
        cidr=text(element, "cidrBlock"),
        extra={
            "region": region,
            "zone": text(element, "availabilityZone"),
            "vpc": text(element, "vpcId"),
            "ipv6_cidrs": [cidr for cidr in v6 if cidr],
            "free_addresses": _whole(text(element, "availableIpAddressCount")),
            "default": text(element, "defaultForAz") == "true",
            "public_addresses": text(element, "mapPublicIpOnLaunch") == "true",
        },
    )


def _tags(element: Any) -> dict[str, str]:
    if element is None:
        return {}
    return {intern(text(entry, "key")): text(entry, "value") for entry in element}


def _time(value: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _whole(value: str) -> int | None:
    try:
        return int(value)
    except ValueError:
        return None
