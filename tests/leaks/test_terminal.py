"""`mist` at a real terminal, told secrets where it asks for them: none is echoed, shown by an error, or left behind."""

from __future__ import annotations

import base64
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pexpect
import pytest
from leaks import services
from leaks.asked import Found
from leaks.look import MARK
from leaks.marks import accounts, looker, mark
from leaks.shown import with_marks

import mistcore
from mistcore import BackendManager

#: What a person types to end a prompt, or the program.
ENTER, INTERRUPT, END = "\n", "\x03", "\x04"
TESTS = Path(__file__).parents[1]
Answers = tuple[tuple[str, str], ...]


@attrs.frozen
class Session:
    """What came of a run: its status, what stood on the screen, and what its error showed."""

    status: int
    screen: str
    error: Found


@pytest.fixture
def mist(tmp_path: Path) -> Callable[..., Session]:
    """Run `mist` at a terminal, and answer its prompts: pairs of a prompt and what is typed then."""
    paths = os.pathsep.join([str(TESTS), str(Path(mistcore.__file__).parents[1])])

    def run(*arguments: str, answers: Answers = ()) -> Session:
        file = tmp_path / "error.json"
        file.unlink(missing_ok=True)
        screen = io.StringIO()
        program = [str(TESTS / "leaks" / "at_a_terminal.py"), str(file), "--store", str(tmp_path / "kept" / "s.json")]
        environment = {**os.environ, "PYTHONPATH": paths, "TERM": "xterm", "COLUMNS": "80"}
        session = pexpect.spawn(
            sys.executable,
            [*program, "--debug", *arguments],
            dimensions=(24, 80),
            encoding="utf-8",
            timeout=120,
            env=environment,
        )
        session.delaybeforesend = None
        session.logfile_read = screen
        for prompt, answer in answers:
            # The blank behind it comes when nothing is echoed any more.
            session.expect_exact(f"{prompt}: ")
            session.send(answer)
        session.expect(pexpect.EOF)
        status = session.wait()  # `close` would end what is slow to end
        shown = json.loads(file.read_text()) if file.exists() else []
        error = [(where, base64.b64decode(thing)) for where, thing in shown]
        file.unlink(missing_ok=True)
        return Session(status, screen.getvalue(), error)

    return run


API_KEY, PASSPHRASE, ANOTHER, WRONG = (mark(what) for what in ("typed", "passphrase", "another", "wrong"))
KEPT = ("linode-all", "ec2-key")
#: What is asked for, and what is typed there.
ASKED = {
    "nephoscale": (("User name", "somebody"), ("Password", API_KEY)),
    "digitalocean": (("API token", API_KEY),),
    "rackspace": (("Region", "DFW"), ("User name", "somebody"), ("API key", API_KEY)),
}
#: How a person may stop answering, half a secret typed: prompts and what is typed there.
ENDS: dict[str, tuple[tuple[str, ...], Answers]] = {
    "Ctrl-C in a secret": (("add", "linode"), (("Personal access token", API_KEY + INTERRUPT),)),
    "Ctrl-C in the second": (
        ("update", "ec2-key", "api_secret", "session_token"),
        (("Secret access key", API_KEY + ENTER), ("Session token", API_KEY + INTERRUPT)),
    ),
    "end of input in the second": (
        ("update", "ec2-key", "api_secret", "session_token"),
        (("Secret access key", API_KEY + ENTER), ("Session token", END)),
    ),
    "a file that is not there": (("add", "linode"), (("Personal access token", f"@{API_KEY}{ENTER}"),)),
    "no answer, then one that is refused": (
        ("update", "ec2-key", "api_secret", "region=nowhere"),
        (("Secret access key", ENTER), ("Secret access key", f"{API_KEY} and blanks{ENTER}")),
    ),
    "nobody listens": (("update", "linode-all", "api_key"), (("Personal access token", API_KEY + ENTER),)),
}


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A store of a few backends, all that is in a folder of its own."""
    folder = tmp_path / "kept"
    with BackendManager(folder / "s.json") as manager:
        for account in accounts(services.nobody()):
            if account.title in KEPT:
                manager.add_backend(account.provider, account.title, check=False, **account.fields)
    return folder


@pytest.mark.parametrize("how", ENDS)
def test_who_stops_answering(how: str, mist: Callable[..., Session], kept: Path, nothing_leaks: Any) -> None:
    before = (kept / "s.json").read_bytes()
    arguments, answers = ENDS[how]
    session = mist(*arguments, answers=answers)
    nothing_leaks([("screen", session.screen), *session.error])
    assert session.error
    assert session.status in (1, 2, 130)
    assert (kept / "s.json").read_bytes() == before
    assert with_marks(kept.parent) == ["kept/s.json"]


@pytest.mark.parametrize("provider", ASKED)
def test_who_answers(provider: str, mist: Callable[..., Session], kept: Path, nothing_leaks: Any) -> None:
    answers = [(prompt, typed + ENTER) for prompt, typed in ASKED[provider]]
    session = mist("add", provider, "--no-check", answers=answers)
    nothing_leaks([("screen", session.screen), *session.error])
    assert session.status == 0, session.screen
    assert all(typed in session.screen for prompt, typed in ASKED[provider] if typed != API_KEY), (
        "what is echoed is seen"
    )
    with BackendManager(kept / "s.json") as manager:
        (backend,) = [each for each in manager.backends() if each.provider == provider]
        assert API_KEY in backend.record.credentials.values()


def test_a_store_is_sealed_and_opened(mist: Callable[..., Session], kept: Path, nothing_leaks: Any) -> None:
    new, again, old = "New passphrase", "Repeat for confirmation", "Passphrase"
    update = ("update", "linode-all", "api_key", "--no-check")
    sealed = ("secrets", "sealed")
    runs: list[tuple[tuple[str, ...], Answers, int]] = [
        (sealed, ((new, PASSPHRASE + INTERRUPT),), 130),
        (sealed, ((new, PASSPHRASE + ENTER), (again, WRONG + ENTER), (new, PASSPHRASE + ENTER), (again, END)), 130),
        (sealed, ((new, MARK[:7] + ENTER), (again, MARK[:7] + ENTER)), 2),
        (sealed, ((new, PASSPHRASE + ENTER), (again, PASSPHRASE + ENTER)), 0),
        (update, (("Personal access token", API_KEY + ENTER), (old, WRONG + ENTER)), 1),
        (update, (("Personal access token", API_KEY + ENTER), (old, PASSPHRASE + INTERRUPT)), 130),
        (sealed, ((old, PASSPHRASE + ENTER), (new, ANOTHER + ENTER), (again, ANOTHER + ENTER)), 0),
        (("check",), ((old, PASSPHRASE + ENTER),), 1),
        (("secrets", "plain"), ((old, ANOTHER + ENTER),), 0),
    ]
    for number, (arguments, answers, status) in enumerate(runs):
        session = mist(*arguments, answers=answers)
        nothing_leaks([("screen", session.screen), *session.error], MARK[:7])
        assert session.status == status, session.screen
        assert with_marks(kept.parent) == ([] if 3 <= number < 8 else ["kept/s.json"])


def test_the_twin_what_is_echoed_is_found(mist: Callable[..., Session], kept: Path) -> None:
    session = mist("add", "softlayer", "--no-check", answers=(("User name", API_KEY + ENTER), ("API key", INTERRUPT)))
    assert looker().forms(session.screen)
    assert any("local" in where for where, _ in session.error), "variables are looked at"
