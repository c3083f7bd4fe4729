"""`mist providers` and `mist plugins`: which kinds of place there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mistcore.cli.app import end
from mistcore.cli.completion import complete_providers
from mistcore.cli.output import Column, output_options, print_record, print_rows

if TYPE_CHECKING:
    from mistcore.provider import Provider
    from mistcore.registry import Registry


@click.command()
@click.argument("provider", required=False, shell_complete=complete_providers)
@output_options
def providers(provider: str | None, output: str) -> None:
    """List the kinds of place there are, or say what one of them needs."""
    registry = _registry()
    if provider is not None:
        _show(registry[provider], output)
        return
    usable = registry.usable()
    rows: list[dict[str, Any]] = [
        {
            "provider": name,
            "title": cls.title,
            "regions": [{"id": region.id, "location": region.location} for region in cls.regions],
            "retired": cls.retired,
            "schema": cls.json_schema() if output in ("json", "jsonl") else None,
        }
        for name, cls in usable.items()
    ]
    if output not in ("json", "jsonl"):
        for row in rows:
            row["regions"] = len(row["regions"]) or ""
            row["retired"] = "retired" if row["retired"] else ""
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
                click.echo(f"\n{info.id} ({info.package}): {info.problem}", err=True)
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


def _show(cls: type[Provider], output: str) -> None:
    fields = [
        {
            "field": field.name,
            "label": field.label,
            "required": field.required,
            "secret": field.secret,
            "default": field.default,
            "env": field.env,
            "choices": list(field.choices),
            "help": field.help,
        }
        for field in cls.fields()
    ]
    record: dict[str, Any] = {"provider": cls.id, "title": cls.title}
    if cls.retired:
        record["retired"] = cls.retired
    if output in ("json", "jsonl"):
        regions = [region.to_dict() for region in cls.regions]
        print_record(
            {
                **record,
                "regions": regions,
                "fields": fields,
                "operations": list(cls.operations()),
                "schema": cls.json_schema(),
            },
            output,
        )
        return
    print_record({**record, "operations": [name.replace("_", " ") for name in cls.operations()]}, output)
    click.echo()
    for field in fields:
        words = [word for word in ("required", "secret") if field[word]]
        field["needed"] = ", ".join(words)
    columns = [
        Column("field", fixed=True),
        Column("needed", "", fixed=True),
        Column("default"),
        Column("help", wrapped=True),
    ]
    print_rows(fields, columns, output)
    if cls.regions:
        click.echo()
        regions = [{"id": r.id, "location": r.location, "aliases": list(r.aliases)} for r in cls.regions]
        print_rows(regions, [Column("id", "REGION", fixed=True), Column("location"), Column("aliases", "ALSO")], output)
