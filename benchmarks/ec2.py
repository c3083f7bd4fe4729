"""Listing EC2 with mistcore, boto3 and libcloud: `python benchmarks/ec2.py`.

One canned server on loopback, in a process of its own, answers all of them with the same bytes; each contender runs in
fresh processes. What it imports only for its first request counts in the second and third table. Measured are

- 1,000 instances in one answer (boto3's and libcloud's parsers build what they build: nothing is converted further);
- 200 accounts, each made and then listed once, 100 instances each, all of it kept;
- the same, but what each list held is dropped at once (of mistcore and libcloud only: boto3 takes minutes);
- making accounts and nothing else (200, or 20 where each has a session of its own, which takes seconds).

CPU is user and system time of the contender's process; the least of several runs is shown. Peak memory is that of the
whole process. Needs the dependency groups `bench` and `test`.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

ACCOUNTS, EACH, MANY = 200, 100, 1000
RUNS = 3
REPEATS = 5
KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "s" * 40


# -- the server -------------------------------------------------------------------------------------------------------


def serve() -> None:
    """Serve until standard input closes. The path's first part says how many instances there are."""
    from fakes.ec2 import answer, instance, reservation

    def page(count: int) -> bytes:
        found = "".join(reservation(instance(number)) for number in range(count))
        return answer("DescribeInstances", f"<reservationSet>{found}</reservationSet>").body

    pages = {count: page(count) for count in (EACH, MANY)}
    # libcloud asks for elastic addresses after every listing.
    addresses = answer("DescribeAddresses", "<addressesSet/>").body

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        count = 0

        def respond(self) -> None:
            asked = self.path.encode() + self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = addresses if b"DescribeAddresses" in asked else pages[self.count]
            self.send_response(200)
            self.send_header("Content-Type", "text/xml;charset=UTF-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = respond  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    import threading

    ports = []
    for count in (MANY, EACH):
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("H", (Handler,), {"count": count}))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ports.append(server.server_port)
    print(json.dumps(ports), flush=True)
    sys.stdin.read()


# -- the contenders: each returns how to make an account, and how to list one -----------------------------------------

Contender = tuple[Callable[[int], Any], Callable[[Any], list[Any]]]


def with_mistcore() -> Contender:
    from mistcore import Registry

    cls = Registry()["ec2"]

    def make(port: int) -> Any:
        return cls(api_key=KEY, api_secret=SECRET, region="eu-west-1", endpoint=f"http://127.0.0.1:{port}")

    return make, lambda account: list(account.list_machines())


def _boto3_client(session: Any, port: int) -> Any:
    return session.client(
        "ec2",
        region_name="eu-west-1",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
    )


def _boto3_list(client: Any) -> list[Any]:
    pages = client.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 1000})
    return [found for page in pages for each in page["Reservations"] for found in each["Instances"]]


def with_boto3_sessions() -> Contender:
    import boto3

    return lambda port: _boto3_client(boto3.session.Session(), port), _boto3_list


def with_boto3_shared() -> Contender:
    import boto3

    session = boto3.session.Session()
    return lambda port: _boto3_client(session, port), _boto3_list


def with_libcloud() -> Contender:
    from libcloud.compute.drivers.ec2 import EC2NodeDriver

    def make(port: int) -> Any:
        return EC2NodeDriver(KEY, SECRET, secure=False, host="127.0.0.1", port=port, region="eu-west-1")

    return make, lambda driver: driver.list_nodes()


CONTENDERS: dict[str, tuple[str, Callable[[], Contender]]] = {
    "mistcore": ("mistcore", with_mistcore),
    "boto3, one session each": ("boto3", with_boto3_sessions),
    "boto3, one session": ("boto3", with_boto3_shared),
    "libcloud": ("apache-libcloud", with_libcloud),
}


# -- one measurement, in a process of its own -------------------------------------------------------------------------


def accounts(name: str, what: str) -> int:
    """Return how many accounts are made."""
    return 20 if what == "set up" and "each" in name else ACCOUNTS


def measure(name: str, what: str, many: int, each: int) -> dict[str, float]:
    """Return seconds of CPU and by the clock, and the peak of memory in MiB."""
    make, listing = CONTENDERS[name][1]()
    samples: list[tuple[float, float]] = []

    def timed(work: Callable[[], Any]) -> None:
        cpu, clock = time.process_time(), time.perf_counter()
        work()
        samples.append((time.process_time() - cpu, time.perf_counter() - clock))

    if what == "many":
        account = make(many)
        assert len(listing(account)) == MANY  # warms up, too
        for _ in range(REPEATS):
            timed(lambda: listing(account))
    else:
        kept: list[Any] = []

        def run() -> None:
            for _ in range(accounts(name, what)):
                account = make(each)
                found = [] if what == "set up" else listing(account)
                assert what == "set up" or len(found) == EACH
                kept.append((account, found if what == "kept" else None))

        timed(run)
    cpu, clock = min(samples)
    return {"cpu": cpu, "clock": clock, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def run(name: str, what: str, ports: list[int]) -> dict[str, float]:
    """Measure in fresh processes and return the least of each figure: whatever else runs only ever adds."""
    command = [sys.executable, __file__, "measure", name, what, *map(str, ports)]
    environment = {**os.environ, "AWS_EC2_METADATA_DISABLED": "true"}
    runs = 1 if what != "many" and name.startswith("boto3") else RUNS
    found = [json.loads(subprocess.check_output(command, env=environment)) for _ in range(runs)]
    return {key: min(each[key] for each in found) for key in ("cpu", "clock", "peak")}


def table(title: str, results: dict[str, dict[str, float]], scale: float, unit: str, *, peak: bool = True) -> None:
    """Print a table; the ratios are to mistcore."""
    ours = results["mistcore"]
    print(f"\n{title}\n")
    print(f"| | CPU {unit} | ratio | clock {unit} | ratio |" + (" peak MiB | ratio |" if peak else ""))
    print("|---|---:|---:|---:|---:|" + ("---:|---:|" if peak else ""))
    for name, found in results.items():
        row = [f"{name} {version(CONTENDERS[name][0])}"]
        for key in ("cpu", "clock"):
            row += [f"{found[key] * scale:.4g}", f"{found[key] / ours[key]:.1f}"]
        if peak:
            row += [f"{found['peak']:.0f}", f"{found['peak'] / ours['peak']:.2f}"]
        print(f"| {' | '.join(row)} |")


def main() -> None:
    server = subprocess.Popen(
        [sys.executable, __file__, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        ports = json.loads(server.stdout.readline())
        print(f"Python {platform.python_version()}, botocore {version('botocore')}, {os.cpu_count()} cores")
        for title, what, names in (
            ("1,000 instances in one answer", "many", list(CONTENDERS)),
            ("200 accounts made and listed, 100 instances each, all kept", "kept", list(CONTENDERS)),
            ("200 accounts made and listed, 100 instances each, lists dropped", "dropped", ["mistcore", "libcloud"]),
            ("One account made, nothing asked", "set up", list(CONTENDERS)),
        ):
            results = {name: run(name, what, ports) for name in names}
            if what == "set up":
                for name, found in results.items():
                    found |= {key: found[key] / accounts(name, what) for key in ("cpu", "clock")}
            seconds = what in {"kept", "dropped"}
            table(title, results, 1 if seconds else 1000, "s" if seconds else "ms", peak=what != "set up")
    finally:
        server.communicate("")


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    elif sys.argv[1:2] == ["measure"]:
        print(json.dumps(measure(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))))
    else:
        main()
