"""`Provider`: what a plugin author subclasses."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, dataclass_transform

import attrs

from mistcore import credentials as _credentials
from mistcore.credentials import CredentialField, credential, secret
from mistcore.deadline import remaining
from mistcore.errors import InvalidFields, MachineNotFound, MistError, NotSupported, ServiceRetired, UnknownRegion
from mistcore.models import Account, Image, Location, Machine, Network, Region, Size
from mistcore.operations import OPERATIONS, REQUIRED_OPERATIONS, guard
from mistcore.redaction import Quiet

__all__ = ["Provider"]

_RESERVED = frozenset({"provider", "title", "check", "enabled", "id", "name"})
_COMMON_REGION = "Region"


@dataclass_transform(kw_only_default=True, field_specifiers=(credential, secret, attrs.field))
class _Declared:
    """Turns every subclass into an attrs class, so that authors write annotations and nothing else."""

    _declared: ClassVar[tuple[CredentialField, ...]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        attrs.define(
            cls,
            slots=False,
            kw_only=True,
            init=False,
            repr=False,
            eq=False,
            order=False,
            match_args=False,
            on_setattr=[],
        )
        cls._declared = _credentials.fields_of(cls)
        for name in OPERATIONS:
            function = cls.__dict__.get(name)
            if inspect.isfunction(function) and cls.__name__ != "Provider":
                setattr(cls, name, guard(function))


class Provider(_Declared):
    """One kind of place where machines live; an instance is one account there.

    Subclass it, declare the credentials as fields, and write `check` and `list_machines`; every further operation is
    optional, and which ones a provider supports is read off what it overrides:

        class Acme(Provider):
            title = "Acme Cloud"
            token: str = secret("API token")

            def check(self) -> Account: ...
            def list_machines(self) -> Iterable[Machine]: ...

    An instance needs no manager: `Acme(token="…").list_machines()`. Its fields are checked as a whole when it is made
    (`InvalidFields` names every bad one), stripped of white space, converted to their types, and references
    (`env:NAME`, `file:PATH`) are resolved. One instance may be used by several threads at once.

    Rules for authors: import an SDK inside methods only; turn its exceptions into ours in `translate_error`; let no
    network call last longer than `self.timeout`; yield plain `Machine` records; raise the errors of `mistcore.errors`.
    """

    id: ClassVar[str] = ""
    """The entry point's name. Filled in by the registry; until then made from the class's name."""
    title: ClassVar[str] = ""
    """What a person calls this kind of place."""
    regions: ClassVar[tuple[Region, ...]] = ()
    """The regions known in advance, in the order in which they are listed."""
    retired: ClassVar[str] = ""
    """Set for a service that has closed: when, and what to use instead."""
    extra: ClassVar[str] = ""
    """The extra of the distribution that brings the SDK, where it is not the provider's id."""
    rights: ClassVar[str] = ""
    """Where to get credentials that may do no more than is needed, to read and to act: paragraphs of Markdown, indented
    as a docstring is."""
    limits: ClassVar[tuple[str, ...]] = ()
    """What people must know that it does not do, a sentence each."""
    default_timeout: ClassVar[float] = 30.0
    """Seconds that one network call may take at the most, unless a deadline is nearer."""

    region: str = credential(_COMMON_REGION, default="", help="The part of the service that this account is used in.")

    if not TYPE_CHECKING:  # type checkers see the signature that the fields make

        def __init__(self, **values: Any) -> None:
            values = Quiet(values)
            cls = type(self)
            if cls is Provider:
                raise TypeError("Provider is to be subclassed")
            cleaned = cls.clean(values)
            resolved, problems = _credentials.resolve(cls.fields(), cleaned)
            if problems:
                raise InvalidFields(problems, provider=cls.id)
            if resolved.get("region") != cleaned.get("region"):
                resolved["region"] = cls.find_region(resolved["region"], resolved).id
            self.__attrs_init__(**resolved)
            problems = dict(self.problems())
            if problems:
                raise InvalidFields(problems, provider=cls.id)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "__attrs_attrs__" in cls.__dict__:
            raise TypeError(f"{cls.__name__} is made an attrs class by Provider; drop its own @attrs.define")
        if isinstance(cls.__dict__.get("rights"), str):
            cls.rights = inspect.cleandoc(cls.rights)
        cls.id = cls.__dict__.get("id") or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
        super().__init_subclass__(**kwargs)
        taken = _RESERVED & {field.name for field in cls._declared}
        if taken:
            raise TypeError(f"{cls.__name__}: a credential field may not be called {' or '.join(sorted(taken))}")

    # -- the declaration, read ----------------------------------------------------------------------------------------

    @classmethod
    def fields(cls) -> tuple[CredentialField, ...]:
        """Return the credential fields, required ones first; `region` among them only if the provider has regions."""
        found = []
        for field in cls._declared:
            if field.name == "region":
                if not cls.has_regions():
                    continue
                if cls.regions and field.label == _COMMON_REGION and field.default == "":
                    field = attrs.evolve(field, required=True)
            found.append(field)
        return tuple(sorted(found, key=lambda field: not field.required))

    @classmethod
    def has_regions(cls) -> bool:
        """Tell whether `region` means anything here: the provider lists regions, or declares its own `region` field."""
        return bool(cls.regions) or _region_of(cls) != _region_of(Provider)

    @classmethod
    def knows_all_regions(cls) -> bool:
        """Tell whether only the listed regions are accepted, so that a form may offer them as a choice."""
        return bool(cls.regions) and cls.find_region.__func__ is Provider.find_region.__func__  # type: ignore[attr-defined]

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the declaration as JSON Schema (draft 2020-12), from which a form can be made."""
        from mistcore.schema import json_schema

        return json_schema(cls)

    @classmethod
    def supports(cls, operation: str) -> bool:
        """Tell whether the provider overrides this operation ("start_machine")."""
        return operation == "get_machine" or getattr(cls, operation) is not getattr(Provider, operation)

    @classmethod
    def operations(cls) -> tuple[str, ...]:
        """Return the operations that this provider supports, in the order of `mistcore.operations.OPERATIONS`."""
        return tuple(name for name in OPERATIONS if cls.supports(name))

    @classmethod
    def find_region(cls, region: str, values: Mapping[str, Any]) -> Region:
        """Return the region that has this id or alias. Override it to accept regions that no list knows.

        Args:
            region: an id or an alias, in any case.
            values: the other fields, as written by the user (references unresolved).

        Raises:
            UnknownRegion: with the nearest names.

        """
        if not cls.regions:
            return Region(region)
        names: dict[str, Region] = {}
        for known in cls.regions:
            for name in (known.id, *known.aliases):
                names[name.lower()] = known
        found = names.get(region.lower())
        if found is None:
            close = _credentials.nearest(region.lower(), names)
            choice = (
                f"did you mean {' or '.join(close)}?" if close else "one of " + ", ".join(r.id for r in cls.regions)
            )
            raise UnknownRegion(
                {"region": f"there is no region {region!r}; {choice}"},
                provider=cls.id,
                remedy=f"See `mist providers {cls.id}`.",
            )
        return found

    @classmethod
    def clean(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values stripped, converted and with the region's own id; references stay as written.

        Raises:
            InvalidFields: naming every missing, unknown and malformed field at once (`UnknownRegion` if alone).

        """
        values = Quiet(values)
        cleaned, problems = _credentials.clean(cls.fields(), values)
        region_error = None
        if "region" in cleaned and not _credentials.is_reference(cleaned["region"]):
            try:
                cleaned["region"] = cls.find_region(cleaned["region"], cleaned).id
            except UnknownRegion as error:
                region_error = error
                problems |= error.problems
        elif "region" in problems and not cls.has_regions():
            problems["region"] = f"{cls.title or cls.id} has no regions"
            if not values.get("region"):
                del problems["region"]
        elif "region" in problems and cls.regions:
            problems["region"] += ", one of " + ", ".join(region.id for region in cls.regions)
        if region_error is not None and len(problems) == 1:
            raise region_error
        if problems:
            raise InvalidFields(problems, provider=cls.id, remedy=f"See `mist providers {cls.id}`.")
        return cleaned

    # -- for authors --------------------------------------------------------------------------------------------------

    def problems(self) -> Mapping[str, str]:
        """Return what is wrong with the fields taken together, by field. Override it for rules over several fields.

        It runs when every single field is right by itself, and must not touch the network.
        """
        return {}

    def translate_error(self, error: Exception) -> MistError | None:
        """Return our error for an SDK's exception, or None to let it through. Override it: the one place for that."""
        return None

    def other_secrets(self) -> Iterable[str]:
        """Return secrets beside the fields' values, to be kept out of errors: what was read from a file, say.

        It must not touch the network. What is sent over HTTP is kept out of what a service answers in any case.
        """
        return ()

    @property
    def timeout(self) -> float:
        """Seconds that the next network call may take; raises `Unreachable` ("timeout") past the deadline."""
        return remaining(self.default_timeout)

    def service_address(self, address: str) -> str:
        """Return the address given, or raise `ServiceRetired` where a retired service is used without one."""
        if not address and self.retired:
            raise ServiceRetired(
                f"{self.title} has closed: {self.retired}",
                remedy="Nothing was sent. Give an address to use a private installation of it.",
                provider=self.id,
            )
        return address

    def let_go(self, kept: str) -> None:
        """Close what the instance keeps under this name, as a cached property does, if it is there, and forget it."""
        thing = self.__dict__.pop(kept, None)
        if thing is not None:
            thing.close()

    def close(self) -> None:
        """Let go of connections and sessions. The instance may be used again afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        shown = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in self._declared if not f.secret)
        return f"{type(self).__name__}({shown})"

    def __getstate__(self) -> dict[str, Any]:
        """Return the declared fields that are not secret: nothing else of an instance is ever pickled."""
        return {field.name: getattr(self, field.name) for field in self._declared if not field.secret}

    if not TYPE_CHECKING:  # they refuse misspelt names only where this does not exist

        def __getattr__(self, name: str) -> Any:
            field = next((f for f in self._declared if f.name == name), None)
            if field is not None and field.secret:
                raise InvalidFields({name: "left out when this was copied or pickled; give it again"}, provider=self.id)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # -- what every provider offers -----------------------------------------------------------------------------------

    def check(self) -> Account:
        """Ask the service, in the cheapest way, whether the credentials are good, and return whose they are.

        Raises:
            AuthenticationFailed: the service does not accept the credentials.
            PermissionDenied: they are good, but may not do this.
            Unreachable: no usable answer came in time.
            RateLimited: too many requests.
            ServiceRetired: the service has closed.
            ProviderError: the service failed, or answered nonsense.

        """
        raise NotImplementedError

    def list_machines(self) -> Iterable[Machine]:
        """Yield every machine of the account, following paging to the end. Raises as `check` does."""
        raise NotImplementedError

    # -- what a provider may offer ------------------------------------------------------------------------------------
    # An override may add keyword-only options. The words for common ones: `force` (stop by cutting the power, reboot by
    # a reset, destroy although it runs) and `storage` (destroy the machine's disks too).

    def get_machine(self, machine_id: str) -> Machine:
        """Return one machine. Override it where the service can be asked for one. Raises `MachineNotFound`."""
        for machine in self.list_machines():
            if machine.id == machine_id:
                return machine
        raise self.machine_not_found(machine_id)

    def start_machine(self, machine_id: str) -> None:
        """Start a machine. Raises `MachineNotFound`, `Rejected` (it cannot be started now), and as `check` does."""
        raise self.not_supported("start_machine")

    def stop_machine(self, machine_id: str) -> None:
        """Stop a machine, by asking its operating system where that is possible."""
        raise self.not_supported("stop_machine")

    def reboot_machine(self, machine_id: str) -> None:
        """Reboot a machine."""
        raise self.not_supported("reboot_machine")

    def pause_machine(self, machine_id: str) -> None:
        """Freeze a machine in memory."""
        raise self.not_supported("pause_machine")

    def suspend_machine(self, machine_id: str) -> None:
        """Save a machine's memory to disk and stop it."""
        raise self.not_supported("suspend_machine")

    def resume_machine(self, machine_id: str) -> None:
        """Let a paused or suspended machine go on."""
        raise self.not_supported("resume_machine")

    def rename_machine(self, machine_id: str, name: str) -> None:
        """Give a machine another name at the service."""
        raise self.not_supported("rename_machine")

    def destroy_machine(self, machine_id: str) -> None:
        """Delete a machine for good."""
        raise self.not_supported("destroy_machine")

    def create_machine(self, name: str, *args: Any, **options: Any) -> Machine:
        """Create a machine and return it, as it is when the service has accepted it.

        An override declares what it takes as keyword-only options with these words where they fit: `image`, `size`,
        `location`, `network`, `key` (a public key's text, or the name of one that the service knows), `user_data`,
        `tags` (a mapping). Those without a default are required.
        """
        raise self.not_supported("create_machine")

    def list_sizes(self) -> Iterable[Size]:
        """Yield the sizes that a machine can be created with."""
        raise self.not_supported("list_sizes")

    def list_images(self, search: str = "") -> Iterable[Image]:
        """Yield the images that a machine can be created from; `search` may narrow what is asked for."""
        raise self.not_supported("list_images")

    def list_locations(self) -> Iterable[Location]:
        """Yield the places where a machine can be created."""
        raise self.not_supported("list_locations")

    def list_networks(self) -> Iterable[Network]:
        """Yield the networks that a machine can be attached to."""
        raise self.not_supported("list_networks")

    # -- errors that every provider needs -----------------------------------------------------------------------------

    def not_supported(self, operation: str) -> NotSupported:
        """Return the error for an operation that this provider does not offer."""
        return NotSupported(
            f"{self.title or self.id} cannot {operation.replace('_', ' ')}",
            remedy=f"`mist providers {self.id}` lists what it can do.",
            provider=self.id,
        )

    def machine_not_found(self, machine_id: str) -> MachineNotFound:
        """Return the error for a machine that is not there."""
        return MachineNotFound(f"there is no machine {machine_id!r}", remedy="See `mist machines`.", provider=self.id)


def _region_of(cls: type[Provider]) -> CredentialField:
    return next(field for field in cls._declared if field.name == "region")


def contract_problems(cls: object) -> list[str]:
    """Return what keeps a class from being a provider, in words; an empty list when nothing does."""
    if not (isinstance(cls, type) and issubclass(cls, Provider)):
        return [f"it is {cls!r}, not a subclass of mistcore.Provider"]
    problems = []
    if cls.__dict__.get("__attrs_attrs__") is None:
        problems.append("it is not an attrs class any more")
    else:
        try:
            _credentials.fields_of(cls)
        except TypeError as error:
            problems.append(str(error))
    if not cls.title or not isinstance(cls.title, str):
        problems.append("it has no title")
    ids = [name for region in cls.regions for name in {region.id, *region.aliases}]
    if len(ids) != len(set(ids)):
        problems.append("two of its regions share an id or alias")
    if not isinstance(cls.rights, str):
        problems.append("its rights are not a text")
    if not isinstance(cls.limits, tuple) or not all(isinstance(limit, str) for limit in cls.limits):
        problems.append("its limits are not a tuple of sentences")
    problems += [f"it does not define {name}()" for name in REQUIRED_OPERATIONS if not cls.supports(name)]
    return problems
