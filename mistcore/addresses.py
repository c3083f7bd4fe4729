"""Telling public addresses from private ones, where a service does not."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, partial
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Any

__all__ = ["only_addresses", "split_addresses"]

_packed_v4 = partial(inet_pton, AF_INET)
_packed_v6 = partial(inet_pton, AF_INET6)
_written_v6 = partial(inet_ntop, AF_INET6)
#: In these parts of IPv4, the first half of an address does not say what it is.
_MIXED = frozenset(bytes(half) for half in ((0, 0), (192, 0), (198, 51), (203, 0)))


def split_addresses(addresses: Iterable[Any]) -> tuple[list[str], list[str]]:
    """Return the public and the private ones of these addresses, without zone (`%eth0`) and length of a prefix (`/64`).

    Loopback, link-local, unspecified and multicast ones reach nobody's machine and are left out, as is what is no
    address at all. What is what, `ipaddress` says; but it takes longer than all the rest of a listing, so the kinds
    that nearly all addresses are of are told without asking it about each.
    """
    found: tuple[list[str], list[str]] = ([], [])
    for given in addresses:
        told = _told_at_once(given)
        if told is None:  # it is of an unusual kind, is none, or has more around it
            text = str(given).strip().partition("%")[0].partition("/")[0]
            told = _told_at_once(text) or _usual(text)
        address, kind = told
        if kind is not None:
            found[kind].append(address)
    return found


def only_addresses(values: Iterable[Any]) -> list[str]:
    """Return those of the values that are addresses, for services that say themselves which are public."""
    return [value for value in values if isinstance(value, str) and _is_address(value)]


def _is_address(text: str) -> bool:
    try:
        (_packed_v6 if ":" in text else _packed_v4)(text)
    except (OSError, ValueError):
        import ipaddress  # knows one more way to write them: with a zone

        try:
            ipaddress.ip_address(text)
        except ValueError:
            return False
    return True


@lru_cache(maxsize=4096)
def _kind_of_half(half: bytes) -> int | None:
    return _usual(f"{half[0]}.{half[1]}.0.0")[1]


def _told_at_once(text: Any) -> tuple[str, int | None] | None:
    """Return what `_usual` does, or None where that has to be asked."""
    try:
        if ":" in text:
            packed = _packed_v6(text)
            return (_written_v6(packed), 0) if b"\x20\x03" <= packed[:2] < b"\x30\x00" else None  # all public
        half = _packed_v4(text)[:2]
        return None if half in _MIXED else (text, _kind_of_half(half))
    except (OSError, TypeError, ValueError):
        return None


def _usual(text: str) -> tuple[str, int | None]:
    """Return an address as it is usually written, and 0 if it is public, 1 if it is private, None if it is left out."""
    import ipaddress

    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text, None
    if address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast:
        return text, None
    return str(address), int(not address.is_global)
