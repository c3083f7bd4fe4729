"""What the roles on a project allow, in terms of our operations.

Facts: "projects.testIamPermissions" of Resource Manager v1, and "Compute Engine IAM roles and permissions" (Google's
docs).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mistcore import PermissionDenied, ProviderError
from mistcore.http import RestSession, segment

#: operation: the permissions that it needs, all of them
NEEDED = {
    "check": ("compute.projects.get",),
    "list_machines": ("compute.instances.list",),
    "get_machine": ("compute.instances.get", "compute.instances.list"),
    "start_machine": ("compute.instances.start",),
    "stop_machine": ("compute.instances.stop",),
    "reboot_machine": ("compute.instances.reset",),
    "suspend_machine": ("compute.instances.suspend",),
    "resume_machine": ("compute.instances.resume",),
    "rename_machine": ("compute.instances.setName",),
    "destroy_machine": ("compute.instances.delete",),
    "create_machine": ("compute.instances.create", "compute.disks.create", "compute.subnetworks.use"),
    "list_sizes": ("compute.machineTypes.list",),
    "list_images": ("compute.images.list",),
    "list_locations": ("compute.zones.list",),
    "list_networks": ("compute.networks.list", "compute.subnetworks.list"),
}
_OWNER = "resourcemanager.projects.setIamPolicy"


def held_permissions(resource_manager: RestSession, project: str) -> set[str] | None:
    """Return what is held of the permissions that matter here, or None where that is not told."""
    wanted = sorted({one for needed in NEEDED.values() for one in needed} | {_OWNER})
    path = f"/v1/projects/{segment(project)}:testIamPermissions"
    try:
        answer = resource_manager.post(path, json={"permissions": wanted}, safe=True)
    except PermissionDenied:
        return None
    except ProviderError as error:
        if error.reason == "not_found":
            return None
        raise
    held = answer.get("permissions") if isinstance(answer, Mapping) else None
    return {str(one) for one in held or ()}


def allowed_operations(held: set[str]) -> set[str]:
    """Return the operations that these permissions allow."""
    return {operation for operation, needed in NEEDED.items() if held.issuperset(needed)}


def role_warnings(held: set[str] | None) -> Iterator[str]:
    """Yield what is unsafe with these permissions."""
    if held and _OWNER in held:
        yield "The role allows everything in the project, also to let others in; Compute Admin is enough."
