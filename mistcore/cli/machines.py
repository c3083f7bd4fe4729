"""`mist machines`: the machines of all backends, or of some."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from mistcore.backend import matches
from mistcore.cli.app import end, lines_of, manager_of
from mistcore.cli.completion import complete_backends
from mistcore.cli.options import TIMEOUT
from mistcore.cli.output import Column, json_line, print_rows, streaming_output_options, visible
from mistcore.cli.progress import walking
from mistcore.cli.secrets import unlock_for
from mistcore.models import MachineState

if TYPE_CHECKING:
    from mistcore.backend import Backend
    from mistcore.fleet import MachineWalk
    from mistcore.models import Machine

Row = dict[str, Any]

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
    type=TIMEOUT,
    default=60.0,
    help="Seconds for each backend. Default: 60.",
)
@click.option("--cached", is_flag=True, help="Ask nobody: show what each backend had when it was last listed.")
@click.option("--last-known", is_flag=True, help="Where a backend fails, show what it had when it was last listed.")
@streaming_output_options
@click.pass_context
def machines(
    context: click.Context,
    search: str | None,
    backends: tuple[str, ...],
    provider: str | None,
    states: tuple[str, ...],
    tags: tuple[str, ...],
    timeout: float,
    cached: bool,
    last_known: bool,
    output: str,
) -> None:
    """List machines, or those with SEARCH in their name, id or an address."""
    walk = manager_of(context).machines(
        search=search, backends=backends or None, provider=provider, timeout=timeout, partial=True
    )

    def wanted(machine: Machine) -> bool:
        return _wanted(machine, states, tags)

    old = _Old(lambda machine: wanted(machine) and (search is None or matches(machine, search)))
    if cached:
        _show(old.of(walk.backends), output, search, walk, as_of=True)
        end(context, failed=_say_never_listed(old.unknown), total=walk.total)
        return
    unlock_for(walk.backends)
    rows = (row_of(machine) for machine in walking(walk, output) if wanted(machine))
    shown = old.after(rows, walk) if last_known else rows
    _show(shown, output, search, walk, as_of=last_known)
    report_failures(walk)
    end(context, failed=len(walk.failures), total=walk.total)


def _show(rows: Iterator[Row], output: str, search: str | None, walk: MachineWalk, *, as_of: bool) -> None:
    """Print rows, in their order where they are not printed as they come. What came before Ctrl-C is printed, too."""
    found: list[Row] = []
    interrupted = False
    try:
        for row in rows:
            if output == "jsonl":
                click.echo(json_line(row))
            else:
                found.append(row)
    except KeyboardInterrupt:
        interrupted = True
        walk.close()
    if output != "jsonl":
        found.sort(key=lambda row: (row["backend"], row["name"], row["id"], row["backend_id"]))
        empty = _nothing(walk, search) if not interrupted else ""
        print_rows(found, _columns(found, output, as_of=as_of), output, empty=empty)
    if interrupted:
        report_failures(walk)
        click.echo(f"mist: {len(walk.seconds)} of {walk.total} backends had answered", err=True)
        raise KeyboardInterrupt


class _Old:
    """What backends had when they were last listed, as rows that say as of when."""

    def __init__(self, keep: Callable[[Machine], bool]) -> None:
        self._keep = keep
        self.unknown: list[Backend] = []

    def of(self, backends: Iterable[Backend]) -> Iterator[Row]:
        """Yield the rows of backends. Those of which nothing is known are in `unknown` afterwards."""
        for backend in backends:
            listing = backend.last_known()
            if listing is None:
                self.unknown.append(backend)
                continue
            for machine in filter(self._keep, listing.machines):
                yield {**row_of(machine), "as_of": listing.as_of.isoformat().replace("+00:00", "Z")}

    def after(self, rows: Iterator[Row], walk: MachineWalk) -> Iterator[Row]:
        """Yield the rows of a walk, and then the old ones of the backends that failed."""
        for row in rows:
            yield {**row, "as_of": None}
        yield from self.of(walk.failures)


def _say_never_listed(backends: Sequence[Backend]) -> int:
    if backends:
        names = ", ".join(visible(backend.title) for backend in backends[:3])
        more = f" and {len(backends) - 3} more" if len(backends) > 3 else ""
        click.echo(f"mist: never listed here: {names}{more}\n      `mist machines` asks them.", err=True)
    return len(backends)


def report_failures(walk: MachineWalk) -> None:
    """Say on standard error which backends failed, and why."""
    for backend, error in sorted(walk.failures.items(), key=lambda item: (item[0].title, item[0].id)):
        error.backend = error.backend or backend.title
        for number, line in enumerate(lines_of(error)):
            click.echo(("      " if number else "mist: ") + visible(line), err=True)


def row_of(machine: Machine) -> Row:
    """Return a machine and its backend as plain values."""
    backend = machine.backend
    return {
        **machine.to_dict(),
        "addresses": [*machine.public_ips, *machine.private_ips],
        "backend": backend.title if backend else "",
        "backend_id": backend.id if backend else "",
        "provider": backend.provider if backend else "",
    }


def _columns(found: Sequence[Row], output: str, *, as_of: bool) -> list[Column]:
    short = all(len(row["id"]) <= _LONGEST_ID for row in found)
    columns = [
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
    if as_of and output == "table" and any(row["as_of"] for row in found):
        for row in found:
            row["age"] = _age(row["as_of"])
        columns.append(Column("age", fixed=True))
    elif as_of:
        columns.append(Column("as_of", wide=True))
    return columns


def _age(as_of: str | None) -> str:
    """Return how long ago a time is, in words for people; nothing for what is new."""
    if as_of is None:
        return ""
    seconds = max(0.0, (datetime.now(UTC) - datetime.fromisoformat(as_of)).total_seconds())
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= (2 if unit == "days" else 1) * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


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
