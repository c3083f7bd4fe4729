"""Telling public addresses from private ones, where a service does not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["split_addresses"]


def split_addresses(addresses: Iterable[Any]) -> tuple[list[str], list[str]]:
    """Return the public and the private ones of these addresses, without zone (`%eth0`) and length of a prefix (`/64`).

    Loopback, link-local, unspecified and multicast ones reach nobody's machine and are left out, as is what is no
    address at all.
    """
    import ipaddress

    public: list[str] = []
    private: list[str] = []
    for text in addresses:
        try:
            address = ipaddress.ip_address(str(text).strip().partition("%")[0].partition("/")[0])
        except ValueError:
            continue
        if not (address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast):
            (public if address.is_global else private).append(str(address))
    return public, private
