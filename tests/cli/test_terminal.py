"""`mist` in a real terminal of 80 columns: prompts, tables, Ctrl-C, closed pipes, completion."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest
from fakes.acme import GOOD

SITE = """
import sys
sys.path.insert(0, {tests!r})
import importlib.metadata, mistcore.registry
entry = importlib.metadata.EntryPoint("acme", "fakes.acme:Acme", "mistcore.providers")
mistcore.registry.entry_points = lambda group: [entry]
from mistcore.cli import main
main()
"""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    script = tmp_path / "mist.py"
    script.write_text(SITE.format(tests=str(Path(__file__).parents[1])))
    return [sys.executable, str(script), "--store", str(tmp_path / "s.json")]


@pytest.fixture
def terminal(command: list[str]):
    def spawn(*arguments: str) -> pexpect.spawn:
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"}
        return pexpect.spawn(
            command[0], [*command[1:], *arguments], dimensions=(24, 80), encoding="utf-8", timeout=90, env=environment
        )

    return spawn


def run(command: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def plain(text: str) -> str:
    import re

    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def test_missing_values_are_asked_for_and_secrets_are_not_echoed(terminal) -> None:
    session = terminal("add", "acme", "--title", "asked")
    session.expect("fra \\(Frankfurt\\), sin \\(\\)|fra \\(Frankfurt\\), sin \\(Singapore\\)")
    session.expect("Region:")
    session.sendline("fra")
    session.expect("Console, API, New token.")
    session.expect("API token: ")
    session.sendline(GOOD)
    session.expect("Added asked \\(checked\\)")
    shown = session.before
    session.expect(pexpect.EOF)
    assert GOOD not in shown
    assert session.wait() == 0


def test_a_table_fits_80_columns_and_wraps_no_id(terminal, command) -> None:
    long = "a title that is so long that it would never fit into one line of a terminal " * 2
    run(command, "add", "acme", "--title", long.strip(), "--region", "fra", "--token", GOOD)
    for arguments in (["backends"], ["machines"], ["check"], ["providers"], ["providers", "acme"]):
        session = terminal(*arguments)
        session.expect(pexpect.EOF)
        lines = plain(session.before).replace("\r", "").splitlines()
        assert all(len(line) <= 80 for line in lines), lines
    session = terminal("backends")
    session.expect(pexpect.EOF)
    assert run(command, "backends", "--output", "jsonl").stdout[8:36] in plain(session.before)


def test_a_long_title_costs_no_other_column(terminal, command) -> None:
    run(command, "add", "acme", "--title", "long " * 50, "--region", "fra", "--token", GOOD)
    run(command, "add", "acme", "--title", "机器" * 30, "--region", "sin", "--token", GOOD)
    session = terminal("backends")
    session.expect(pexpect.EOF)
    head, first, second = plain(session.before).replace("\r", "").splitlines()
    assert head.split() == ["ID", "TITLE", "PROVIDER", "REGION", "ENABLED"]
    assert first.split()[-4:] == ["lo…", "acme", "fra", "yes"]
    assert second.split()[2:] == ["acme", "sin", "yes"]


def test_an_answer_that_cannot_be_is_asked_for_again(terminal, command) -> None:
    session = terminal("add", "acme", "--title", "asked", "--no-check")
    session.expect("Region:")
    session.sendline("frankfort")
    session.expect("there is no region 'frankfort'")
    session.expect("Region:")
    session.sendline("fra")
    session.expect("API token: ")
    session.sendline(GOOD)
    session.expect("Added asked")
    session.expect(pexpect.EOF)
    session = terminal("update", "asked", "port", "--no-check")
    session.expect("Port:")
    session.sendline("many")
    session.expect("must be a whole number")
    session.expect("Port:")
    session.sendline("8443")
    session.expect("Updated asked")


def test_ctrl_c_at_a_prompt_leaves_a_clean_line(terminal) -> None:
    session = terminal("add", "acme")
    session.expect("Region:")
    session.sendintr()
    session.expect(pexpect.EOF)
    assert plain(session.before).splitlines()[-1] == "mist: interrupted"
    assert session.wait() == 130


def test_ctrl_c_ends_at_once(terminal, command) -> None:
    run(command, "add", "acme", "--title", "stuck", "--region", "fra", "--token", "hangs", "--no-check")
    session = terminal("machines")
    session.expect("waiting for stuck")
    session.sendintr()
    session.expect("interrupted")
    session.expect(pexpect.EOF)
    assert session.wait() == 130


def test_ctrl_c_prints_the_machines_that_have_come(terminal, command) -> None:
    run(command, "add", "acme", "--title", "good", "--region", "fra", "--token", GOOD)
    run(command, "add", "acme", "--title", "stuck", "--region", "fra", "--token", "hangs", "--no-check")
    session = terminal("machines")
    session.expect("1 of 2 answered, waiting for stuck")
    session.sendintr()
    session.expect("web-1")
    session.expect("1 of 2 backends had answered")
    session.expect("interrupted")
    session.expect(pexpect.EOF)
    assert session.wait() == 130


def test_ctrl_c_in_a_pipe_keeps_what_was_written(command) -> None:
    run(command, "add", "acme", "--title", "good", "--region", "fra", "--token", GOOD)
    run(command, "add", "acme", "--title", "stuck", "--region", "fra", "--token", "hangs", "--no-check")
    process = subprocess.Popen(
        [*command, "machines", "--output", "jsonl"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate()
    assert [json.loads(line)["backend"] for line in lines] == ["good"] * 3
    assert rest == ""
    assert "1 of 2 backends had answered" in errors
    assert process.returncode == 130


def test_removing_asks(terminal, command) -> None:
    run(command, "add", "acme", "--title", "prod", "--region", "fra", "--token", GOOD)
    session = terminal("remove", "prod")
    session.expect("Remove the backend prod .*\\[y/N\\]:")
    session.sendline("n")
    session.expect("not confirmed, so nothing was done")
    session.expect(pexpect.EOF)
    assert session.wait() == 1
    assert "prod" in run(command, "backends").stdout
    session = terminal("remove", "prod")
    session.expect("\\[y/N\\]:")
    session.sendline("y")
    session.expect("Removed prod")


def test_a_reader_that_has_seen_enough_is_no_error(command) -> None:
    process = subprocess.Popen([*command, "providers", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.wait(100)
    process.stderr.close()
    assert process.returncode in (0, 1, -signal.SIGPIPE)


def test_a_closed_pipe_fails_no_script(command) -> None:
    process = subprocess.Popen([*command, "backends"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(100) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", [["backends"], ["--version"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_no_fault_of_mist(command, arguments: list[str], unbuffered: str) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*command, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environment
        )
    assert (done.returncode, done.stderr) == (1, "mist: the output cannot be written: No space left on device\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(command, shell: str) -> None:
    if shell == "bash" and run(["bash", "--version"]).returncode:
        pytest.skip("no bash")
    result = run(command, "completion", shell)
    assert result.returncode == 0, result.stderr
    assert "_MIST_COMPLETE" in result.stdout


def test_backends_are_completed_by_title(command) -> None:
    for title in ("prod one", "prod two", "test"):
        run(command, "add", "acme", "--title", title, "--region", "fra", "--token", GOOD)
    environment = {
        **os.environ,
        "_MIST_COMPLETE": "bash_complete",
        "COMP_WORDS": f"mist --store {command[-1]} show prod",
        "COMP_CWORD": "4",
    }
    result = subprocess.run(command[:2], env=environment, capture_output=True, text=True, check=False)
    assert result.stdout.splitlines() == ["plain,prod one", "plain,prod two"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [("show pro", r"show prod\ one\,\ old "), ("show 'pro", "show 'prod one, old' "), ("sho", "show ")],
)
def test_bash_completes_a_title_as_one_word(command, tmp_path: Path, typed: str, completed: str) -> None:
    run(command, "add", "acme", "--title", "prod one, old", "--region", "fra", "--token", GOOD)
    (tmp_path / "complete").write_text(run(command, "completion", "bash").stdout)
    program = tmp_path / "bin" / "mist"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nexport MISTCORE_STORE='{command[-1]}'\nexec '{command[0]}' '{command[1]}' \"$@\"\n")
    program.chmod(0o755)
    environment = {**os.environ, "TERM": "dumb", "PATH": f"{program.parent}:{os.environ['PATH']}", "PS1": "> "}
    session = pexpect.spawn(
        "bash", ["--norc", "-i"], dimensions=(24, 80), encoding="utf-8", timeout=90, env=environment
    )
    session.sendline(f"source {tmp_path}/complete; echo rea''dy")
    session.expect("ready")
    session.send(f"mist {typed}\t")
    session.expect_exact(completed)
    session.close(force=True)


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
def test_fish_completes_a_title_as_one_word(command, tmp_path: Path) -> None:
    run(command, "add", "acme", "--title", "prod one, old", "--region", "fra", "--token", GOOD)
    program = tmp_path / "bin" / "mist"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nexport MISTCORE_STORE='{command[-1]}'\nexec '{command[0]}' '{command[1]}' \"$@\"\n")
    program.chmod(0o755)
    (tmp_path / "complete").write_text(run(command, "completion", "fish").stdout)
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    asked = f"source {tmp_path}/complete; complete --do-complete 'mist show pro'"
    found = subprocess.run(["fish", "-c", asked], capture_output=True, text=True, check=False, env=environment)
    assert found.stdout.splitlines() == ["prod one, old\tacme"]


def test_a_passphrase_is_asked_for_once_without_echo(terminal, command) -> None:
    for title in ("one", "two"):
        run(command, "add", "acme", "--title", title, "--region", "fra", "--token", GOOD)
    session = terminal("secrets", "sealed")
    for _ in range(2):  # the second time is to be sure
        session.expect(r"(New passphrase|Repeat for confirmation): ")
        session.sendline("correct horse")
    session.expect("sealed with a key from a passphrase: 2 rewritten")
    session.expect(pexpect.EOF)
    for passphrase, words in (("correct horse", "me@acme.example"), ("wrong horse", "not the passphrase")):
        session = terminal("check")
        session.expect("Passphrase: ")
        session.sendline(passphrase)
        session.expect(words)
        session.expect(pexpect.EOF)
        assert passphrase not in session.before
        assert session.wait() == (passphrase == "wrong horse")
    session = terminal("backends")  # which needs no secret
    session.expect("two")
    session.expect(pexpect.EOF)
    assert "Passphrase" not in session.before
