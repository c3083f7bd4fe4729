"""Listing 500 machines of Google Compute Engine with mistcore and with libcloud's gce: `python benchmarks/gce.py`.

The service is the tests' stand-in, over TLS, in a process of its own that answers every request after 50 ms, with up to
500 rows on a page, as Google's; it makes every listing once and keeps it. Each way of listing runs in fresh processes
with everything imported, and includes getting a token. libcloud cannot be told an address, so its connections are made
to go to the stand-in's. Needs the dependency groups `bench` and `test`.
"""

from __future__ import annotations

import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

MACHINES = 500
LATENCY = 0.05
ROUNDS = 7


def serve(folder: str) -> None:
    """Serve until standard input closes; tell its address, and after each line the number of requests."""
    import trustme
    from fakes import gce_catalog
    from fakes.gce import FakeGce

    from mistcore.testing.server import Request, Response, json_response, route

    class WithMore(FakeGce):
        """What libcloud asks for besides: another address for tokens, the regions, and all disks."""

        @route("POST", "/o/oauth2/token")
        def old_token(self, request: Request) -> Response:
            return self.token(request)

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.kept: dict[Any, Response] = {}

        def handle(self, request: Request) -> Response:
            """Make every listing once: the server is not what is to be measured."""
            if request.method != "GET":
                return super().handle(request)
            key = (request.path, *sorted(request.query.items()))
            if key not in self.kept:
                self.kept[key] = super().handle(request)
            return self.kept[key]

        def authorize(self, request: Request) -> Response | None:
            return None if request.path == "/o/oauth2/token" else super().authorize(request)

        @route("GET", "/compute/v1/projects/{project}/regions")
        def regions(self, request: Request, project: str) -> Response:
            names = sorted({zone[:-2] for zone in gce_catalog.ZONES})
            rows = [
                {
                    "id": "1",
                    "name": name,
                    "status": "UP",
                    "zones": [],
                    "quotas": [],
                    "creationTimestamp": "",
                    "selfLink": "",
                }
                for name in names
            ]
            return json_response(self._page(request, rows, "compute#regionList"))

        @route("GET", "/compute/v1/projects/{project}/aggregated/disks")
        def aggregated_disks(self, request: Request, project: str) -> Response:
            rows = [
                {
                    "kind": "compute#disk",
                    "id": str(number),
                    "name": name,
                    "zone": self._link("zones", zone),
                    "sizeGb": "10",
                    "status": "READY",
                    "type": self._link("zones", zone, "diskTypes", "pd-standard"),
                    "sourceImage": "https://www.googleapis.com/compute/v1/projects/debian-cloud/global/images/debian-12",
                    "sourceImageId": "3000",
                    "licenses": [],
                    "labels": {},
                    "creationTimestamp": "2026-01-02T03:04:05.678-08:00",
                    "selfLink": self._link("zones", zone, "disks", name),
                }
                for number, (zone, name) in enumerate(sorted(self.disks), 1)
            ]
            page = self._page(request, rows, "compute#diskAggregatedList")
            items: dict[str, Any] = {}
            for row in page["items"]:
                items.setdefault(f"zones/{row['zone'].rpartition('/')[2]}", {"disks": []})["disks"].append(row)
            return json_response({**page, "items": items})

    ca = trustme.CA()
    ca.cert_pem.write_to_path(f"{folder}/ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    with WithMore(tls=context) as gce:
        gce.audiences.add("https://accounts.google.com/o/oauth2/token")
        for number in range(MACHINES):
            gce.add(gce_catalog.ZONES[number % len(gce_catalog.ZONES)], f"vm-{number}")
        Path(f"{folder}/key.json").write_text(json.dumps(gce.new_key()))
        gce.latency = LATENCY
        print(gce.url, flush=True)
        for _ in sys.stdin:
            print(len(gce.requests), flush=True)
            gce.requests.clear()


def with_mistcore(url: str, folder: str) -> Any:
    import google.oauth2.service_account  # noqa: F401 - so that it is not measured
    import requests  # noqa: F401

    from mistcore import Registry

    cls = Registry()["gce"]
    key = f"{folder}/key.json"
    return lambda: list(cls(private_key=key, endpoint=url, ca_cert=f"{folder}/ca.pem").list_machines())


def with_libcloud(url: str, folder: str) -> Any:
    import libcloud.security
    from libcloud.common import google
    from libcloud.compute.drivers.gce import GCENodeDriver
    from libcloud.http import LibcloudConnection

    libcloud.security.CA_CERTS_PATH = f"{folder}/ca.pem"
    port = int(url.rpartition(":")[2])

    class Redirected(LibcloudConnection):
        def __init__(self, _: str = "", *__: int, **options: Any) -> None:
            super().__init__(**{**options, "host": "localhost", "port": port, "secure": True})

    GCENodeDriver.connectionCls.conn_class = Redirected
    google.GoogleBaseAuthConnection.conn_class = Redirected
    key = json.loads(Path(f"{folder}/key.json").read_text())
    options = {"project": key["project_id"], "credential_file": f"{folder}/libcloud-{os.getpid()}"}
    return lambda: GCENodeDriver(key["client_email"], key["private_key"], **options).list_nodes()


WAYS = {"mistcore": with_mistcore, "libcloud": with_libcloud}


def measure(way: str, url: str, folder: str) -> None:
    """List once, and tell wall time, CPU time, and what came."""
    call = WAYS[way](url, folder)
    wall, cpu = time.perf_counter(), time.process_time()
    found = call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    complete = sum(bool(machine.public_ips) and machine.state == "running" for machine in found)
    print(json.dumps({"wall": wall, "cpu": cpu, "machines": len(found), "complete": complete}))


def main() -> None:
    """Measure every way in turn, and print the table."""
    me = [sys.executable, __file__]
    results: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [*me, "serve", folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert server.stdin is not None
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        environment = {name: value for name, value in os.environ.items() if not name.endswith("CA_BUNDLE")}
        for _ in range(ROUNDS):
            for way in WAYS:
                done = subprocess.run(
                    [*me, "measure", way, url, folder], stdout=subprocess.PIPE, text=True, env=environment, check=True
                )
                server.stdin.write("\n")
                result = json.loads(done.stdout)
                results.setdefault(way, []).append({**result, "requests": int(server.stdout.readline())})
        server.stdin.close()
        server.wait()

    def middle(way: str, key: str) -> float:
        return statistics.median(result[key] for result in results[way])

    print(
        f"{MACHINES} machines, {LATENCY * 1000:.0f} ms for each answer, TLS; medians of {ROUNDS}; Python "
        f"{sys.version.partition(' ')[0]}, apache-libcloud {version('apache-libcloud')}\n"
    )
    print("| | requests | wall (s) | CPU (s) | wall, mistcore = 1 | machines | with state and address |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for way in results:
        numbers = [middle(way, "requests"), middle(way, "wall"), middle(way, "cpu")]
        ratio = numbers[1] / middle("mistcore", "wall")
        print(
            f"| {way} | {numbers[0]:.0f} | {numbers[1]:.2f} | {numbers[2]:.2f} | {ratio:.1f} "
            f"| {middle(way, 'machines'):.0f} | {middle(way, 'complete'):.0f} |"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2])
    elif sys.argv[1:2] == ["measure"]:
        measure(*sys.argv[2:5])
    else:
        main()
