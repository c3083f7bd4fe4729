"""What a shell is told that asks how a command may go on: no mark, however the store keeps its secrets."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.shell_completion import CompletionItem
from leaks import services
from leaks.commands import ARGUMENTS, commands
from leaks.marks import accounts, looker, mark
from leaks.shown import Logged

from mistcore import BackendManager, Machine
from mistcore.cli.app import cli, manager_of, run

pytestmark = pytest.mark.usefixtures("quick")
PASSPHRASE = mark("passphrase")
#: How a store may be when a shell asks, and whether its backends can be told by then.
STATES = {"plain": True, "sealed": True, "sealed, key at hand": True, "damaged": False, "of no form": False}
SHELLS = ("bash", "zsh", "fish")


def told(shell: str, store: Path, words: list[str], incomplete: str = "") -> str:
    """Return all that a shell is told, which asks how these words go on."""
    line = ["mist", "--store", str(store), *words]
    asked = {
        "_MIST_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": shlex.join([*line, incomplete] if incomplete else line),
        "COMP_CWORD": incomplete if shell == "fish" else str(len(line)),
    }
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        for name, value in asked.items():
            patch.setenv(name, value)
        with contextlib.suppress(SystemExit):
            run([])
    return out.buffer.getvalue().decode()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A store of every kind of backend, in each of the states."""
    folder = tmp_path_factory.mktemp("stores")
    made = {state: folder / f"{number}.json" for number, state in enumerate(STATES)}
    for state in ("plain", "sealed"):
        with BackendManager(made[state], last_known=True) as manager:
            with manager.batch():
                for account in accounts(services.nobody()):
                    manager.add_backend(account.provider, account.title, check=False, **account.fields)
                manager.add_backend("linode", "asking", check=False, api_key=f"cmd:touch {folder / 'asked'}")
            for backend in manager.backends():
                backend.remember([Machine("i-1", "web-1", "running")])
            if state == "sealed":
                manager.vault.rewrite("sealed", passphrase=PASSPHRASE)
    text = made["plain"].read_text()
    made["damaged"].write_text(text[:-40])
    rows = json.loads(text)
    rows["backends"] = [list(row.values()) for row in rows["backends"]]
    made["of no form"].write_text(json.dumps(rows))
    made["sealed, key at hand"] = made["sealed"]
    for path in set(made.values()):
        path.chmod(0o600)
    return made


def asked(store: Path) -> Iterator[tuple[list[str], str]]:
    """Yield the words that may stand before the cursor, and the beginning of the word at it, for every command."""
    yield from (([], ""), ([], "--"), (["add", "linode", "--api-key", mark("typed"), "--title"], ""))
    names = {"store": str(store), "folder": str(store.parent), "backend": "linode-all", "provider": "linode"}
    for words, command in commands(store):
        yield words, "--"
        arguments = [each for each in command.params if isinstance(each, click.Argument)]
        given: list[str] = []
        for argument in arguments:
            yield [*words, *given], ""
            given.append(ARGUMENTS[argument.name or ""].format(**names))
        for option in command.params:
            if isinstance(option, click.Option) and not option.is_flag:
                yield [*words, *given, option.opts[0]], ""


@pytest.mark.parametrize("state", STATES)
def test_no_mark_is_told(
    state: str, stores: dict[str, Path], logged: Logged, nothing_leaks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if state == "sealed, key at hand":
        monkeypatch.setenv("MISTCORE_PASSPHRASE", PASSPHRASE)
    before = stores[state].read_bytes()
    shown = []
    for number, (words, incomplete) in enumerate(asked(stores[state])):
        text = told(SHELLS[number % 3], stores[state], words, incomplete)
        shown.append((f"{' '.join(words)} {incomplete}: what is told", text))
    nothing_leaks([*shown, *logged.take()])
    everything = "".join(text for _, text in shown)
    assert ("linode-all" in everything, "web-1" in everything) == (STATES[state], STATES[state])
    assert "--backend" in everything
    assert stores[state].read_bytes() == before
    assert not (stores[state].parent / "asked").exists(), "no reference is resolved"


def test_the_twin_a_completion_that_tells_secrets_is_found(stores: dict[str, Path]) -> None:
    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        values = [value for each in manager_of(context).backends() for value in each.record.credentials.values()]
        return [CompletionItem(incomplete, help=str(values))]

    cli.add_command(click.Command("leaky", params=[click.Argument(["what"], shell_complete=complete)]))
    try:
        found = {state: looker().forms(told("zsh", stores[state], ["leaky"], "x")) != [] for state in STATES}
    finally:
        del cli.commands["leaky"]
    assert found == {state: state == "plain" for state in STATES}
