"""What a new container is made from: the words of `docker run`, made into the SDK's arguments."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from docker.errors import APIError
from docker.utils.ports import build_port_bindings

from mistcore.errors import InvalidFields, Rejected
from mistcore_providers._docker_engine import Engine

_POLICIES = ("", "no", "always", "unless-stopped", "on-failure")


class Creation:
    """The options of `create_machine`, read: as Python values, or as the text that a command line hands on.

    Raises:
        InvalidFields: naming every option that cannot be read.

    """

    def __init__(
        self,
        *,
        command: str | Iterable[str],
        network: str,
        environment: Mapping[str, str] | Iterable[str],
        ports: Iterable[str] | str,
        volumes: Iterable[str] | str,
        restart: str,
        tags: Mapping[str, str] | None,
    ) -> None:
        self._problems: dict[str, str] = {}
        self.command: list[str] = self._read("command", _words, command, [])
        self.environment: dict[str, str] = self._read("environment", _variables, environment, {})
        self.ports: dict[str, Any] = self._read("ports", _ports, ports, {})
        self.volumes = _several(volumes)
        self.restart: dict[str, Any] = self._read("restart", _policy, restart, {})
        self.network = network
        self.tags = {key: str(value) for key, value in (tags or {}).items()}
        if self._problems:
            raise InvalidFields(self._problems)

    def arguments(self, engine: Engine) -> dict[str, Any]:
        """Return the SDK's arguments."""
        host: dict[str, Any] = {"port_bindings": self.ports, "binds": self.volumes}
        if self.network:
            host["network_mode"] = self.network
        if self.restart:
            host["restart_policy"] = self.restart
        return {
            "command": self.command or None,
            "environment": self.environment,
            "labels": self.tags,
            "ports": [tuple(port.split("/")) if "/" in port else port for port in self.ports],
            "host_config": engine.create_host_config(**host),
        }

    def _read(self, option: str, read: Callable[[Any], Any], value: Any, instead: Any) -> Any:
        try:
            return read(value)
        except (ValueError, TypeError, AttributeError) as error:
            self._problems[option] = str(error)
            return instead


def fetch_image(engine: Engine, image: str) -> None:
    """Have the engine fetch an image from its registry.

    That may take a quarter of an hour at the most, or as long as the deadline in force allows.

    Raises:
        Rejected: (reason "pull") there is none of that name, or the registry does not give it to this user.

    """
    try:
        for event in engine.pull(image, stream=True, decode=True):
            if event.get("error"):
                raise Rejected(f"the engine cannot fetch {image}: {event['error']}", reason="pull")
    except APIError as error:
        raise Rejected(
            f"the engine cannot fetch {image}: {error.explanation}",
            reason="pull",
            remedy="Compare the image's name; for a private registry, `docker login` on this machine first.",
        ) from error


def _words(command: str | Iterable[str]) -> list[str]:
    try:
        return shlex.split(command) if isinstance(command, str) else [str(word) for word in command]
    except ValueError as error:
        raise ValueError(f"cannot be split into words: {error}") from None


def _variables(environment: Mapping[str, str] | Iterable[str] | str) -> dict[str, str]:
    if isinstance(environment, Mapping):
        return {str(name): str(value) for name, value in environment.items()}
    variables = {}
    for text in _several(environment, separator="\n"):
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ValueError("must be a mapping, or look like NAME=value")
        variables[name] = value
    return variables


def _ports(ports: Iterable[str] | str) -> dict[str, Any]:
    try:
        bindings: dict[str, Any] = build_port_bindings(_several(ports))
    except ValueError:
        raise ValueError("must look like 8080:80, 127.0.0.1:8080:80/udp or 80") from None
    return bindings


def _policy(restart: str) -> dict[str, Any]:
    policy, _, times = restart.partition(":")
    if policy not in _POLICIES or (times and not times.isdigit()):
        raise ValueError("must be no, always, unless-stopped, on-failure or on-failure:5")
    return {"Name": policy, "MaximumRetryCount": int(times or 0)} if policy else {}


def _several(values: Iterable[str] | str, separator: str = ",") -> list[str]:
    parts = values.split(separator) if isinstance(values, str) else values
    return [part.strip() for part in parts if part.strip()]
