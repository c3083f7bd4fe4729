"""What providers report and callers receive: frozen records, JSON by `to_dict()`.

Everywhere: times are timezone-aware UTC, memory is MiB, disk is GiB, addresses are strings with IPv4 before IPv6.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import attrs

if TYPE_CHECKING:
    from mistcore.backend import Backend

__all__ = ["Account", "Image", "Location", "Machine", "MachineState", "Network", "Region", "Size"]


class MachineState(enum.StrEnum):
    """The states of a machine, whatever its vendor calls them.

    A word that is none of these is `unknown`, never an exception: `MachineState("odd") is MachineState.UNKNOWN`.

    Attributes:
        RUNNING: "running": it is on, as far as its service can tell.
        PENDING: "pending": it is being made, moved, resized or rebuilt.
        STARTING: "starting": it is on its way to `running`.
        STOPPING: "stopping": it is on its way to `stopped`.
        STOPPED: "stopped": it is off and can be started again.
        REBOOTING: "rebooting": it is on its way from `running` to `running`.
        PAUSED: "paused": it is frozen in memory.
        SUSPENDED: "suspended": its memory is saved to disk, or its service holds it back.
        TERMINATED: "terminated": it is gone for good, though still shown.
        ERROR: "error": its service says that something went wrong with it.
        UNKNOWN: "unknown": its service says nothing about it, or a word that nobody here knows.

    """

    RUNNING = "running"
    PENDING = "pending"
    STARTING = "starting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    REBOOTING = "rebooting"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    TERMINATED = "terminated"
    ERROR = "error"
    UNKNOWN = "unknown"

    @classmethod
    def _missing_(cls, value: object) -> MachineState:
        return cls.UNKNOWN


def _utc(value: datetime | None) -> datetime | None:
    if value is None or value.tzinfo is UTC:
        return value
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _addresses(values: Iterable[str] | None) -> tuple[str, ...]:
    """Each once, IPv4 before IPv6, otherwise in the order given; empty ones left out."""
    if not values:
        return ()
    if type(values) is list and len(values) < 3:  # most machines' case
        one, two = values[0], values[-1]
        if type(one) is str is type(two) and one and two:
            if one == two:
                return (one,)
            return (two, one) if ":" in one and ":" not in two else (one, two)
    if isinstance(values, str):  # one address, not the letters of one
        values = (values,)
    seen = dict.fromkeys(text for value in values if (text := _text(value)))
    if len(seen) < 2:
        return tuple(seen)
    return tuple(sorted(seen, key=_is_ipv6))


def _is_ipv6(address: str) -> bool:
    return ":" in address


def _state(value: str) -> MachineState:
    return value if type(value) is MachineState else MachineState(value)


def _text(value: Any) -> str:
    """Text as it is, numbers as text, and nothing for what can be no name: services send null, and worse."""
    if type(value) is str:
        return value
    return "" if value is None or isinstance(value, (Mapping, list, tuple, set)) else str(value)


def _number(value: Any) -> Any:
    """Numbers as they are, and None for what is none."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) else None


def _permissions(values: Iterable[str] | None) -> frozenset[str] | None:
    return None if values is None else frozenset(values)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None  # JSON has no word for the others
    if value is None or isinstance(value, (bool, int)):
        return value
    return str(value)


class _Record:
    """What all records share: `to_dict()`."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON values; times become ISO 8601 strings that end in Z."""
        names = (field.name for field in attrs.fields(type(self)))  # type: ignore[arg-type]  # subclasses are attrs
        return {name: _plain(getattr(self, name)) for name in names if not name.startswith("_")}


@attrs.frozen
class Region(_Record):
    """A part of a provider with an endpoint of its own.

    Attributes:
        id: the vendor's own name for it (`eu-west-1`).
        location: where that is (`Ireland`).
        aliases: other names accepted for it; the first is the one that `supported_providers` lists.

    """

    id: str
    location: str = ""
    aliases: tuple[str, ...] = attrs.field(default=(), converter=tuple[str, ...])


@attrs.frozen
class Account(_Record):
    """Whom the credentials turned out to be: what a successful check returns.

    Attributes:
        id: the account's id at the service.
        name: what a person would call it (user name, e-mail address, project).
        details: whatever else the service tells, as plain JSON values.
        permissions: the operations known to be allowed ("list_machines", "start_machine" …, the names of the
            provider's methods); None where the service does not tell.
        warnings: sentences about what is unsafe here (plain HTTP, verification off, an over-privileged key …).

    """

    id: str = attrs.field(converter=_text)
    name: str = attrs.field(default="", converter=_text)
    details: Mapping[str, Any] = attrs.field(factory=dict, hash=False)
    permissions: frozenset[str] | None = attrs.field(default=None, converter=_permissions)
    warnings: tuple[str, ...] = attrs.field(default=(), converter=tuple[str, ...])

    def to_dict(self) -> dict[str, Any]:
        """Return the account as plain JSON values, the permissions sorted."""
        permissions = None if self.permissions is None else sorted(self.permissions)
        return {**super().to_dict(), "permissions": permissions}


@attrs.frozen
class Size(_Record):
    """A size that a machine can be created with (libcloud: NodeSize; AWS: instance type; OpenStack: flavor).

    Attributes:
        id: what `create_machine` takes as `size`.
        name: what a person calls it.
        cpus: virtual CPUs.
        memory: MiB.
        disk: GiB.
        architecture: "x86_64", "arm64" …; "" where the service does not tell.
        price_hour: in `currency`, where the service tells.
        price_month: in `currency`, where the service tells.
        currency: ISO 4217, as "USD".
        extra: what the vendor says beyond that, plain JSON values.

    """

    id: str = attrs.field(converter=_text)
    name: str = attrs.field(default="", converter=_text)
    cpus: float | None = attrs.field(default=None, converter=_number)
    memory: int | None = attrs.field(default=None, converter=_number)
    disk: int | None = attrs.field(default=None, converter=_number)
    architecture: str = attrs.field(default="", converter=_text)
    price_hour: float | None = attrs.field(default=None, converter=_number)
    price_month: float | None = attrs.field(default=None, converter=_number)
    currency: str = attrs.field(default="", converter=_text)
    extra: Mapping[str, Any] = attrs.field(factory=dict, hash=False, repr=False)


@attrs.frozen
class Image(_Record):
    """What a machine can be created from.

    Attributes:
        id: what `create_machine` takes as `image`.
        name: what a person calls it.
        os: the operating system or distribution, in the vendor's words.
        architecture: "x86_64", "arm64" …; "" where the service does not tell.
        created_at: UTC, or None where the service does not tell.
        extra: what the vendor says beyond that, plain JSON values.

    """

    id: str = attrs.field(converter=_text)
    name: str = attrs.field(default="", converter=_text)
    os: str = attrs.field(default="", converter=_text)
    architecture: str = attrs.field(default="", converter=_text)
    created_at: datetime | None = attrs.field(default=None, converter=_utc)
    extra: Mapping[str, Any] = attrs.field(factory=dict, hash=False, repr=False)


@attrs.frozen
class Location(_Record):
    """A place within a backend where a machine can be created (a zone, a data centre).

    Attributes:
        id: what `create_machine` takes as `location`.
        name: what a person calls it.
        country: ISO 3166, as "DE", where the service tells.
        extra: what the vendor says beyond that, plain JSON values.

    """

    id: str = attrs.field(converter=_text)
    name: str = attrs.field(default="", converter=_text)
    country: str = attrs.field(default="", converter=_text)
    extra: Mapping[str, Any] = attrs.field(factory=dict, hash=False, repr=False)


@attrs.frozen
class Network(_Record):
    """A network that a machine can be attached to.

    Attributes:
        id: what `create_machine` takes as `network`.
        name: what a person calls it.
        cidr: its address range ("10.0.0.0/20"), where it has one.
        extra: what the vendor says beyond that, plain JSON values.

    """

    id: str = attrs.field(converter=_text)
    name: str = attrs.field(default="", converter=_text)
    cidr: str = attrs.field(default="", converter=_text)
    extra: Mapping[str, Any] = attrs.field(factory=dict, hash=False, repr=False)


@attrs.frozen
class Machine(_Record):
    """A virtual machine, container or server.

    What a provider yields is a plain record. What `backend.machines()` answers is that record bound to its backend:
    then `machine.backend` is set and the operations below work. On an unbound record they raise `NotSupported`.

    Attributes:
        id: the vendor's own id; unique within its backend.
        name: what its owner calls it; "" where it has no name.
        state: one of `MachineState`; strings are converted, unknown ones to `unknown`.
        public_ips: every public address, IPv4 before IPv6.
        private_ips: every other address, IPv4 before IPv6.
        size: the vendor's name for it; "" where there is none.
        image: the vendor's name for it; "" where there is none.
        region: the closest place that the service tells (a zone rather than its region); "" where it tells none.
        created_at: UTC, or None where the service does not tell.
        tags: labels or tags; a tag without a value has "".
        extra: what the vendor says beyond that, plain JSON values.

    """

    id: str = attrs.field(converter=_text)
    name: str = attrs.field(default="", converter=_text)
    state: MachineState = attrs.field(default=MachineState.UNKNOWN, converter=_state)
    public_ips: tuple[str, ...] = attrs.field(default=(), converter=_addresses)
    private_ips: tuple[str, ...] = attrs.field(default=(), converter=_addresses)
    size: str = attrs.field(default="", converter=_text)
    image: str = attrs.field(default="", converter=_text)
    region: str = attrs.field(default="", converter=_text)
    created_at: datetime | None = attrs.field(default=None, converter=_utc)
    tags: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    extra: Mapping[str, Any] = attrs.field(factory=dict, hash=False, repr=False)
    _backend: Backend | None = attrs.field(default=None, init=False, repr=False, eq=False)

    @property
    def backend(self) -> Backend | None:
        """The backend that reported this machine, or None for a record made by hand."""
        return self._backend

    def bind(self, backend: Backend) -> Self:
        """Bind this record to a backend, in place, and return it. For the core; callers have bound machines already."""
        object.__setattr__(self, "_backend", backend)
        return self

    def __getstate__(self) -> dict[str, Any]:
        fields: tuple[attrs.Attribute[Any], ...] = attrs.fields(type(self))
        return {field.name: getattr(self, field.name) for field in fields if field.name != "_backend"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_backend", None)

    def _bound(self) -> Backend:
        if self._backend is None:
            from mistcore.errors import NotSupported

            raise NotSupported(
                f"machine {self.name or self.id!r} belongs to no backend",
                remedy="Get it from backend.machines() to act on it.",
            )
        return self._backend

    @property
    def actions(self) -> tuple[str, ...]:
        """The operations that make sense in its state and that its provider offers: "start", "stop", "reboot" …"""
        return self._bound().actions(self)

    def start(self, **options: Any) -> None:
        """Start it. Returns when the service has accepted that; see `wait_for`.

        This and what follows raise `NotSupported`, `MachineNotFound`, `Rejected` (not in this state), `InvalidFields`
        (an unknown option), and the errors of `Backend.check`.
        """
        self._bound().operate("start_machine", self.id, **options)

    def stop(self, **options: Any) -> None:
        """Stop it, by asking its operating system where the provider can. `force=True` cuts the power."""
        self._bound().operate("stop_machine", self.id, **options)

    def reboot(self, **options: Any) -> None:
        """Reboot it. `force=True` resets it without asking its operating system."""
        self._bound().operate("reboot_machine", self.id, **options)

    def pause(self, **options: Any) -> None:
        """Freeze it in memory."""
        self._bound().operate("pause_machine", self.id, **options)

    def suspend(self, **options: Any) -> None:
        """Save its memory to disk and stop it."""
        self._bound().operate("suspend_machine", self.id, **options)

    def resume(self, **options: Any) -> None:
        """Let a paused or suspended machine go on."""
        self._bound().operate("resume_machine", self.id, **options)

    def destroy(self, **options: Any) -> None:
        """Delete it for good."""
        self._bound().operate("destroy_machine", self.id, **options)

    def rename(self, name: str, **options: Any) -> None:
        """Give it another name at the service."""
        self._bound().operate("rename_machine", self.id, name, **options)

    def refresh(self) -> Machine:
        """Return this machine as it is now. Raises `MachineNotFound` when it is gone."""
        return self._bound().machine(self.id)

    def wait_for(
        self,
        state: MachineState | str,
        timeout: float = 300,
        *,
        interval: float = 2,
        progress: Callable[[Machine], object] | None = None,
    ) -> Machine:
        """Wait until it is in `state` and return it as it is then.

        Args:
            state: a `MachineState`, or its word.
            timeout: seconds to wait at the most.
            interval: seconds between two looks.
            progress: called with the machine at each look.

        Raises:
            ProviderError: it went to the state `error` or `terminated` instead (reasons "error_state", "terminated"),
                or (reason "timeout") did not get there in time.
            Unreachable: (reason "timeout") the deadline in force passed before.
            MachineNotFound: it is gone; waiting for `terminated` ends well then.

        """
        return self._bound().wait_for(self, MachineState(state), timeout, interval, progress)
