"""The suite that plugin authors use, over our own providers: the declaration of each one that is registered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mistcore import Provider, Registry
from mistcore.testing import DeclarationSuite

IDS = [name for name in Registry() if Registry().package(name) == "mistcore"]
#: An access key's id only sounds secret.
NOT_SECRET = {"ec2": {"api_key"}}


def test_none_escapes() -> None:
    pages = [path for path in Path(__file__).parent.glob("test_*compliance*.py") if path.name != Path(__file__).name]
    texts = [path.read_text(encoding="utf-8") for path in pages]
    tested = {name for text in texts for name in re.findall(r"^ +provider = (\w+)$", text, re.MULTILINE)}
    assert not [path.name for path, text in zip(pages, texts, strict=True) if "DeclarationSuite" in text]
    assert {name for name in IDS if Registry()[name].__name__ not in tested} == set()


class TestEveryProvider(DeclarationSuite):
    """None can escape: what is registered is tested."""

    @pytest.fixture(params=IDS)
    def cls(self, request: pytest.FixtureRequest) -> type[Provider]:
        self.not_secret = NOT_SECRET.get(request.param, set())
        return Registry()[request.param]

    def test_ours_have_help_for_every_field(self, cls: type[Provider]) -> None:
        assert [field.name for field in cls.fields() if not field.help] == []
