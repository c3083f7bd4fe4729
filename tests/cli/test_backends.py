import json

import click
import pytest
from fakes.acme import GOOD

from mistcore.cli.app import run


@pytest.fixture
def prod(mist):
    result = mist("add", "acme", "--title", "prod", "--region", "fra", "--token", GOOD, "--json")
    assert result.status == 0, result.err
    return result.json["id"]


def test_adding_prints_what_was_added(mist, store) -> None:
    result = mist("add", "acme", "--title", "prod", "--region", "acme_fra", "--token", GOOD)
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith("Added prod (checked): ")
    kept = json.loads(store.read_text())["backends"][0]
    assert (kept["title"], kept["region"], kept["credentials"]) == ("prod", "fra", {"token": GOOD})


def test_wrong_credentials_are_two_plain_lines_and_keep_nothing(mist, store) -> None:
    result = mist("add", "acme", "--title", "prod", "--region", "fra", "--token", "bad-token")
    assert (result.status, result.out) == (1, "")
    assert result.err.splitlines() == ["mist: prod: the token ••• is not known", "      Make a new one."]
    assert not store.exists()


def test_debug_shows_the_traceback_but_no_secret(mist) -> None:
    result = mist("--debug", "add", "acme", "--region", "fra", "--token", "bad-token")
    assert "Traceback" in result.err
    assert "bad-token" not in result.err


def test_without_a_terminal_one_error_names_everything_missing(mist) -> None:
    result = mist("add", "acme", "--port", "many")
    assert result.status == 2
    assert "token: missing (API token)" in result.err
    assert "region: missing (Region), one of fra, sin" in result.err
    assert "port: must be a whole number" in result.err


def test_unknown_words_get_the_nearest(mist) -> None:
    assert "did you mean machines?" in mist("machine").err
    assert "Did you mean acme?" in mist("add", "acmee").err
    assert mist("add", "acmee").status == mist("machine").status == mist("add", "acme", "--tokn", "x").status == 2
    assert "--token" in mist("add", "acme", "--tokn", "x").err


def test_values_from_file_standard_input_and_environment(mist, tmp_path, monkeypatch, store) -> None:
    (tmp_path / "token").write_text(f"{GOOD}\n")
    assert mist("add", "acme", "--region", "fra", "--token", f"@{tmp_path}/token").status == 0
    assert mist("add", "acme", "--region", "fra", "--token", "-", stdin=f"{GOOD}\n").status == 0
    monkeypatch.setenv("ACME_TOKEN", GOOD)
    assert mist("add", "acme", "--region", "fra").status == 0
    assert mist("add", "acme", "--region", "fra", "--token", "env:ACME_TOKEN").status == 0
    tokens = [each["credentials"]["token"] for each in json.loads(store.read_text())["backends"]]
    assert tokens == [GOOD, GOOD, GOOD, "env:ACME_TOKEN"]
    result = mist("add", "acme", "--region", "fra", "--token", f"@{tmp_path}/none")
    assert result.status == 2
    assert "cannot read" in result.err


def test_help_comes_from_the_declaration(mist) -> None:
    text = " ".join(mist("add", "acme", "--help").out.split())
    assert "--token VALUE Console, API, New token. Required. Environment: ACME_TOKEN." in text
    assert "--verify / --no-verify" in text
    assert "Default: https://api.acme.example." in text
    assert "acme Acme Cloud" in " ".join(mist("add", "--help").out.split())


def test_a_group_alone_shows_its_help(mist, capsys) -> None:
    status = (
        2 if hasattr(click.exceptions, "NoArgsIsHelpError") else 0
    )  # older versions of click hold it for no mistake
    assert run([]) == status
    shown = "".join(capsys.readouterr())
    assert shown.startswith("Usage: mist [OPTIONS] COMMAND")
    assert all(len(line) <= 80 for line in shown.splitlines())
    result = mist("add")
    assert result.status == status
    assert (result.out + result.err).startswith("Usage: mist add [OPTIONS] PROVIDER")


def test_listing_and_searching(mist, prod) -> None:
    # No id, which is searched as well, holds a "-".
    mist("add", "acme", "--title", "Test-1", "--region", "sin", "--token", GOOD)
    lines = mist("backends").out.splitlines()
    assert lines[0] == "ID\tTITLE\tPROVIDER\tREGION\tENABLED"
    assert lines[1] == f"{prod}\tprod\tacme\tfra\tyes"
    assert len(lines) == 3
    assert mist("backends").out == mist("backends").out
    assert [each["title"] for each in mist("backends", "TEST-", "--json").json] == ["Test-1"]
    assert mist("backends", "nothing", "--json").json == []
    assert mist("backends", "--output", "csv").out.splitlines()[1] == f"{prod},prod,acme,fra,yes"
    assert len(mist("backends", "--output", "jsonl").out.splitlines()) == 2


def test_nothing_printed_holds_a_secret(mist, prod) -> None:
    for arguments in (["backends", "--json"], ["show", "prod"], ["show", "prod", "--json"], ["check", "--json"]):
        result = mist(*arguments)
        assert result.status == 0
        assert GOOD not in result.out + result.err
    assert mist("show", "prod", "--json").json["secrets"] == ["token"]


def test_rename_enable_disable_remove(mist, prod) -> None:
    assert mist("rename", "prod", "other").out == f"Renamed to other: {prod}\n"
    assert mist("disable", prod[:8]).status == 0
    assert mist("backends", "--json").json[0]["enabled"] is False
    assert mist("enable", "other").status == 0
    refused = mist("remove", "other")
    assert refused.status == 2
    assert "--yes" in refused.err
    assert mist("remove", "other", "--yes").out == f"Removed other: {prod}\n"
    gone = mist("show", "other")
    assert gone.status == 1
    assert "there is no backend 'other'" in gone.err


def test_updating_credentials(mist, prod, store) -> None:
    assert mist("update", "prod", "token=wrong-token").status == 1
    assert json.loads(store.read_text())["backends"][0]["credentials"]["token"] == GOOD
    assert mist("update", "prod", "port=8443", "region=sin").status == 0
    assert mist("show", "prod", "--json").json["credentials"] == {"port": 8443}
    assert mist("update", "prod", "port=").status == 0
    assert mist("show", "prod", "--json").json["credentials"] == {}
    refused = mist("update", "prod", "token")
    assert refused.status == 2
    assert "no terminal" in refused.err
    assert "give it again" in mist("update", "prod", "endpoint=https://evil.example").err


def test_an_ambiguous_name_lists_the_ids(mist, prod) -> None:
    mist("add", "acme", "--title", "prod", "--region", "sin", "--token", GOOD)
    result = mist("show", "prod")
    assert result.status == 1
    assert "2 backends answer to 'prod'" in result.err
    assert prod in result.err


def test_check_says_for_each_and_ends_with_3_when_some_failed(mist, prod) -> None:
    assert mist("check").status == 0
    mist("add", "acme", "--title", "broken", "--region", "fra", "--token", "wrong-token", "--no-check")
    result = mist("check", "--json")
    assert result.status == 3
    rows = {row["backend"]: row for row in result.json}
    assert rows["prod"]["account"]["name"] == "me@acme.example"
    assert (rows["broken"]["status"], rows["broken"]["error"]) == ("failed", "AuthenticationFailed")
    piped = mist("check")
    assert "mist: broken: the token ••• is not known" in piped.err
    assert {json.loads(line)["backend"] for line in piped.out.splitlines()} == {"prod", "broken"}
    assert mist("check", "broken").status == 1
    assert mist("check", "prod").status == 0
    assert mist("check", "nope").status == 1
