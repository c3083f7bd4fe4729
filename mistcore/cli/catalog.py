"""What a machine can be created from: `mist sizes`, `images`, `locations`, `networks`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mistcore.cli.app import manager_of
from mistcore.cli.backends import backend_argument
from mistcore.cli.output import Column, output_options, print_rows


def _listing(kind: str, summary: str, columns: Sequence[Column]) -> click.Command:
    @click.command(kind, help=summary)
    @backend_argument
    @click.argument("search", required=False)
    @output_options
    @click.pass_context
    def command(context: click.Context, backend: str, search: str | None, output: str) -> None:
        found = getattr(manager_of(context).backend(backend), kind)(search=search or "")
        print_rows([item.to_dict() for item in found], columns, output, empty=f"No {kind}.")

    return command


_ID, _NAME = Column("id"), Column("name")
sizes = _listing(
    "sizes",
    "List the sizes that a machine can be created with (memory in MiB, disk in GiB).",
    [
        _ID,
        _NAME,
        Column("cpus"),
        Column("memory"),
        Column("disk"),
        Column("architecture", wide=True),
        Column("price_hour", wide=True),
        Column("price_month", "MONTH"),
        Column("currency", ""),
    ],
)
images = _listing(
    "images",
    "List the images that a machine can be created from.",
    [_ID, _NAME, Column("os"), Column("architecture", "ARCH"), Column("created_at", wide=True)],
)
locations = _listing("locations", "List the places where a machine can be created.", [_ID, _NAME, Column("country")])
networks = _listing("networks", "List the networks that a machine can be attached to.", [_ID, _NAME, Column("cidr")])
