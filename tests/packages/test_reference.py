"""The reference has every public name, and what is public includes all that plugins and programs are told to import."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import mistcore_providers

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


public = script("public")


def shown() -> set[str]:
    """What the pages of the reference name, and of the modules that they name, every name."""
    found = set()
    for page in (ROOT / "docs" / "reference").glob("*.md"):
        text = page.read_text(encoding="utf-8")
        for name, options in re.findall(r"^::: ([\w.]+)\n((?:    .*\n)*)", text, re.MULTILINE):
            found.add(name)
            if name in public.MODULES and "members: false" not in options:
                listed = re.search(r"members: \[(.*)\]", options)
                names = listed[1].split(", ") if listed else import_module(name).__all__
                found |= {f"{name}.{each}" for each in names}
    return found


@pytest.mark.parametrize("name", public.names())
def test_every_public_name_is_in_the_reference(name: str) -> None:
    assert shown() & public.names()[name], f"docs/reference has no {name}"


@pytest.mark.parametrize("name", public.names())
def test_every_public_name_says_what_it_is(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    value = getattr(import_module(module), attribute)
    if inspect.isclass(value) or inspect.isfunction(value):
        own = value.__dict__.get("__doc__") if inspect.isclass(value) else value.__doc__
        assert own
        assert own.strip()


def imports(text: str) -> Iterator[str]:
    """The names of mistcore that a program imports, as `module.name`."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "mistcore":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (f"{alias.name}.*" for alias in node.names if alias.name.startswith("mistcore."))


def programs() -> Iterator[tuple[str, str]]:
    """Everything that shows what may be imported: our providers, the pages, the beginning of a plugin."""
    for path in Path(mistcore_providers.__path__[0]).glob("*.py"):
        yield path.name, path.read_text(encoding="utf-8")
    for page in PAGES:
        for block in re.findall(
            r"^ *```python\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        ):
            yield page.name, textwrap.dedent(block)
    for path in sorted((ROOT / "mistcore" / "cli" / "scaffold").rglob("*.py.tmpl")):
        yield path.name, re.sub(r"\$\{?(\w+)\}?", r"\1", path.read_text(encoding="utf-8").replace("$$", "$"))


def test_what_others_import_is_public() -> None:
    named = public.names().keys() | {f"{module}.*" for module in public.MODULES} | set(public.MODULES)
    named |= {home for homes in public.names().values() for home in homes}
    used = {(where, name) for where, text in programs() for name in imports(text)}
    assert len(used) > 100
    assert sorted((where, name) for where, name in used if name not in named) == []
