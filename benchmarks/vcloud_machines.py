"""Listing 500 machines of a vCloud Director, next to libcloud's driver: `python benchmarks/vcloud_machines.py`.

A stand-in of vCloud Director on this machine (tests/fakes/vcloud.py) that waits 50 ms before each answer, as a service
some way off does. libcloud speaks API 5.5 at the newest, so the stand-in speaks that for both; and once more what
Cloud Directors speak today, which libcloud does not. Each time is that of a new account: login, and all machines.
Needs apache-libcloud beside mistcore (the dependency group `bench`).
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes.vcloud import FakeVcloud
from libcloud.compute.drivers.vcloud import VCloudNodeDriver

from mistcore_providers.vcloud import Vcloud

MACHINES = 500
LATENCY = 0.05
ROUNDS = 3
OLD: dict[str, Any] = {"versions": (("5.1", False), ("5.5", False)), "cloud_login": False}


def fill(cloud: FakeVcloud, per_vapp: int) -> None:
    for number in range(MACHINES):
        address = f"10.0.{number // 250}.{number % 250 + 1}"
        cloud.add_vm(f"vm{number}", vapp=f"app{number // per_vapp}", status="POWERED_ON", ips=[address])


def by_libcloud(cloud: FakeVcloud) -> int:
    address = urlsplit(cloud.url)
    driver = VCloudNodeDriver(
        "jane@Acme", "s3cret", secure=False, host=address.hostname, port=address.port, api_version="5.5"
    )
    return sum(len(node.extra["vms"]) for node in driver.list_nodes())


def by_mistcore(cloud: FakeVcloud) -> int:
    with Vcloud(host=cloud.url, organization="Acme", username="jane", password="s3cret") as provider:
        return len(list(provider.list_machines()))


def measure(cloud: FakeVcloud, way: Callable[[FakeVcloud], int]) -> tuple[int, float]:
    """Return the requests and the median seconds of one way."""
    times = []
    for _ in range(ROUNDS):
        cloud.requests.clear()
        began = time.perf_counter()
        assert way(cloud) == MACHINES
        times.append(time.perf_counter() - began)
    return len(cloud.requests), statistics.median(times)


def main() -> None:
    print(
        f"{MACHINES} machines, {LATENCY * 1000:.0f} ms before each answer; Python {sys.version.split()[0]}, "
        f"libcloud {version('apache-libcloud')}; median of {ROUNDS}.\n"
    )
    print("| vApps | who, and the API's version | requests | of libcloud's | seconds | of libcloud's |")
    print("| ---: | --- | ---: | ---: | ---: | ---: |")
    for per_vapp in (1, 5):
        reference: tuple[int, float] | None = None
        for name, kind, way in (
            ("libcloud, 5.5 (XML)", OLD, by_libcloud),
            ("mistcore, 5.5 (XML)", OLD, by_mistcore),
            ("mistcore, 38.1 (JSON)", {}, by_mistcore),
        ):
            with FakeVcloud(latency=LATENCY, **kind) as cloud:
                fill(cloud, per_vapp)
                requests, seconds = measure(cloud, way)
            reference = reference or (requests, seconds)
            print(
                f"| {MACHINES // per_vapp} | {name} | {requests} | {requests / reference[0]:.3f} | {seconds:.2f} | "
                f"{seconds / reference[1]:.3f} |"
            )


if __name__ == "__main__":
    main()
