"""The operations a provider may offer, and the wrapper that turns whatever they let through into our errors."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mistcore.errors import InvalidFields, MissingDependency, MistError, ProviderError
from mistcore.models import Machine
from mistcore.redaction import hide_in_error, leave_words_only, let_go, secrets_of_provider

if TYPE_CHECKING:
    from mistcore.provider import Provider

__all__ = ["MACHINE_ACTIONS", "OPERATIONS", "REQUIRED_OPERATIONS"]

REQUIRED_OPERATIONS = ("check", "list_machines")
"""What every provider defines."""
MACHINE_ACTIONS = {
    "start": "start_machine",
    "stop": "stop_machine",
    "reboot": "reboot_machine",
    "pause": "pause_machine",
    "suspend": "suspend_machine",
    "resume": "resume_machine",
    "rename": "rename_machine",
    "destroy": "destroy_machine",
}
"""What can be done to one machine: the operation, by the word that people use."""
OPERATIONS = (
    *REQUIRED_OPERATIONS,
    "get_machine",
    *MACHINE_ACTIONS.values(),
    "create_machine",
    "list_sizes",
    "list_images",
    "list_locations",
    "list_networks",
)
"""Every operation that a provider may define, in the order in which they are told."""


def guard(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap an operation so that an SDK's exceptions leave it as ours, also while its result is iterated."""

    @functools.wraps(function)
    def guarded(self: Provider, *args: Any, **kwargs: Any) -> Any:
        try:
            result = function(self, *args, **kwargs)
        except BaseException as error:
            _raise_ours(self, error)
            raise
        if isinstance(result, Machine) and not result.id:
            raise ProviderError(
                "the service describes a machine without an id",
                reason="garbled",
                remedy="Is the address of the service right?",
                provider=self.id,
            )
        return _guarded_iterator(self, result) if isinstance(result, Iterator) else result

    return guarded


def _guarded_iterator(provider: Provider, items: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from items
    except GeneratorExit:  # nobody wants more
        raise
    except BaseException as error:
        _raise_ours(provider, error)
        raise


def _raise_ours(provider: Provider, error: BaseException) -> None:
    """Raise our error for this one, or return when it is ours already or nobody knows it. No secrets are in any."""
    let_go(error)
    hide_in_error(error, secrets_of_provider(provider))
    if isinstance(error, MistError):
        leave_words_only(error)
        error.provider = error.provider or provider.id
    if isinstance(error, MistError) or not isinstance(error, Exception):
        return
    try:
        ours = provider.translate_error(error)
    except ModuleNotFoundError:
        if not isinstance(error, ModuleNotFoundError):
            raise
        ours = None  # it looks up the exceptions of the very SDK that is missing
    if ours is None and isinstance(error, ModuleNotFoundError):
        ours = missing_dependency(type(provider), error)
    if ours is not None:
        ours.provider = ours.provider or provider.id
        hide_in_error(ours, secrets_of_provider(provider))
        leave_words_only(error)
        raise ours from error


def missing_dependency(cls: type[Provider], error: ModuleNotFoundError) -> MissingDependency:
    """Return the error that says which pip command brings the module that this provider needs."""
    package = (error.name or "").partition(".")[0]
    return MissingDependency(
        f"the provider needs the package {package!r}, which is not installed",
        remedy=f"Install it: {_install_command(cls, package)}",
        provider=cls.id,
    )


def _install_command(cls: type[Provider], package: str) -> str:
    from importlib import metadata

    from mistcore.registry import GROUP

    top = cls.__module__.partition(".")[0]
    extra = cls.extra or cls.id
    for entry in metadata.entry_points(group=GROUP):
        if entry.dist is None or entry.module.partition(".")[0] != top:
            continue
        for name in entry.dist.metadata.get_all("Provides-Extra") or ():
            if name.replace("_", "-") == extra.replace("_", "-"):
                # Builders write it either way, and pip before 23.3 finds it only the way it is written.
                return f"pip install '{entry.dist.name}[{name}]'"
    return f"pip install {package}"


def options_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter] | None:
    """Return the keyword options that an operation takes beside what every provider takes, or None if any go."""
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return None
    return {name: value for name, value in parameters.items() if value.kind is value.KEYWORD_ONLY}


def checked_options(provider: Provider, operation: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of an operation, text converted to numbers and truth values where those are declared.

    Raises:
        InvalidFields: naming every missing, unknown and malformed option at once.

    """
    from mistcore.credentials import convert_text, nearest

    known = options_of(getattr(provider, operation))
    if known is None:
        return dict(options)
    checked: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name, value in options.items():
        if name not in known:
            close = nearest(name, known)
            problems[name] = f"not taken by {provider.title}" + (f", did you mean {close[0]}?" if close else "")
            continue
        try:
            _check_letters(value)
            checked[name] = convert_text(value, known[name].annotation)
        except ValueError as error:
            problems[name] = str(error)
    for name, parameter in known.items():
        if parameter.default is parameter.empty and options.get(name) in (None, ""):
            problems[name] = "missing"
    if problems:
        taken = ", ".join(known) or "none"
        raise InvalidFields(problems, provider=provider.id, remedy=f"Options of this operation: {taken}.")
    return checked


def _check_letters(value: Any) -> None:
    """Raise ValueError, in words, for text that no service can be sent: bytes of no known meaning are half pairs."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("holds characters that are none: is it text in UTF-8?") from None
    elif isinstance(value, Mapping):
        for part in (*value, *value.values()):
            _check_letters(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            _check_letters(part)
