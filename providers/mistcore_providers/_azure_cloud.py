"""The clouds that Azure is, and what its IDs and addresses look like.

Facts: "Microsoft Entra authentication & national clouds" (Microsoft Learn).
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import attrs


@attrs.frozen
class Cloud:
    """Where a cloud is: Resource Manager, the token service, and a location that lists the usual images."""

    endpoint: str
    authority: str
    location: str


CLOUDS = {
    "public": Cloud("https://management.azure.com", "https://login.microsoftonline.com", "eastus"),
    "china": Cloud("https://management.chinacloudapi.cn", "https://login.partner.microsoftonline.cn", "chinanorth3"),
    "usgov": Cloud("https://management.usgovcloudapi.net", "https://login.microsoftonline.us", "usgovvirginia"),
}
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def guid(value: str) -> None:
    """Raise `ValueError` where a text is no ID of the usual form."""
    if not _GUID.fullmatch(value):
        raise ValueError("must be an ID like 01234567-89ab-cdef-0123-456789abcdef")


def tenant(value: str) -> None:
    """Raise `ValueError` where a text is neither a directory's ID nor a domain."""
    if not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", value):
        raise ValueError("must be the directory's ID or its domain, like contoso.onmicrosoft.com")


def https(value: str) -> None:
    """Raise `ValueError` where an address is not one of HTTPS: secrets go there."""
    if urlsplit(value).scheme != "https":
        raise ValueError("must begin with https://")


def location_name(value: str) -> str:
    """Return a location as Azure writes it: "East US" is eastus."""
    return value.replace(" ", "").lower()
