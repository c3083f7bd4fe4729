"""For authors of provider plugins: the suite that every provider passes, and the server to write stand-ins with.

`DeclarationSuite`, `ProviderSuite`, `TortureSuite` and `WireSuite` need pytest and trustme (`pip install
'mistcore[testing]'`). They are imported when one of the suites is asked for; `mistcore.testing.server` and
`mistcore.testing.wire` need nothing.
Nothing else in mistcore imports this.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mistcore.testing.declaration import DeclarationSuite
    from mistcore.testing.suite import ProviderSuite
    from mistcore.testing.torture import TortureSuite
    from mistcore.testing.wired import WireSuite

__all__ = ["DeclarationSuite", "ProviderSuite", "TortureSuite", "WireSuite"]

_HOMES = {
    "DeclarationSuite": "declaration",
    "ProviderSuite": "suite",
    "TortureSuite": "torture",
    "WireSuite": "wired",
}
_ASSERTING = (
    "declaration",
    "suite",
    "faults",
    "astray",
    "burden",
    "entities",
    "refusals",
    "rounds",
    "torture",
    "wired",
)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import pytest

        for module in _ASSERTING:  # so that a failing assertion shows its values
            pytest.register_assert_rewrite(f"{__name__}.{module}")
        home = import_module(f"{__name__}.{_HOMES[name]}")
    except ModuleNotFoundError as error:
        if error.name not in ("pytest", "trustme"):
            raise
        from mistcore.errors import MissingDependency

        remedy = "Install it: pip install 'mistcore[testing]'"
        raise MissingDependency(
            f"{name} needs the package {error.name!r}, which is not installed", remedy=remedy
        ) from error
    return getattr(home, name)
