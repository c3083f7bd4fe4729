"""`mist add PROVIDER`: its options come from the provider's declaration."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from mistcore.cli.app import manager_of
from mistcore.cli.completion import complete_regions
from mistcore.cli.fields import ask_for_missing, from_environment, given, option_for, read_value
from mistcore.cli.output import print_record, visible
from mistcore.redaction import Quiet

if TYPE_CHECKING:
    from mistcore.provider import Provider


class _Add(click.Group):
    """One subcommand for each provider, made when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(manager_of(ctx).registry)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        registry = manager_of(ctx).registry
        return _command(registry[cmd_name]) if cmd_name in registry else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        _ = manager_of(ctx).registry[args[0]]
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Providers"):
            formatter.write_dl([(name, cls.title) for name, cls in manager_of(ctx).registry.usable().items()])


@click.command(cls=_Add, subcommand_metavar="PROVIDER [OPTIONS]", no_args_is_help=True)
def add() -> None:
    """Add a backend: one account, host or server of a provider.

    The credentials are checked against the service before anything is kept. `mist add PROVIDER --help` lists what a
    provider takes. A value may be @FILE (what the file holds), - (standard input), or a reference that is resolved
    each time it is used: env:NAME, file:PATH or cmd:COMMAND.
    """


def _command(cls: type[Provider]) -> click.Command:
    def run(context: click.Context, **options: Any) -> None:
        options = Quiet(options)
        _add(context, cls, **options)

    parameters: list[click.Parameter] = [option_for(field) for field in cls.fields()]
    for parameter in parameters:
        if parameter.name == "region" and cls.regions:
            parameter._custom_shell_complete = complete_regions(cls.id)
    parameters += [
        click.Option(["--title"], metavar="TITLE", help="What to call it. Default: made from the address or provider."),
        click.Option(["--check/--no-check"], default=True, help="Check the credentials first. Default: check."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the new backend as JSON."),
    ]
    text = f"Add a backend of {cls.title}."
    if cls.retired:
        text += f"\n\nThis service has closed: {cls.retired}"
    return click.Command(cls.id, params=parameters, callback=click.pass_context(run), help=text)


def _add(
    context: click.Context, cls: type[Provider], *, title: str | None, check: bool, as_json: bool, **options: Any
) -> None:
    options = Quiet(options)
    manager = manager_of(context)
    fields = {field.name: field for field in cls.fields()}
    values = Quiet((name, read_value(fields[name], value)) for name, value in given(options).items())
    from_environment(fields.values(), values)
    if sys.stdin.isatty() and "-" not in options.values():
        ask_for_missing(cls, values)
    backend = manager.add_backend(cls.id, title, check=check, **values)
    if as_json:
        print_record(backend.info, "json")
    else:
        checked = "checked" if check else "not checked"
        click.echo(f"Added {visible(backend.title)} ({checked}): {backend.id}")
