"""The provider instances of a manager: made when needed, kept while their credentials stay the same, few at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import attrs

from mistcore import credentials
from mistcore.errors import InvalidFields, UnknownProvider
from mistcore.parallel import in_parallel
from mistcore.redaction import Quiet

if TYPE_CHECKING:
    from mistcore.commands import Commands
    from mistcore.provider import Provider
    from mistcore.registry import Registry
    from mistcore.stores.base import Record
    from mistcore.vault import Vault

__all__ = ["ProviderPool"]


@attrs.define(eq=False)
class _Held:
    provider: Provider
    values: dict[str, Any]
    users: int = 0
    closing: bool = False


class ProviderPool:
    """Provider instances by backend id. At most `size` are kept; those in use are never closed under their users."""

    def __init__(
        self, registry: Registry, vault: Vault | None = None, commands: Commands | None = None, *, size: int = 64
    ) -> None:
        self._registry = registry
        self._vault = vault
        self._run = commands.run if commands is not None else None
        self._size = size
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def use(self, record: Record) -> Iterator[Provider]:
        """Lend the instance for a record to the block.

        Secrets are opened and references resolved each time, so changes take effect.
        """
        cls = self.provider_class(record)
        if self._vault is not None:
            record = self._vault.open(record)
        values = resolved_values(cls, record, self._run)
        unused: list[Provider] = []
        with self._lock:
            held = self._held.get(record.id)
            if held is not None and (held.values != values or type(held.provider) is not cls):
                unused += self._drop(record.id)
                held = None
            if held is None:
                held = self._held[record.id] = _Held(cls(**values), values)
            held.users += 1
            self._held.move_to_end(record.id)
            unused += self._drop_what_is_too_many()
        _close(unused)
        try:
            yield held.provider
        finally:
            with self._lock:
                held.users -= 1
                unused = [held.provider] if held.closing and not held.users else self._drop_what_is_too_many()
            _close(unused)

    def provider_class(self, record: Record) -> type[Provider]:
        """Return the class behind a record.

        Raises:
            UnknownProvider: naming the package that is missing, where the record tells.
            BrokenPlugin: the plugin cannot be used.
        """
        try:
            return self._registry[record.provider]
        except UnknownProvider as error:
            package = record.unknown.get("package")
            if package:
                error.remedy = f"Its plugin is not installed any more: pip install {package}"
            raise

    def forget(self, id: str) -> None:
        """Close the instance of a backend, now or when its last user is done."""
        with self._lock:
            unused = self._drop(id)
        _close(unused)

    def close(self) -> None:
        """Close every instance, side by side: to say goodbye to a service may take a request."""
        with self._lock:
            unused = [provider for id in list(self._held) for provider in self._drop(id)]
        _close(unused)

    # What these take out is closed by their callers, without the lock: nobody waits for somebody else's goodbye.

    def _drop_what_is_too_many(self) -> list[Provider]:
        over = len(self._held) - self._size
        if over <= 0:
            return []
        idle = [id for id, held in self._held.items() if not held.users]
        return [provider for id in idle[:over] for provider in self._drop(id)]

    def _drop(self, id: str) -> list[Provider]:
        """Take an instance out and return it, unless it is in use: then its last user closes it."""
        held = self._held.pop(id, None)
        if held is None:
            return []
        held.closing = True
        return [] if held.users else [held.provider]


def _close(providers: Sequence[Provider]) -> None:
    def close(provider: Provider) -> None:
        with suppress(Exception):
            provider.close()

    if providers:
        for _ in in_parallel(close, providers, workers=16):
            pass


def resolved_values(cls: type[Provider], record: Record, run: Callable[[str], str] | None) -> dict[str, Any]:
    """Return the keyword arguments for a record's provider, references resolved. Raises `InvalidFields`."""
    values, problems = credentials.resolve(cls.fields(), stored_values(record), run)
    if problems:
        raise InvalidFields(problems, provider=record.provider)
    return values


def stored_values(record: Record) -> dict[str, Any]:
    """Return the field values of a record as written, the region among them."""
    return Quiet(record.credentials, **({"region": record.region} if record.region else {}))
