"""What the scopes of a Linode token allow."""

from __future__ import annotations

from collections.abc import Iterable

#: What each operation needs, by the OpenAPI document; nothing for what is public.
_READ = {
    "check": (),
    "list_machines": ("linodes",),
    "get_machine": ("linodes",),
    "list_sizes": (),
    "list_images": ("images",),
    "list_locations": (),
    "list_networks": ("linodes", "vpc"),
}


def permissions(scopes: Iterable[str], operations: Iterable[str], *, reading_only: bool) -> list[str] | None:
    """Return the operations that a token's scopes allow, or None where the service told no scopes.

    Args:
        scopes: words such as `linodes:read_only`; `*` is everything. operations: those that there are.
        reading_only: leave out what changes something.

    """
    held: dict[str, str] = {}
    for word in filter(None, scopes):
        name, _, access = word.partition(":")
        held[name] = "read_write" if "read_write" in (held.get(name), access) or access == "*" else access
    if not held:
        return None

    def allowed(operation: str) -> bool:
        if operation in _READ:
            return "*" in held or all(scope in held for scope in _READ[operation])
        return not reading_only and ("*" in held or held.get("linodes") == "read_write")

    return [operation for operation in operations if allowed(operation)]
