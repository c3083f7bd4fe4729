"""What the roles on a subscription allow, in terms of our operations.

Facts: "Understand Azure role definitions" and "Azure permissions for Compute / Networking" (Microsoft Learn): an
action is allowed where one role names it, by itself or with wildcards, and that same role does not take it away again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_VM = "Microsoft.Compute/virtualMachines"
#: operation: the actions that it needs, all of them
NEEDED: dict[str, tuple[str, ...]] = {
    "check": ("Microsoft.Resources/subscriptions/read",),
    "list_machines": (f"{_VM}/read",),
    "get_machine": (f"{_VM}/read",),
    "start_machine": (f"{_VM}/start/action",),
    "stop_machine": (f"{_VM}/deallocate/action",),
    "reboot_machine": (f"{_VM}/restart/action",),
    "destroy_machine": (f"{_VM}/delete",),
    "create_machine": (
        f"{_VM}/write",
        f"{_VM}/read",
        "Microsoft.Network/networkInterfaces/write",
        "Microsoft.Network/networkInterfaces/join/action",
        "Microsoft.Network/virtualNetworks/subnets/join/action",
        "Microsoft.Resources/subscriptions/resourceGroups/read",
    ),
    "list_sizes": ("Microsoft.Compute/skus/read",),
    "list_images": (
        "Microsoft.Compute/images/read",
        "Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions/read",
    ),
    "list_locations": ("Microsoft.Resources/subscriptions/locations/read",),
    "list_networks": ("Microsoft.Network/virtualNetworks/read",),
}


def allowed_operations(roles: Iterable[Any], needed: Mapping[str, tuple[str, ...]] = NEEDED) -> frozenset[str]:
    """Return the operations that these roles allow (`Permissions - List`: actions and notActions of each)."""
    compiled = [
        (_patterns(role.get("actions")), _patterns(role.get("notActions")))
        for role in roles
        if isinstance(role, Mapping)
    ]

    def allowed(action: str) -> bool:
        return any(
            any(one.fullmatch(action) for one in given) and not any(one.fullmatch(action) for one in taken)
            for given, taken in compiled
        )

    return frozenset(operation for operation, actions in needed.items() if all(map(allowed, actions)))


def role_warnings(roles: list[Any]) -> Iterator[str]:
    """Yield what is unsafe, or will be missing, with these roles."""
    if not roles:
        yield "No role on the subscription as a whole is known: what may be done depends on roles further down."
    elif allowed_operations(roles, {"let others in": ("Microsoft.Authorization/roleAssignments/write",)}):
        yield "The role allows everything in the subscription, also to let others in; Contributor is enough."
    elif not allowed_operations(roles, {"see addresses": ("Microsoft.Network/networkInterfaces/read",)}):
        yield "The role does not allow to read network interfaces: machines will have no addresses."


def _patterns(actions: Any) -> list[re.Pattern[str]]:
    return [
        re.compile(re.escape(action).replace(r"\*", ".*"), re.IGNORECASE)
        for action in actions or ()
        if isinstance(action, str)
    ]
