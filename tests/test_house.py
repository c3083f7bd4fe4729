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
#: And of what a class says of itself, before its fields.
DECLARED = ["id", "title", "regions", "retired", "extra", "rights", "limits"]
SOURCES = [
    path
    for package in (mistcore, mistcore_providers)
    for folder in package.__path__
    for path in sorted(Path(folder).rglob("*.py"))
]
TESTS = sorted(Path(__file__).parent.rglob("*.py"))


@pytest.fixture(params=IDS)
def cls(request: pytest.FixtureRequest) -> type[Provider]:
    return Registry()[request.param]


def body_of(cls: type[Provider]) -> list[ast.stmt]:
    tree = ast.parse(Path(str(sys.modules[cls.__module__].__file__)).read_text(encoding="utf-8"))
    return next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls.__name__)


def test_members_stand_in_the_order_that_all_share(cls: type[Provider]) -> None:
    names = [node.name for node in body_of(cls) if isinstance(node, ast.FunctionDef)]
    known = [name for name in names if name in ORDER]
    assert known == sorted(known, key=ORDER.index)
    last_public = max((index for index, name in enumerate(names) if name in ORDER), default=-1)
    helpers = [name for name in names[:last_public] if name.startswith("_") and not name.startswith("__")]
    assert helpers == [], "helpers come after the operations"


def test_what_is_declared_stands_in_the_order_that_all_share(cls: type[Provider]) -> None:
    first, *rest = body_of(cls)
    assert isinstance(first, ast.Expr), "the docstring comes first"
    said = [ast.unparse(node.targets[0]) for node in rest if isinstance(node, ast.Assign)]
    said = [name for name in said if not name.startswith("_")]
    assert said == [name for name in DECLARED if name in said]
    order = [ast.Assign, ast.AnnAssign, ast.FunctionDef]
    kinds = [type(node) for node in rest if type(node) in order and not ast.unparse(node).startswith("_")]
    assert kinds == sorted(kinds, key=order.index), "the fields come after what is said, and before the methods"


#: Fields that are called the same and are something else at each.
OTHERWISE = {"api_key", "cloud", "key_file", "known_hosts", "machine_key", "machine_user", "token"}
OTHERWISE |= {"auth_user", "auth_password"}


def test_the_same_field_has_the_same_words() -> None:
    labels: dict[str, set[str]] = {}
    for name in IDS:
        for field in Registry()[name].fields():
            if (name, field.name) != ("libvirt", "verify"):  # there it is SSH's host keys, too
                labels.setdefault(field.name, set()).add(field.label)
    assert {name: words for name, words in labels.items() if len(words) > 1 and name not in OTHERWISE} == {}


def test_the_credentials_with_the_least_rights_and_the_limits_are_told(cls: type[Provider]) -> None:
    assert cls.rights
    assert cls.limits
    assert max(map(len, cls.rights.splitlines())) <= 116
    text = f"{cls.rights} {cls.limits}"
    fields = {field.name for field in cls.fields()}
    for named in ("docker_host", "machine_user", "endpoint", "auth_url", "role_arn"):
        assert f"`{named}`" not in text or named in fields


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_module_is_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 440


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_nothing_is_left_to_do_later_and_no_code_is_commented_out(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", text)
    assert not re.search(r"^\s*# *(return|import|if .*:|for .*:|def |self\.)\b", text, re.MULTILINE)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_nobody_sleeps_through_a_deadline_that_was_cancelled(path: Path) -> None:
    """`mistcore.deadline.sleep` looks up in between; the server for tests has no deadline."""
    if path.name not in {"deadline.py", "server.py"}:
        assert "time.sleep(" not in path.read_text(encoding="utf-8")
