"""The declaration of a credential field, and the cleaning of values against a set of such declarations."""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

from mistcore.redaction import MASK, Quiet

__all__ = ["CredentialField", "ca_certificate", "credential", "is_reference", "nearest", "secret", "verification"]

METADATA_KEY = "mistcore"
FieldType = Literal["str", "int", "float", "bool"]

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


@attrs.frozen
class CredentialField:
    """One thing that a provider needs to be let in; derived from the class, for command lines, forms and docs.

    Attributes:
        name: the keyword (`api_key`).
        label: what a person reads ("API key").
        help: where to get it, in a sentence.
        type: "str", "int", "float" or "bool".
        required: there is no default.
        default: the value used when none is given.
        secret: never shown, logged or pickled.
        env: the environment variable that `mist add` takes the value from when it is not given.
        choices: the only values allowed, when not empty.
        example: a made-up value, for help texts and forms.
        address: the field says where the service is; changing it means that secrets must be given anew.
        file: the value may be the path of a file, or the text of such a file (a PEM key, say).
        validator: called with the converted value; raises `ValueError` with words that say what is wrong with it.

    """

    name: str
    label: str
    help: str = ""
    type: FieldType = "str"
    required: bool = False
    default: Any = None
    secret: bool = False
    env: str = ""
    choices: tuple[str, ...] = ()
    example: str = ""
    address: bool = False
    file: bool = False
    validator: Callable[[Any], object] | None = attrs.field(default=None, repr=False)


def credential(
    label: str,
    *,
    default: Any = attrs.NOTHING,
    help: str = "",
    secret: bool = False,
    env: str = "",
    choices: Iterable[str] = (),
    example: str = "",
    address: bool = False,
    file: bool = False,
    validator: Callable[[Any], object] | None = None,
) -> Any:
    """Declare a credential field in the body of a `Provider`: `user: str = credential("User name", default="root")`.

    The annotation says the type: `str`, `int`, `float`, `bool`, or one of these `| None`. A field without a default is
    required. See `CredentialField` for the arguments; `validator` is called with the converted value and raises
    `ValueError` with words that say what is wrong with it.
    """
    if not isinstance(label, str) or not label.strip():
        raise TypeError('a credential field needs a label: credential("API key")')
    declared = CredentialField(
        name="",
        label=label,
        help=help,
        required=default is attrs.NOTHING,
        default=None if default is attrs.NOTHING else default,
        secret=secret,
        env=env,
        choices=tuple(choices),
        example=example,
        address=address,
        file=file,
        validator=validator,
    )
    return attrs.field(default=default, repr=not secret, kw_only=True, metadata={METADATA_KEY: declared})


def secret(
    label: str,
    *,
    default: Any = attrs.NOTHING,
    help: str = "",
    env: str = "",
    example: str = "",
    file: bool = False,
    validator: Callable[[Any], object] | None = None,
) -> Any:
    """Declare a credential field whose value is never shown: `token: str = secret("API token")`."""
    return credential(
        label, default=default, help=help, secret=True, env=env, example=example, file=file, validator=validator
    )


def ca_certificate(*, env: str = "") -> Any:
    """Declare the field for the certificate of a service with a CA of its own: `ca_cert: str = ca_certificate()`."""
    help = "The certificate to trust, where the service has a CA of its own: a path, or PEM text."
    return credential("CA certificate", default="", env=env, help=help, file=True)


def verification() -> Any:
    """Declare the field that says whether a service's certificate is looked at: `verify: bool = verification()`."""
    return credential("Verify the certificate", default=True, help="Off accepts any certificate: only for trying out.")


def fields_of(cls: type) -> tuple[CredentialField, ...]:
    """Return the declared fields of a class in their order.

    Raises:
        TypeError: an annotated attribute is not declared by `credential()` or `secret()`.

    """
    found = []
    for attribute in attrs.fields(cls):
        declared = attribute.metadata.get(METADATA_KEY)
        if declared is None:
            raise TypeError(
                f"{cls.__name__}.{attribute.name} is annotated but not declared: write "
                f'`{attribute.name}: … = credential("Label")`, or drop the annotation if it is not a credential'
            )
        found.append(attrs.evolve(declared, name=attribute.name, type=_type_name(attribute.type)))
    return tuple(found)


def _type_name(annotation: Any) -> FieldType:
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", None) or str(annotation)
    if not isinstance(annotation, (str, type)):
        text = str(annotation)
    match = re.search(r"\b(str|int|float|bool)\b", text)
    return match[1] if match else "str"  # type: ignore[return-value]


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """Return the known words that look like this one, best first, at most three."""
    return difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)


def is_reference(value: Any) -> bool:
    """Tell whether a value is `env:NAME`, `file:PATH` or `cmd:COMMAND`: resolved when it is used, stored as written."""
    return isinstance(value, str) and value.startswith(("env:", "file:", "cmd:")) and len(value.partition(":")[2]) > 0


def clean(fields: Iterable[CredentialField], values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values, stripped and converted, and the problems: missing, unknown and malformed fields by name.

    References are kept as written. Empty values count as not given; defaults are not filled in.
    """
    known = {field.name: field for field in fields}
    cleaned: dict[str, Any] = Quiet()
    problems: dict[str, str] = {}
    for name, value in values.items():
        if name not in known:
            close = nearest(name, known)
            problems[name] = f"unknown field, did you mean {' or '.join(close)}?" if close else "unknown field"
            continue
        if isinstance(value, str):
            value = value.strip()
        if value is None or value == "":
            continue
        try:
            cleaned[name] = value if is_reference(value) else convert(known[name], value)
        except ValueError as error:
            problems[name] = str(error)
    for field in known.values():
        if field.required and field.name not in cleaned and field.name not in problems:
            problems[field.name] = f"missing ({field.label})"
    return cleaned, problems


def convert(field: CredentialField, value: Any) -> Any:
    """Return the value in the field's type. Raises `ValueError` in words, never naming the value of a secret."""
    converted = _CONVERTERS[field.type](value)
    if field.address and _holds_password(converted):
        raise ValueError("holds a password, where everybody would see it; it belongs into a field of its own")
    if field.choices and converted not in field.choices:
        raise ValueError(f"must be one of {', '.join(field.choices)}")
    if field.validator is not None:
        try:
            field.validator(converted)
        except ValueError as error:
            problem = str(error)
            if field.secret:
                problem = problem.replace(str(converted), "…")
            raise ValueError(problem) from (None if field.secret else error)
    return converted


def _holds_password(address: Any) -> bool:
    """Tell whether something like `user:password@` is in front of a host."""
    before, at, _ = str(address).rpartition("@")
    before = before.partition("://")[2] or before
    # What looks like a password with a slash in it may be a port, and the path of an address with @ in it.
    return bool(at) and ":" in before and not re.match(r"(\[[^\]]*\]|[^:/?#@]*)(:\d+)?[/?#]", before)


def without_password(address: Any) -> Any:
    """Return an address as it may be shown, where one with a password was written into a store all the same."""
    if not _holds_password(address):
        return address
    scheme, separator, _ = address.rpartition("@")[0].partition("://")
    return f"{scheme if separator else ''}{separator}{MASK}@{address.rpartition('@')[2]}"


def convert_text(value: Any, annotation: Any) -> Any:
    """Return text as the number or truth value that an annotation asks for, anything else as it is.

    Raises `ValueError` in words where the text is none.
    """
    kind = _type_name(annotation)
    if not isinstance(value, str) or kind == "str" or "str" in str(annotation):
        return value
    return _CONVERTERS[kind](value.strip())


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {type(value).__name__}")
    if "\0" in value:
        raise ValueError("holds a NUL character")
    return value


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError("must be a whole number")
    try:
        return int(value)
    except ValueError:
        raise ValueError("must be a whole number") from None


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError("must be a number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError("must be a number") from None
    if not math.isfinite(number):
        raise ValueError("must be a number")
    return number


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("must be true or false")
    return word in _TRUE


_CONVERTERS: dict[str, Callable[[Any], Any]] = {"str": _string, "int": _integer, "float": _number, "bool": _boolean}


def resolve(
    fields: Iterable[CredentialField], values: Mapping[str, Any], run: Callable[[str], str] | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values with references replaced by what they refer to, and the problems met, by field.

    `run` returns what a command prints; without it, no command is run.
    """
    known = {field.name: field for field in fields}
    resolved: dict[str, Any] = Quiet()
    problems: dict[str, str] = {}
    for name, value in values.items():
        if not is_reference(value):
            resolved[name] = value
            continue
        try:
            resolved[name] = convert(known[name], _dereference(value, run).strip())
        except (ValueError, OSError) as error:
            problems[name] = str(error)
    return resolved, problems


def _dereference(reference: str, run: Callable[[str], str] | None) -> str:
    scheme, _, target = reference.partition(":")
    if scheme == "cmd":
        if run is None:
            raise ValueError("a cmd: reference is only run where it stands in a store of your own")
        return run(target.strip())
    if scheme == "env":
        if not os.environ.get(target):
            raise ValueError(f"the environment variable {target} is not set")
        return os.environ[target]
    try:
        return Path(target).expanduser().read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{target} is not a text file") from None
    except OSError as error:
        raise ValueError(f"cannot read {target}: {error.strerror}") from None
    except (ValueError, RuntimeError):  # a name that is none, or the home of somebody who does not exist
        raise ValueError(f"cannot read {target}: there is no such file") from None
