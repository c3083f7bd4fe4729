"""Telling public addresses from private ones, where a service does not."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["split_addresses"]


def split_addresses(addresses: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the public and the private ones of these addresses; what is no address is left out."""
    import ipaddress

    public: list[str] = []
    private: list[str] = []
    for address in addresses:
        try:
            parsed = ipaddress.ip_address(address.strip())
        except ValueError:
            continue
        (public if parsed.is_global else private).append(str(parsed))
    return public, private
