"""Shell completion: `mist completion SHELL`, and what can be completed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem, get_completion_class

from mistcore.cli.app import manager_of
from mistcore.cli.output import visible
from mistcore.errors import MistError

__all__ = ["complete_backends", "complete_machines", "complete_providers", "complete_regions", "completion"]

_SHELLS = ("bash", "zsh", "fish")
#: Lines of click's scripts that would break a backend's title at its spaces or commas, and what they become.
_MENDED = {
    "bash": (
        ("""IFS=',' read type value <<< "$completion\"""", """IFS=',' read -r type value <<< "$completion\""""),
        (
            "COMPREPLY+=($value)",
            """COMPREPLY+=("$value"); [[ $value == *[!A-Za-z0-9_.:@%+=-]* ]] && compopt -o filenames""",
        ),
    ),
    "fish": (('string split "," $completion', 'string split --max 1 "," $completion'),),
}


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    r"""Print what makes SHELL complete commands, providers, backends and machines.

    \b
    bash: mist completion bash > ~/.local/share/bash-completion/completions/mist
    zsh:  mist completion zsh > "${fpath[1]}/_mist"
    fish: mist completion fish > ~/.config/fish/completions/mist.fish
    """
    from mistcore.cli.app import cli

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"no completion for {shell}")
    script = found(cli, {}, "mist", "_MIST_COMPLETE").source()
    for line, mended in _MENDED.get(shell, ()):
        script = script.replace(line, mended)
    click.echo(script)


def complete_providers(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the ids of providers that begin so."""
    from mistcore.registry import Registry

    return [CompletionItem(name) for name in Registry() if name.startswith(incomplete)]


def complete_backends(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the titles of backends that begin so, and ids once enough of one is typed."""
    try:
        backends = manager_of(context).backends()
    except MistError:
        return []
    text = incomplete.casefold()
    found = [_item(each.title, each.provider) for each in backends if each.title.casefold().startswith(text)]
    return _printable(found or [_item(each.id, each.title) for each in backends if each.id.startswith(incomplete)])


def complete_machines(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the names of machines that begin so, as far as listings are remembered; or ids, where no name does."""
    try:
        manager = manager_of(context)
        only = context.params.get("backend")
        backends = [manager.backend(only)] if only else [each for each in manager.backends() if each.enabled]
    except MistError:
        return []
    known = manager.last_known
    if known is None:
        return []
    names: dict[str, str] = {}
    ids: dict[str, str] = {}
    for backend in backends:
        for name, id, state in known.names(backend.id):
            if name.startswith(incomplete):
                names.setdefault(name, f"{state}, {backend.title}")
            elif id.startswith(incomplete):
                ids.setdefault(id, f"{name}, {backend.title}")
    return _printable(_item(value, said) for value, said in sorted((names or ids).items()))


def _item(value: str, said: str) -> CompletionItem:
    return CompletionItem(value, help=visible(said))


def _printable(items: Iterable[CompletionItem]) -> list[CompletionItem]:
    """Return those that are one line; shells take what is printed to be one item a line, and show it."""
    return [item for item in items if item.value.isprintable()]


def complete_regions(provider: str) -> Callable[..., list[CompletionItem]]:
    """Return the completion of a provider's regions."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from mistcore.registry import Registry

        return [
            CompletionItem(region.id, help=region.location)
            for region in Registry()[provider].regions
            if region.id.startswith(incomplete)
        ]

    return complete
