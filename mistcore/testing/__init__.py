"""For authors of provider plugins: the suite that every provider passes, and the server to write stand-ins with.

`DeclarationSuite`, `ProviderSuite` and `TortureSuite` need pytest (`pip install 'mistcore[testing]'`), which is
imported when one of them is asked for; `mistcore.testing.server` needs nothing. Nothing else in mistcore imports this.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mistcore.testing.declaration import DeclarationSuite
    from mistcore.testing.suite import ProviderSuite
    from mistcore.testing.torture import TortureSuite

__all__ = ["DeclarationSuite", "ProviderSuite", "TortureSuite"]

_HOMES = {"DeclarationSuite": "declaration", "ProviderSuite": "suite", "TortureSuite": "torture"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import pytest
    except ModuleNotFoundError as error:
        from mistcore.errors import MissingDependency

        remedy = "Install it: pip install 'mistcore[testing]'"
        raise MissingDependency(f"{name} needs the package 'pytest', which is not installed", remedy=remedy) from error
    for module in _HOMES.values():  # so that a failing assertion shows its values
        pytest.register_assert_rewrite(f"{__name__}.{module}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
