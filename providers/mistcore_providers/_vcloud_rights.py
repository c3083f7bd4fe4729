"""What the roles of a user allow, in terms of our operations."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mistcore import MistError, PermissionDenied
from mistcore_providers._vcloud_data import rows

log = logging.getLogger(__name__)

#: The operations that a right allows, by the name of the right; listing needs none but to see the machine.
RIGHTS = {
    "vApp: Power Operations": ("start_machine", "stop_machine", "reboot_machine", "suspend_machine", "resume_machine"),
    "vApp: Delete": ("destroy_machine",),
    "vApp: Edit VM Properties": ("rename_machine",),
    "vApp: Create / Reconfigure": ("create_machine",),
}
_READING = (
    "check", "list_machines", "get_machine", "list_sizes", "list_images", "list_locations", "list_networks",
)  # fmt: skip


def allowed_operations(
    session: Mapping[str, Any], rights_of: Callable[[str], Iterable[Mapping[str, Any]]]
) -> set[str] | None:
    """Return the operations that the roles of a session's user allow, or None where the user may not read these.

    Args:
        session: as the service describes it.
        rights_of: asks for the rights of the role with this id.

    """
    roles = [str(role.get("id")) for role in rows(session.get("roleRefs")) if isinstance(role, Mapping)]
    if not roles:
        return None
    names: set[str] = set()
    try:
        for role in roles:
            names |= {str(right.get("name")) for right in rights_of(role)}
    except MistError as error:
        if not isinstance(error, PermissionDenied):
            log.debug("the rights of role cannot be read: %s", type(error).__name__)
        return None
    allowed = {operation for right, operations in RIGHTS.items() if right in names for operation in operations}
    return allowed | set(_READING)
