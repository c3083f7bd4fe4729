"""`DeclarationSuite`: what must hold for a provider before it has talked to anything."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Container
from typing import Any, ClassVar

import pytest

from mistcore.errors import InvalidFields, UnknownRegion
from mistcore.operations import MACHINE_ACTIONS
from mistcore.provider import Provider, contract_problems
from mistcore.testing.judge import leaks

__all__ = ["DeclarationSuite"]

_SOUNDS_SECRET = re.compile(
    r"password|passphrase|passwd|secret|token(?!_ur)|private_key|machine_key|key_file|(api|access)_key\b"
)
_MARK = "s3cret-of-the-suite"
_UNKNOWN: dict[str, Any] = {"no_such_field": "x"}
#: Run in a process of its own: what importing the provider's module brings in beyond the core and the standard library.
_IMPORTS = """
import importlib, sys
import mistcore.provider
before = {name.partition(".")[0] for name in sys.modules}
importlib.import_module(sys.argv[1])
after = {name.partition(".")[0] for name in sys.modules}
own = {"mistcore", sys.argv[1].partition(".")[0]}
print("\\n".join(sorted(after - before - own - set(sys.stdlib_module_names))))
"""


class DeclarationSuite:
    """Tests of the declaration alone; no service is needed. Subclass it and name your class in `provider`.

    Attributes:
        provider: the class to be tested.
        not_secret: names of fields that only sound secret (an access key's id, say).
        light: top-level packages that the module may import at once, since they cost next to nothing.
        has_address: False for what is reached without any address.

    """

    provider: ClassVar[type[Provider]]
    not_secret: Container[str] = ()
    light: Container[str] = ()
    has_address: bool = True

    @pytest.fixture
    def cls(self) -> type[Provider]:
        """Return the class under test; override it with a fixture of your own to test several."""
        return self.provider

    def test_it_keeps_the_contract(self, cls: type[Provider]) -> None:
        assert contract_problems(cls) == []

    def test_it_says_what_it_is(self, cls: type[Provider]) -> None:
        assert cls.title == cls.title.strip()
        assert re.fullmatch(r"[a-z][a-z0-9_]*", cls.id), "an id is lower-case letters, digits and underscores"
        assert (cls.__doc__ or "").strip(), "the docstring is the first thing on the provider's page"
        assert cls.default_timeout > 0

    def test_rights_and_limits_are_sentences(self, cls: type[Provider]) -> None:
        for text in (cls.rights, *cls.limits):
            assert text == text.strip()
            assert not text or text.endswith((".", "```")), f"is no sentence: {text!r}"
            assert "\t" not in text
        assert "" not in cls.limits
        assert len(set(cls.limits)) == len(cls.limits)

    def test_every_field_says_where_to_get_its_value(self, cls: type[Provider]) -> None:
        for field in cls.fields():
            assert field.label == field.label.strip()
            assert field.help or not (field.required or field.secret), f"{field.name} has no help"
            assert not field.help or field.help.rstrip().endswith("."), f"{field.name}: help is a sentence"
            if field.choices and field.default:
                assert field.default in field.choices, f"{field.name}: its default is none of its choices"

    def test_what_is_secret_is_marked(self, cls: type[Provider]) -> None:
        for field in cls.fields():
            if field.type == "str" and _SOUNDS_SECRET.search(field.name) and field.name not in self.not_secret:
                assert field.secret, f"{field.name} is not marked as secret"

    def test_the_address_can_be_given(self, cls: type[Provider]) -> None:
        if self.has_address:
            assert any(field.address for field in cls.fields()), "no field says where the service is (address=True)"

    def test_regions_are_unique(self, cls: type[Provider]) -> None:
        names = [name.lower() for region in cls.regions for name in {region.id, *region.aliases}]
        assert sorted(names) == sorted(set(names)), "regions are looked up without regard to case"
        assert all(name.strip() == name != "" for name in names)
        for region in cls.regions:
            assert cls.find_region(region.id.upper(), {}).id == region.id

    def test_an_unknown_region_is_refused(self, cls: type[Provider]) -> None:
        if cls.knows_all_regions():
            with pytest.raises(UnknownRegion, match="no-such-region"):
                cls.find_region("no-such-region", {})

    def test_all_missing_and_unknown_fields_are_named_at_once(self, cls: type[Provider]) -> None:
        required = {field.name for field in cls.fields() if field.required}
        with pytest.raises(InvalidFields) as caught:
            cls(**_UNKNOWN)
        assert set(caught.value.problems) == {*required, "no_such_field"}

    def test_a_refusal_of_fields_shows_no_secret(self, cls: type[Provider]) -> None:
        secrets: dict[str, Any] = {field.name: f"{_MARK}-{field.name}" for field in cls.fields() if field.secret}
        with pytest.raises(InvalidFields) as caught:
            cls(**secrets, **_UNKNOWN)
        assert leaks([_MARK], f"{caught.value} {caught.value!r} {caught.value.problems}") == []

    def test_a_form_can_be_made_of_it(self, cls: type[Provider]) -> None:
        schema = json.loads(json.dumps(cls.json_schema(), allow_nan=False))
        assert set(schema["properties"]) >= {field.name for field in cls.fields()}
        for field in cls.fields():
            assert bool(schema["properties"][field.name].get("writeOnly")) == field.secret

    def test_importing_it_imports_no_sdk(self, cls: type[Provider]) -> None:
        path = os.pathsep.join(filter(None, sys.path))
        result = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", _IMPORTS, cls.__module__],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert result.returncode == 0, f"{cls.__module__} cannot be imported by itself:\n{result.stderr}"
        heavy = [name for name in result.stdout.split() if name not in self.light]
        assert heavy == [], "imported with the module; import it inside methods, so that listing providers stays fast"

    def test_operations_take_what_everybody_passes(self, cls: type[Provider]) -> None:
        common = {"get_machine": ["machine_id"], "create_machine": ["name"], "list_images": ["search"]}
        common |= {operation: ["machine_id"] for operation in MACHINE_ACTIONS.values()}
        common["rename_machine"] = ["machine_id", "name"]
        for operation in cls.operations():
            parameters = list(inspect.signature(getattr(cls, operation)).parameters.values())[1:]
            positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
            assert positional == common.get(operation, []), f"{operation} takes its options as keyword-only arguments"
            needed = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
            if operation != "create_machine":
                assert needed == [], f"{operation} cannot be called without {', '.join(needed)}"
