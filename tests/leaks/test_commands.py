"""Every `mist` command, with backends of every provider in the store: no mark in what it prints, logs or raises."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from leaks import services
from leaks.commands import APART, Ran, commands, lines, mist, raised
from leaks.marks import Account, accounts, looker, mark
from leaks.shown import Logged

from mistcore import BackendManager, Registry

pytestmark = pytest.mark.usefixtures("quick")


def filled(store: Path, chosen: list[Account]) -> None:
    """Keep backends in a store of their own."""
    with BackendManager(store) as manager, manager.batch():
        for account in chosen:
            manager.add_backend(account.provider, account.title, check=False, **account.fields)


def every_line(folder: Path, url: str, all_options: bool) -> Iterator[list[str]]:
    """Yield the command lines of every command, each with a store of the next two backends."""
    # Others than these would wait for an answer that is not HTTP.
    chosen = [each for each in accounts(url) if each.provider not in ("bare_metal", "libvirt")]
    turn = itertools.cycle(chosen)
    for words, command in commands(folder / "none.json"):
        if not words or words[0] in APART:
            continue
        store = folder / f"{'-'.join(words)}.json"
        two = [next(turn), next(turn)]
        filled(store, two)
        names = {"store": str(store), "folder": str(folder), "backend": two[0].title, "provider": two[0].provider}
        yield from (["--store", str(store), "--debug", *line] for line in lines(words, command, all_options, **names))
    store = folder / "all.json"
    filled(store, chosen)
    for line in (["check", "--json"], ["check", "--output", "table"], ["machines"]):
        yield ["--store", str(store), *line]


@pytest.mark.parametrize("answers", ["nobody", "401", "web page"])
def test_every_command(
    answers: str,
    tmp_path: Path,
    logged: Logged,
    others_files: Callable[[str], None],
    nothing_leaks: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # where `mist plugin new` writes
    with services.Echo("401" if answers == "nobody" else answers, "all") as service:
        url = services.nobody() if answers == "nobody" else service.url
        others_files(url)
        ran = [mist(*line) for line in every_line(tmp_path, url, answers == "401")]
    nothing_leaks([shown for each in ran for shown in each.shown()])
    nothing_leaks(logged.take())
    assert {each.status for each in ran} >= {0, 1}
    assert looker().forms((tmp_path / "all.json").read_bytes()), "where they belong"


WAYS = ("option", "@", "file:", "env:", "cmd:")


def given(account: Account, secret: set[str], way: str, folder: Path, patch: pytest.MonkeyPatch) -> list[str]:
    """Return the options that give an account's fields, its secrets in one of the ways that there are."""
    words = []
    for name, value in account.fields.items():
        if value in (True, False, ""):
            continue
        text = str(value)
        path, variable = folder / f"{account.title}-{name}", f"GIVEN_{account.title}_{name}".replace("-", "_")
        path.write_text(text)
        patch.setenv(variable, text)
        ways = {"@": f"@{path}", "file:": f"file:{path}", "env:": f"env:{variable}", "cmd:": f"cmd:cat '{path}'"}
        words += [f"--{name}", ways.get(way, text) if name in secret else text]
    return words


def wrong(start: list[str], account: Account, name: str) -> list[list[str]]:
    """Return command lines that misspell, damage or misplace a secret."""
    value = account.fields[name]
    title = f"{account.title} option"
    return [
        [*start, "add", account.provider, f"--{name}", f"{value}\0"],
        [*start, "add", account.provider, f"--{name}x", value],
        [*start, "add", account.provider, f"--{name}", value, "--region", "nowhere", "--no-such-option"],
        [*start, "update", title, f"{name}={value}", "region=nowhere", "endpoint=http://user:x@127.0.0.1:9"],
        [*start, "update", title, f"{name}x={value}"],
    ]


def test_every_way_to_add(
    tmp_path: Path,
    logged: Logged,
    others_files: Callable[[str], None],
    nothing_leaks: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = ["--store", str(tmp_path / "added.json"), "--debug"]
    registry = Registry()
    ran: list[Ran] = []
    tracebacks: list[tuple[str, object]] = []
    turn = itertools.cycle(WAYS[1:])
    with services.Echo("401", "none") as service:
        others_files(service.url)
        for account in accounts(service.url, other=services.nobody()):
            secret = {field.name for field in registry[account.provider].fields() if field.secret}
            for way in ("option", next(turn)):
                words = given(account, secret, way, tmp_path, monkeypatch)
                unchecked = ["--no-check", "--json", "--title", f"{account.title} {way}"]
                ran.append(mist(*start, "add", account.provider, *words, *unchecked))
            tracebacks += raised(*start, "add", account.provider, *words)
            for number, name in enumerate(sorted(secret & set(account.fields))):
                tries = wrong(start, account, name)
                tracebacks += raised(*tries[number % 5])
                ran += [mist(*line) for line in tries[number % 2 :: 2]]
                ran.append(mist(*start, "add", account.provider, f"--{name}", "-", stdin=account.fields[name]))
        ran += [mist(*start, *words) for words in (["check"], ["backends", "--json"], ["secrets"])]
    nothing_leaks([shown for each in ran for shown in each.shown()])
    nothing_leaks([*tracebacks, *logged.take()])
    kept = (tmp_path / "added.json").read_text()
    assert kept.count(' option"') == len(list(accounts("http://x:1"))), "each was added"


VAULTS = {
    "a passphrase": (["--passphrase", "-"], mark("passphrase")),
    "a passphrase in a file": (["--passphrase", "@{folder}/passphrase"], ""),
    "a key file": (["--key-file", "{folder}/key"], ""),
    "a passphrase that is typed": (["--passphrase", mark("typed")], ""),
    "a passphrase that is too short": (["--passphrase", "-"], mark("x")[:7]),
    "no such variable": (["--key-env", "NO_SUCH_VARIABLE"], ""),
}


@pytest.mark.parametrize("vault", VAULTS)
def test_every_way_to_keep_secrets(
    vault: str, tmp_path: Path, logged: Logged, nothing_leaks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, folder = tmp_path / "backends.json", tmp_path
    (folder / "passphrase").write_text(mark("passphrase"))
    chosen = [each for each in accounts(services.nobody()) if each.provider in ("linode", "bare_metal")]
    filled(store, chosen)
    start = ["--store", str(store), "--debug"]
    words, stdin = VAULTS[vault]
    words = [word.format(folder=folder) if "{folder}" in word else word for word in words]
    ran = [mist(*start, "secrets", "sealed", *words, stdin=stdin)]
    sealed = ran[0].status == 0
    assert sealed == (vault in list(VAULTS)[:3]), ran[0].err
    assert bool(looker().forms(store.read_bytes())) != sealed
    tracebacks = []
    for passphrase in ("", mark("wrong"), mark("passphrase")) if sealed else ():
        monkeypatch.setenv("MISTCORE_PASSPHRASE", passphrase)
        for line in (["check"], ["show", "linode-all", "--json"], ["update", "linode-all", f"api_key={mark('new')}"]):
            ran.append(mist(*start, *line))
        tracebacks += raised(*start, "update", "linode-all", f"api_key={mark('new')}")
    text = store.read_text()
    for damage in (text[:-40], text.replace('"credentials"', '"credentials" "'), text.replace('"sealed"', '"sealedx"')):
        store.write_text(damage)
        ran.append(mist(*start, "check"))
        tracebacks += raised(*start, "secrets", "plain")
    nothing_leaks([shown for each in ran for shown in each.shown()])
    nothing_leaks([*tracebacks, *logged.take()])
