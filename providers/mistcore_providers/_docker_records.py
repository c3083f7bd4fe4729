"""What the engine answers, made into our records. Odd values are left out, never an error."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from mistcore import Image, Machine, MachineState, Network, ProviderError
from mistcore.addresses import only_addresses
from mistcore.rows import readable

T = TypeVar("T")

# https://docs.docker.com/reference/api/engine/: ContainerState.Status. A container that was created and never started
# is stopped: starting it is what there is to do.
_STATES = {
    "created": MachineState.STOPPED,
    "running": MachineState.RUNNING,
    "paused": MachineState.PAUSED,
    "restarting": MachineState.REBOOTING,
    "removing": MachineState.TERMINATED,
    "exited": MachineState.STOPPED,
    "dead": MachineState.ERROR,
}
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")


def is_container_name(text: str) -> bool:
    """Tell whether a text can be the id or name of a container."""
    return _NAME.match(text) is not None


def read_list(answer: Any, read: Callable[[Any], T | None]) -> list[T]:
    """Return the records of a listing, without the rows that are none. Raises `ProviderError` where it is no list."""
    if not isinstance(answer, list):
        raise ProviderError("the engine's answer is not a list", reason="nonsense")
    return list(readable(read, answer))


def listed_machine(row: Any) -> Machine | None:
    """Return the machine that a row of `GET /containers/json` describes; None for a row without an id."""
    row = _mapping(row)
    if not row.get("Id"):
        return None
    names = [str(name).removeprefix("/") for name in _list(row.get("Names"))]
    own = [name for name in names if "/" not in name]  # "web/db" is what a link calls it
    return _machine(
        row["Id"],
        name=own[0] if own else "",
        status=_text(row.get("State")) or _state_of_sentence(_text(row.get("Status"))),
        image=_text(row.get("Image")),
        image_id=_text(row.get("ImageID")),
        created=_time(row.get("Created")),
        labels=row.get("Labels"),
        networks=row.get("NetworkSettings"),
        network_mode=_mapping(row.get("HostConfig")).get("NetworkMode"),
        ports=[_listed_port(_mapping(port)) for port in _list(row.get("Ports"))],
        command=_text(row.get("Command")),
    )


def inspected_machine(raw: Any) -> Machine:
    """Return the machine that `GET /containers/{id}/json` describes: the same as in a listing, and more `extra`.

    Raises `ProviderError` where it describes none.
    """
    raw = _mapping(raw)
    if not _text(raw.get("Id")):
        raise ProviderError("the engine's answer is not a container", reason="nonsense")
    state, config, host = _mapping(raw.get("State")), _mapping(raw.get("Config")), _mapping(raw.get("HostConfig"))
    created = _time(raw.get("Created"))
    command = [_text(raw.get("Path")), *map(str, _list(raw.get("Args")))]
    return _machine(
        raw["Id"],
        name=_text(raw.get("Name")).removeprefix("/"),
        status=_text(state.get("Status")),
        image=_text(config.get("Image")),
        image_id=_text(raw.get("Image")),
        created=created.replace(microsecond=0) if created else None,  # as precise as a listing
        labels=config.get("Labels"),
        networks=raw.get("NetworkSettings"),
        network_mode=host.get("NetworkMode"),
        ports=list(_inspected_ports(_mapping(_mapping(raw.get("NetworkSettings")).get("Ports")))),
        command=" ".join(command).strip(),
        exit_code=state.get("ExitCode"),
        error=state.get("Error"),
        started_at=_moment(state.get("StartedAt")),
        finished_at=_moment(state.get("FinishedAt")),
        restart_policy=_mapping(host.get("RestartPolicy")).get("Name"),
        hostname=config.get("Hostname"),
    )


def _machine(
    id: str,
    *,
    name: str,
    status: str,
    image: str,
    created: datetime | None,
    labels: Any,
    networks: Any,
    ports: list[dict[str, Any]],
    **extra: Any,
) -> Machine:
    by_network = {
        str(network): [address for key in ("IPAddress", "GlobalIPv6Address") if (address := _text(ends.get(key)))]
        for network, ends in _mappings(_mapping(networks).get("Networks"))
    }
    addresses = only_addresses(address for each in by_network.values() for address in each)
    return Machine(
        id=id,
        name=name or id[:12],
        state=_STATES.get(status, MachineState.UNKNOWN),
        public_ips=[address for address in addresses if _is_public(address)],
        private_ips=[address for address in addresses if not _is_public(address)],
        image=image,
        created_at=created,
        tags={str(key): _text(value) for key, value in _mapping(labels).items()},
        extra={"status": status, "ports": ports, "networks": by_network}
        | {key: value for key, value in extra.items() if value not in (None, "")},
    )


def _listed_port(port: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "port": port.get("PrivatePort"),
        "protocol": _text(port.get("Type")),
        "host_ip": _text(port.get("IP")),
        "host_port": port.get("PublicPort"),
    }


def _inspected_ports(ports: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for key, bindings in ports.items():
        number, _, protocol = str(key).partition("/")
        for binding in _list(bindings) or [{}]:
            binding = _mapping(binding)
            yield {
                "port": _number(number),
                "protocol": protocol,
                "host_ip": _text(binding.get("HostIp")),
                "host_port": _number(binding.get("HostPort")),
            }


def _state_of_sentence(status: str) -> str:
    """Return the state that engines before API 1.23 put into words only: "Up 3 hours (Paused)"."""
    if status.startswith("Up"):
        return "paused" if "(Paused)" in status else "running"
    first = status.partition(" ")[0].lower()
    return {"restarting": "restarting", "removal": "removing"}.get(first, first)


def image(row: Any) -> Image | None:
    """Return the image that a row of `GET /images/json` describes; None for a row without an id."""
    row = _mapping(row)
    if not row.get("Id"):
        return None
    names = [str(name) for name in _list(row.get("RepoTags")) if name and "<none>" not in str(name)]
    digests = [str(digest) for digest in _list(row.get("RepoDigests")) if digest and "<none>" not in str(digest)]
    image_id = _text(row["Id"])
    return Image(
        id=image_id,
        name=(names or digests or [image_id.removeprefix("sha256:")[:12]])[0],
        created_at=_time(row.get("Created")),
        extra={
            "names": names,
            "digests": digests,
            "bytes": row.get("Size"),
            "labels": {str(key): _text(value) for key, value in _mapping(row.get("Labels")).items()},
        },
    )


def network(row: Any) -> Network | None:
    """Return the network that a row of `GET /networks` describes; None for a row without an id."""
    row = _mapping(row)
    if not row.get("Id"):
        return None
    ranges = [_text(_mapping(each).get("Subnet")) for each in _list(_mapping(row.get("IPAM")).get("Config"))]
    ranges = sorted(filter(None, ranges), key=lambda each: ":" in each)
    return Network(
        id=row["Id"],
        name=_text(row.get("Name")),
        cidr=ranges[0] if ranges else "",
        extra={
            "cidrs": ranges,
            "driver": _text(row.get("Driver")),
            "scope": _text(row.get("Scope")),
            "internal": bool(row.get("Internal")),
            "labels": {str(key): _text(value) for key, value in _mapping(row.get("Labels")).items()},
        },
    )


def details(daemon: Mapping[str, Any], info: Mapping[str, Any], api_version: str) -> dict[str, Any]:
    """Return what `GET /version` and `GET /info` tell, in our words; memory in MiB."""
    memory = info.get("MemTotal")
    found = {
        "engine_version": daemon.get("Version"),
        "api_version": api_version,
        "os": info.get("OperatingSystem") or daemon.get("Os"),
        "kernel": daemon.get("KernelVersion"),
        "architecture": info.get("Architecture") or daemon.get("Arch"),
        "cpus": info.get("NCPU"),
        "memory": memory // 2**20 if isinstance(memory, int) else None,
        "containers": info.get("Containers"),
        "running": info.get("ContainersRunning"),
        "paused": info.get("ContainersPaused"),
        "stopped": info.get("ContainersStopped"),
        "images": info.get("Images"),
        "storage_driver": info.get("Driver"),
    }
    return {key: value for key, value in found.items() if value is not None}


def _is_public(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False


def _time(value: Any) -> datetime | None:
    """Return a time given as seconds or in ISO 8601."""
    try:
        if isinstance(value, (int, float)):
            return datetime.fromtimestamp(int(value), UTC)
        time = datetime.fromisoformat(_text(value)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return time if time.year > 1 else None  # Go's zero time: never


def _moment(value: Any) -> str | None:
    time = _time(value)
    return time.isoformat().replace("+00:00", "Z") if time else None


def _number(text: Any) -> int | None:
    return int(text) if str(text).isdigit() else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(key, _mapping(each)) for key, each in _mapping(value).items()]
