"""`mist machines`: the machines of all backends, or of some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from mistcore.cli.app import end, lines_of, manager_of
from mistcore.cli.completion import complete_backends
from mistcore.cli.output import Column, json_line, output_options, print_rows, visible
from mistcore.cli.progress import walking
from mistcore.models import MachineState

if TYPE_CHECKING:
    from mistcore.fleet import MachineWalk
    from mistcore.models import Machine

_LONGEST_ID = 20


@click.command()
@click.argument("search", required=False)
@click.option(
    "--backend",
    "backends",
    multiple=True,
    shell_complete=complete_backends,
    help="Only of this backend; may be repeated.",
)
@click.option("--provider", metavar="ID", help="Only of backends of this provider.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([str(state) for state in MachineState]),
    help="Only in this state; may be repeated.",
)
@click.option("--tag", "tags", multiple=True, metavar="KEY[=VALUE]", help="Only with this tag; may be repeated.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    help="Seconds for each backend. Default: 60.",
)
@output_options
@click.pass_context
def machines(
    context: click.Context,
    search: str | None,
    backends: tuple[str, ...],
    provider: str | None,
    states: tuple[str, ...],
    tags: tuple[str, ...],
    timeout: float,
    output: str,
) -> None:
    """List machines, or those with SEARCH in their name, id or an address."""
    walk = manager_of(context).machines(
        search=search, backends=backends or None, provider=provider, timeout=timeout, partial=True
    )
    chosen = (m for m in walking(walk, output) if _wanted(m, states, tags))
    if output == "jsonl":
        for machine in chosen:
            click.echo(json_line(row_of(machine)))
    else:
        found = sorted(chosen, key=lambda m: (m.backend.title if m.backend else "", m.name, m.id))
        print_rows([row_of(m) for m in found], _columns(found), output, empty=_nothing(walk, search))
    report_failures(walk)
    end(context, failed=len(walk.failures), total=walk.total)


def report_failures(walk: MachineWalk) -> None:
    """Say on standard error which backends failed, and why."""
    for backend, error in sorted(walk.failures.items(), key=lambda item: (item[0].title, item[0].id)):
        error.backend = error.backend or backend.title
        for number, line in enumerate(lines_of(error)):
            click.echo(("      " if number else "mist: ") + visible(line), err=True)


def row_of(machine: Machine) -> dict[str, Any]:
    """Return a machine and its backend as plain values."""
    backend = machine.backend
    return {
        **machine.to_dict(),
        "addresses": [*machine.public_ips, *machine.private_ips],
        "backend": backend.title if backend else "",
        "backend_id": backend.id if backend else "",
        "provider": backend.provider if backend else "",
    }


def _columns(found: Sequence[Machine]) -> list[Column]:
    short = all(len(machine.id) <= _LONGEST_ID for machine in found)
    return [
        Column("name"),
        Column("state", fixed=True),
        Column("addresses"),
        Column("backend"),
        Column("id", fixed=short, wide=not short),
        Column("size", wide=True),
        Column("image", wide=True),
        Column("region", wide=True),
        Column("created_at", wide=True),
        Column("backend_id", wide=True),
    ]


def _wanted(machine: Machine, states: Sequence[str], tags: Sequence[str]) -> bool:
    if states and machine.state not in states:
        return False
    for tag in tags:
        key, has_value, value = tag.partition("=")
        if key not in machine.tags or (has_value and machine.tags[key] != value):
            return False
    return True


def _nothing(walk: MachineWalk, search: str | None) -> str:
    if not walk.total:
        return "No backends to ask. `mist add` adds one."
    return f"No machine has {search!r} in its name, id or addresses." if search else "No machines."
