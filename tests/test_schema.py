import pytest
from fakes.acme import GOOD, Acme
from jsonschema import Draft202012Validator, ValidationError

from mistcore import BackendManager, Provider, Registry, UnknownRegion, credential, secret
from mistcore.stores.memory import MemoryStore


def test_a_form_can_be_made_from_it() -> None:
    schema = Acme.json_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["required"] == ["region", "token"]
    assert schema["properties"]["token"] == {
        "title": "API token",
        "type": "string",
        "description": "Console, API, New token.",
        "writeOnly": True,
        "format": "password",
        "minLength": 1,
    }
    assert schema["properties"]["region"]["oneOf"][0] == {"const": "fra", "title": "Frankfurt"}
    assert schema["properties"]["port"] == {"title": "Port", "type": "integer", "default": 443}
    assert schema["properties"]["verify"]["default"] is True


def test_the_manager_takes_what_such_a_form_returns() -> None:
    form = {"region": "sin", "token": GOOD, "port": 443, "verify": True, "endpoint": ""}
    Draft202012Validator(Acme.json_schema()).validate(form)
    client = BackendManager(MemoryStore(), registry=Registry([Acme]))
    assert client.add_backend("acme", "from a form", **form).region == "sin"


@pytest.mark.parametrize("wrong", [{"region": "moon"}, {"token": ""}, {"port": "x"}, {"other": 1}])
def test_what_the_manager_refuses_the_schema_refuses_too(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        Draft202012Validator(Acme.json_schema()).validate({"region": "fra", "token": GOOD, **wrong})


def test_regions_are_no_enumeration_where_others_are_accepted() -> None:
    class Open(Acme):
        title = "Open"

        @classmethod
        def find_region(cls, region, values):
            try:
                return super().find_region(region, values)
            except UnknownRegion:
                return super().find_region("fra", values)

    assert "oneOf" not in Open.json_schema()["properties"]["region"]


def test_no_default_of_a_secret_is_shown() -> None:
    class Odd(Provider):
        title = "Odd"
        key: str = secret("Key", default="built-in-secret")
        kind: str = credential("Kind", default="a", choices=("a", "b"), example="b")

    schema = Odd.json_schema()
    assert "built-in-secret" not in str(schema)
    assert schema["properties"]["kind"]["enum"] == ["a", "b"]
    assert schema["properties"]["kind"]["examples"] == ["b"]


@pytest.mark.parametrize("provider", list(Registry()))
def test_every_provider_has_a_good_one(provider: str) -> None:
    cls = Registry()[provider]
    schema = cls.json_schema()
    Draft202012Validator.check_schema(schema)
    assert all(each.get("description") for name, each in schema["properties"].items())
