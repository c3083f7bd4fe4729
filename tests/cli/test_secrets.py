"""`mist secrets`, and what the other commands do when secrets are sealed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.acme import GOOD

PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def prod(mist):
    result = mist("add", "acme", "--title", "prod", "--region", "fra", "--token", GOOD)
    assert result.status == 0
    return result


@pytest.fixture
def passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISTCORE_PASSPHRASE", PASSPHRASE)


def test_how_secrets_are_kept(mist, prod, passphrase) -> None:
    assert mist("secrets", "--json").json == {
        "store": str(mist.store),
        "kept": "plain",
        "key": "",
        "sealed": 0,
        "references": 0,
        "exposure": [],
    }
    result = mist("secrets", "sealed", "--passphrase", "-", stdin=f"{PASSPHRASE}\n")
    assert (result.status, result.err) == (0, "")
    assert result.out == f"Secrets in {mist.store} are sealed with a key from a passphrase: 1 rewritten\n"
    assert GOOD not in mist.store.read_text()
    assert mist("secrets", "--json").json["sealed"] == 1
    assert mist("check").status == 0
    assert mist("machines", "--json").status == 0
    assert mist("stop", "web-1", "--backend", "prod").status == 0
    assert mist("add", "acme", "--title", "test", "--region", "sin", "--token", GOOD).status == 0
    assert mist("secrets", "plain").out.endswith("are kept as they are: 2 rewritten\n")
    assert mist.store.read_text().count(GOOD) == 2


def test_what_needs_no_secret_needs_no_passphrase(mist, prod) -> None:
    mist("secrets", "sealed", "--passphrase", "-", stdin=PASSPHRASE)
    for command in (["backends"], ["show", "prod"], ["rename", "prod", "new"], ["disable", "new"], ["secrets"]):
        assert mist(*command).status == 0
    assert "machines" not in json.loads(mist("show", "new", "--json").out)
    for command in (["check", "new"], ["machines", "--backend", "new"], ["secrets", "plain"], ["sizes", "new"]):
        result = mist(*command)
        assert result.status == 1
        assert "none was given" in result.err
        assert "MISTCORE_PASSPHRASE" in result.err
    assert mist("remove", "new", "--yes").status == 0


def test_a_wrong_passphrase_is_said_once(mist, prod, monkeypatch: pytest.MonkeyPatch) -> None:
    mist("add", "acme", "--title", "test", "--region", "sin", "--token", GOOD)
    mist("secrets", "sealed", "--passphrase", "-", stdin=PASSPHRASE)
    monkeypatch.setenv("MISTCORE_PASSPHRASE", "incorrect horse")
    before = mist.store.read_bytes()
    for command in (["check"], ["machines"], ["secrets", "plain"], ["secrets", "keyring"]):
        result = mist(*command)
        assert (result.status, result.out) == (1, "")
        assert result.err == "mist: this is not the passphrase of the store\n      Try again.\n"
    assert mist.store.read_bytes() == before


def test_wrong_usage(mist, prod, tmp_path: Path) -> None:
    for arguments, words in (
        (["--passphrase", "literal words"], "does not belong on a command line"),
        (["--passphrase", "@/nonexistent"], "cannot read /nonexistent"),
        (["--passphrase", "-", "--key-env", "X"], "give one of"),
        ([], "nobody can be asked"),
    ):
        result = mist("secrets", "sealed", *arguments)
        assert result.status == 2
        assert words in result.err
    result = mist("secrets", "sealed", "--passphrase", "-", stdin="short")
    assert (result.status, "at least 8 characters" in result.err) == (2, True)
    assert mist("secrets", "sealed", "--key-env", "UNSET_VARIABLE").status == 1
    assert GOOD in mist.store.read_text()


def test_a_key_in_a_file_or_in_the_environment(mist, prod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tmp_path / "key"
    assert "a key from a file" in mist("secrets", "sealed", "--key-file", str(key)).out
    assert mist("check").status == 0
    monkeypatch.setenv("MY_KEY", mist("secrets", "key").out.strip())
    assert "a key from the environment" in mist("secrets", "sealed", "--key-env", "MY_KEY").out
    key.unlink()
    assert mist("check").status == 0
    assert mist("secrets", "--json").json["key"] == "environment"


def test_the_passphrase_is_changed(mist, prod, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mist("secrets", "sealed", "--passphrase", "-", stdin=PASSPHRASE)
    new = tmp_path / "new"
    new.write_text("another passphrase\n")
    assert mist("secrets", "sealed", "--passphrase", f"@{new}").status == 1  # the old one is needed
    monkeypatch.setenv("MISTCORE_PASSPHRASE", PASSPHRASE)
    assert mist("secrets", "sealed", "--passphrase", f"@{new}").status == 0
    assert mist("check").status == 1
    monkeypatch.setenv("MISTCORE_PASSPHRASE", "another passphrase")
    assert mist("check").status == 0


def test_a_keyring(mist, prod, secret_service) -> None:
    assert "a key from a keyring" in mist("secrets", "keyring").out
    assert mist("check").status == 0
    assert GOOD not in mist.store.read_text()
    secret_service.lock()
    result = mist("check")
    assert (result.status, result.err) == (1, "mist: the keyring is locked\n      Unlock it, and try again.\n")


def test_a_store_that_others_can_read_is_told_of_and_repaired(mist, prod) -> None:
    mist.store.chmod(0o644)
    result = mist("backends")
    assert result.status == 0
    assert "warning: others can read" in result.err
    assert "mist secrets repair" in result.err
    assert mist("secrets", "--json").json["exposure"] == [f"others can read {mist.store} (mode 0644)"]
    assert mist("secrets", "repair").out == f"{mist.store} is yours alone\n"
    assert mist.store.stat().st_mode & 0o777 == 0o600
    assert mist("backends").err == ""
    assert mist("secrets", "repair").out == f"{mist.store} is yours alone, as it was\n"


def test_completion_says_nothing_of_it(mist, prod, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    from click.shell_completion import ShellComplete

    from mistcore.cli.app import cli

    mist.store.chmod(0o644)
    monkeypatch.setenv("MISTCORE_STORE", str(mist.store))
    assert [i.value for i in ShellComplete(cli, {}, "mist", "_MIST").get_completions(["show"], "p")] == ["prod"]
    assert capsys.readouterr().err == ""


def test_a_sealed_store_is_copied(mist, prod, passphrase, tmp_path: Path) -> None:
    mist("secrets", "sealed", "--passphrase", "-", stdin=PASSPHRASE)
    target = tmp_path / "target.json"
    assert mist("copy-store", str(mist.store), str(target)).status == 0
    assert json.loads(target.read_text()) == json.loads(mist.store.read_text())
    other = tmp_path / "other.json"
    mist("--store", str(other), "add", "acme", "--title", "x", "--region", "fra", "--token", GOOD)
    result = mist("copy-store", str(mist.store), str(other))
    assert result.status == 1
    assert "would keep them plain" in result.err


def test_commands_are_run_from_the_store_of_the_command_line(mist, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{GOOD}\n")
    mist.store.parent.chmod(0o700)
    result = mist("add", "acme", "--title", "prod", "--region", "fra", "--token", f"cmd:cat {secret}")
    assert result.status == 0, result.err
    assert GOOD not in mist.store.read_text()
    assert mist("secrets", "--json").json["references"] == 1
