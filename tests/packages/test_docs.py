"""Every page's links lead somewhere, and its Python can at least be read."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from mistcore import Backend, BackendManager, Machine
from mistcore.stores.memory import MemoryStore

ROOT = Path(__file__).parents[2]
#: Written by docs/generate.py, and checked by mkdocs --strict.
MADE = ROOT / "docs" / "providers"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if MADE not in page.parents),
]

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    return re.sub(r"^( *)(```+).*?^\1\2$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The ids that both GitHub and mkdocs give to the headings of a page."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.+?)(?: +#+)?$", prose(page), re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-")
        copies = [anchor, *(f"{anchor}_{number}" for number in range(1, 9))]
        found.add(next(copy for copy in copies if copy not in found))
    return found


@pages
def test_its_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)(?: \"[^\"]*\")?\)", re.sub(r"`[^`\n]*`", "", prose(page))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if there.is_relative_to(MADE):
            continue
        if not there.exists() or (anchor and anchor not in anchors(there)):
            wrong.append(target)
    assert wrong == []


@pages
def test_its_python_can_be_read(page: Path) -> None:
    for block in re.findall(r"^ *```python\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        ast.parse(textwrap.dedent(block), filename=page.name)


#: What the names in programs of the pages are.
SPEAKING = {"client": BackendManager(MemoryStore()), "backend": Backend, "machine": Machine}


def misused(program: ast.AST) -> Iterator[str]:
    """What a program asks of our objects that they have not: names, and arguments of methods."""
    for node in ast.walk(program):
        owner = node.func if isinstance(node, ast.Call) else node
        if not (isinstance(owner, ast.Attribute) and isinstance(owner.value, ast.Name) and owner.value.id in SPEAKING):
            continue
        thing = SPEAKING[owner.value.id]
        method = getattr(thing, owner.attr, None)
        if method is None and owner.attr not in getattr(thing, "__annotations__", ()):
            yield ast.unparse(owner)
        elif isinstance(node, ast.Call) and inspect.isroutine(method):
            taken = inspect.signature(method).parameters
            if not any(each.kind is each.VAR_KEYWORD for each in taken.values()):
                given = {word.arg for word in node.keywords if word.arg}
                yield from (f"{ast.unparse(node)}: {word}" for word in sorted(given - set(taken)))


@pages
def test_its_python_uses_what_there_is(page: Path) -> None:
    for block in re.findall(r"^ *```python\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        assert list(misused(ast.parse(textwrap.dedent(block)))) == []


def test_what_there_is_not_is_found() -> None:
    program = "client.machinery()\nbackend.colour\nclient.machines(serch='web')\nmachine.wait_for('x', pause=1)"
    wrong = {"client.machinery", "backend.colour", "client.machines(serch='web'): serch"}
    assert set(misused(ast.parse(program))) == {*wrong, "machine.wait_for('x', pause=1): pause"}


def test_what_is_looked_for_is_found() -> None:
    """The expressions above see links, headings and blocks; they are not just too blind to fail."""
    assert "the-store" in anchors(ROOT / "docs" / "terminal.md")
    assert "[the store](terminal.md#the-store)" in prose(ROOT / "docs" / "python.md")
    assert "import mistcore" not in prose(ROOT / "docs" / "python.md")


def test_the_map_has_every_file_of_the_core_and_no_other() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawn = text.partition("## The map")[2].partition("```\n")[2].partition("```")[0]
    drawn = drawn.partition("\nproviders/")[0]
    for folder, lines in re.findall(r"^  (\w+)/(.*?)(?=^  \w|\Z)", drawn, re.DOTALL | re.MULTILINE):
        there = {path.name for path in (ROOT / "mistcore" / folder).glob("*.py")} - {"__init__.py", "__main__.py"}
        assert set(re.findall(r"\b(\w+\.py)\b", lines)) == there, folder
    there = {path.name for path in (ROOT / "mistcore").glob("*.py")}
    assert set(re.findall(r"^  (\w+\.py) ", drawn, re.MULTILINE)) == there
    folders = {path.name for path in (ROOT / "mistcore").iterdir() if (path / "__init__.py").exists()}
    assert set(re.findall(r"^  (\w+)/ ", drawn, re.MULTILINE)) == folders


def test_what_the_table_of_places_names_is_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.partition("## Where to put it")[2].partition("## The map")[0]
    for name in re.findall(r"`([\w/.]+\.(?:py|md|toml|yml))`", table):
        there = ROOT / name
        assert there.exists() or (ROOT / "mistcore" / name).exists(), name
    for name, path in re.findall(r"`(\w+)` (?:and above it )?(?:in|of) `([\w/.]+\.py)`", table):
        assert re.search(rf"\b{name}\b", (ROOT / path).read_text(encoding="utf-8")), (name, path)
