"""Accounts with the stand-in of EC2, and the fixture of it that a test module takes by its name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fakes.ec2 import KEY, SECRET, FakeEc2, instance

from mistcore_providers.ec2 import Ec2


@pytest.fixture
def fake() -> Iterator[FakeEc2]:
    with FakeEc2({"eu-west-1": [instance(1)], "us-east-1": [instance(2, "us-east-1")]}) as service:
        yield service


def account(fake: FakeEc2, **fields: Any) -> Ec2:
    return Ec2(**{"api_key": KEY, "api_secret": SECRET, "region": "eu-west-1", "endpoint": fake.url, **fields})


def asks(operation: str) -> Any:
    return lambda request: request.form()["Action"] == operation
