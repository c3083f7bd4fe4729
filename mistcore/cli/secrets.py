"""`mist secrets`: how the secrets of the store are kept."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mistcore.cli.output import output_options, print_record, visible
from mistcore.cli.prompts import interruptible

if TYPE_CHECKING:
    from mistcore.backend import Backend


def ask_passphrase(words: str, what: str) -> str:
    """Ask a person for the passphrase of a store; return "" where there is nobody to ask."""
    if not sys.stdin.isatty():
        return ""
    with interruptible():
        answer: str = click.prompt(f"{words} {visible(what)}".strip(), hide_input=True, err=True)
    return answer


def unlock_for(backends: Iterable[Backend]) -> None:
    """Find the key of the store before many are asked, so that a person is asked once, and before anything is shown."""
    from mistcore.vault import is_sealed

    for backend in backends:
        if any(map(is_sealed, backend.record.credentials.values())):
            backend.unlock()
            return


@click.group(invoke_without_command=True)
@output_options
@click.pass_context
def secrets(context: click.Context, output: str) -> None:
    """Show how the secrets of the store are kept, or keep them in another way.

    Each of plain, keyring and sealed rewrites all secrets at once, or none. A single secret can stay out of the store
    in any case: as a reference, env:NAME, file:PATH or cmd:COMMAND.
    """
    if context.invoked_subcommand is not None:
        return
    from mistcore.cli.app import manager_of
    from mistcore.credentials import is_reference
    from mistcore.vault import is_sealed

    manager = manager_of(context)
    values = [(backend, value) for backend in manager.backends() for value in backend.record.credentials.values()]
    record: dict[str, Any] = {
        "store": manager.store.location,
        "kept": manager.vault.kind,
        "key": manager.vault.key_source,
        "sealed": sum(is_sealed(value) for _, value in values),
        "references": sum(is_reference(value) for _, value in values),
        "exposure": manager.store.exposure(),
    }
    print_record(record, output)


@secrets.command()
@click.pass_context
def plain(context: click.Context) -> None:
    """Keep secrets as they are, in a file that only you can read."""
    _rewrite(context, "plain")


@secrets.command()
@click.pass_context
def keyring(context: click.Context) -> None:
    """Seal secrets with a key that the operating system's keyring holds."""
    _rewrite(context, "keyring")


@secrets.command()
@click.option("--key-file", metavar="PATH", help="Take the key from this file; it is made if it is not there.")
@click.option("--key-env", metavar="NAME", help="Take the key from this environment variable; see `mist secrets key`.")
@click.option("--passphrase", metavar="@FILE|-", help="Read the passphrase from a file or standard input.")
@click.pass_context
def sealed(context: click.Context, key_file: str | None, key_env: str | None, passphrase: str | None) -> None:
    """Seal secrets with a key made from a passphrase; by default, you are asked for a new one.

    Use it again to change the passphrase or the key. Afterwards each command that needs a secret asks for the
    passphrase once, or takes it from the environment variable MISTCORE_PASSPHRASE.
    """
    if sum(value is not None for value in (key_file, key_env, passphrase)) > 1:
        raise click.UsageError("give one of --key-file, --key-env and --passphrase")
    _rewrite(context, "sealed", key_file=key_file or "", key_env=key_env or "", given=passphrase)


def _rewrite(
    context: click.Context, kind: str, *, key_file: str = "", key_env: str = "", given: str | None = None
) -> None:
    from mistcore.cli.app import manager_of

    manager = manager_of(context)
    manager.vault.unlock()
    count = manager.vault.rewrite(
        kind,  # the passphrase is in no variable, which a traceback would show
        passphrase=_new_passphrase(given) if kind == "sealed" and not (key_file or key_env) else None,
        key_file=key_file,
        key_env=key_env,
    )
    key = manager.vault.key_source
    kept = (
        "kept as they are"
        if kind == "plain"
        else f"sealed with a key from {'a' if key != 'environment' else 'the'} {key}"
    )
    click.echo(f"Secrets in {visible(manager.store.location)} are {kept}: {count} rewritten")
    if kind == "plain":
        click.echo("Whoever can read the store can read them.", err=True)


def _new_passphrase(given: str | None) -> str:
    if given is None:
        if not sys.stdin.isatty():
            raise click.UsageError("nobody can be asked for a passphrase here: give --passphrase @FILE or -")
        with interruptible():
            answer: str = click.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True)
        return answer
    if given == "-":
        return sys.stdin.readline().rstrip("\r\n")
    if not given.startswith("@"):
        raise click.UsageError("a passphrase does not belong on a command line, where others see it: give @FILE or -")
    path = Path(given[1:]).expanduser()
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise click.BadParameter(f"cannot read {path}: {reason}", param_hint="--passphrase") from None


@secrets.command()
def key() -> None:
    """Print a new key, to be put into the variable that --key-env names."""
    from mistcore.vault_keys import new_key_text

    click.echo(new_key_text())


@secrets.command()
@click.pass_context
def repair(context: click.Context) -> None:
    """Take the rights of others on the store away: the file becomes yours alone."""
    from mistcore.cli.app import manager_of

    context.obj.warn = False
    store = manager_of(context).store
    before = store.exposure()
    store.repair()
    for sentence in store.exposure():
        click.echo(f"mist: still, {visible(sentence)}", err=True)
        context.exit(1)
    click.echo(f"{visible(store.location)} is yours alone{', as it was' if not before else ''}")
