"""Telling public addresses from private ones, where a service does not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

__all__ = ["only_addresses", "split_addresses"]

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_V4 = re.compile(rf"({_OCTET}\.{_OCTET})\.{_OCTET}\.{_OCTET}")
#: In these parts of IPv4, the first half of an address does not say what it is.
_MIXED = frozenset({"0.0", "192.0", "198.51", "203.0"})


def split_addresses(addresses: Iterable[Any]) -> tuple[list[str], list[str]]:
    """Return the public and the private ones of these addresses, without zone (`%eth0`) and length of a prefix (`/64`).

    Loopback, link-local, unspecified and multicast ones reach nobody's machine and are left out, as is what is no
    address at all. What is what, `ipaddress` says; but it takes longer than all the rest of a listing, so the kinds
    that nearly all addresses are of are told without asking it about each.
    """
    found: tuple[list[str], list[str]] = ([], [])
    for text in addresses:
        address = str(text).strip().partition("%")[0].partition("/")[0]
        four = _V4.fullmatch(address)
        if four is not None and four[1] not in _MIXED:
            kind = _kind_of_half(four[1])
        else:
            address, kind = _usual(address)
        if kind is not None:
            found[kind].append(address)
    return found


def only_addresses(values: Iterable[Any]) -> list[str]:
    """Return those of the values that are addresses, for services that say themselves which are public."""
    return [value for value in values if isinstance(value, str) and (_V4.fullmatch(value) or _is_address(value))]


def _is_address(text: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def _kind_of_half(half: str) -> int | None:
    return _usual(f"{half}.0.0")[1]


def _usual(text: str) -> tuple[str, int | None]:
    """Return an address as it is usually written, and 0 if it is public, 1 if it is private, None if it is left out."""
    import ipaddress
    import socket

    try:
        packed = socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):
        packed = b""
    if packed and 0x2003 <= int.from_bytes(packed[:2], "big") < 0x3000:  # public all through
        return socket.inet_ntop(socket.AF_INET6, packed), 0
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text, None
    if address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast:
        return text, None
    return str(address), int(not address.is_global)
