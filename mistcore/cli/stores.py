"""`mist copy-store`: all backends from one store to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mistcore.cli.output import visible
from mistcore.cli.secrets import ask_passphrase
from mistcore.redaction import Quiet

if TYPE_CHECKING:
    from mistcore.manager import BackendManager


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

    typed = Quiet(source=source, target=target)
    del source, target  # which may hold the password of a database
    with (
        BackendManager(typed["source"], passphrase=lambda: _ask(old)) as old,
        BackendManager(typed["target"], passphrase=lambda: _ask(new)) as new,
    ):
        count = copy(old.store, new.store, vaults=(old.vault, new.vault))
        total = len(old.store.read())
    here = "" if count == total else f", {total - count} were there already"
    click.echo(f"Copied {count} backends to {visible(new.store.location)}{here}")


def _ask(manager: BackendManager) -> str:
    return ask_passphrase("Passphrase of", manager.store.location)
