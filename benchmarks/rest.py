"""Listing 2,000 machines over REST with mistcore and with libcloud: `python benchmarks/rest.py [SERVICE …]`.

The service is a stand-in in a process of its own that answers every request after 50 ms, with records as long as the
vendor's own; libcloud's address is patched to it. Each listing runs in a fresh process, with everything imported and
the session new: several times in turn to measure time (the best counts, as in timeit: a busy machine only ever adds to
it), once to measure memory. A second run is over TLS, as people have it, with a throwaway CA. Needs the dependency
groups `bench` and `test`, and the extra `fast`.

To add a service, add an entry to SERVICES.
"""

from __future__ import annotations

import gc
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
import tracemalloc
import urllib.request
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

MACHINES = 2_000
LATENCY = 0.05
ROUNDS = 15
TOKEN = "a" * 64


def redirect(connection: Any, url: str) -> None:
    """Make a connection of libcloud's, which cannot be told another address, go to this one."""
    split = urlsplit(url)
    connection.host, connection.port, connection.secure = split.hostname, split.port, int(split.scheme == "https")
    connection.connection = None


# -- DigitalOcean -----------------------------------------------------------------------------------------------------


def serve_digitalocean(tls: ssl.SSLContext | None) -> Any:
    from fakes.digitalocean import FakeDigitalOcean
    from fakes.digitalocean_catalog import image, size

    regions = [
        f"{city}{number}" for city in ("ams", "blr", "fra", "lon", "nyc", "sfo", "sgp", "tor") for number in "123"
    ]
    sizes = [
        f"{family}-{cpus}vcpu-{cpus * 4}gb"
        for family in ("s", "c", "g", "gd", "m", "m3", "m6")
        for cpus in range(1, 15)
    ]
    fake = FakeDigitalOcean(tls=tls, described=False)
    fake.tokens = {TOKEN: None}
    region = {"name": "Frankfurt 1", "slug": "fra1", "features": ["ipv6", "metadata", "storage"], "available": True}
    for number in range(MACHINES):
        fake.add_droplet(
            f"web-{number}",
            image=image(number % 9, "12 x64", "debian-12-x64", regions=regions),
            size=size("s-1vcpu-1gb", 1, 1024, 25, 0.00893, regions=regions),
            region={**region, "sizes": sizes},
            tags=["web", f"rack:{number % 20}"],
        )
    return fake


def mistcore_digitalocean(url: str) -> Callable[[], list[Any]]:
    from mistcore_providers.digitalocean import DigitalOcean

    return lambda: list(DigitalOcean(token=TOKEN, endpoint=url).list_machines())


def libcloud_digitalocean(url: str) -> Callable[[], list[Any]]:
    from libcloud.compute.providers import get_driver
    from libcloud.compute.types import Provider

    driver = get_driver(Provider.DIGITAL_OCEAN)(TOKEN)
    redirect(driver.connection, url)
    return lambda: list(driver.list_nodes())


# -- Linode -----------------------------------------------------------------------------------------------------------


def serve_linode(tls: ssl.SSLContext | None) -> Any:
    from fakes.linode import FakeLinode

    fake = FakeLinode(tls=tls, described=False)
    fake.tokens = {TOKEN: "*"}
    for number in range(MACHINES):
        fake.add_instance(f"web-{number}", tags=["web", f"rack:{number % 20}"])
    return fake


def mistcore_linode(url: str) -> Callable[[], list[Any]]:
    from mistcore_providers.linode import Linode

    return lambda: list(Linode(api_key=TOKEN, endpoint=url).list_machines())


def libcloud_linode(url: str) -> Callable[[], list[Any]]:
    from libcloud.compute.providers import get_driver
    from libcloud.compute.types import Provider

    driver = get_driver(Provider.LINODE)(TOKEN, api_version="4.0")
    redirect(driver.connection, url)
    return lambda: list(driver.list_nodes())


@attrs.frozen
class Service:
    """One vendor: its stand-in, and how each of the two lists the machines behind an address."""

    title: str
    serve: Callable[[ssl.SSLContext | None], Any]
    mistcore: Callable[[str], Callable[[], list[Any]]]
    libcloud: Callable[[str], Callable[[], list[Any]]]


SERVICES = {
    "digitalocean": Service("DigitalOcean", serve_digitalocean, mistcore_digitalocean, libcloud_digitalocean),
    "linode": Service("Linode", serve_linode, mistcore_linode, libcloud_linode),
}


# -- the stand-in's process -------------------------------------------------------------------------------------------


def serve(name: str, folder: str) -> None:
    """Serve until standard input closes; every answer is made once and kept, so that the server is not what is slow."""
    context = None
    if folder:
        import trustme

        ca = trustme.CA()
        ca.cert_pem.write_to_path(f"{folder}/ca.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("localhost").configure_cert(context)
    fake = SERVICES[name].serve(context)
    kept: dict[Any, Any] = {}
    make = fake.handle

    def handle(request: Any) -> Any:
        if request.path == "/count":
            from mistcore.testing.server import json_response

            count = len(fake.requests) - 1
            fake.requests.clear()
            return json_response({"count": count})
        time.sleep(LATENCY)
        key = request.method, request.path, tuple(sorted(request.query.items()))
        if key not in kept:
            kept[key] = make(request)
        return kept[key]

    fake.handle = handle
    with fake:
        print(fake.url, flush=True)
        sys.stdin.read()


# -- the process that lists -------------------------------------------------------------------------------------------


def client(who: str, name: str, url: str, what: str) -> None:
    listing = getattr(SERVICES[name], who)(url)
    import requests  # noqa: F401 - both import it at their first request, which is not what is measured

    if who == "mistcore":
        import msgspec  # noqa: F401

        import mistcore.http.connections  # noqa: F401
    gc.collect()
    if what == "memory":
        tracemalloc.start()
    wall, cpu = time.perf_counter(), time.process_time()
    machines = listing()
    result = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "machines": len(machines)}
    if what == "memory":
        kept, peak = tracemalloc.get_traced_memory()
        result |= {"kept": kept / 2**20, "peak": peak / 2**20}
    print(json.dumps(result))


def measure(name: str, url: str, ca: str) -> dict[str, dict[str, float]]:
    environment = dict(os.environ)
    if ca:
        environment |= {"REQUESTS_CA_BUNDLE": ca, "SSL_CERT_FILE": ca}
    context = ssl.create_default_context(cafile=ca) if ca else None

    def count() -> int:
        with urllib.request.urlopen(f"{url}/count", context=context) as answer:
            return int(json.load(answer)["count"])

    def run(who: str, what: str) -> dict[str, float]:
        command = [sys.executable, __file__, "--client", who, name, url, what]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        assert result["machines"] == MACHINES, result
        return result

    competitors = ("mistcore", "libcloud")
    for who in competitors:
        run(who, "time")  # fills the server's answers and the byte code
    results: dict[str, dict[str, float]] = {}
    times: dict[str, list[dict[str, float]]] = {who: [] for who in competitors}
    for _ in range(ROUNDS):
        for who in competitors:
            times[who].append(run(who, "time"))
    for who in competitors:
        count()
        memory = run(who, "memory")
        results[who] = {
            "wall": min(one["wall"] for one in times[who]),
            "cpu": min(one["cpu"] for one in times[who]),
            "requests": count(),
            "peak": memory["peak"],
            "kept": memory["kept"],
        }
    return results


def report(title: str, results: dict[str, dict[str, float]]) -> None:
    rows = {
        "wall time, ms": ("wall", 1000, ".0f"),
        "CPU time, ms": ("cpu", 1000, ".0f"),
        "requests": ("requests", 1, ".0f"),
        "memory at the peak, MiB": ("peak", 1, ".1f"),
        "memory of the result, MiB": ("kept", 1, ".1f"),
    }
    print(f"\n### {title}\n\n| {MACHINES:,} machines | mistcore | libcloud | ratio |\n| --- | ---: | ---: | ---: |")
    for label, (key, factor, form) in rows.items():
        ours, theirs = results["mistcore"][key] * factor, results["libcloud"][key] * factor
        print(f"| {label} | {ours:{form}} | {theirs:{form}} | {ours / theirs:.2f} |")


def main(names: list[str]) -> None:
    print(
        f"Python {sys.version.split()[0]}, mistcore {version('mistcore')}, libcloud {version('apache-libcloud')}, "
        f"{os.cpu_count()} cores; {LATENCY * 1000:.0f} ms a request; best of {ROUNDS} processes."
    )
    for name in names or SERVICES:
        for tls in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, __file__, "--serve", name, folder if tls else ""]
                with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
                    assert server.stdout is not None
                    url = server.stdout.readline().strip()
                    results = measure(name, url, f"{folder}/ca.pem" if tls else "")
                    server.communicate()
            report(f"{SERVICES[name].title}, {'HTTPS' if tls else 'HTTP'}", results)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--serve", name, folder]:
            serve(name, folder)
        case ["--client", who, name, url, what]:
            client(who, name, url, what)
        case names:
            main(names)
