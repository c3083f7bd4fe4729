"""A hostile service seen on a real terminal, and `mist` with odd variables, odd streams and odd completions."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest
from fakes.odd import ORDERS, orders_in, without_style
from hypothesis import example, given, settings
from hypothesis import strategies as st

ALL = "|".join(ORDERS)
#: Two backends: one whose machines are called whatever a terminal obeys, and one that fails in such words.
SITE = """
import sys
sys.path.insert(0, {tests!r})
import importlib.metadata, mistcore.registry
entries = [importlib.metadata.EntryPoint("odd", "fakes.odd:Odd", "mistcore.providers"),
           importlib.metadata.EntryPoint("bad", "__main__:Bad", "mistcore.providers")]
mistcore.registry.entry_points = lambda group: entries
from fakes.odd import Odd, ORDERS
from mistcore import Account, Image, Machine, Rejected, Size
ALL = "|".join(ORDERS)
both = {{ALL: ALL}}
Odd.machines = [Machine(ALL, ALL, "running", [ALL], size=ALL, image=ALL, region=ALL, tags=both, extra=both)]
Odd.records = {{Size: [Size(ALL, ALL)], Image: [Image(ALL, ALL)]}}
Odd.account = Account(ALL, ALL, warnings=[ALL])
class Bad(Odd):
    title = "Bad Cloud"
    failure = Rejected(ALL, remedy=ALL)
from mistcore.cli import main
main()
"""
ROW = {"region": "", "enabled": True, "created_at": "2030-01-31T12:00:00Z", "credentials": {"endpoint": "x"}}
ROWS = [
    {"id": "4ukW6Juooqa8bTu2YgM4mE8RAsk7", "title": f"good {ALL}", "provider": "odd", **ROW},
    {"id": "5vkW6Juooqa8bTu2YgM4mE8RAsk8", "title": f"bad {ALL}", "provider": "bad", **ROW},
    {"id": f"id {ALL}", "title": "odd id", "provider": f"gone {ALL}", **ROW},
]


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    script = tmp_path / "mist.py"
    script.write_text(SITE.format(tests=str(Path(__file__).parents[1])))
    store = tmp_path / "s.json"
    store.write_text(json.dumps({"version": 1, "backends": ROWS}))
    store.chmod(0o600)
    return [sys.executable, str(script), "--store", str(store)]


def on_a_terminal(command: list[str], *words: str, answer: str = "", **environment: str) -> str:
    session = pexpect.spawn(
        command[0],
        [*command[1:], *words],
        dimensions=(24, 200),
        encoding="utf-8",
        timeout=100,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "200", **environment},
    )
    if answer:
        session.expect(re.escape("[y/N]: "))
        shown = session.before
        session.sendline(answer)
        session.expect(pexpect.EOF)
        shown += session.before
    else:
        session.expect(pexpect.EOF)
        shown = session.before
    assert session.wait() in (0, 1, 3), shown
    return shown


@pytest.mark.parametrize(
    "words",
    [
        ["machines"],
        ["machines", "--cached"],
        ["--debug", "machines"],
        ["machines", "--json"],
        ["check"],
        ["backends"],
        ["show", "4ukW"],
        ["show", "odd id"],
        ["sizes", "4ukW"],
        ["images", "4ukW", "--output", "csv"],
        ["create", "4ukW", ALL.replace("\0", "").encode("utf-8", "ignore").decode()],
        ["start", "web"],
    ],
    ids=lambda words: f"{words[0]} {words[-1][:9]!r}",
)
def test_nothing_that_a_service_says_is_obeyed(command, words: list[str]) -> None:
    shown = without_style(on_a_terminal(command, *words))
    assert orders_in(shown) == [], shown
    assert "\\x1b[2J" in shown or "\\u001b[2J" in shown or words == ["machines", "--cached"] or words[0] == "start"
    assert "fault of mist" not in shown


def test_a_question_shows_text_only(command) -> None:
    name = ALL.split("|")[0]
    shown = without_style(on_a_terminal(command, "destroy", name + "|" + ORDERS[1], "--backend", "4ukW", answer="n"))
    assert "for good?" in shown
    assert orders_in(shown) == []
    shown = without_style(on_a_terminal(command, "remove", "4ukW", answer="n"))
    assert "\\x1b[2J" in shown
    assert orders_in(shown) == []


def finished(command: list[str], *words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run([*command, *words], capture_output=True, check=False, timeout=250, **options)
    assert b"Traceback" not in done.stderr
    assert b"fault of mist" not in done.stderr, done.stderr
    return done


@pytest.mark.parametrize(
    "variables",
    [
        {"COLUMNS": "0"},
        {"COLUMNS": "-5"},
        {"COLUMNS": "many", "LINES": "\x1b"},
        {"COLUMNS": "1"},
        {"TERM": "\x1b[2J", "FORCE_COLOR": "1"},
        {"TERM": "", "NO_COLOR": ""},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1", "LC_ALL": "C"},
        {"MISTCORE_HOME": "\x1b[2J/\udcff"},
        {"MISTCORE_HOME": "/dev/null/x"},
        {"MISTCORE_HOME": "~nobody"},
        {"HOME": ""},
        {"HOME": "/nonexistent"},
        {"TZ": "\udcff"},
    ],
    ids=repr,
)
def test_variables_that_make_no_sense(command, tmp_path: Path, variables: dict[str, str]) -> None:
    environment = {**os.environ, **variables}
    for words in (
        ["machines", "--output", "table"],
        ["backends"],
        ["show", "4ukW", "--output", "table"],
        ["providers"],
    ):
        assert finished(command, *words, env=environment, cwd=tmp_path).returncode in (0, 3)


@pytest.mark.parametrize("name", ["MISTCORE_STORE", "MISTCORE_HOME"])
@pytest.mark.parametrize("value", ["\x1b[2J", "\udcff", "~nobody/x", "ftp://x", "/dev/null/x", "x" * 5000, "/dev/null"])
def test_places_that_are_none(command, tmp_path: Path, name: str, value: str) -> None:
    done = finished(command[:2], "backends", env={**os.environ, name: value}, cwd=tmp_path)
    assert done.returncode in (0, 1)
    assert orders_in(done.stderr.decode()) == []
    errors = [line for line in done.stderr.splitlines() if line.startswith(b"mist: ") and b"warning" not in line]
    assert len(errors) == done.returncode


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed(command, closed: str) -> None:
    for words in ("machines", "check", "add odd --endpoint x --no-check --token -", "remove 4ukW", "update 4ukW token"):
        line = f'exec "$0" "$1" "$2" "$3" {words} {closed}'
        assert finished(["sh", "-c", line, *command]).returncode in (0, 1, 2, 3)


WORDS = (
    "mist",
    "show",
    "start",
    "add",
    "machines",
    "--backend",
    "odd",
    "'",
    '"',
    "\\",
    "\n",
    " ",
    "-",
    "\x1b[2J",
    "good",
    "4ukW",
)
pieces = st.lists(st.sampled_from(WORDS), max_size=6)


@settings(max_examples=8)
@given(
    pieces.map(" ".join),
    st.sampled_from(["0", "1", "2", "-1", "99", "x", ""]),
    st.sampled_from(["bash", "zsh", "fish"]),
)
@example("mist show ", "2", "bash")
@example("mist show go", "2", "zsh")
@example("mist show '", "2", "bash")
def test_completion_of_anything(command, line: str, word: str, shell: str) -> None:
    done = finished(
        command[:2],
        env={
            **os.environ,
            "MISTCORE_STORE": command[-1],
            "_MIST_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": line if shell == "fish" else word,
        },
    )
    assert orders_in(done.stdout.decode(), "\n\t") == []
    assert orders_in(done.stderr.decode()) == []


def test_completion_that_no_shell_asks_for(command) -> None:
    for value in ("", "x", "bash", "bash_complete", "\x1b[2J_complete", "source_x"):
        assert finished(command[:2], env={**os.environ, "_MIST_COMPLETE": value}).returncode in (0, 1, 2)
