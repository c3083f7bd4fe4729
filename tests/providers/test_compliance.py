"""The suite that plugin authors use, over our own providers: the declaration of each one that is registered."""

from __future__ import annotations

import pytest

from mistcore import Provider, Registry
from mistcore.testing import DeclarationSuite

IDS = [name for name in Registry() if Registry().package(name) == "mistcore"]
#: An access key's id only sounds secret.
NOT_SECRET = {"ec2": {"api_key"}}


class TestEveryProvider(DeclarationSuite):
    """None can escape: what is registered is tested."""

    @pytest.fixture(params=IDS)
    def cls(self, request: pytest.FixtureRequest) -> type[Provider]:
        self.not_secret = NOT_SECRET.get(request.param, set())
        return Registry()[request.param]
