"""Listing 300 domains, next to libcloud's libvirt driver: `python benchmarks/libvirt_domains.py`.

Both ask libvirt's own test driver, in this process: no daemon, no network, the same 300 domains. Calls are counted by a
profiler, which sees every function of the binding's C module. Not called `libvirt.py`, which would hide the binding.
Needs libvirt-python and apache-libcloud beside mistcore (the dependency groups `test-libvirt` and `bench`).
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import libvirt
from libcloud.compute.drivers.libvirt_driver import LibvirtNodeDriver

from mistcore_providers.libvirt import Libvirt

DOMAINS = 300
ROUNDS = 15
URI = "test:///default"
DOMAIN = """<domain type='test'><name>bench-{number}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type>hvm</type></os><devices><disk type='file'><source file='/disks/{number}'/><target dev='vda'/></disk>
<interface type='network'><mac address='52:54:00:00:{high:02x}:{low:02x}'/><source network='default'/></interface>
</devices></domain>"""


def timed(function: Callable[[], Any]) -> float:
    began = time.perf_counter()
    function()
    return (time.perf_counter() - began) * 1000


def calls_of(function: Callable[[], Any]) -> int:
    """Count the calls into the binding's C module that stand for a request: all but the ones that read a handle."""
    local = ("GetName", "GetUUID", "GetUUIDString", "GetID", "Free", "RegisterErrorHandler", "GetConnect", "LastError")
    count = 0

    def see(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        if event == "c_call" and getattr(argument, "__module__", "") == "libvirtmod":
            name = argument.__name__
            count += name.startswith("vir") and not name.endswith(local)

    threading.setprofile(see)
    sys.setprofile(see)
    try:
        function()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return count


def main() -> None:
    keeper = libvirt.open(URI)  # the default host lives as long as a connection to it
    for number in range(DOMAINS - 1):
        domain = keeper.defineXML(DOMAIN.format(number=number, high=number // 256, low=number % 256))
        if number % 2:
            domain.create()
    driver = LibvirtNodeDriver(uri=URI)
    kept = Libvirt(uri=URI)
    libvirt.registerErrorHandler(lambda context, error: None, None)  # libcloud lets libvirt print

    def fresh() -> list[Any]:
        with Libvirt(uri=URI) as provider:
            return list(provider.list_machines())

    ways: dict[str, Callable[[], Any]] = {
        "libcloud `list_nodes()`": driver.list_nodes,
        "mistcore `list_machines()`, first of an instance": fresh,
        "mistcore `list_machines()`, any further within a minute": lambda: list(kept.list_machines()),
    }
    for way in ways.values():
        assert len(way()) == DOMAINS
    counts = {name: calls_of(way) for name, way in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            times[name].append(timed(way))
    medians = {name: statistics.median(values) for name, values in times.items()}
    reference = next(iter(ways))
    print(
        f"{DOMAINS} domains, half of them running, each with a disk and an interface; Python {sys.version.split()[0]}, "
        f"libvirt {libvirt.getVersion() // 1_000_000}.{libvirt.getVersion() // 1000 % 1000}, "
        f"libcloud {version('apache-libcloud')}; median of {ROUNDS}.\n"
    )
    print("| way | calls of libvirt | of libcloud's | ms | of libcloud's |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, median in medians.items():
        share = counts[name] / counts[reference]
        print(f"| {name} | {counts[name]} | {share:.2f} | {median:.1f} | {median / medians[reference]:.2f} |")


if __name__ == "__main__":
    main()
