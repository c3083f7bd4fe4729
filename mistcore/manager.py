"""`BackendManager`: the user's backends, kept in a store, found by id, name or search."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import attrs

from mistcore import credentials
from mistcore.backend import Backend
from mistcore.commands import Commands
from mistcore.errors import AmbiguousName, BackendNotFound, MistError, NotSupported
from mistcore.hooks import Hooks
from mistcore.last_known import LastKnown
from mistcore.new_records import TrialStore, clean_title, default_title, new_id, require_secrets_anew
from mistcore.pool import ProviderPool, stored_values
from mistcore.redaction import Quiet
from mistcore.registry import Registry
from mistcore.stores import default_location, open_with
from mistcore.stores.base import Record, Store
from mistcore.vault import Vault

if TYPE_CHECKING:
    from mistcore.fleet import CheckWalk, MachineWalk

__all__ = ["BackendManager"]

_SHORTEST_PREFIX = 3
_OWN_PACKAGE = "mistcore"
#: Guessing what somebody meant takes too long among more backends than this.
_MANY = 1000


class BackendManager:
    """The backends of one store. Several managers, with different stores and plugins, live side by side.

    Args:
        store: where the backends are kept: a path, a store's URL, a `Store`, or None for the user's own.
        registry: the providers to use; by default those that are installed.
        plugins: objects with `hookimpl` methods, beside the plugins that are installed.
        installed_plugins: whether the installed plugins of the group `mistcore.plugins` take part.
        last_known: keep every whole listing of machines on disk beside the store; see `Backend.last_known`.
        passphrase: what the secrets of the store are sealed with, if they are; or what asks for it, when it is needed.
        commands: whether `cmd:` references are run, for secrets that a password manager keeps. By default only those
            of the user's own store; never those of one that others can write.

    Safe to use from several threads. Use it as a context manager, or call `close()`, to end sessions early.
    """

    def __init__(
        self,
        store: str | Path | Store | None = None,
        *,
        registry: Registry | None = None,
        plugins: Iterable[object] = (),
        installed_plugins: bool = True,
        last_known: bool = False,
        passphrase: str | Callable[[], str] | None = None,
        commands: bool | None = None,
    ) -> None:
        given = Quiet(store=store, passphrase=passphrase)
        del store, passphrase  # a URL may hold a password, and a traceback shows the variables
        plugins = list(plugins)
        self._only_here = "a registry of its own" if registry is not None else "plugins of its own" if plugins else ""
        self.hooks = Hooks(plugins, installed=installed_plugins)
        self.registry = registry if registry is not None else Registry()
        for more in self.hooks.call("mistcore_providers"):
            for name, cls in more.items():
                self.registry.register(name, cls)
        self.store = given["store"] if isinstance(given["store"], Store) else open_with(self.hooks, given["store"])
        self.vault = Vault(self.store, self._secret_names, given["passphrase"])
        own = given["store"] is None or (isinstance(given["store"], str) and given["store"] == default_location())
        self._commands = Commands(self.store, allowed=own if commands is None else commands)
        self.pool = ProviderPool(self.registry, self.vault, self._commands)
        self._on_disk = LastKnown.beside(self.store)
        self.last_known = self._on_disk if last_known else None
        self._local = threading.local()

    # -- providers ----------------------------------------------------------------------------------------------------

    @property
    def supported_providers(self) -> list[dict[str, Any]]:
        """The providers that work, in the order of the listing: `provider` (the id), `title`, `regions`.

        Each region is a dict of `id` and `location`. A plugin that does not work is left out, with a `PluginWarning`.
        """
        return [
            {
                "provider": name,
                "title": cls.title,
                "regions": [
                    {"id": region.aliases[0] if region.aliases else region.id, "location": region.location}
                    for region in cls.regions
                ],
            }
            for name, cls in self.registry.usable().items()
        ]

    def provider_alias(self, record: Record) -> str:
        """Return what a record's provider is called in listings: `ec2_us_east` for ec2 in us-east-1, else its id."""
        with suppress(MistError):
            for region in self.registry[record.provider].regions if record.region else ():
                if region.id == record.region and region.aliases and region.aliases[0].startswith(record.provider):
                    return region.aliases[0]
        return record.provider

    # -- finding ------------------------------------------------------------------------------------------------------

    def backends(
        self,
        *,
        id: str | None = None,
        name: str | None = None,
        provider: str | None = None,
        search: str | None = None,
    ) -> list[Backend]:
        """Return the backends that fit every condition given, in the order in which they were added.

        Args:
            id: exactly this id.
            name: exactly this title.
            provider: exactly this provider's id.
            search: a part of the title or id, in any case.

        Raises:
            StoreError: the store cannot be read.
        """
        records: Mapping[str, Record] = self.store.read()
        if id is not None:
            chosen: Iterable[Record] = [records[id]] if id in records else []
        else:
            chosen = records.values()
        text = search.casefold() if search is not None else None
        return [
            Backend(self, record)
            for record in chosen
            if (name is None or record.title == name)
            and (provider is None or record.provider == provider)
            and (text is None or text in record.title.casefold() or text in record.id.casefold())
        ]

    def backend(self, name: str) -> Backend:
        """Return the one backend with this id, else this exact title, else whose id alone begins so.

        Raises:
            BackendNotFound: there is none; the remedy names the nearest titles.
            AmbiguousName: several answer to it.
            StoreError: the store cannot be read.
        """
        records = self.store.read()
        if name in records:
            return Backend(self, records[name])
        found = [record for record in records.values() if record.title == name]
        if not found and len(name) >= _SHORTEST_PREFIX:
            found = [record for record in records.values() if record.id.startswith(name)]
        if len(found) == 1:
            return Backend(self, found[0])
        if found:
            raise AmbiguousName(name, {record.id: record.title for record in found})
        close = (
            credentials.nearest(name, {record.title for record in records.values()}) if len(records) <= _MANY else []
        )
        remedy = f"Did you mean {' or '.join(map(repr, close))}?" if close else "See `mist backends`."
        raise BackendNotFound(f"there is no backend {name!r}", remedy=remedy)

    def record(self, id: str) -> Record:
        """Return what the store holds of a backend now. Raises `BackendNotFound`, `StoreError`."""
        record = self.store.read().get(id)
        if record is None:
            raise BackendNotFound(f"the backend {id} was removed", remedy="See `mist backends`.")
        return record

    # -- changing -----------------------------------------------------------------------------------------------------

    def add_backend(
        self, provider: str, title: str | None = None, region: str | None = None, *, check: bool = True, **fields: Any
    ) -> Backend:
        """Check credentials against the real service, keep them, and return the backend.

        Args:
            provider: the id of a provider.
            title: what to call it; by default made from its address or provider.
            region: the id or an alias of a region, where the provider has regions.
            check: False keeps the credentials without asking the service.
            fields: the provider's credential fields; values may be references, `env:NAME`, `file:PATH` or
                `cmd:COMMAND` (which see `commands` above).

        Raises:
            UnknownProvider, BrokenPlugin, MissingDependency: the provider cannot be used.
            InvalidFields: naming every missing, unknown and malformed field (UnknownRegion if it is only that).
            CheckFailed: the service refused or could not be asked; nothing was kept.
            StoreError: the store could not be written; nothing was kept.
        """
        fields = Quiet(fields)
        cls = self.registry[provider]
        if region is not None:
            fields["region"] = region
        cleaned = cls.clean(fields)
        new_title = clean_title(title) if title is not None else None
        package = self.registry.package(provider)
        record = Record(
            id=new_id(self.store.read()),
            title=new_title or "",
            provider=provider,
            region=cleaned.pop("region", ""),
            credentials=cleaned,
            unknown={"package": package} if package not in ("", _OWN_PACKAGE) else {},
        )
        if new_title is None:
            record = attrs.evolve(record, title=default_title(cls, record, self.store.read()))
        backend = Backend(self, record)
        if check:
            self._check_record(record)
        elif not any(map(credentials.is_reference, stored_values(record).values())):
            cls(**stored_values(record))
        self.vault.unlock()
        with self.batch(), self.store.change() as transaction:
            if new_title is None:  # another may have taken it while the service was asked
                record = attrs.evolve(record, title=default_title(cls, record, self.store.read()))
            record = self.vault.seal(record)
            backend = Backend(self, record)
            transaction.put(record)
            self._tell("mistcore_backend_added", backend=backend)
        return backend

    def change_backend(self, backend: Backend, **changes: Any) -> None:
        """Change the title of a backend, or whether it is enabled; for `Backend`, whose methods say what it raises."""
        if "title" in changes:
            changes["title"] = clean_title(changes["title"])
        with self.batch(), self.store.change() as transaction:
            old = transaction.get(backend.id)
            if old is None:
                raise BackendNotFound(f"the backend {backend.id} was removed", remedy="See `mist backends`.")
            new = attrs.evolve(old, **changes)
            if new == old:
                return
            transaction.put(new)
            if "title" in changes:
                self._tell("mistcore_backend_renamed", backend=backend, old_title=old.title)
            else:
                self._tell("mistcore_backend_updated", backend=backend)

    def update_backend(self, backend: Backend, fields: Mapping[str, Any], *, check: bool = True) -> None:
        """Replace some of a backend's credentials; for `Backend.update`, which says what it raises."""
        fields = Quiet(fields)
        old = self.vault.open(self.record(backend.id), without=fields)
        cls = self.registry[old.provider]
        merged = Quiet(stored_values(old), **fields)
        cleaned = cls.clean(Quiet((name, value) for name, value in merged.items() if value is not None))
        require_secrets_anew(cls, old, cleaned, fields)
        region = cleaned.pop("region", "")
        new = attrs.evolve(old, credentials=cleaned, region=region)
        if check:
            self._check_record(new)
        with self.batch(), self.store.change() as transaction:
            latest = transaction.get(backend.id)
            if latest is None:
                raise BackendNotFound(f"the backend {backend.id} was removed", remedy="See `mist backends`.")
            transaction.put(self.vault.seal(attrs.evolve(latest, credentials=cleaned, region=region)))
            self._tell("mistcore_backend_updated", backend=backend)
        self._forget_machines(backend)  # it may be another account by now

    def remove_backend(self, backend: Backend) -> None:
        """Remove a backend from the store; for `Backend.delete`, which says what it raises."""
        with self.batch(), self.store.change() as transaction:
            if transaction.get(backend.id) is None:
                raise BackendNotFound(f"the backend {backend.id} was removed already", remedy="See `mist backends`.")
            transaction.remove(backend.id)
            self._tell("mistcore_backend_removed", backend=backend)
        self.pool.forget(backend.id)
        self._forget_machines(backend)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Make all changes of the block with one write: all of them are kept, or, if it raises, none.

        Hooks are told once the changes are safe. Other threads and processes wait for the block to end before they
        can change the store; nobody waits to read it.
        """
        outermost = not hasattr(self._local, "events")
        if outermost:
            self._local.events = []
        try:
            with self.store.change():
                yield
        except BaseException:
            if outermost:
                del self._local.events
            raise
        if outermost:
            events = self._local.events
            del self._local.events
            for hook, arguments in events:
                self.hooks.call(hook, **arguments)

    # -- asking all of them -------------------------------------------------------------------------------------------

    def machines(
        self,
        *,
        id: str | None = None,
        name: str | None = None,
        search: str | None = None,
        backends: Iterable[Backend | str] | None = None,
        provider: str | None = None,
        partial: bool = False,
        timeout: float = 60.0,
        deadline: float | None = None,
        workers: int = 32,
        executor: Executor | None = None,
    ) -> MachineWalk:
        """Ask backends for their machines, side by side, and return an iterator that yields while they answer.

        Args:
            id: only machines with exactly this id.
            name: only machines with exactly this name.
            search: only machines with this text, in any case, in their name, id or an address.
            backends: which to ask (`Backend` objects, ids or titles); by default every enabled one.
            provider: only those of this provider.
            partial: the caller will look at `.failures`; otherwise `BackendsFailed` is raised at the end when some
                backends failed, once everything else has been yielded.
            timeout: seconds for each backend.
            deadline: seconds for the whole; None for no end.
            workers: how many are asked at once.
            executor: somebody else's pool to do the asking in.

        Raises:
            BackendsFailed: while iterating, at the end; its `machines` are those that did arrive.
            InvalidFields: a number that cannot be.
            BackendNotFound: one of `backends` is not there.
        """
        from mistcore.asking import Limits
        from mistcore.fleet import MachineWalk, keep_machines

        limits = Limits(timeout, deadline, workers, executor)
        chosen = self._chosen(backends, provider, None)
        keep = keep_machines(id=id, name=name, search=search)
        return MachineWalk(chosen, limits, keep=keep, partial=partial)

    def check(
        self,
        *,
        backends: Iterable[Backend | str] | None = None,
        provider: str | None = None,
        search: str | None = None,
        timeout: float = 60.0,
        deadline: float | None = None,
        workers: int = 32,
        executor: Executor | None = None,
    ) -> CheckWalk:
        """Check backends side by side and return an iterator of `CheckResult`, which yields while they answer.

        `search` chooses backends by a part of their title or id. The rest is as for `machines`; nothing is raised for
        a backend that fails: its result holds the error.
        """
        from mistcore.asking import Limits
        from mistcore.fleet import CheckWalk

        limits = Limits(timeout, deadline, workers, executor)
        return CheckWalk(self._chosen(backends, provider, search), limits)

    # -- how ----------------------------------------------------------------------------------------------------------

    def address(self) -> str:
        """Return the location by which another process opens the same store, with the same providers.

        Raises:
            NotSupported: this manager has a store, a registry or plugins that only this process has.
        """
        from mistcore.stores import JsonStore, PostgresqlStore

        own = self._only_here
        if not own and "://" not in self.store.location and type(self.store) not in (JsonStore, PostgresqlStore):
            own = f"a store of its own, {self.store.location}"
        if own:
            raise NotSupported(
                f"another process cannot ask these backends: their manager has {own}",
                reason="elsewhere",
                remedy="Use a pool of threads; or installed providers and plugins, and a store at a path or URL.",
            )
        return self.store.location

    def close(self) -> None:
        """End sessions and connections. The manager may be used again afterwards."""
        self.pool.close()
        self.vault.lock()
        self._commands.forget()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _chosen(
        self, backends: Iterable[Backend | str] | None, provider: str | None, search: str | None
    ) -> list[Backend]:
        found = self.backends(provider=provider, search=search)
        if backends is None:
            return [backend for backend in found if backend.enabled]
        wanted = dict.fromkeys(
            backend if isinstance(backend, Backend) else self.backend(backend)
            for backend in ([backends] if isinstance(backends, (str, Backend)) else backends)
        )
        kept = set(found)
        return [backend for backend in wanted if backend in kept]

    def _forget_machines(self, backend: Backend) -> None:
        # Also where this manager keeps none: another one of the same store may have kept them.
        if self._on_disk is not None:
            self._on_disk.forget(backend.id)

    def _check_record(self, record: Record) -> None:
        trial = BackendManager(TrialStore(record), registry=self.registry, installed_plugins=False)
        trial.pool = ProviderPool(self.registry, trial.vault, self._commands)
        with trial:
            trial.backend(record.id).check()

    def _secret_names(self, provider: str) -> set[str] | None:
        try:
            return {field.name for field in self.registry[provider].fields() if field.secret}
        except MistError:
            return None

    def _tell(self, hook: str, **arguments: Any) -> None:
        self._local.events.append((hook, arguments))
