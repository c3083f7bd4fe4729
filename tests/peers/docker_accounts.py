"""The provider docker on the engine of the tests: a fixture that a test module takes by its name."""

from __future__ import annotations

from typing import Any

import pytest
from peers.docker_engine import DockerEngine

from mistcore import Machine
from mistcore_providers.docker import Docker


@pytest.fixture
def docker(clean_engine: DockerEngine) -> Any:
    with Docker(docker_host=f"unix://{clean_engine.socket}") as provider:
        yield provider


def only(provider: Docker) -> Machine:
    (machine,) = provider.list_machines()
    return machine
