"""Where the value of a credential field comes from: an option, a file, standard input, the environment or a prompt."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mistcore.cli.prompts import interruptible
from mistcore.credentials import CredentialField, convert, is_reference
from mistcore.errors import InvalidFields

if TYPE_CHECKING:
    from mistcore.provider import Provider

__all__ = ["ask_for_missing", "from_environment", "option_for", "read_value"]


def option_for(field: CredentialField) -> click.Option:
    """Return the option that a field becomes: `api_key` is `--api-key`."""
    name = field.name.replace("_", "-")
    notes = [field.help.rstrip(".") or field.label]
    if field.required:
        notes.append("Required")
    if field.choices:
        notes.append(f"One of {', '.join(field.choices)}")
    elif field.default not in (None, "") and field.type != "bool":
        notes.append(f"Default: {field.default}")
    if field.env:
        notes.append(f"Environment: {field.env}")
    text = ". ".join(notes) + "."
    if field.type == "bool":
        return click.Option([f"--{name}/--no-{name}"], default=None, help=text)
    names = [f"--{name}"] if name == field.name else [f"--{name}", f"--{field.name}"]
    return click.Option([*names, field.name], metavar="VALUE", default=None, help=text)


def read_value(field: CredentialField, value: Any, *, hidden: bool = False) -> Any:
    """Return a value as meant: `@PATH` is what a file holds, `-` what standard input holds; a path is made absolute.

    `hidden`: it was typed without echo, so it is not shown either where it names no file.
    """
    if not isinstance(value, str):
        return value
    if value == "-":
        try:
            return sys.stdin.read().strip()
        except UnicodeDecodeError:
            raise click.BadParameter("standard input is not text in UTF-8", param_hint=f"--{field.name}") from None
    if value.startswith("@"):
        try:
            return Path(value[1:]).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, ValueError, RuntimeError) as error:  # no such file, no text or no name, no such ~user
            reason = getattr(error, "strerror", None) or "it is not a text file"
        # Not within the block: the error there has the name as well.
        value = "the file that is named after the @" if hidden else value[1:]
        raise click.BadParameter(f"cannot read {value}: {reason}", param_hint=f"--{field.name}")
    if field.file and not is_reference(value) and "\n" not in value:
        with suppress(OSError, ValueError, RuntimeError):  # what cannot be a path is the text itself
            path = Path(value).expanduser()
            if path.exists():
                return str(path.absolute())
    return value


def from_environment(fields: Iterable[CredentialField], values: dict[str, Any]) -> None:
    """Fill in, from the environment variables that the declaration names, what was not given."""
    for field in fields:
        if field.env and values.get(field.name) is None and os.environ.get(field.env):
            values[field.name] = os.environ[field.env]


def ask_for_missing(cls: type[Provider], values: dict[str, Any]) -> None:
    """Ask a person for every required field that has no value yet, one by one, secrets without echo."""
    for field in cls.fields():
        if not field.required or values.get(field.name) not in (None, ""):
            continue
        if field.name == "region" and cls.regions:
            click.echo("Regions: " + ", ".join(f"{region.id} ({region.location})" for region in cls.regions), err=True)
        elif field.help:
            click.echo(field.help, err=True)
        values[field.name] = ask(field, cls)


def ask(field: CredentialField, cls: type[Provider]) -> Any:
    """Ask a person for one field of a provider, again where the answer cannot be one: before more is asked for."""
    if field.secret:
        with interruptible():
            return read_value(field, click.prompt(field.label, hide_input=True, err=True), hidden=True)

    def understood(text: str) -> Any:
        value = read_value(field, text)
        try:
            if not is_reference(value):
                convert(field, value.strip())
                if field.name == "region" and cls.knows_all_regions():
                    cls.find_region(value.strip(), {})
        except ValueError as error:  # `UnknownRegion` is one
            problems = error.problems.values() if isinstance(error, InvalidFields) else [str(error)]
            raise click.UsageError(" ".join(problems)) from None
        return value

    kind = click.Choice(field.choices) if field.choices else None
    with interruptible():
        return click.prompt(field.label, type=kind, value_proc=understood, err=True)


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were used."""
    return {name: value for name, value in values.items() if value is not None}
