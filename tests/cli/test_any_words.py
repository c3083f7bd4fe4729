"""`mist` with anything in titles, names, ids, values and answers: it bears it, and shows only text."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest
from fakes import odd_mist
from fakes.odd import Odd, arguments, jsons, texts
from fakes.odd_mist import ALL, FIELDS, drop, kept
from hypothesis import example, given
from hypothesis import strategies as st

from mistcore import Account, BackendManager, Image, Location, Machine, MistError, Network, ProviderError, Size

mist, _only_odd = odd_mist.mist, odd_mist.only_odd


# -- what services say ----------------------------------------------------------------------------------------------

machines = st.builds(
    Machine,
    id=texts,
    name=texts,
    state=texts | st.sampled_from(["running", "stopped"]),
    public_ips=st.lists(texts, max_size=2),
    size=texts,
    image=texts,
    region=texts,
    tags=st.dictionaries(texts, texts, max_size=2),
    extra=st.dictionaries(texts, jsons, max_size=2),
)


@given(st.lists(machines, max_size=3))
@example([Machine(ALL, ALL, ALL, [ALL], size=ALL, image=ALL, region=ALL, tags={ALL: ALL}, extra={ALL: ALL})])
def test_machines_of_any_name(mist, those: list[Machine]) -> None:
    Odd.machines = those
    rows = json.loads(mist("machines", "--json").out)
    assert sorted((row["id"], row["name"]) for row in rows) == sorted((each.id, each.name) for each in those)
    lines = mist("machines", "--output", "jsonl").out.splitlines()
    assert sorted(json.loads(line)["name"] for line in lines) == sorted(each.name for each in those)
    head, *plain = mist("machines", "--output", "plain").out.split("\n")[:-1]
    assert len(plain) == len(those)
    assert {line.count("\t") for line in plain} <= {head.count("\t")}
    cells = list(csv.reader(io.StringIO(mist("machines", "--output", "csv").out)))
    assert len(cells) == len(those) + 1
    assert len(set(map(len, cells))) == 1
    for row in cells[1:]:
        assert not any(cell.startswith(("=", "+", "@")) for cell in row)
    table = mist("machines", "--output", "table")
    assert table.out.count("\n") == (len(those) + 1 if those else 0)
    assert mist("machines", "--cached").status == 0
    for each in those[:1]:
        mist("start", "--", each.name.replace("\0", ""))
        mist("destroy", "--yes", "--", each.id.replace("\0", ""))
    assert kept(mist) == []


@given(
    st.lists(st.builds(Size, id=texts, name=texts, currency=texts, cpus=st.floats(), memory=st.integers()), max_size=2),
    texts,
)
def test_sizes_images_locations_and_networks_of_any_name(mist, sizes: list[Size], text: str) -> None:
    Odd.records = {
        Size: sizes,
        Image: [Image(text, text, text, text)],
        Location: [Location(text, text, text)],
        Network: [Network(text, text, text)],
    }
    for kind in ("sizes", "images", "locations", "networks"):
        for output in ("json", "jsonl", "plain", "csv", "table"):
            assert mist(kind, "kept", "--output", output).status == 0
    assert json.loads(mist("images", "kept", "--json").out)[0]["name"] == text


@given(texts, texts, st.sampled_from([ProviderError, RuntimeError, KeyError, OSError]))
@example(ALL, ALL, ProviderError)
@example(ALL, ALL, RuntimeError)
def test_errors_of_any_words(mist, words: str, remedy: str, kind: type[Exception]) -> None:
    Odd.failure = kind(words, remedy=remedy) if issubclass(kind, MistError) else kind(words)
    for command in (["machines"], ["check"], ["start", "web"], ["check", "--json"], ["create", "kept", "web"]):
        assert mist(*command).status == 1
    assert mist("--debug", "machines").status == 1


@given(
    st.builds(
        Account,
        id=texts,
        name=texts,
        details=st.dictionaries(texts, jsons, max_size=2),
        warnings=st.lists(texts, max_size=2),
    )
)
def test_accounts_of_any_name(mist, account: Account) -> None:
    Odd.account = account
    for output in ("table", "plain", "json", "csv", "jsonl"):
        assert mist("check", "--output", output).status == 0
    assert json.loads(mist("check", "--json").out)[0]["account"]["name"] == account.name


# -- what people type -----------------------------------------------------------------------------------------------


@given(arguments, arguments)
@example(ALL.replace("\0", ""), "x")
def test_titles_of_any_words(mist, title: str, other: str) -> None:
    result = mist("add", "odd", "--endpoint", "x", "--no-check", f"--title={title}")
    found = kept(mist)
    assert [each.title for each in found] == ([title.strip()] if result.status == 0 else [])
    if found:
        assert mist("show", "--", title.strip()).status in (0, 1)  # 1: it may be the other's title, too
        result = mist("rename", found[0].id, "--", other)
        assert kept(mist)[0].title == (other.strip() if result.status == 0 else title.strip())
    drop(mist)


@given(arguments)
def test_searches_of_any_words(mist, text: str) -> None:
    Odd.machines = [Machine("m-1", "web-1", public_ips=["192.0.2.1"])]
    with BackendManager(mist.path) as manager:
        id = manager.backends()[0].id
    folded = text.casefold()
    found = json.loads(mist("backends", "--json", "--", text).out)
    assert bool(found) == (folded in "kept" or folded in id.casefold())
    found = json.loads(mist("machines", "--json", "--", text).out)
    assert bool(found) == any(folded in each for each in ("m-1", "web-1", "192.0.2.1"))
    for kind in ("sizes", "images"):
        assert mist(kind, "kept", "--", text).status == 0
    for option in (f"--provider={text}", f"--tag={text}", f"--backend={text}", f"--state={text}"):
        mist("machines", option, "--output", "table")
    mist("backends", "--output", "table", "--", text)


@given(arguments)
@example("kept")
@example("")
def test_ids_of_any_words(mist, id: str) -> None:
    with BackendManager(mist.path) as manager:
        first = manager.backends()[0].id
    known = id == "kept" or (len(id) > 2 and first.startswith(id))
    for command in ("show", "check", "enable", "sizes"):
        assert mist(command, "--", id).status == (0 if known else 1)
    if not known:
        for command in (["remove", "--yes"], ["disable"]):
            assert mist(*command, "--", id).status == 1
        assert mist("rename", "--", id, "x").status == 1
        assert mist("update", "--no-check", "--", id, "port=1").status == 1
        assert mist("create", "--", id, "web").status == 1
    assert mist("start", "--", id).status == 1
    assert kept(mist) == []


@given(arguments, arguments, st.sampled_from(["set", "tag", "image", "wait"]))
@example("self", "1", "set")
@example("name", "1", "set")
@example("operation", "1", "set")
@example("", "nan", "wait")
@example("", "1e999", "wait")
def test_options_of_any_words(mist, name: str, value: str, option: str) -> None:
    given = f"{name}={value}" if option in ("set", "tag") else value
    if option == "wait" and given.strip().lower().lstrip("+-") in ("inf", "infinity"):
        return
    mist("create", "kept", "web", f"--{option}={given}")
    mist("update", "kept", "--no-check", "--", f"{name}={value}" if name != "port" else "x=1")
    mist(name, value)
    mist("add", name, f"--{value}")
    with BackendManager(mist.path) as manager:
        assert [each.title for each in manager.backends()][:1] == ["kept"]
        optional = dict.fromkeys(("key", "notes", "kind", "port", "share", "verify"))
        first = {"token": "kept-token", "endpoint": "kept.example", **optional}
        manager.update_backend(manager.backends()[0], first, check=False)


@pytest.mark.parametrize("seconds", ["nan", "inf", "1e999", "0", "-1", "1e300", "99999999999"])
def test_times_that_are_none(mist, seconds: str) -> None:
    for command in (["machines"], ["check"]):
        assert mist(*command, f"--timeout={seconds}").status == 2
    Odd.machines = [Machine("m-1", "web-1", "stopped")]
    if seconds != "0":
        assert mist("start", "web-1", f"--wait={seconds}").status == 2


@given(st.sampled_from(FIELDS), arguments, st.booleans())
@example("key", "~nobody/x", False)
@example("token", "@~nobody/x", False)
@example("key", "k" * 5000, False)
@example("token", "file:~nobody/x", False)
@example("endpoint", ALL.replace("\0", ""), False)
@example("port", "9" * 5000, False)
@example("share", "nan", False)
@example("share", "1e999", False)
@example("verify", "maybe", True)
def test_field_values_of_any_words(mist, field: str, value: str, update: bool) -> None:
    if value.strip() == "-":
        return
    other = () if field == "endpoint" else ("--endpoint=x",)
    if update or field == "verify":
        assert mist("add", "odd", "--endpoint=x", "--no-check").status == 0
        mist("update", kept(mist)[0].id, "--no-check", "--", f"{field}={value}")
    else:
        mist("add", "odd", f"--{field}={value}", *other, "--no-check")
    for record in kept(mist):
        mist("show", record.id)
        mist("machines", "--backend", record.id)
        mist("check", record.id)
        assert mist("remove", record.id, "--yes").status == 0
    assert mist("show", "kept").status == 0


@given(st.binary(max_size=30))
@example(b"\xff")
@example(b"\0")
def test_standard_input_of_any_bytes(mist, stdin: bytes) -> None:
    result = mist("add", "odd", "--endpoint=x", "--token=-", "--no-check", stdin=stdin)
    try:
        token = stdin.decode().replace("\r\n", "\n").replace("\r", "\n").strip()
    except UnicodeDecodeError:
        token = "\0"
    assert [each.credentials.get("token", "") for each in kept(mist)] == ([] if "\0" in token else [token])
    assert result.status == (2 if "\0" in token else 0)
    drop(mist)


@given(arguments.filter(bool))
@example("~nobody/x")
@example("x" * 5000)
@example("ftp://x")
@example("json://")
@example("postgresql://")
@example("postgresql://\x1b[2J")
def test_stores_of_any_name(mist, name: str) -> None:
    if "/" in name and not name.startswith(("postgresql:", "json:", "~", "ftp:")):
        name = name.replace("/", "_")
    elsewhere = mist.path.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    here = Path.cwd()
    os.chdir(elsewhere)
    try:
        for command in (["backends"], ["show", "x"], ["secrets"]):
            mist(*command, store=name)
    finally:
        os.chdir(here)
