"""Hook specifications, and the plugin manager behind them.

A hook is a function marked `@mistcore.hookimpl` in a module (or a method of an object), registered through the
entry-point group `mistcore.plugins` or handed to `BackendManager(plugins=[…])`. An implementation takes those of the
arguments below that it names. One that raises is reported as a `PluginWarning`; the operation it was told of goes on.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, TypeVar

from mistcore.errors import MistError, PluginWarning

if TYPE_CHECKING:
    import click

    from mistcore.backend import Backend
    from mistcore.models import Account
    from mistcore.provider import Provider
    from mistcore.stores.base import Store

__all__ = ["GROUP", "Hooks", "hookimpl"]

PROJECT = "mistcore"
GROUP = "mistcore.plugins"
"""The group of entry points that the installed plugins for these hooks are found by."""
F = TypeVar("F", bound=Callable[..., Any])


def hookimpl(function: F) -> F:
    """Mark a function as the implementation of the hook of the same name."""
    import pluggy

    return pluggy.HookimplMarker(PROJECT)(function)


def any_installed() -> bool:
    """Tell whether any installed package has plugins for these hooks; nothing is imported."""
    return bool(entry_points(group=GROUP))


class Specification:
    """The hooks. Each is named as its implementations are."""

    def mistcore_providers(self) -> Mapping[str, type[Provider]]:
        """Return further providers by id: those that come from data, or from a tool that embeds mistcore."""
        raise NotImplementedError

    def mistcore_store(self, url: str) -> Store | None:
        """Return the store behind a URL whose scheme you know, else None. The first answer counts."""
        raise NotImplementedError

    def mistcore_backend_added(self, backend: Backend) -> None:
        """A backend was added to the store."""

    def mistcore_backend_updated(self, backend: Backend) -> None:
        """A backend's credentials or region were replaced, or it was enabled or disabled."""

    def mistcore_backend_renamed(self, backend: Backend, old_title: str) -> None:
        """A backend has a new title."""

    def mistcore_backend_removed(self, backend: Backend) -> None:
        """A backend was removed from the store; `backend` still holds what it was."""

    def mistcore_backend_checked(self, backend: Backend, account: Account | None, error: MistError | None) -> None:
        """A backend's credentials were checked: `account` on success, `error` otherwise."""

    def mistcore_commands(self, cli: click.Group) -> None:
        """Add commands of your own to `mist`."""


class Hooks:
    """The plugins of one manager. pluggy is loaded only if there are any."""

    def __init__(self, plugins: Iterable[object] = (), *, installed: bool = True) -> None:
        entries = list(entry_points(group=GROUP)) if installed else []
        plugins = list(plugins)
        self._pluggy = self._load(entries, plugins) if entries or plugins else None

    def call(self, hook: str, **arguments: Any) -> list[Any]:
        """Call every implementation of a hook and return what they answered, leaving out None and those that raised."""
        if self._pluggy is None:
            return []
        answers = []
        specified = getattr(self._pluggy.hook, hook)
        for implementation in reversed(specified.get_hookimpls()):
            others = [plugin for plugin in self._pluggy.get_plugins() if plugin is not implementation.plugin]
            try:
                answers += self._pluggy.subset_hook_caller(hook, others)(**arguments)
            except Exception as error:  # noqa: BLE001 - whatever a plugin raises must not break the operation
                name = self._pluggy.get_name(implementation.plugin)
                warnings.warn(
                    f"plugin {name}: {hook} raised {type(error).__name__}: {error}", PluginWarning, stacklevel=3
                )
        return answers

    @staticmethod
    def _load(entries: Iterable[Any], plugins: Iterable[object]) -> Any:
        import pluggy

        manager = pluggy.PluginManager(PROJECT)
        marker = pluggy.HookspecMarker(PROJECT)
        for name in vars(Specification):
            if name.startswith("mistcore_"):
                marker(getattr(Specification, name))
        manager.add_hookspecs(Specification)
        for entry in entries:
            try:
                manager.register(entry.load(), name=entry.name)
            except Exception as error:  # noqa: BLE001 - a plugin that cannot be imported must not take the rest down
                warnings.warn(
                    f"plugin {entry.name} ({entry.value}): {type(error).__name__}: {error}", PluginWarning, stacklevel=4
                )
        for plugin in plugins:
            manager.register(plugin)
        manager.check_pending()
        return manager
