"""Addresses of services: taken apart, compared, and shown without what is nobody's business."""

from __future__ import annotations

from urllib.parse import quote, unquote, urlsplit

from mistcore.errors import InvalidFields

__all__ = ["address", "is_plain", "is_upgrade", "malformed", "origin", "segment", "shown"]

_PORTS = {"http": 80, "https": 443}


def segment(value: object) -> str:
    """Return a value as one segment of a path: `f"/machines/{segment(machine_id)}"` reaches no other path."""
    text = quote(str(value), safe="")
    return text.replace(".", "%2E") if not text.strip(".") else text


def address(base_url: str) -> tuple[str, tuple[str, str] | None]:
    """Return an address in full and without credentials, and the credentials that it held."""
    url = base_url.strip()
    url = (url if "://" in url else f"https://{url}").rstrip("/")
    problem = InvalidFields({"endpoint": f"{shown(url)!r} is not an address: write https://host/path"})
    if malformed(url) or urlsplit(url).fragment:
        raise problem
    split = urlsplit(url)
    found = None
    if "@" in split.netloc:
        found = unquote(split.username or ""), unquote(split.password or "")
        url = split._replace(netloc=split.netloc.rpartition("@")[2]).geturl()
    return url, found


def malformed(url: str) -> bool:
    """Tell whether an address is none that could be asked, or is written so that two readers may differ about it."""
    try:
        split = urlsplit(url)
        _ = split.port
    except ValueError:
        return True
    odd = "\\" in url or any(character <= " " or character == "\x7f" for character in url)
    return odd or split.scheme not in _PORTS or not split.hostname


def origin(url: str) -> str:
    """Return scheme, host and port of an address: who gets to see the credentials."""
    split = urlsplit(url)
    host = split.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = split.port or _PORTS[split.scheme]
    return f"{split.scheme}://{host}" + (f":{port}" if port != _PORTS[split.scheme] else "")


def is_plain(url: str) -> bool:
    """Tell whether what goes to this address can be read on the way: plain HTTP, and not within this machine."""
    host = urlsplit(url).hostname or ""
    local = host in {"localhost", "::1"} or host.startswith("127.")
    return url.lower().startswith("http:") and not local


def is_upgrade(url: str, target: str) -> bool:
    """Tell whether a redirect only leads from HTTP to HTTPS on the same host and the usual ports."""
    return origin(url).startswith("http:") and origin(target) == origin(url).replace("http:", "https:", 1)


def shown(url: str) -> str:
    """Return an address as it may be shown: without credentials, query and fragment."""
    try:
        split = urlsplit(url)
    except ValueError:
        return "…"
    return split._replace(netloc=split.netloc.rpartition("@")[2], query="", fragment="").geturl()
