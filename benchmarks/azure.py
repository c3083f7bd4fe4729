"""Listing 500 machines of Azure with mistcore and with libcloud's azure_arm: `python benchmarks/azure.py`.

The service is the tests' stand-in, over TLS, in a process of its own that answers every request after 50 ms, with 50
rows on a page. Each listing runs in a fresh process with everything imported, and includes getting a token. libcloud
cannot be told a port, so its connections are made to go to the stand-in's. Needs the dependency groups `bench` and
`test`.
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
PAGE = 50


def serve(folder: str) -> None:
    """Serve until standard input closes; tell its address, and after each line the number of requests."""
    import trustme
    from fakes.azure import FakeAzure

    ca = trustme.CA()
    ca.cert_pem.write_to_path(f"{folder}/ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    with FakeAzure(tls=context) as azure:
        azure.resources.seed(MACHINES)
        azure.page_size, azure.latency = PAGE, LATENCY
        print(azure.url, flush=True)
        for _ in sys.stdin:
            print(len(azure.requests), flush=True)
            azure.requests.clear()


def with_mistcore(url: str, ca: str) -> Any:
    import msal  # noqa: F401 - so that it is not measured
    import requests  # noqa: F401
    from fakes.azure import SUBSCRIPTION
    from fakes.azure_entra import CLIENT, SECRET, TENANT

    from mistcore import Registry

    cls = Registry()["azure"]
    login = {"tenant_id": TENANT, "client_id": CLIENT, "client_secret": SECRET}
    return lambda: list(
        cls(subscription_id=SUBSCRIPTION, **login, endpoint=url, authority=url, ca_cert=ca).list_machines()
    )


def with_libcloud(url: str, ca: str, **options: bool) -> Any:
    import libcloud.security
    from fakes.azure import SUBSCRIPTION
    from fakes.azure_entra import AUDIENCE, CLIENT, SECRET, TENANT
    from libcloud.compute.drivers.azure_arm import AzureNodeDriver
    from libcloud.http import LibcloudConnection

    libcloud.security.CA_CERTS_PATH = ca
    port = int(url.rpartition(":")[2])

    class Redirected(LibcloudConnection):
        def __init__(self, host: str, *_: int, **options: Any) -> None:
            super().__init__(host, **{**options, "port": port, "secure": True})

    AzureNodeDriver.connectionCls.conn_class = Redirected
    addresses = {"resourceManagerEndpointUrl": url, "activeDirectoryEndpointUrl": url}
    cloud = {**addresses, "activeDirectoryResourceId": AUDIENCE, "storageEndpointSuffix": ""}
    return lambda: AzureNodeDriver(TENANT, SUBSCRIPTION, CLIENT, SECRET, cloud_environment=cloud).list_nodes(**options)


WAYS = {
    "mistcore": with_mistcore,
    "libcloud": with_libcloud,
    "libcloud, without states and addresses": lambda url, ca: with_libcloud(
        url, ca, ex_fetch_nic=False, ex_fetch_power_state=False
    ),
}


def measure(way: str, url: str, ca: str) -> None:
    """List once, and tell wall time, CPU time, and what came."""
    call = WAYS[way](url, ca)
    wall, cpu = time.perf_counter(), time.process_time()
    found = call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    complete = sum(bool(machine.public_ips) and machine.state == "running" for machine in found)
    print(json.dumps({"wall": wall, "cpu": cpu, "machines": len(found), "complete": complete}))


def main() -> None:
    """Measure every way in turn, and print the table."""
    me = [sys.executable, __file__]
    rounds = {"mistcore": 5, "libcloud": 1, "libcloud, without states and addresses": 5}
    results: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [*me, "serve", folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert server.stdin is not None
        assert server.stdout is not None
        url, ca = server.stdout.readline().strip(), f"{folder}/ca.pem"
        environment = {name: value for name, value in os.environ.items() if not name.endswith("CA_BUNDLE")}
        for way, times in rounds.items():
            for _ in range(times):
                done = subprocess.run(
                    [*me, "measure", way, url, ca], check=True, capture_output=True, text=True, env=environment
                )
                server.stdin.write("\n")
                result = json.loads(done.stdout)
                results.setdefault(way, []).append({**result, "requests": int(server.stdout.readline())})
        server.stdin.close()
        server.wait()

    def middle(way: str, key: str) -> float:
        return statistics.median(result[key] for result in results[way])

    print(
        f"{MACHINES} machines, {PAGE} on a page, {LATENCY * 1000:.0f} ms for each answer, TLS; medians; Python "
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
