"""`mist copy-store`: all backends from one store to another."""

from __future__ import annotations

from functools import partial

import click

from mistcore.cli.output import visible
from mistcore.cli.secrets import ask_passphrase


@click.command("copy-store")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
def copy_store(source: str, target: str) -> None:
    """Copy every backend of one store to another, whole or not at all.

    FROM and TO are paths or URLs (postgresql://…). Backends that TO has besides stay; FROM is only read. An empty TO
    keeps secrets as FROM does; another one in its own way, but never plain if they are sealed in FROM.
    """
    from mistcore.manager import BackendManager
    from mistcore.stores.copying import copy_store as copy

    ask = partial(ask_passphrase, "Passphrase of")
    with (
        BackendManager(source, passphrase=partial(ask, source)) as old,
        BackendManager(target, passphrase=partial(ask, target)) as new,
    ):
        count = copy(old.store, new.store, vaults=(old.vault, new.vault))
        total = len(old.store.read())
    here = "" if count == total else f", {total - count} were there already"
    click.echo(f"Copied {count} backends to {visible(new.store.location)}{here}")
