"""Finds, loads and isolates provider plugins."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import TYPE_CHECKING, cast

import attrs

from mistcore.errors import BrokenPlugin, PluginWarning, UnknownProvider

if TYPE_CHECKING:
    from mistcore.provider import Provider

__all__ = ["GROUP", "PluginInfo", "Registry"]

GROUP = "mistcore.providers"
"""The group of entry points that providers are found by: the id is the name, `module:Class` the value."""
#: The order of the listing is a promise: these first, then everybody else's by id. Nothing is imported by these names.
_LISTING = [
    "bare_metal",
    "azure",
    "ec2",
    "gce",
    "nephoscale",
    "digitalocean",
    "linode",
    "openstack",
    "rackspace",
    "softlayer",
    "hpcloud",
    "docker",
    "vcloud",
    "indonesian_vcloud",
    "libvirt",
]
_RANK = {name: rank for rank, name in enumerate(_LISTING)}
_OWN_DISTRIBUTION = "mistcore"


@attrs.frozen
class PluginInfo:
    """What was found under one provider id.

    Attributes:
        id: the provider's id.
        package: the distribution it comes from, with its version ("mistcore-acme 1.0"), or "".
        target: where it lives ("mistcore_acme:Acme").
        problem: why it cannot be used; "" when it can.

    """

    id: str
    package: str
    target: str
    problem: str = ""


class Registry(Mapping[str, "type[Provider]"]):
    """The providers, by id. Iterating imports nothing; asking for one imports that one.

    Args:
        providers: classes to use instead of what is installed: a mapping of id to class, or an iterable of classes
            that go by their own `id`. Without it, entry points of the group `mistcore.providers` are read when needed.

    """

    def __init__(self, providers: Mapping[str, type[Provider]] | Iterable[type[Provider]] | None = None) -> None:
        self._entries: dict[str, EntryPoint] | None = None
        self._reading = threading.Lock()
        self._classes: dict[str, type[Provider]] = {}
        self._problems: dict[str, PluginInfo] = {}
        self._duplicates: list[PluginInfo] = []
        self._warned: set[PluginInfo] = set()
        if providers is not None:
            self._entries = {}
            named: Iterable[tuple[str, type[Provider]]]
            if isinstance(providers, Mapping):
                named = cast("Mapping[str, type[Provider]]", providers).items()
            else:
                named = [(getattr(cls, "id", str(cls)), cls) for cls in providers]
            for name, cls in named:
                self.register(name, cls)

    def register(self, name: str, cls: type[Provider]) -> None:
        """Add a class at run time.

        Raises:
            BrokenPlugin: the class breaks the contract, or the id is taken.

        """
        if name in self:
            raise BrokenPlugin(f"the id {name!r} is taken", provider=name, reason="taken")
        self._classes[name] = self._accept(name, cls)

    def __iter__(self) -> Iterator[str]:
        names = {**self._found(), **self._classes}
        return iter(sorted(names, key=lambda name: (_RANK.get(name, len(_RANK)), name)))

    def __len__(self) -> int:
        return len({**self._found(), **self._classes})

    def __contains__(self, name: object) -> bool:
        return name in self._classes or name in self._found()

    def __getitem__(self, name: str) -> type[Provider]:
        """Return the class of a provider, importing it if need be.

        Raises:
            UnknownProvider: nobody has that id.
            BrokenPlugin: its plugin cannot be used.

        """
        if name in self._classes:
            return self._classes[name]
        entry = self._found().get(name)
        if entry is None:
            from mistcore.credentials import nearest

            raise UnknownProvider(name, nearest=nearest(str(name), self))
        if name not in self._problems:
            try:
                loaded = entry.load()
            except Exception as error:
                reason = f"importing {entry.value} failed: {type(error).__name__}: {error}"
                self._problems[name] = _info(entry, reason)
                raise self._broken(name) from error
            try:
                self._classes[name] = self._accept(name, loaded)
            except BrokenPlugin as error:
                self._problems[name] = _info(entry, error.message)
            else:
                return self._classes[name]
        raise self._broken(name)

    def package(self, name: str) -> str:
        """Return the name of the distribution that a provider comes from ("mistcore-acme"), or "" where none does."""
        entry = self._found().get(name)
        return entry.dist.name if entry is not None and entry.dist is not None else ""

    def usable(self) -> dict[str, type[Provider]]:
        """Import every provider and return those that work, in the order of the listing; warn of the others by name."""
        found = {}
        for name in self:
            try:
                found[name] = self[name]
            except BrokenPlugin:
                self._warn(self._problems[name])
        for info in self._duplicates:
            self._warn(info)
        return found

    def plugins(self) -> list[PluginInfo]:
        """Import every provider and return what was found, the broken and doubly claimed with their problem."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PluginWarning)
            usable = self.usable()
        found = []
        for name in self:
            entry = self._found().get(name)
            if name not in usable:
                found.append(self._problems[name])
            elif entry is not None:
                found.append(_info(entry))
            else:
                cls = usable[name]
                found.append(PluginInfo(name, "", f"{cls.__module__}:{cls.__qualname__}"))
        return found + self._duplicates

    def _found(self) -> dict[str, EntryPoint]:
        if self._entries is None:
            with self._reading:  # many threads that read all packages side by side take many times as long
                if self._entries is None:
                    self._entries = self._read()
        return self._entries

    def _read(self) -> dict[str, EntryPoint]:
        # To know a distribution's name takes parsing its metadata, README and all: once, however many entries it has.
        packages: dict[Distribution | None, str] = {}
        packaged = []
        for entry in entry_points(group=GROUP):
            if entry.dist not in packages:
                packages[entry.dist] = _package(entry)
            packaged.append((entry, packages[entry.dist]))
        entries: dict[str, tuple[EntryPoint, str]] = {}
        duplicates = []
        for entry, package in sorted(packaged, key=_precedence):
            first, by = entries.setdefault(entry.name, (entry, package))
            if (first.value, by) != (entry.value, package):
                duplicates.append(_info(entry, f"the id {entry.name!r} is taken by {by}"))
        self._duplicates = duplicates
        return {name: entry for name, (entry, _) in entries.items()}

    def _accept(self, name: str, cls: type[Provider]) -> type[Provider]:
        from mistcore.provider import contract_problems

        problems = contract_problems(cls)
        if problems:
            raise BrokenPlugin("; ".join(problems), provider=name)
        cls.id = name
        return cls

    def _broken(self, name: str) -> BrokenPlugin:
        info = self._problems[name]
        return BrokenPlugin(
            f"the plugin in {info.package} cannot be used: {info.problem}",
            provider=name,
            remedy="Update or remove that package, or tell its author.",
        )

    def _warn(self, info: PluginInfo) -> None:
        if info not in self._warned:
            self._warned.add(info)
            warnings.warn(f"provider {info.id!r} of {info.package}: {info.problem}", PluginWarning, stacklevel=4)


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else ""


def _precedence(packaged: tuple[EntryPoint, str]) -> tuple[bool, str, str]:
    entry, package = packaged
    return (not package.startswith(f"{_OWN_DISTRIBUTION} "), package.lower(), entry.value)


def _info(entry: EntryPoint, problem: str = "") -> PluginInfo:
    return PluginInfo(entry.name, _package(entry), entry.value, problem)
