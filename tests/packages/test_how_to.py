"""The tutorial and docs/how-to are run as they stand; all commands of all pages exist; what they list is complete."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
from fakes.digitalocean import TOKEN, FakeDigitalOcean
from fakes.docker_life import PASSWORD, USER, LivingDocker

from mistcore import Registry
from mistcore.cli.app import cli
from mistcore_providers import __path__ as providers

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs" / "how-to"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(HOW_TO.glob("*.md"))]
_FENCED = re.compile(
    r"^(?P<before>[^\n]*)\n+(?P<indent> *)```(?P<kind>sh|python)\n(?P<text>.*?)^ *```", re.DOTALL | re.MULTILINE
)


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """The programs of a page, but for those that it says are not run."""
    for found in _FENCED.finditer(page.read_text(encoding="utf-8")):
        if "Not run." not in found["before"]:
            yield found["kind"], textwrap.dedent(found["text"])


def script(page: Path) -> str:
    """A page as one program for bash."""
    parts = ["set -euo pipefail"]
    for kind, text in blocks(page):
        parts.append(text if kind == "sh" else f"python3 -P -W error - <<'END OF PYTHON'\n{text}END OF PYTHON")
    return "\n".join(parts)


@pytest.fixture
def prod() -> Iterator[FakeDigitalOcean]:
    with FakeDigitalOcean() as service:
        yield service


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Run a page in a folder of its own, with a store of its own, and return what it printed."""
    (tmp_path / "data").mkdir()

    def run(page: str, before: str = "", text: str = "", replaced: Mapping[str, str] = {}) -> str:
        program = script(HOW_TO / page).replace("set -euo pipefail", f"set -euo pipefail\n{before}", 1)
        for old, new in replaced.items():
            assert old in program
            program = program.replace(old, new)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        result = subprocess.run(
            ["bash", "-c", program],
            input=text,
            cwd=tmp_path,
            env={**os.environ, "PATH": path, "MISTCORE_HOME": str(tmp_path / "data"), "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=250,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    return run


def added(service: FakeDigitalOcean) -> str:
    return f"mist add digitalocean --title prod --endpoint {service.url} --token {TOKEN}\n"


def test_least_rights(run: Any, prod: FakeDigitalOcean, tmp_path: Path) -> None:
    prod.add_droplet("web-1")
    out = run(
        "least-rights.md",
        before=f"export NEW_TOKEN={TOKEN}",
        text=TOKEN,
        replaced={"mist add digitalocean": f"mist add digitalocean --endpoint {prod.url}"},
    )
    assert "Added prod (checked)" in out
    assert '"status": "ok"' in out
    assert "web-1" in out
    assert not (tmp_path / "token").exists()
    assert any(request.path.endswith("/actions") for request in prod.requests)


def test_scripts(run: Any, prod: FakeDigitalOcean) -> None:
    prod.add_droplet("web-1")
    before = added(prod) + "mist add bare_metal --machine-ip local --title desk"
    before += "\nmist add linode --title gone --endpoint http://127.0.0.1:9 --api-key 0 --no-check"
    out = run("scripts.md", before=before, replaced={"mist machines vanished": "mist machines --backend desk vanished",
              "> machines.json\npython3": "> machines.json || true\npython3",
              "> machines.csv": "> machines.csv || true", "echo; done": "echo; done || true"})  # fmt: skip
    assert "web-1" in out
    assert "some are missing" in out
    assert "gone failed refused" in out
    assert "here is good:" in out


def test_fleet(run: Any, prod: FakeDigitalOcean) -> None:
    prod.add_droplet("web-1")
    out = run("fleet.md", before=added(prod) + "mist add bare_metal --machine-ip local --title desk")
    assert "web-1" in out
    assert "here running\nnobody there Unreachable refused\n1\n" in out


def test_wait(run: Any, prod: FakeDigitalOcean) -> None:
    prod.add_droplet("web-1")
    out = run("wait.md", before=added(prod))
    assert out.endswith("running\n")
    assert "timeout - machine 'web-1' is stopped, not running, after 0.1 seconds" in out


def test_private(run: Any, moto: Any) -> None:
    out = run("private.md", replaced={
        "http://127.0.0.1:4566": moto.url, "http://localhost:4566": moto.url.replace("127.0.0.1", "localhost")
    })  # fmt: skip
    assert "Added emulated (checked)" in out
    assert "web-1" in out


def test_store(run: Any, postgresql: Any) -> None:
    url = postgresql.url(postgresql.new_schema())
    out = run("store.md", replaced={"postgresql://mist@db.example.com/mist": f"'{url}'"})
    assert out.count("\tdesk\t") == 2
    assert "1 copied" in out


def test_troubleshooting(run: Any) -> None:
    out = run(
        "troubleshooting.md",
        before="mist add linode --title gone --endpoint http://127.0.0.1:9 --api-key 0 --no-check",
    )
    assert '"reason": "refused"' in out
    assert "linode" in out


def test_the_tutorial(run: Any) -> None:
    with LivingDocker() as docker:
        docker.add("web-1", "running")
        docker.images[0]["RepoTags"] = ["debian:12"]
        engine = f"--title laptop --docker-host {docker.url} --auth-user {USER} --auth-password '{PASSWORD}'"
        out = run("../tutorial.md", replaced={
            "sh tools/try.sh\n. .venv/bin/activate": "", "pip install '.[docker]'": "", "--title laptop": engine,
            "destroy scratch": "destroy scratch --yes",  # nobody is there to be asked
        })  # fmt: skip
        assert [container["Name"] for container in docker.containers.values()] == ["/web", "/db", "/web-1"]
    assert "Added my desk (checked)" in out
    assert "Added laptop (checked)" in out
    assert '"name": "web-1"' in out


def test_every_page_is_run() -> None:
    tested = {name.removeprefix("test_").replace("_", "-") for name in globals() if name.startswith("test_")}
    assert {page.stem for page in HOW_TO.glob("*.md")} <= tested


# -- commands ---------------------------------------------------------------------------------------------------------


def commands(page: Path) -> Iterator[list[str]]:
    """Every call of `mist` in the programs of a page, those that are not run among them."""
    for text in re.findall(r"^ *```sh\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        for line in text.replace("\\\n", " ").splitlines():
            for call in re.findall(r"(?:^|[(|;&] *)((?:\w+=\S+ )*mist .*)$", line.strip()):
                words = shlex.split(re.split(r" +(?:[|<>;]|\|\||#|\d?>|do ).*| *\) *$", call)[0], comments=True)
                yield words[words.index("mist") + 1 :]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_exists(page: Path) -> None:
    for words in commands(page):
        context = cli.make_context("mist", list(words), resilient_parsing=True)
        command: click.Command = cli
        rest = list(words)
        while isinstance(command, click.Group):
            context = command.make_context(context.info_name, rest, parent=context.parent, resilient_parsing=True)
            rest = [*context._protected_args, *context.args]
            if not rest:
                break
            name, found, rest = command.resolve_command(context, rest)
            assert found is not None, words
            command = found
            if not isinstance(command, click.Group):
                command.make_context(name, rest, parent=context, resilient_parsing=True)
                known = {
                    option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
                }
                used = {word.partition("=")[0] for word in rest if word.startswith("--")}
                assert used <= known | {"--help"}, words


def test_commands_are_found() -> None:
    assert ["machines", "--state", "running", "--json"] in list(commands(HOW_TO / "scripts.md"))
    assert ["backends", "--json"] in list(commands(HOW_TO / "scripts.md"))
    assert sum(len(list(commands(page))) for page in PAGES) > 60


# -- what is listed ---------------------------------------------------------------------------------------------------


def test_the_address_of_every_provider_is_named() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", (HOW_TO / "private.md").read_text(encoding="utf-8"), re.MULTILINE)
    told = {name: re.findall(r"`(\w+)`", fields) for name, fields in rows}
    ours = {name: cls for name, cls in Registry().items() if Registry().package(name) == "mistcore"}
    assert told == {name: [field.name for field in cls.fields() if field.address] for name, cls in ours.items()}


def test_the_reasons_told_are_those_that_there_are() -> None:
    text = (HOW_TO / "troubleshooting.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", text, re.MULTILINE)
    told = {word for cell in cells for word in re.findall(r"\w+", cell)} - {"reason"}
    sources = [*(ROOT / "mistcore").rglob("*.py"), *Path(providers[0]).glob("*.py")]
    used: dict[str, set[Path]] = {}
    for source in sources:
        for reason in re.findall(r"reason ?= ?\"(\w+)\"", source.read_text(encoding="utf-8")):
            used.setdefault(reason, set()).add(source)
        for reason in re.findall(r'"(\w+)" if quota else "capacity"', source.read_text(encoding="utf-8")):
            used.setdefault(reason, set()).add(source)
    assert told <= used.keys()
    families = {reason: {re.sub(r"\A_|_.*", "", path.stem) for path in paths} for reason, paths in used.items()}
    assert {reason for reason, where in families.items() if len(where) > 2} - told == set()
