"""What can be said of an account's fields without asking AWS: it saves a round trip and gives a better answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from mistcore import Region
from mistcore_providers._ec2_regions import ALL, HOMES, PARTITION_OF, REGIONS

__all__ = [
    "home_of",
    "key_problems",
    "known_region",
    "partition_of",
    "place_of",
    "region_of_zone",
    "role_partition",
    "well_formed",
]

#: A zone is a region and a letter (eu-west-1a), or for those near a city a region and more (us-west-2-lax-1a).
_ZONE = re.compile(r"([a-z]{2,4}(?:-[a-z]+)+-\d+)(?:[a-z]|-.+)")
#: The shape of AWS's own: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
_KEY_ID = re.compile(r"(AKIA|ASIA)[A-Z0-9]{12,124}")
_SECRET = re.compile(r"[A-Za-z0-9/+=]{40}")
_ROLE = re.compile(r"arn:(aws[a-z-]*):iam::\d{12}:role/[\w+=,.@/-]+")
_WHITE = re.compile(r"\s")


@cache
def _names() -> Mapping[str, Region]:
    return {name: region for region in REGIONS for name in (region.id, *region.aliases)}


def known_region(name: str) -> Region | None:
    """Return the region with this id or alias, in any case, or None."""
    return _names().get(name) or _names().get(name.lower())


def place_of(region: str) -> str:
    """Return where a region is, or ""."""
    known = known_region(region)
    return known.location if known else ""


def region_of_zone(name: str) -> str:
    """Return the region that a name like an availability zone's belongs to, or ""."""
    match = _ZONE.fullmatch(name.lower())
    return match[1] if match else ""


def well_formed(name: str) -> bool:
    """Tell whether a name can be a region's: what botocore lets into a host name."""
    return re.fullmatch(r"(?!\d+$)(?!-)[A-Za-z0-9-]{1,63}(?<!-)", name) is not None


def home_of(region: str, partition: str = "") -> str:
    """Return the region that answers for the whole partition of a region ("all": the partition given, or AWS's own)."""
    if region == ALL:
        return HOMES.get(partition, HOMES["aws"])
    return HOMES[partition_of(region)]


def partition_of(region: str) -> str:
    """Return the partition that a region is in: AWS's own unless it is known to be in another."""
    return PARTITION_OF.get(region, "aws")


def role_partition(arn: str) -> str:
    """Return the partition that a role's name is in ("aws-cn"), or ""."""
    match = _ROLE.fullmatch(arn)
    return match[1] if match else ""


def key_problems(account: Any) -> Iterator[tuple[str, str]]:
    """Yield each field of an account that cannot be right, with what is wrong about it."""
    key, secret, token = account.api_key, account.api_secret, account.session_token
    for name in ("api_key", "api_secret", "session_token", "role_arn", "external_id"):
        if _WHITE.search(getattr(account, name)):
            yield name, "there is white space inside; copy it again"
    if key and not secret:
        yield "api_secret", "missing (it belongs to the access key)"
    if (secret or token) and not key:
        yield "api_key", "missing (it belongs to the secret)"
    if account.external_id and not account.role_arn:
        yield "role_arn", "missing (the external id is asked for when a role is assumed)"
    if account.profile and key:
        yield "profile", "give either a profile or a key, not both"
    if account.endpoint and not re.fullmatch(r"https?://[^\s/?#]+[^\s?#]*", account.endpoint, re.IGNORECASE):
        yield "endpoint", "must be an address such as https://ec2.example.com, without a query"
    if not account.endpoint:
        yield from _aws_problems(key, secret, token, account.role_arn)


def _aws_problems(key: str, secret: str, token: str, role: str) -> Iterator[tuple[str, str]]:
    if role and not _ROLE.fullmatch(role):
        yield "role_arn", "must be the name of a role, such as arn:aws:iam::123456789012:role/reader"
    if not (key and secret) or _WHITE.search(key + secret):
        return
    if _KEY_ID.fullmatch(secret) and not _KEY_ID.fullmatch(key):
        yield "api_key", "the access key and its secret are swapped"
        return
    if not _KEY_ID.fullmatch(key):
        yield "api_key", "is not the id of an access key, which begins with AKIA or ASIA and has 16 letters or more"
    elif key.startswith("ASIA") and not token:
        yield "session_token", "missing: a key that begins with ASIA is temporary and comes with a session token"
    if not _SECRET.fullmatch(secret):
        yield "api_secret", f"is not a secret access key, which has 40 characters; this has {len(secret)}"
