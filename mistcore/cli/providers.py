"""`mist providers` and `mist plugins`: which kinds of place there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mistcore.cli import listing
from mistcore.cli.app import end
from mistcore.cli.completion import complete_providers
from mistcore.cli.output import Column, output_options, print_prose, print_record, print_rows, visible

if TYPE_CHECKING:
    from mistcore.provider import Provider
    from mistcore.registry import Registry


@click.command()
@click.argument("provider", required=False, shell_complete=complete_providers)
@output_options
def providers(provider: str | None, output: str) -> None:
    """List the kinds of place there are, or say what one of them needs."""
    if provider is not None:
        _show(_registry()[provider], output)
        return
    if output in ("json", "jsonl"):
        rows = [_description(cls) for cls in _registry().usable().values()]
    else:
        rows = listing.recall() or _list_anew()
    columns = [Column("provider", fixed=True), Column("title"), Column("regions"), Column("retired", "NOTE")]
    print_rows(rows, columns, output)


@click.command()
@output_options
@click.pass_context
def plugins(context: click.Context, output: str) -> None:
    """List the provider plugins found, from which package, and what failed to load."""
    found = _registry().plugins()
    rows = [
        {"provider": info.id, "package": info.package, "target": info.target, "problem": info.problem} for info in found
    ]
    columns = [Column("provider", fixed=True), Column("package"), Column("target", wide=True), Column("problem")]
    print_rows(rows, columns, output, empty="No plugins found.")
    if output == "table":
        for info in found:
            if info.problem:
                click.echo(f"\n{visible(info.id)} ({visible(info.package)}): {visible(info.problem)}", err=True)
    broken = sum(1 for info in found if info.problem)
    end(context, failed=broken, total=max(len(found), broken + 1))


def _registry() -> Registry:
    """Return the registry without opening a store, which listing providers does not need."""
    from mistcore.hooks import Hooks
    from mistcore.registry import Registry

    registry = Registry()
    for more in Hooks().call("mistcore_providers"):
        for name, cls in more.items():
            registry.register(name, cls)
    return registry


def _list_anew() -> listing.Rows:
    from mistcore.hooks import any_installed

    registry = _registry()
    usable = registry.usable()
    rows = [
        {
            "provider": name,
            "title": cls.title,
            "regions": len(cls.regions) or "",
            "retired": "retired" if cls.retired else "",
        }
        for name, cls in usable.items()
    ]
    if any(info.problem for info in registry.plugins()) or any_installed():
        listing.forget()
    else:
        listing.remember(rows, usable.values())
    return rows


def _description(cls: type[Provider]) -> dict[str, Any]:
    """Return the whole declaration of a provider as plain values; its schema is what forms are made from."""
    return {
        "provider": cls.id,
        "title": cls.title,
        "retired": cls.retired,
        "regions": [region.to_dict() for region in cls.regions],
        "fields": [
            {
                "field": field.name,
                "label": field.label,
                "required": field.required,
                "secret": field.secret,
                "default": None if field.secret else field.default,
                "env": field.env,
                "choices": list(field.choices),
                "help": field.help,
            }
            for field in cls.fields()
        ],
        "operations": list(cls.operations()),
        "rights": cls.rights,
        "limits": list(cls.limits),
        "schema": cls.json_schema(),
    }


def _show(cls: type[Provider], output: str) -> None:
    described = _description(cls)
    if output in ("json", "jsonl"):
        print_record(described, output)
        return
    head = {"provider": cls.id, "title": cls.title, "retired": cls.retired}
    operations = [name.replace("_", " ") for name in cls.operations()]
    print_record({**{key: value for key, value in head.items() if value}, "operations": operations}, output)
    click.echo()
    fields = described["fields"]
    for field in fields:
        field["needed"] = ", ".join(word for word in ("required", "secret") if field[word])
    print_rows(
        fields,
        [
            Column("field", fixed=True),
            Column("needed", "", fixed=True),
            Column("default"),
            Column("help", wrapped=True),
        ],
        output,
    )
    if output != "csv":
        _say(cls, output)
    if cls.regions:
        click.echo()
        columns = [Column("id", "REGION", fixed=True), Column("location"), Column("aliases", "ALSO")]
        print_rows(described["regions"], columns, output)


def _say(cls: type[Provider], output: str) -> None:
    """Print which rights the credentials need, and what is known not to work."""
    for heading, text in (("RIGHTS", cls.rights), ("LIMITS", "\n".join(f"- {limit}" for limit in cls.limits))):
        if text:
            click.secho(f"\n{heading}", bold=output == "table")
            print_prose(text, output)
