"""`Backend`: one stored account, bound to its manager."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from mistcore.calls import provider_errors
from mistcore.credentials import without_password
from mistcore.deadline import sleep
from mistcore.errand import reopen
from mistcore.errors import (
    AmbiguousName,
    InvalidFields,
    MachineNotFound,
    MistError,
    ProviderError,
)
from mistcore.models import Account, Image, Location, Machine, MachineState, Network, Size
from mistcore.operations import MACHINE_ACTIONS, checked_options
from mistcore.redaction import Quiet, secrets_of_provider
from mistcore.vault import is_sealed

if TYPE_CHECKING:
    from mistcore.last_known import LastListing
    from mistcore.manager import BackendManager
    from mistcore.provider import Provider
    from mistcore.stores.base import Record

__all__ = ["Backend"]

T = TypeVar("T")
S = MachineState
_ALL = tuple(MACHINE_ACTIONS)
_ACTIONS: dict[MachineState, tuple[str, ...]] = {
    S.RUNNING: ("stop", "reboot", "pause", "suspend", "rename", "destroy"),
    S.STOPPED: ("start", "rename", "destroy"),
    S.PAUSED: ("stop", "resume", "rename", "destroy"),
    S.SUSPENDED: ("resume", "rename", "destroy"),
    S.ERROR: ("start", "stop", "reboot", "rename", "destroy"),
    S.TERMINATED: (),
    S.UNKNOWN: _ALL,
}
_IN_BETWEEN = ("rename", "destroy")
#: The states that a machine does not leave by itself, and the reason to give who waits for another.
_ENDS = {S.ERROR: "error_state", S.TERMINATED: "terminated"}


class Backend:
    """One account, host or server that the manager keeps. Get it from `BackendManager`; do not make it yourself.

    What it says of itself (`title`, `enabled` …) is read from the store, so it is never older than the store.
    Every method that asks the service raises the errors of `mistcore.errors`, and nothing else.
    """

    def __init__(self, manager: BackendManager, record: Record) -> None:
        self._manager = manager
        self._last = record

    # -- what it is ---------------------------------------------------------------------------------------------------

    @property
    def record(self) -> Record:
        """What the store holds of it now, or held last if it was removed. References and secrets as stored."""
        self._last = self._manager.store.read().get(self._last.id, self._last)
        return self._last

    @property
    def id(self) -> str:
        """Its id: 28 letters and digits, the same for ever."""
        return self._last.id

    @property
    def title(self) -> str:
        """What its owner calls it."""
        return self.record.title

    @property
    def provider(self) -> str:
        """The id of its provider."""
        return self.record.provider

    @property
    def region(self) -> str:
        """The vendor's id of its region, or ""."""
        return self.record.region

    @property
    def enabled(self) -> bool:
        """Whether it is asked when all backends are."""
        return self.record.enabled

    @property
    def created_at(self) -> datetime:
        """When it was added (UTC)."""
        return self.record.created_at

    @property
    def info(self) -> dict[str, Any]:
        """The backend as a plain dict of JSON values, without secrets: those that are set are listed by name only."""
        record = self.record
        try:
            fields = self._manager.registry[record.provider].fields()
            secret, known = {field.name for field in fields if field.secret}, True
        except MistError:
            fields, secret, known = (), set(record.credentials), False
        addresses = {field.name for field in fields if field.address}
        secret |= {name for name, value in record.credentials.items() if is_sealed(value)}
        return {
            "id": record.id,
            "title": record.title,
            "provider": record.provider,
            "region": record.region,
            "enabled": record.enabled,
            "created_at": record.created_at.isoformat().replace("+00:00", "Z"),
            "credentials": {
                name: without_password(value) if name in addresses else value
                for name, value in record.credentials.items()
                if name not in secret
            },
            "secrets": sorted(secret & set(record.credentials)),
            "installed": known,
        }

    def __repr__(self) -> str:
        with suppress(MistError):
            _ = self.record
        record = self._last
        return f"Backend => {record.title}, {self._manager.provider_alias(record)}, {record.id}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Backend) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> tuple[Any, ...]:
        return reopen, self.address()

    def address(self) -> tuple[str, str]:
        """Return where another process finds it: the location of the store, and its id there; never a credential.

        Raises:
            NotSupported: its manager has something that another process cannot have.
        """
        return self._manager.address(), self.id

    # -- looking after it ---------------------------------------------------------------------------------------------

    def rename(self, title: str) -> None:
        """Give it another title.

        Raises:
            InvalidFields: the title is empty, too long, or holds control characters.
            BackendNotFound: it was removed meanwhile.
            StoreError: the store could not be written.
        """
        self._manager.change_backend(self, title=title)

    def enable(self) -> None:
        """Have it asked again when all backends are. Raises as `rename` does."""
        self._manager.change_backend(self, enabled=True)

    def disable(self) -> None:
        """Leave it out when all backends are asked; it can still be used by itself. Raises as `rename` does."""
        self._manager.change_backend(self, enabled=False)

    def delete(self) -> None:
        """Remove it from the store. Nothing happens to its machines. Raises as `rename` does."""
        self._manager.remove_backend(self)

    def update(self, /, *, check: bool = True, **fields: Any) -> None:
        """Replace some of its credentials, or its region; those not named stay, one set to None is dropped.

        The new ones are checked against the service before they replace the old. When the address of the service
        changes, every secret must be given anew, so that none goes to another place unasked.

        Raises:
            InvalidFields: naming every bad field; and as `check` does.
        """
        fields = Quiet(fields)
        self._manager.update_backend(self, fields, check=check)

    def unlock(self) -> None:
        """Find the key of the store's secrets now, so that nobody is asked for a passphrase later.

        Raises:
            VaultError: see `mistcore.vault.Vault.unlock`.
        """
        self._manager.vault.unlock()

    # -- asking its service -------------------------------------------------------------------------------------------

    def check(self) -> Account:
        """Ask the service whether the credentials are good, and return whose they are.

        Raises:
            CheckFailed: as one of its kinds, which say why: `AuthenticationFailed`, `PermissionDenied`, `Unreachable`,
                `RateLimited`, `ServiceRetired`, `ProviderError`.
            MissingDependency: the library that the provider needs is not installed.
            InvalidFields: a reference that leads nowhere.
            BackendNotFound: it was removed meanwhile.
        """
        try:
            account = self._ask("check", lambda provider: provider.check())
            if not isinstance(account, Account):
                raise ProviderError(
                    f"check() answered {type(account).__name__} instead of an Account",
                    reason="bug",
                    provider=self.provider,
                    backend=self.title,
                )
        except MistError as error:
            self._manager.hooks.call("mistcore_backend_checked", backend=self, account=None, error=error)
            raise
        self._manager.hooks.call("mistcore_backend_checked", backend=self, account=account, error=None)
        return account

    def machines(self, *, id: str | None = None, name: str | None = None, search: str | None = None) -> list[Machine]:
        """Return its machines: all, those with an id or an exact name, or those that `search` finds.

        `search` is a case-insensitive substring of name, id or an address. Raises as `check` does.
        """
        if id is not None:
            try:
                found = [self._bound(self._ask("get_machine", lambda provider: provider.get_machine(id)))]
            except MachineNotFound:
                return []
        else:
            found = self._list("list_machines", Machine)
            for machine in found:
                machine.bind(self)
            self.remember(found)
        return [m for m in found if (name is None or m.name == name) and (search is None or matches(m, search))]

    def machine(self, name: str) -> Machine:
        """Return the machine with this id, exact name or unambiguous beginning of an id.

        Raises:
            MachineNotFound: there is none.
            AmbiguousName: several answer to it.
            CheckFailed: and whatever else `check` raises.
        """
        return choose_machine(name, self.machines(), f"there is no machine {name!r}", self)

    def last_known(self) -> LastListing | None:
        """Return the machines it had when it was last listed, and when that was, without asking anybody.

        None where that is not known, and where the manager was not told to keep listings (`last_known=True`).
        """
        found = self._manager.last_known.recall(self.id) if self._manager.last_known is not None else None
        for machine in found.machines if found is not None else ():
            machine.bind(self)
        return found

    def remember(self, machines: Iterable[Machine]) -> None:
        """Keep a whole listing of it, if its manager keeps any. For the core; `machines()` does it by itself."""
        if self._manager.last_known is not None:
            self._manager.last_known.keep(self.id, machines)

    def sizes(self, *, search: str = "") -> list[Size]:
        """Return the sizes that a machine can be created with. Raises `NotSupported`, and as `check` does."""
        return _searched(self._list("list_sizes", Size), search)

    def images(self, *, search: str = "") -> list[Image]:
        """Return the images that a machine can be created from. Raises `NotSupported`, and as `check` does."""
        return _searched(self._list("list_images", Image, search), search)

    def locations(self, *, search: str = "") -> list[Location]:
        """Return the places where a machine can be created. Raises `NotSupported`, and as `check` does."""
        return _searched(self._list("list_locations", Location), search)

    def networks(self, *, search: str = "") -> list[Network]:
        """Return the networks that a machine can be attached to. Raises `NotSupported`, and as `check` does."""
        return _searched(self._list("list_networks", Network), search)

    def create_machine(self, /, name: str, **options: Any) -> Machine:
        """Create a machine and return it as it is once the service has accepted it.

        Args:
            name: what it is to be called.
            options: `image`, `size`, `location`, `network`, `key` …: what the provider takes.

        Raises:
            InvalidFields: naming every missing and every unknown option.
            NotSupported: the provider creates no machines.
            Rejected: the service refused (a quota, a name that is taken).
            CheckFailed: and whatever else `check` raises.
        """
        return self._bound(self.operate("create_machine", name, **options))

    def operate(self, operation: str, /, *args: Any, **options: Any) -> Any:
        """Call one of the provider's operations by its name ("reboot_machine"); `Machine.reboot()` and the like do.

        Raises:
            NotSupported: the provider has no such operation.
            MachineNotFound: it is not there.
            Rejected: the service refused, as the machine's state forbids it, say.
            InvalidFields: an option that the operation does not take.
            CheckFailed: and whatever else `check` raises.
        """

        def call(provider: Provider) -> Any:
            if not provider.supports(operation):
                raise provider.not_supported(operation)
            return getattr(provider, operation)(*args, **checked_options(provider, operation, options))

        return self._ask(operation, call)

    def actions(self, machine: Machine) -> tuple[str, ...]:
        """Return what makes sense to do to a machine in its state, of what the provider offers."""
        cls = self._manager.registry[self.provider]
        return tuple(
            action for action in _ACTIONS.get(machine.state, _IN_BETWEEN) if cls.supports(MACHINE_ACTIONS[action])
        )

    def wait_for(
        self,
        machine: Machine,
        state: MachineState,
        timeout: float,
        interval: float = 2,
        progress: Callable[[Machine], object] | None = None,
    ) -> Machine:
        """Wait until a machine is in a state; see `Machine.wait_for`."""
        if state is MachineState.UNKNOWN:
            raise InvalidFields({"state": "must be one of " + ", ".join(s for s in MachineState if s != "unknown")})
        end = time.monotonic() + timeout
        id = machine.id
        while True:
            try:
                machine = self._bound(self._ask("get_machine", lambda provider: provider.get_machine(id)))
            except MachineNotFound:
                if state is MachineState.TERMINATED:
                    return machine
                raise
            if progress is not None:
                progress(machine)
            if machine.state is state:
                return machine
            left = end - time.monotonic()
            ended = _ENDS.get(machine.state)
            if ended or not left > 0:
                raise ProviderError(
                    f"machine {machine.name or machine.id!r} is {machine.state}, not {state}"
                    + ("" if ended else f", after {timeout:g} seconds"),
                    reason=ended or "timeout",
                    provider=self.provider,
                    backend=self.title,
                )
            with provider_errors("wait_for", provider=self.provider, backend=self.title, secrets=list):
                sleep(min(interval, left))

    # -- how ----------------------------------------------------------------------------------------------------------

    def _ask(self, operation: str, call: Callable[[Provider], T]) -> T:
        record = self._manager.record(self.id)
        held: list[Provider] = []
        with (
            provider_errors(
                operation,
                provider=record.provider,
                backend=record.title,
                secrets=lambda: [secret for each in held for secret in secrets_of_provider(each)],
            ),
            self._manager.pool.use(record) as provider,
        ):
            held.append(provider)
            return call(provider)

    def _list(self, operation: str, kind: type[T], *args: Any) -> list[T]:
        def call(provider: Provider) -> list[Any]:
            if not provider.supports(operation):
                raise provider.not_supported(operation)
            return list(getattr(provider, operation)(*args))

        found = self._ask(operation, call)
        for item in found:
            if not isinstance(item, kind):
                raise ProviderError(
                    f"{operation}() yielded {type(item).__name__} instead of {kind.__name__}",
                    reason="bug",
                    provider=self.provider,
                    backend=self.title,
                )
        return found

    def _bound(self, machine: Machine) -> Machine:
        if not isinstance(machine, Machine):
            raise ProviderError(
                f"the provider answered {type(machine).__name__} instead of a Machine",
                reason="bug",
                provider=self.provider,
                backend=self.title,
            )
        return machine.bind(self)


def matches(machine: Machine, search: str) -> bool:
    """Tell whether a search text, in any case, is part of a machine's name, id or one of its addresses."""
    text = search.casefold()
    return any(
        text in value.casefold() for value in (machine.name, machine.id, *machine.public_ips, *machine.private_ips)
    )


def choose_machine(name: str, machines: Iterable[Machine], missing: str, backend: Backend | None = None) -> Machine:
    """Return the one machine with this id, else this exact name, else whose id alone begins so.

    Raises:
        MachineNotFound: (with the words of `missing`). AmbiguousName.
    """
    machines = list(machines)
    for found in (
        [m for m in machines if m.id == name],
        [m for m in machines if m.name == name],
        [m for m in machines if len(name) >= 3 and m.id.startswith(name)],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            ids = {f"{m.id} ({m.backend.title})" if m.backend else m.id: m.name for m in found}
            raise AmbiguousName(name, ids, kind="machine")
    raise MachineNotFound(
        missing,
        remedy="See `mist machines`.",
        provider=backend.provider if backend else "",
        backend=backend.title if backend else "",
    )


def _searched(found: list[T], search: str) -> list[T]:
    if not search:
        return found
    text = search.casefold()
    return [item for item in found if any(text in str(getattr(item, key)).casefold() for key in ("id", "name"))]
