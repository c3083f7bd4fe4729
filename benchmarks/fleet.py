"""Asking a fleet with mistcore, with libcloud in a pool of threads, and with bare requests.

`python benchmarks/fleet.py`: a canned server on loopback, in a process of its own, answers every request after 50 ms
with the same bytes. Each run is a fresh process in which everything is imported already; it makes the accounts, asks
them all with 32 threads and keeps all machines. mistcore reads its backends from a JSON file. "bare requests" makes a
session for each account, asks and parses JSON, and makes no records of it.

Linode stands for REST: one request for each account with either of the two. On EC2 libcloud asks for elastic addresses,
too. Runs take turns; the least of several counts, since a busy machine only ever adds. Memory is the peak of the
process (VmHWM) less what it held before. The picture is written to docs/images/fleet.svg. Needs the dependency groups
`bench` and `test`, and the extra `fast`.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

SIZES = (10, 100, 1000)
EC2_ACCOUNTS = 200
EACH = 100
WORKERS = 32
LATENCY = 0.05
ROUNDS = 3
CONTENDERS = ("mistcore", "libcloud", "bare requests")
KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "s" * 40


# -- the server -------------------------------------------------------------------------------------------------------


def answers() -> dict[bytes, tuple[str, bytes]]:
    from fakes import ec2
    from fakes.linode import TOKEN, FakeLinode

    from mistcore.testing.server import Request

    linode = FakeLinode(described=False)
    for number in range(EACH):
        linode.add_instance(f"web-{number}")
    query = {"page": "1", "page_size": "500"}
    lists = {key: [value] for key, value in query.items()}
    headers = {"Authorization": f"Bearer {TOKEN}"}
    page = linode.handle(Request("GET", "/v4/linode/instances", query, lists, headers, b""))
    assert page.status == 200, page
    assert len(json.loads(page.body)["data"]) == EACH
    found = "".join(ec2.reservation(ec2.instance(number)) for number in range(EACH))
    instances = ec2.answer("DescribeInstances", f"<reservationSet>{found}</reservationSet>").body
    addresses = ec2.answer("DescribeAddresses", "<addressesSet/>").body
    return {
        b"linode/instances": ("application/json", page.body),
        b"DescribeInstances": ("text/xml", instances),
        b"DescribeAddresses": ("text/xml", addresses),
    }


def serve() -> None:
    """Serve until standard input closes."""
    kept = {
        mark: f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        for mark, (kind, body) in answers().items()
    }

    class Connection(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            self.data = b""

        def data_received(self, data: bytes) -> None:
            self.data += data
            head, end, body = self.data.partition(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            if not end or len(body) < int(length or 0):
                return
            mark = next((mark for mark in kept if mark in self.data), None)
            self.data = b""
            answer = kept[mark] if mark else b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
            asyncio.get_running_loop().call_later(LATENCY, self.transport.write, answer)

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=512)
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)

    asyncio.run(main())


# -- the contenders: each returns what asks all accounts and answers all machines --------------------------------------

Asking = Callable[[], list[Any]]


def mistcore(service: str, count: int, port: int, store: str) -> Asking:
    from mistcore import BackendManager, Registry

    Registry()[service]
    import msgspec  # noqa: F401
    import requests  # noqa: F401

    import mistcore.http.connections  # noqa: F401

    return lambda: list(BackendManager(store).machines(workers=WORKERS, timeout=120))


def libcloud(service: str, count: int, port: int, store: str) -> Asking:
    if service == "linode":
        from libcloud.compute.providers import get_driver
        from libcloud.compute.types import Provider

        cls: Any = get_driver(Provider.LINODE)

        def ask(number: int) -> list[Any]:
            driver = cls(f"token-{number}")
            connection = driver.connection
            connection.host, connection.port, connection.secure, connection.connection = "127.0.0.1", port, 0, None
            return list(driver.list_nodes())
    else:
        from libcloud.compute.drivers.ec2 import EC2NodeDriver

        def ask(number: int) -> list[Any]:
            driver = EC2NodeDriver(KEY, SECRET, secure=False, host="127.0.0.1", port=port, region="eu-west-1")
            return list(driver.list_nodes())

    return in_pool(ask, count)


def bare_requests(service: str, count: int, port: int, store: str) -> Asking:
    import requests

    def ask(number: int) -> list[Any]:
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer token-{number}"
            url = f"http://127.0.0.1:{port}/v4/linode/instances"
            found: list[Any] = session.get(url, params={"page": 1, "page_size": 500}, timeout=120).json()["data"]
            return found

    return in_pool(ask, count)


def in_pool(ask: Callable[[int], list[Any]], count: int) -> Asking:
    def ask_all() -> list[Any]:
        with ThreadPoolExecutor(WORKERS) as pool:
            return [machine for found in pool.map(ask, range(count)) for machine in found]

    return ask_all


# -- measuring --------------------------------------------------------------------------------------------------------


def memory(what: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


def client(who: str, service: str, count: int, port: int, store: str) -> None:
    ask = {"mistcore": mistcore, "libcloud": libcloud, "bare requests": bare_requests}[who](service, count, port, store)
    before = memory("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    found = ask()
    result = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "peak": memory("VmHWM") - before}
    assert len(found) == count * EACH, len(found)
    print(json.dumps(result))


def make_store(service: str, count: int, port: int, folder: str) -> str:
    from mistcore import BackendManager

    path = f"{folder}/{service}-{count}.json"
    url = f"http://127.0.0.1:{port}"
    with BackendManager(path) as manager, manager.batch():
        for number in range(count):
            fields = (
                {"api_key": f"token-{number}"}
                if service == "linode"
                else {"api_key": KEY, "api_secret": SECRET, "region": "eu-west-1"}
            )
            manager.add_backend(service, f"{service} {number}", check=False, endpoint=url, **fields)
    return path


Figures = dict[str, float]


def measure(service: str, count: int, port: int, folder: str, contenders: tuple[str, ...]) -> dict[str, Figures]:
    store = make_store(service, count, port, folder)
    runs: dict[str, list[Figures]] = {who: [] for who in contenders}
    for _ in range(ROUNDS):
        for who in contenders:
            command = [sys.executable, __file__, "--client", who, service, str(count), str(port), store]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            runs[who].append(json.loads(done.stdout.splitlines()[-1]))
    return {who: {key: min(run[key] for run in found) for key in found[0]} for who, found in runs.items()}


def table(title: str, results: dict[str, Figures]) -> None:
    print(f"\n### {title}\n\n| | wall, s | CPU, s | memory, MiB | wall | CPU | memory |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    ours = results["mistcore"]
    for who, each in results.items():
        ratios = " | ".join(f"{each[key] / ours[key]:.2f}" for key in ("wall", "cpu", "peak"))
        print(f"| {who} | {each['wall']:.2f} | {each['cpu']:.2f} | {each['peak']:.1f} | {ratios} |")


def draw(growth: dict[int, dict[str, Figures]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "mistcore", "font.size": 9}
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
    panels = (("wall", "wall time, s"), ("cpu", "CPU time, s"), ("peak", "memory, MiB"))
    styles = {"mistcore": ("#00695c", "o"), "libcloud": ("#c62828", "s"), "bare requests": ("#757575", "^")}
    for axis, (key, label) in zip(axes, panels, strict=True):
        for who, (colour, marker) in styles.items():
            values = [growth[count][who][key] for count in growth]
            axis.plot(list(growth), values, marker=marker, color=colour, label=who, markersize=4)
        axis.set(title=label, xlabel=f"backends of {EACH} machines", ylim=(0, None), xlim=(0, None))
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    axes[0].legend(frameon=False)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    server = subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    port = int(server.stdout.readline())
    print(
        f"Python {sys.version.split()[0]}, mistcore {version('mistcore')}, libcloud {version('apache-libcloud')}, "
        f"requests {version('requests')}, {os.cpu_count()} cores; {LATENCY * 1000:.0f} ms a request; "
        f"{WORKERS} threads; the least of {ROUNDS} runs. The last three columns are relative to mistcore."
    )
    with tempfile.TemporaryDirectory() as folder:
        growth = {}
        for count in SIZES:
            growth[count] = measure("linode", count, port, folder, CONTENDERS)
            table(f"{count:,} REST backends of {EACH} machines", growth[count])
        ec2 = measure("ec2", EC2_ACCOUNTS, port, folder, ("mistcore", "libcloud"))
        table(f"{EC2_ACCOUNTS} EC2 backends of {EACH} instances", ec2)
    draw(growth, ROOT / "docs/images/fleet.svg")
    server.communicate()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--serve"]:
            serve()
        case ["--client", who, service, count, port, store]:
            client(who, service, int(count), int(port), store)
        case _:
            main()
