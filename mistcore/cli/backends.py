"""Looking after backends: `mist backends`, `show`, `check`, `rename`, `update`, `enable`, `disable`, `remove`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from mistcore.cli.app import end, lines_of, manager_of
from mistcore.cli.completion import complete_backends
from mistcore.cli.fields import ask, read_value
from mistcore.cli.options import TIMEOUT
from mistcore.cli.output import (
    Column,
    json_line,
    output_options,
    print_record,
    print_rows,
    streaming_output_options,
    visible,
)
from mistcore.cli.progress import walking
from mistcore.cli.prompts import interruptible
from mistcore.cli.secrets import unlock_for
from mistcore.errors import InvalidFields
from mistcore.redaction import Quiet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mistcore.backend import Backend
    from mistcore.credentials import CredentialField
    from mistcore.fleet import CheckResult
    from mistcore.provider import Provider

backend_argument = click.argument("backend", shell_complete=complete_backends)


@click.command()
@click.argument("search", required=False, shell_complete=complete_backends)
@click.option("--provider", metavar="ID", help="Only those of this provider.")
@output_options
@click.pass_context
def backends(context: click.Context, search: str | None, provider: str | None, output: str) -> None:
    """List your backends, or those with SEARCH in their title or id."""
    found = manager_of(context).backends(search=search, provider=provider)
    rows: list[dict[str, Any]]
    if output in ("json", "jsonl"):
        rows = [backend.info for backend in found]
    else:
        rows = [_row(backend) for backend in found]
    columns = [Column("id", fixed=True), Column("title"), Column("provider"), Column("region"), Column("enabled")]
    print_rows(rows, columns, output, empty=_none_found(search))


def _row(backend: Backend) -> dict[str, Any]:
    record = backend.record
    return {
        "id": record.id,
        "title": record.title,
        "provider": record.provider,
        "region": record.region,
        "enabled": record.enabled,
    }


def _none_found(search: str | None) -> str:
    return f"No backend has {search!r} in its title or id." if search else "No backends yet. `mist add` adds one."


@click.command()
@backend_argument
@output_options
@click.pass_context
def show(context: click.Context, backend: str, output: str) -> None:
    """Show what is kept of a backend, without its secrets."""
    print_record(manager_of(context).backend(backend).info, output)


@click.command()
@click.argument("backend", nargs=-1, shell_complete=complete_backends)
@click.option("--timeout", type=TIMEOUT, default=60.0, help="Seconds for each. Default: 60.")
@streaming_output_options
@click.pass_context
def check(context: click.Context, backend: tuple[str, ...], timeout: float, output: str) -> None:
    """Check the credentials of backends against their services: those named, or all that are enabled."""
    walk = manager_of(context).check(backends=backend or None, timeout=timeout)
    unlock_for(walk.backends)
    results = []
    for result in walking(walk, output):
        results.append(result)
        if output == "jsonl":
            click.echo(json_line(_check_row(result, output)))
    results.sort(key=lambda result: (result.backend.title, result.backend.id))
    columns = [
        Column("backend"),
        Column("status", fixed=True),
        Column("account"),
        Column("seconds", fixed=True),
        Column("id", wide=True),
        Column("message", wide=True),
    ]
    if output != "jsonl":
        rows = [_check_row(result, output) for result in results]
        print_rows(rows, columns, output, empty="No backends to check. `mist add` adds one.")
    for result in results:
        for warning in result.account.warnings if result.account and output == "table" else ():
            click.echo(f"{visible(result.backend.title)}: warning: {visible(warning)}", err=True)
        if result.error and output != "json":
            for number, line in enumerate(lines_of(result.error)):
                click.echo(("      " if number else "mist: ") + visible(line), err=True)
    end(context, failed=len(walk.failures), total=walk.total)


def _check_row(result: CheckResult, output: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "backend": result.backend.title,
        "id": result.backend.id,
        "status": "failed" if result.error else "ok",
        "account": (result.account.name or result.account.id) if result.account else "",
        "seconds": round(result.seconds, 2),
        "message": lines_of(result.error)[0] if result.error else "",
    }
    if output in ("json", "jsonl"):
        row["account"] = result.account.to_dict() if result.account else None
        row["error"] = type(result.error).__name__ if result.error else None
        row["reason"] = result.error.reason if result.error else None
        row["remedy"] = result.error.remedy if result.error else None
    return row


@click.command()
@backend_argument
@click.argument("title")
@click.pass_context
def rename(context: click.Context, backend: str, title: str) -> None:
    """Give a backend another title."""
    found = manager_of(context).backend(backend)
    found.rename(title)
    click.echo(f"Renamed to {visible(found.title)}: {visible(found.id)}")


@click.command()
@backend_argument
@click.argument("fields", nargs=-1, required=True, metavar="FIELD[=VALUE]...")
@click.option("--check/--no-check", default=True, help="Check the new credentials first. Default: check.")
@click.pass_context
def update(context: click.Context, backend: str, fields: tuple[str, ...], check: bool) -> None:
    """Replace some of a backend's credentials.

    A FIELD without a value is asked for, secrets without echo. VALUE may be @FILE, - (standard input), or empty, which
    drops the field.
    """
    manager = manager_of(context)
    found = manager.backend(backend)
    cls = manager.registry[found.provider]
    known = {field.name: field for field in cls.fields()}
    values = Quiet(_assigned(assignment, known, cls) for assignment in fields)
    del fields
    manager.update_backend(found, values, check=check)
    click.echo(f"Updated {visible(found.title)}: {visible(found.id)}")


def _assigned(assignment: str, known: Mapping[str, CredentialField], cls: type[Provider]) -> tuple[str, Any]:
    name, has_value, value = assignment.partition("=")
    del assignment
    name = name.lstrip("-").replace("-", "_")
    if name in known and not has_value:
        return name, ask(known[name], cls) if sys.stdin.isatty() else _refuse(name)
    return name, (read_value(known[name], value) if name in known else value) or None


def _refuse(name: str) -> Any:
    raise InvalidFields({name: f"give it a value ({name}=VALUE); there is no terminal to ask at"})


@click.command()
@backend_argument
@click.pass_context
def enable(context: click.Context, backend: str) -> None:
    """Have a backend asked again when all are."""
    found = manager_of(context).backend(backend)
    found.enable()
    click.echo(f"Enabled {visible(found.title)}: {visible(found.id)}")


@click.command()
@backend_argument
@click.pass_context
def disable(context: click.Context, backend: str) -> None:
    """Leave a backend out when all are asked."""
    found = manager_of(context).backend(backend)
    found.disable()
    click.echo(f"Disabled {visible(found.title)}: {visible(found.id)}")


@click.command()
@backend_argument
@click.option("--yes", is_flag=True, help="Do not ask first.")
@click.pass_context
def remove(context: click.Context, backend: str, yes: bool) -> None:
    """Forget a backend and its credentials. Nothing happens to its machines."""
    found = manager_of(context).backend(backend)
    title = visible(found.title)
    confirm(f"Remove the backend {title} ({visible(found.id)}) and its credentials?", yes)
    found.delete()
    click.echo(f"Removed {title}: {visible(found.id)}")


def confirm(question: str, yes: bool) -> None:
    """Ask before something is destroyed; without a terminal, refuse unless --yes was given."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask at: give --yes to go ahead")
    with interruptible():
        agreed = click.confirm(question, err=True)
    if not agreed:
        raise click.ClickException("not confirmed, so nothing was done")
