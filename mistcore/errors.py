"""Every error that leaves the library.

    MistError
    ├── UnknownProvider            no plugin has that id            (also KeyError)
    ├── BrokenPlugin               a plugin is there but cannot be used
    ├── MissingDependency          a provider's own library is not installed (also ImportError)
    ├── InvalidFields              every bad field at once          (also ValueError)
    │   └── UnknownRegion
    ├── BackendNotFound            (also LookupError)
    ├── MachineNotFound            (also LookupError)
    ├── AmbiguousName              several things answer to it      (also LookupError)
    ├── NotSupported               this provider cannot do that
    ├── StoreError                 the store cannot be read or written
    │   └── VaultError             its secrets cannot be opened or sealed
    ├── BackendsFailed             some of many backends failed     (also ExceptionGroup)
    └── CheckFailed                the service could not be used as asked
        ├── AuthenticationFailed   it does not know these credentials
        ├── PermissionDenied       it knows them, and they may not do that
        ├── Unreachable            no usable answer came back at all
        ├── RateLimited            too many requests; see retry_after
        ├── Rejected               it understood the request and refused it (quota, wrong state, bad value)
        ├── ServiceRetired         the service has closed
        └── ProviderError          it answered nonsense, or failed itself

The class says what kind of thing happened; `reason`, a short word that stays the same from release to release,
says which of its kind (`Unreachable` with reason "dns", "refused", "tls", "timeout" …).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

__all__ = [
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
]


#: So many of those that answer to a name are told in a message.
_CANDIDATES = 8


def _rebuild(cls: type[MistError], message: str, state: dict[str, Any]) -> MistError:
    error = cls.__new__(cls, message)
    error.__dict__.update(state)
    return error


class MistError(Exception):
    """The root of everything that mistcore raises on purpose.

    Attributes:
        remedy: what to do next; empty where nothing can be advised.
        reason: a short stable word for programs ("dns", "expired", …); empty where the class says it all.
        provider: the id of the provider concerned, or "".
        backend: the title of the backend concerned, or "".

    """

    def __init__(
        self, message: str, *, remedy: str = "", reason: str = "", provider: str = "", backend: str = ""
    ) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.reason = reason
        self.provider = provider
        self.backend = backend

    @property
    def message(self) -> str:
        """What happened, in one plain sentence without a full stop."""
        return str(self.args[0])

    def __str__(self) -> str:
        where = ", ".join(filter(None, [self.backend and f"backend {self.backend!r}", self.provider]))
        text = f"{where}: {self.message}" if where else self.message
        return f"{text.rstrip('.')}. {self.remedy}" if self.remedy else text

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.__dict__.copy())


class PluginWarning(UserWarning):
    """A plugin that could not be loaded, or a hook that raised; everything else goes on."""


class PartialResult(UserWarning):
    """A listing that lacks what a part of the service would have told that could not be reached; the rest is there."""


class UnknownProvider(MistError, KeyError):
    """No plugin has this id. `nearest` holds the ids that look like it."""

    def __init__(self, provider: str, *, nearest: Sequence[str] = ()) -> None:
        names = " or ".join(nearest)
        super().__init__(
            f"there is no provider {provider!r}",
            remedy=f"Did you mean {names}?" if names else "See `mist providers` for those that are installed.",
        )
        self.nearest = tuple(nearest)


class BrokenPlugin(MistError):
    """A plugin is installed but cannot be used: it fails to import, or breaks the provider contract."""


class MissingDependency(MistError, ImportError):
    """The library that a provider needs is not installed; the remedy is the command that installs it."""


class InvalidFields(MistError, ValueError):
    """One or more fields are missing, unknown or malformed. `problems` maps each field to what is wrong with it."""

    def __init__(self, problems: Mapping[str, str], *, provider: str = "", remedy: str = "") -> None:
        super().__init__(
            "; ".join(f"{name}: {problem}" for name, problem in problems.items()),
            remedy=remedy,
            provider=provider,
        )
        self.problems = dict(problems)


class UnknownRegion(InvalidFields):
    """The provider has no such region."""


class BackendNotFound(MistError, LookupError):
    """No backend has this id, or it was removed meanwhile."""


class MachineNotFound(MistError, LookupError):
    """The backend has no such machine, or it is gone."""


class AmbiguousName(MistError, LookupError):
    """More than one thing answers to this name. `candidates` maps the id of each to its title."""

    def __init__(self, name: str, candidates: Mapping[str, str], *, kind: str = "backend") -> None:
        shown = list(candidates)[:_CANDIDATES]
        ids = ", ".join(shown) + (f" and {len(candidates) - len(shown)} more" if len(candidates) > len(shown) else "")
        remedy = "Use the id of one of them" + (", and say in which backend." if kind == "machine" else ".")
        super().__init__(f"{len(candidates)} {kind}s answer to {name!r}: {ids}", remedy=remedy)
        self.candidates = dict(candidates)


class NotSupported(MistError):
    """The provider does not offer this operation, or not in this way."""


class StoreError(MistError):
    """The store could not be read or written; what it held before is still there. `location` names it."""

    def __init__(self, message: str, *, location: str = "", remedy: str = "", reason: str = "") -> None:
        super().__init__(message, remedy=remedy, reason=reason)
        self.location = location


class VaultError(StoreError):
    """The secrets of a store cannot be opened or sealed; nothing was changed.

    `reason` is "passphrase" (a wrong one), "passphrase_missing", "key" (the key file, variable or keyring entry is not
    there or is not the right one), "locked" (the keyring), "no_keyring", "keyring" (it failed), "damaged", "swapped"
    (a sealed secret stands at another backend or field), "changed" (the values beside it did), or "newer".
    """


class CheckFailed(MistError):
    """The service could not be used as asked, in a check or in any other operation."""


class AuthenticationFailed(CheckFailed):
    """The service does not accept these credentials (reason "expired", "clock_skew", … where it tells)."""


class PermissionDenied(CheckFailed):
    """The credentials are good, but may not do this."""


class Unreachable(CheckFailed):
    """No usable answer came back.

    `reason` is "dns" (the name does not resolve), "refused" (nothing listens there), "timeout", "tls" (certificate
    or protocol), "host_key" (SSH: not known), "host_key_changed", "not_ssh" (something else is there), "algorithms"
    (SSH: none in common), or "network" (anything else on the way).
    """


class RateLimited(CheckFailed):
    """Too many requests. `retry_after` is how many seconds the service asks to wait, or None if it does not say."""

    def __init__(self, message: str, *, retry_after: float | None = None, **details: str) -> None:
        if "remedy" not in details:
            wait = f"in {retry_after:.0f} seconds" if retry_after is not None else "later"
            details["remedy"] = f"Try again {wait}."
        super().__init__(message, **details)
        self.retry_after = retry_after


class Rejected(CheckFailed):
    """The service understood the request and refused it: a quota, a state that forbids it, a value it does not take."""


class ServiceRetired(CheckFailed):
    """The service has closed; nothing was sent anywhere."""


class ProviderError(CheckFailed):
    """The service answered nonsense or failed itself, or the provider's code did. `status`: the HTTP status, if any."""

    def __init__(self, message: str, *, status: int | None = None, **details: str) -> None:
        super().__init__(message, **details)
        self.status = status


class BackendsFailed(MistError, ExceptionGroup):
    """Some of the backends that were asked failed.

    `exceptions` are their errors, `failures` maps each backend to its error, `machines` are those that did arrive.
    """

    failures: dict[Any, MistError]
    machines: list[Any]

    def __new__(cls, failures: Mapping[Any, MistError], machines: Iterable[Any] = ()) -> BackendsFailed:  # noqa: D102
        count = len(failures)
        return super().__new__(cls, f"{count} backend{'s' if count != 1 else ''} failed", list(failures.values()))

    def __init__(self, failures: Mapping[Any, MistError], machines: Iterable[Any] = ()) -> None:
        MistError.__init__(self, self.args[0])
        self.failures = dict(failures)
        self.machines = list(machines)

    def __str__(self) -> str:
        return f"{self.message}: " + "; ".join(map(str, self.failures.values()))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.failures, self.machines)


def chained(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and every one that is chained to it or in its group, each once."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [link for link in (each.__cause__, each.__context__) if link is not None]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions
