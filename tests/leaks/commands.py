"""Every `mist` command that there is, found by walking the tree of them, with words for whatever it takes."""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import click
import pytest
from leaks.shown import of_error

from mistcore.cli.app import Context, cli, run

#: What stands for an argument; a new one has to be told here.
ARGUMENTS = {
    "backend": "{backend}",
    "machine": "web-1",
    "name": "web-2",
    "title": "another title",
    "provider": "{provider}",
    "search": "web",
    "shell": "bash",
    "fields": "region=x",
    "source": "{store}",
    "target": "{folder}/copy.json",
}
#: The same for options that not every text is good for.
OPTIONS = {"--backend": "{backend}", "--provider": "{provider}", "--into": "{folder}", "--state": "running"}
#: `add` has tests of its own.
APART = ("add",)


@attrs.frozen
class Ran:
    """What one run came to."""

    arguments: list[str]
    status: int
    out: str
    err: str

    def shown(self) -> Iterator[tuple[str, object]]:
        """Yield what it printed."""
        name = " ".join(word if len(word) < 40 else f"{word[:20]}…" for word in self.arguments)
        yield f"{name}: standard output", self.out
        yield f"{name}: standard error", self.err


def mist(*arguments: str, stdin: str = "") -> Ran:
    """Run `mist` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.StringIO(stdin))
        with warnings.catch_warnings():
            status = run(list(arguments))
    return Ran(list(arguments), status, out.getvalue(), err.getvalue())


def raised(*arguments: str) -> Iterator[tuple[str, object]]:
    """Run `mist` within a program, and yield what its error shows, the variables of our functions included."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            cli.main(list(arguments), prog_name="mist", standalone_mode=False)
        except Exception as error:
            yield from ((f"{arguments[2]}: {where}", thing) for where, thing in of_error(error))


def commands(store: Path) -> Iterator[tuple[list[str], click.Command]]:
    """Yield the words of every command, and the command."""
    context = click.Context(cli, obj=Context(str(store)))
    yield from _commands(cli, context, [])


def _commands(command: click.Command, context: click.Context, words: list[str]) -> Iterator[tuple[list[str], Any]]:
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None, f"{name} is listed, but not there"
            yield from _commands(inner, click.Context(inner, parent=context, info_name=name), [*words, name])
        if not command.invoke_without_command:
            return
    yield words, command


def lines(words: list[str], command: click.Command, all_options: bool, **names: str) -> Iterator[list[str]]:
    """Yield command lines of a command: the plainest; then, if asked for, each of its options, and wrong ones."""

    def filled(text: str) -> str:
        return text.format(**names)

    given = [filled(ARGUMENTS[p.name or ""]) for p in command.params if isinstance(p, click.Argument)]
    plainest = [*words, *given]
    if any(isinstance(p, click.Option) and p.name == "yes" for p in command.params):
        yield plainest
        plainest.append("--yes")
    yield plainest
    if not all_options:
        return
    for option in command.params:
        if not isinstance(option, click.Option):
            continue
        name = option.opts[0]
        if option.is_flag:
            yield [*plainest, name]
        elif isinstance(option.type, click.Choice) and name not in OPTIONS:
            yield from ([*plainest, name, str(choice)] for choice in option.type.choices[::2])
        else:
            number = not isinstance(option.type, (click.types.StringParamType, click.Path))
            yield [*plainest, name, filled(OPTIONS.get(name, "1" if number else "a=b"))]
    yield [*words, "--help"]
    yield [*words, "--no-such-option"]
    yield [*plainest, "too", "many", "words"]
    yield [*words[:-1], f"{words[-1]}x"]
