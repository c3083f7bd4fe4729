"""The rules of the house, for our own modules. What every provider must keep is in providers/test_compliance.py."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

import mistcore
import mistcore_providers
from mistcore import Provider, Registry

IDS = [name for name in Registry() if Registry().package(name) == "mistcore"]
#: The order of members that all providers share.
ORDER = [
    "problems",
    "find_region",
    "check",
    "list_machines",
    "get_machine",
    "start_machine",
    "stop_machine",
    "reboot_machine",
    "pause_machine",
    "suspend_machine",
    "resume_machine",
    "rename_machine",
    "destroy_machine",
    "create_machine",
    "list_sizes",
    "list_images",
    "list_locations",
    "list_networks",
    "close",
    "translate_error",
]
SOURCES = [
    path
    for package in (mistcore, mistcore_providers)
    for folder in package.__path__
    for path in sorted(Path(folder).rglob("*.py"))
]


@pytest.fixture(params=IDS)
def cls(request: pytest.FixtureRequest) -> type[Provider]:
    return Registry()[request.param]


def test_members_stand_in_the_order_that_all_share(cls: type[Provider]) -> None:
    module = sys.modules[cls.__module__]
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls.__name__)
    names = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    known = [name for name in names if name in ORDER]
    assert known == sorted(known, key=ORDER.index)
    last_public = max((index for index, name in enumerate(names) if name in ORDER), default=-1)
    helpers = [name for name in names[:last_public] if name.startswith("_") and not name.startswith("__")]
    assert helpers == [], "helpers come after the operations"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_module_is_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 440


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_nothing_is_left_to_do_later_and_no_code_is_commented_out(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", text)
    assert not re.search(r"^\s*# *(return|import|if .*:|for .*:|def |self\.)\b", text, re.MULTILINE)
