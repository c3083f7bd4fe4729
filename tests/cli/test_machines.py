import json

import pytest
from fakes.acme import GOOD, Acme

from mistcore import Machine


@pytest.fixture(autouse=True)
def _backends(mist):
    mist("add", "acme", "--title", "prod", "--region", "fra", "--token", GOOD)
    mist("add", "acme", "--title", "test", "--region", "sin", "--token", GOOD)


def test_listing_all_some_and_in_every_form(mist) -> None:
    rows = mist("machines", "--json").json
    assert [(row["backend"], row["name"], row["id"]) for row in rows] == [
        (backend, name, id)
        for backend in ("prod", "test")
        for name, id in (("db", "m-1002"), ("db", "m-2001"), ("web-1", "m-1001"))
    ]
    lines = mist("machines", "--output", "plain").out.splitlines()
    assert lines[0].startswith("NAME\tSTATE\tADDRESSES\tBACKEND\tID\t")
    assert lines[3].startswith("web-1\trunning\t1.2.3.4, 2001:db8::1, 10.0.0.1\tprod\tm-1001\t")
    piped = [json.loads(line) for line in mist("machines", "WEB").out.splitlines()]
    assert sorted(row["backend"] for row in piped) == ["prod", "test"]  # JSON lines, where nobody says otherwise
    assert len(mist("machines", "WEB", "--output", "jsonl").out.splitlines()) == 2
    assert mist("machines", "--output", "csv").out.splitlines()[0].startswith("name,state,addresses,backend,id")


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--backend", "prod"], 3),
        (["--backend", "prod", "--backend", "test"], 6),
        (["--provider", "acme"], 6),
        (["--provider", "ec2"], 0),
        (["--state", "running"], 2),
        (["--state", "running", "--state", "paused"], 4),
        (["--tag", "env=prod"], 2),
        (["--tag", "env"], 2),
        (["--tag", "env=dev"], 0),
        (["10.0.0"], 2),
    ],
)
def test_filters(mist, options: list[str], count: int) -> None:
    assert len(mist("machines", "--json", *options).json) == count


def test_a_state_that_is_none_is_wrong_usage(mist) -> None:
    result = mist("machines", "--state", "runing")
    assert result.status == 2
    assert "running" in result.err


def test_some_failing_print_the_rest_and_end_with_3(mist) -> None:
    mist("add", "acme", "--title", "broken", "--region", "fra", "--token", "bug-token", "--no-check")
    result = mist("machines", "--json")
    assert result.status == 3
    assert len(result.json) == 6
    assert "mist: broken: the provider failed in list_machines: KeyError" in result.err
    assert "bug-token" not in result.err
    assert mist("machines", "--backend", "broken").status == 1
    assert mist("machines", "--backend", "nope").status == 1


def test_acting_on_one_machine(mist) -> None:
    assert mist("start", "m-1002", "--backend", "prod").out == "Started db (m-1002)\n"
    assert mist("stop", "web-1", "--backend", "test", "--force").status == 0
    assert mist("start", "m-1001", "--backend", "prod").status == 1
    unknown = mist("start", "nope")
    assert unknown.status == 1
    assert "there is no machine 'nope'" in unknown.err
    several = mist("stop", "web-1")
    assert several.status == 1
    assert "2 machines answer to 'web-1'" in several.err
    unsupported = mist("reboot", "web-1", "--backend", "prod")
    assert unsupported.status == 1
    assert "Acme Cloud cannot reboot machine" in unsupported.err


def test_waiting_ends_when_it_has_happened_or_time_is_over(mist) -> None:
    assert mist("start", "m-1002", "--backend", "prod", "--wait", "0.1").status == 1
    assert mist("create", "prod", "new", "--image", "debian-12").status == 0


def test_destroying_asks_first(mist) -> None:
    refused = mist("destroy", "m-1001", "--backend", "prod")
    assert refused.status == 2
    assert "--yes" in refused.err
    assert mist("destroy", "m-1001", "--backend", "prod", "--yes").out == "Destroyed web-1 (m-1001)\n"


def test_creating(mist) -> None:
    created = mist(
        "create", "prod", "new", "--image", "debian-12", "--size", "big", "--tag", "env=dev", "--tag", "x", "--json"
    ).json
    assert (created["name"], created["image"], created["size"]) == ("new", "debian-12", "big")
    assert created["tags"] == {"env": "dev", "x": ""}
    result = mist("create", "prod", "new", "--network", "n")
    assert result.status == 2
    assert "image: missing" in result.err
    assert "network: not taken by Acme Cloud" in result.err
    assert mist("create", "prod", "new", "--image", "i", "--set", "size").status == 2


def test_what_a_machine_can_be_created_from(mist) -> None:
    assert [row["id"] for row in mist("sizes", "prod", "--json").json] == ["small", "big"]
    assert [row["id"] for row in mist("images", "prod", "ubuntu", "--json").json] == ["ubuntu-24.04"]
    assert mist("sizes", "prod").out.splitlines()[1].startswith("small\tSmall\t1\t512\t")
    assert mist("networks", "prod").status == 1


def test_a_machines_name_never_reaches_the_terminal_raw(mist, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = "a\x1b[31m\x07\u202eb\tc\nd"
    monkeypatch.setattr(Acme, "list_machines", lambda self: [Machine("m-1", evil, "running")])
    for form in ("plain", "table", "csv"):
        out = mist("machines", "--backend", "prod", "--output", form).out
        assert not set("\x1b\x07\u202e") & set(out)
        assert "\\x1b[31m" in out
    assert mist("machines", "--backend", "prod", "--json").json[0]["name"] == evil
    assert "\x1b" not in mist("machines", "--backend", "prod", "--json").out


def test_a_cell_is_never_a_formula(mist, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Acme, "list_machines", lambda self: [Machine("m-1", "=cmd|' /C calc'!A0", "running")])
    assert mist("machines", "--backend", "prod", "--output", "csv").out.splitlines()[1].startswith("'=cmd")
    for name, cell in ("+1", "'+1"), ("@sum", "'@sum"), ("-x", "'-x"), ("-5", "-5"):
        monkeypatch.setattr(Acme, "list_machines", lambda self, name=name: [Machine("m-1", name, "running")])
        shown = mist("machines", "--backend", "prod", "--output", "csv").out.splitlines()[1]
        assert shown.startswith(f"{cell},"), shown


def test_providers_and_plugins(mist) -> None:
    assert mist("providers").out.splitlines() == ["PROVIDER\tTITLE\tREGIONS\tNOTE", "acme\tAcme Cloud\t2\t"]
    described = mist("providers", "acme", "--json").json
    assert [field["field"] for field in described["fields"]][:2] == ["region", "token"]
    assert described["regions"][0] == {"id": "fra", "location": "Frankfurt", "aliases": ["acme_fra"]}
    assert "start_machine" in described["operations"]
    assert described["rights"].startswith("To read, a token")
    assert described["limits"] == list(Acme.limits)
    out = mist("providers", "acme").out
    assert "Console, API, New token." in out
    assert "RIGHTS\nTo read, a token with the scope `read`: Console → API → New token. To act, add `write`; a" in out
    assert '\n\n    {"scopes": ["read"]}\n\n- It cannot' in out
    assert "LIMITS\n- It has no networks.\n- Its machines are never suspended.\n" in out
    assert "RIGHTS" not in mist("providers", "acme", "--output", "csv").out
    assert mist("providers", "nope").status == 2
    assert json.loads(mist("plugins", "--json").out)[0]["problem"] == ""


def test_sessions_at_the_services_end_with_the_run(mist) -> None:
    before = Acme.closed
    assert mist("machines").status == 0
    assert Acme.closed == before + 2


def test_what_was_last_known_is_shown_with_its_age_and_nobody_is_asked(mist, store, monkeypatch) -> None:
    assert mist("machines").status == 0
    mist("add", "acme", "--title", "new", "--region", "fra", "--token", GOOD)
    monkeypatch.setattr(Acme, "list_machines", lambda self: pytest.fail("it was asked"))
    result = mist("machines", "--cached", "--json")
    assert result.status == 3  # of one of them nothing is known
    assert result.err == "mist: never listed here: new\n      `mist machines` asks them.\n"
    assert [(row["backend"], row["id"]) for row in result.json] == [
        (backend, id) for backend in ("prod", "test") for id in ("m-1002", "m-2001", "m-1001")
    ]
    assert all(row["as_of"].endswith("Z") for row in result.json)
    assert len(mist("machines", "WEB", "--cached", "--backend", "prod", "--json").json) == 1
    assert len(mist("machines", "--cached", "--state", "paused", "--tag", "env", "--json").json) == 0
    lines = mist("machines", "--cached", "--backend", "prod", "--output", "plain").out.splitlines()
    assert lines[0].endswith("\tAS OF")
    assert lines[1].endswith("Z")
    table = mist("machines", "--cached", "--backend", "prod", "--output", "table").out.splitlines()
    assert table[0].split()[-1] == "AGE"
    assert table[1].endswith(" s") or table[1].endswith(" min")
    assert mist("machines", "--cached", "--backend", "new").status == 1


def test_a_backend_that_fails_shows_what_it_had_only_when_asked_to_and_is_never_hidden(mist, monkeypatch) -> None:
    assert mist("machines").status == 0
    whole = Acme.list_machines

    def failing(self):
        if self.region == "fra":
            raise ConnectionError("gone")
        return whole(self)

    monkeypatch.setattr(Acme, "list_machines", failing)
    result = mist("machines", "--json")
    assert {row["backend"] for row in result.json} == {"test"}
    assert "as_of" not in result.json[0]
    result = mist("machines", "--last-known", "--json")
    assert result.status == 3
    assert "mist: prod: " in result.err
    assert {(row["backend"], row["as_of"] is None) for row in result.json} == {("prod", False), ("test", True)}
    streamed = mist("machines", "--last-known", "--output", "jsonl").out.splitlines()
    assert [json.loads(line)["backend"] for line in streamed] == ["test"] * 3 + ["prod"] * 3
    table = mist("machines", "--last-known", "--output", "table").out
    assert "AGE" in table
    assert "AGE" not in mist("machines", "--last-known", "--backend", "test", "--output", "table").out


def test_what_was_last_known_goes_with_the_backend(mist, store) -> None:
    assert mist("machines").status == 0
    folder = store.parent / "machines"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert not any(GOOD in path.read_text() for path in folder.iterdir())
    assert mist("remove", "prod", "--yes").status == 0
    assert len(list(folder.iterdir())) == 1
    assert mist("update", "test", "port=444").status == 0
    assert list(folder.iterdir()) == []


def test_names_of_machines_are_completed_from_what_was_last_known(mist, monkeypatch) -> None:
    from click.shell_completion import ShellComplete

    from mistcore.cli.app import cli

    def complete(*arguments: str) -> list[str]:
        *before, incomplete = arguments
        return [item.value for item in ShellComplete(cli, {}, "mist", "_MIST").get_completions(before, incomplete)]

    mist("machines", "--backend", "prod")
    monkeypatch.setattr(Acme, "list_machines", lambda self: pytest.fail("it was asked"))
    monkeypatch.setenv("MISTCORE_STORE", str(mist.store))
    assert complete("stop", "w") == ["web-1"]
    assert complete("stop", "") == ["db", "web-1"]
    assert complete("stop", "m-10") == ["m-1001", "m-1002"]
    assert complete("stop", "--backend", "prod", "d") == ["db"]
    assert complete("stop", "--backend", "test", "d") == []
    assert complete("stop", "--backend", "nope", "d") == []


def test_a_listing_that_lacks_something_says_so(mist) -> None:
    mist("add", "acme", "--title", "half", "--region", "fra", "--token", "half", "--no-check")
    result = mist("machines", "--backend", "half", "--json")
    assert result.status == 0
    assert len(result.json) == 3
    assert "warning: the hall B cannot be reached" in result.err
