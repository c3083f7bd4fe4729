"""Listing 100 containers of a real engine, next to the Docker SDK and libcloud.

`python benchmarks/docker_containers.py`. All of them ask the same engine over TLS with the same client certificate.
Requests are counted in a run of their own, by a proxy before the engine's socket. Not called `docker.py`, which would
hide the SDK. Needs root, dockerd and static busybox (Debian: docker.io, busybox-static), and the SDK, trustme, pytest
and apache-libcloud beside mistcore.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import docker
import libcloud.security
from fakes.docker import DockerProxy
from libcloud.container.drivers.docker import DockerContainerDriver
from peers.docker_engine import DockerEngine, running_engine

from mistcore_providers.docker import Docker

CONTAINERS = 100
RUNNING = 10
ROUNDS = 30

REFERENCE = "Docker SDK `containers.list(all=True)`"


def ways(engine: DockerEngine) -> dict[str, Callable[[], list[Any]]]:
    """Return how to list, each with a connection that is kept."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        os.environ.pop(name, None)  # both others would obey it rather than the CA that they are given
    client, port = engine.client, engine.tls_port
    files = {"cert_file": str(client.cert_file), "key_file": str(client.key_file)}
    ours = Docker(docker_host="localhost", docker_port=port, ca_cert_file=str(engine.ca_file), **files)
    tls = docker.TLSConfig(client_cert=tuple(files.values()), ca_cert=str(engine.ca_file), verify=True)
    sdk = docker.DockerClient(f"tcp://localhost:{port}", tls=tls)
    libcloud.security.CA_CERTS_PATH = str(engine.ca_file)
    driver = DockerContainerDriver(host="https://127.0.0.1", port=port, **files)
    return {
        REFERENCE: lambda: sdk.containers.list(all=True),
        "the same with `sparse=True`": lambda: sdk.containers.list(all=True, sparse=True),
        "libcloud `list_containers()`": driver.list_containers,
        "mistcore `list_machines()`": lambda: list(ours.list_machines()),
        "mistcore, a new instance each time": lambda: fresh(port, engine, files),
    }


def fresh(port: int, engine: DockerEngine, files: dict[str, str]) -> list[Any]:
    with Docker(docker_host="localhost", docker_port=port, ca_cert_file=str(engine.ca_file), **files) as provider:
        return list(provider.list_machines())


def requests_of(engine: DockerEngine) -> list[int]:
    """Return how many requests each way sends, the making of the connection left out."""
    with DockerProxy(engine.socket) as proxy:
        split = urlsplit(proxy.url)
        sdk = docker.DockerClient(proxy.url.replace("http", "tcp", 1))
        driver = DockerContainerDriver(host=str(split.hostname), port=split.port, secure=False)
        ours = Docker(docker_host=proxy.url)
        ours.check()
        found = []
        for way in (
            lambda: sdk.containers.list(all=True),
            lambda: sdk.containers.list(all=True, sparse=True),
            driver.list_containers,
            lambda: list(ours.list_machines()),
            lambda: list(Docker(docker_host=proxy.url).list_machines()),
        ):
            proxy.requests.clear()
            assert len(way()) == CONTAINERS
            found.append(len(proxy.requests))
        return found


def main() -> None:
    with running_engine() as engine:
        api = engine.api()
        host_config = api.create_host_config(network_mode="none")
        for number in range(CONTAINERS):
            made = api.create_container(
                engine.image, ["sleep", "1000"], name=f"bench-{number}", host_config=host_config, labels={"n": "1"}
            )
            if number < RUNNING:
                api.start(made["Id"])
        api.close()
        kinds = ways(engine)
        counts = dict(zip(kinds, requests_of(engine), strict=True))
        wall: dict[str, list[float]] = {name: [] for name in kinds}
        work: dict[str, list[float]] = {name: [] for name in kinds}
        for round_ in range(ROUNDS + 1):
            for name in list(kinds)[:: 1 if round_ % 2 else -1]:  # nobody always comes after the slow one
                way = kinds[name]
                began, busy = time.perf_counter(), time.process_time()
                assert len(way()) == CONTAINERS
                if round_:  # the first one warms up
                    wall[name].append((time.perf_counter() - began) * 1000)
                    work[name].append((time.process_time() - busy) * 1000)
        engine_version = engine.api().version()["Version"]
    print(
        f"{CONTAINERS} containers, {RUNNING} running; Python {sys.version.split()[0]}, Engine {engine_version}, "
        f"Docker SDK {version('docker')}, libcloud {version('apache-libcloud')}; median of {ROUNDS}.\n"
    )
    print("| way | requests | wall ms | of the SDK's | CPU ms | of the SDK's |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    slow, busy = statistics.median(wall[REFERENCE]), statistics.median(work[REFERENCE])
    for name in kinds:
        ms, cpu = statistics.median(wall[name]), statistics.median(work[name])
        print(f"| {name} | {counts[name]} | {ms:.1f} | {ms / slow:.2f} | {cpu:.1f} | {cpu / busy:.2f} |")


if __name__ == "__main__":
    main()
