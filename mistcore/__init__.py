"""mistcore: one door in front of many kinds of machines.

The names below are the public ones; each is imported when it is first used, so `import mistcore` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mistcore.backend import Backend as Backend
    from mistcore.credentials import CredentialField as CredentialField
    from mistcore.credentials import ca_certificate as ca_certificate
    from mistcore.credentials import credential as credential
    from mistcore.credentials import secret as secret
    from mistcore.credentials import verification as verification
    from mistcore.errors import AmbiguousName as AmbiguousName
    from mistcore.errors import AuthenticationFailed as AuthenticationFailed
    from mistcore.errors import BackendNotFound as BackendNotFound
    from mistcore.errors import BackendsFailed as BackendsFailed
    from mistcore.errors import BrokenPlugin as BrokenPlugin
    from mistcore.errors import CheckFailed as CheckFailed
    from mistcore.errors import InvalidFields as InvalidFields
    from mistcore.errors import MachineNotFound as MachineNotFound
    from mistcore.errors import MissingDependency as MissingDependency
    from mistcore.errors import MistError as MistError
    from mistcore.errors import NotSupported as NotSupported
    from mistcore.errors import PartialResult as PartialResult
    from mistcore.errors import PermissionDenied as PermissionDenied
    from mistcore.errors import PluginWarning as PluginWarning
    from mistcore.errors import ProviderError as ProviderError
    from mistcore.errors import RateLimited as RateLimited
    from mistcore.errors import Rejected as Rejected
    from mistcore.errors import ServiceRetired as ServiceRetired
    from mistcore.errors import StoreError as StoreError
    from mistcore.errors import UnknownProvider as UnknownProvider
    from mistcore.errors import UnknownRegion as UnknownRegion
    from mistcore.errors import Unreachable as Unreachable
    from mistcore.errors import VaultError as VaultError
    from mistcore.fleet import CheckResult as CheckResult
    from mistcore.hooks import hookimpl as hookimpl
    from mistcore.manager import BackendManager as BackendManager
    from mistcore.models import Account as Account
    from mistcore.models import Image as Image
    from mistcore.models import Location as Location
    from mistcore.models import Machine as Machine
    from mistcore.models import MachineState as MachineState
    from mistcore.models import Network as Network
    from mistcore.models import Region as Region
    from mistcore.models import Size as Size
    from mistcore.provider import Provider as Provider
    from mistcore.registry import Registry as Registry

_HOMES = {
    "backend": ("Backend",),
    "credentials": ("CredentialField", "ca_certificate", "credential", "secret", "verification"),
    "errors": (
        "AmbiguousName",
        "AuthenticationFailed",
        "BackendNotFound",
        "BackendsFailed",
        "BrokenPlugin",
        "CheckFailed",
        "InvalidFields",
        "MachineNotFound",
        "MissingDependency",
        "MistError",
        "NotSupported",
        "PartialResult",
        "PermissionDenied",
        "PluginWarning",
        "ProviderError",
        "RateLimited",
        "Rejected",
        "ServiceRetired",
        "StoreError",
        "UnknownProvider",
        "UnknownRegion",
        "Unreachable",
        "VaultError",
    ),
    "fleet": ("CheckResult",),
    "hooks": ("hookimpl",),
    "manager": ("BackendManager",),
    "models": ("Account", "Image", "Location", "Machine", "MachineState", "Network", "Region", "Size"),
    "provider": ("Provider",),
    "registry": ("Registry",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [*sorted(_HOME_OF), "__version__"]  # noqa: PLE0604 - names, made from the table above


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mistcore")
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
