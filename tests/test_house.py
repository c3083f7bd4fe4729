"""The rules of the house, for every provider that is installed from here, and for every module of ours."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mistcore
import mistcore_providers
from mistcore import InvalidFields, Provider, Registry
from mistcore.provider import contract_problems

IDS = [name for name in Registry() if Registry().package(name) == "mistcore"]
SDKS = (
    "asyncssh|azure|boto3|botocore|docker|google|keystoneauth1|libvirt|msal|novaclient|paramiko|psycopg|requests|rich"
)
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


def test_the_declaration_is_whole(cls: type[Provider]) -> None:
    assert contract_problems(cls) == []
    assert (cls.__doc__ or "").strip()
    for field in cls.fields():
        assert field.help, f"{field.name} has no help"
        assert field.help.rstrip().endswith("."), f"{field.name}: help is a sentence"


def test_what_is_secret_is_marked(cls: type[Provider]) -> None:
    for field in cls.fields():
        if re.search(r"password|passphrase|secret|token(?!_uri)|private_key|machine_key|key_file|api_key", field.name):
            open_ones = {("ec2", "api_key")}
            assert field.secret or (cls.id, field.name) in open_ones, f"{field.name} is not marked as secret"


def test_the_address_can_be_given_and_is_marked(cls: type[Provider]) -> None:
    assert any(field.address for field in cls.fields()), "no field says where the service is"


def test_all_missing_fields_are_named_at_once(cls: type[Provider]) -> None:
    required = {field.name for field in cls.fields() if field.required}
    if not required:
        pytest.skip("nothing is required")
    with pytest.raises(InvalidFields) as caught:
        cls(no_such_field="x")
    assert set(caught.value.problems) == {*required, "no_such_field"}


def test_importing_it_imports_no_sdk(cls: type[Provider]) -> None:
    code = f"import sys, re, {cls.__module__}\nprint([m for m in sys.modules if re.fullmatch({SDKS!r}, m)])\n"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


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
