"""Listing 200 servers of a real OpenStack with mistcore, libcloud, openstacksdk and the openstack command.

`MISTCORE_OPENSTACK=1 python benchmarks/openstack.py`. The cloud is the tests' (Keystone, Glance, Placement, Neutron and
Nova with its fake driver, on loopback). Like is measured with like: listings with the names of sizes and images, and
listings by their ids. Each listing runs in a fresh process and includes the login. "listing" is
measured after the imports, "process" is the whole process, interpreter and imports included; all are medians. The
requests are counted in runs of their own. Needs the dependency group `bench` and the extra `openstack`.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

# `openstack` is also the name of the SDK.
sys.path[:] = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]

SERVERS = 200
ROUNDS = 41
_COUNTER = """
import atexit, http.client, os
count = [0]
real = http.client.HTTPConnection.putrequest
def putrequest(self, *args, **kwargs):
    count[0] += 1
    return real(self, *args, **kwargs)
http.client.HTTPConnection.putrequest = putrequest
atexit.register(lambda: open(os.environ["COUNT_TO"], "w").write(str(count[0])))
"""

Login = dict[str, str]


def _mistcore(login: Login, *, name_lookup: bool) -> Any:
    import msgspec  # noqa: F401 - as below
    import requests  # noqa: F401 - so that it is not measured

    from mistcore import Registry
    from mistcore_providers import _openstack_cloud, _openstack_login  # noqa: F401

    account = Registry()["openstack"](**login, name_lookup=name_lookup)
    return lambda: [(machine.name, machine.size, machine.image) for machine in account.list_machines()]


def with_mistcore(login: Login) -> Any:
    return _mistcore(login, name_lookup=False)


def with_mistcore_and_names(login: Login) -> Any:
    return _mistcore(login, name_lookup=True)


def _libcloud(login: Login) -> Any:
    from libcloud.compute.providers import get_driver

    driver = get_driver("openstack")
    return lambda: driver(
        login["username"],
        login["password"],
        ex_force_auth_url=login["auth_url"].removesuffix("/v3"),
        ex_force_auth_version="3.x_password",
        ex_tenant_name=login["tenant_name"],
        ex_domain_name="Default",
        ex_force_service_region="RegionOne",
        api_version="2.2",
    )


def with_libcloud(login: Login) -> Any:
    connect = _libcloud(login)
    return lambda: [(node.name, node.extra["flavorId"], node.extra["imageId"]) for node in connect().list_nodes()]


def with_libcloud_and_names(login: Login) -> Any:
    connect = _libcloud(login)

    def call() -> Any:
        driver = connect()
        sizes = {size.id: size.name for size in driver.list_sizes()}
        images = {image.id: image.name for image in driver.list_images()}
        return [
            (node.name, sizes.get(node.extra["flavorId"]), images.get(node.extra["imageId"]))
            for node in driver.list_nodes()
        ]

    return call


def _sdk(login: Login) -> Any:
    import openstack
    import openstack.compute.v2.server
    import openstack.image.v2.image

    return lambda: openstack.connect(
        auth_url=login["auth_url"],
        username=login["username"],
        password=login["password"],
        project_name=login["tenant_name"],
        user_domain_id="default",
        project_domain_id="default",
        region_name="RegionOne",
        load_yaml_config=False,
        load_envvars=False,
    )


def with_openstacksdk(login: Login) -> Any:
    connect = _sdk(login)
    return lambda: [
        (server.name, server.flavor.original_name, server.image.id)
        for server in connect().compute.servers(details=True)
    ]


def with_openstacksdk_and_names(login: Login) -> Any:
    connect = _sdk(login)

    def call() -> Any:
        connection = connect()
        images = {image.id: image.name for image in connection.image.images()}
        return [
            (server.name, server.flavor.original_name, images.get(server.image.id))
            for server in connection.compute.servers(details=True)
        ]

    return call


WAYS = {
    "mistcore, names": with_mistcore_and_names,
    "libcloud, names": with_libcloud_and_names,
    "openstacksdk, names": with_openstacksdk_and_names,
    "mistcore, ids": with_mistcore,
    "libcloud, ids": with_libcloud,
    "openstacksdk, ids": with_openstacksdk,
}
COMMANDS = {
    "openstack server list, names": ["server", "list", "-f", "json"],
    "openstack server list, ids": ["server", "list", "--no-name-lookup", "-f", "json"],
}
KINDS = ("names", "ids")


def measure(way: str) -> None:
    """List once, and tell wall and CPU time of the listing alone, and how many servers came."""
    call = WAYS[way](json.loads(os.environ["LOGIN"]))
    wall, cpu = time.perf_counter(), time.process_time()
    found = call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"wall": wall, "cpu": cpu, "servers": len(found)}))


def run(way: str, login: Login, counter: str = "") -> dict[str, float]:
    """Run one listing in a process of its own."""
    # Whatever is installed has been compiled; mistcore is by the run that counts requests, which is not measured.
    left_out = ("OS_", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    environment |= {"LOGIN": json.dumps(login)}
    command = [sys.executable, __file__, "measure", way]
    if way in COMMANDS:
        command = [str(Path(sys.executable).with_name("openstack")), *COMMANDS[way]]
        environment |= {
            "OS_AUTH_URL": login["auth_url"], "OS_USERNAME": login["username"], "OS_PASSWORD": login["password"],
            "OS_PROJECT_NAME": login["tenant_name"], "OS_USER_DOMAIN_ID": "default",
            "OS_PROJECT_DOMAIN_ID": "default", "OS_IDENTITY_API_VERSION": "3",
        }  # fmt: skip
    if counter:
        environment |= {"PYTHONPATH": counter, "COUNT_TO": f"{counter}/count"}
    wall = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - wall
    assert process.stderr is not None
    errors = process.stderr.read().decode()
    process.stderr.close()
    process.stdout.close()
    if process.returncode:
        raise SystemExit(f"{way}: {errors[-2000:]}")
    told: Any = json.loads(output)
    found: dict[str, float] = {"servers": len(told)} if way in COMMANDS else told
    found |= {
        "process wall": wall,
        "process cpu": usage.ru_utime + usage.ru_stime,
        "memory": usage.ru_maxrss / 1024,
    }
    if counter:
        found["requests"] = int(Path(counter, "count").read_text())
    return found


def fill(cloud: Any) -> None:
    """Make the servers, with an address each."""
    nova, neutron, glance = cloud.api("compute"), cloud.api("network"), cloud.api("image")
    demo = cloud.api("compute", "demo")
    project = demo.session.get_project_id()
    nova.put(f"/os-quota-sets/{project}", json={"quota_set": {"instances": -1, "cores": -1, "ram": -1}})
    neutron.put(f"/v2.0/quotas/{project}", json={"quota": {"port": -1}})
    network = neutron.get("/v2.0/networks?name=private").json()["networks"][0]["id"]
    images = [image["id"] for image in glance.get("/v2/images").json()["images"]]
    for number in range(SERVERS // 20):
        body = {"name": f"bench-{number}", "flavorRef": str(1 + number % 2), "imageRef": images[number % 2],
                "networks": [{"uuid": network}], "min_count": 20, "max_count": 20}  # fmt: skip
        demo.post("/servers", json={"server": body}, microversion="2.37")
        end = time.monotonic() + 900
        while time.monotonic() < end:
            rows = demo.get("/servers/detail?status=ACTIVE").json()["servers"]
            if len(rows) >= 20 * (number + 1):
                break
            time.sleep(1)
        else:
            raise SystemExit("the servers do not get ready")
    print(f"{SERVERS} servers are running", file=sys.stderr)


def main() -> None:
    """Measure every way in turn, and print the table."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    from peers.installed import FOLDER
    from peers.openstack_cloud import running

    with running(FOLDER / "openstack", 15600, OSP_MAX_LIMIT="1000") as cloud:
        fill(cloud)
        # In a process of its own, as Linux counts the memory of whoever starts a process as the least of its peak.
        rounds = [sys.executable, __file__, "rounds"]
        subprocess.run(rounds, env={**os.environ, "LOGIN": json.dumps(cloud.login())}, check=True)


def rounds() -> None:
    """Run every way, once to count its requests, then in rounds, and print the table.

    Each round has an order of its own: what Nova has just done for one way, it may tidy up during the next.
    """
    login = json.loads(os.environ["LOGIN"])
    ways = [*WAYS, *COMMANDS]
    with tempfile.TemporaryDirectory() as counter:
        Path(counter, "sitecustomize.py").write_text(_COUNTER)
        results = {way: [run(way, login, counter)] for way in ways}
    order = random.Random(0)  # so that it is the same for everybody
    for _ in range(ROUNDS):
        for way in order.sample(ways, len(ways)):
            results[way].append(run(way, login))
    print_table(results)


def print_table(results: dict[str, list[dict[str, float]]]) -> None:
    """Print medians, each with its ratio to that of mistcore for a listing of the same kind."""
    columns = ["wall", "cpu", "process wall", "process cpu", "memory"]
    middle = {
        way: {name: statistics.median([run[name] for run in runs[1:]]) for name in columns if name in runs[1]}
        for way, runs in results.items()
    }
    print(f"{SERVERS} servers, Python {sys.version.split()[0]}, {os.cpu_count()} CPUs, median of {ROUNDS}; "
          + ", ".join(f"{name} {version(name)}" for name in
                      ("apache-libcloud", "openstacksdk", "python-openstackclient", "keystoneauth1")))  # fmt: skip
    print()
    print("| | servers | requests | listing, s | its CPU, s | process, s | its CPU, s | memory, MiB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for way in sorted(results, key=lambda way: KINDS.index(way.rpartition(", ")[2])):
        runs, ours = results[way], middle[f"mistcore, {way.rpartition(', ')[2]}"]
        cells = [f"{runs[1]['servers']:.0f}", f"{runs[0]['requests']:.0f}"]
        for name in columns:
            value = middle[way].get(name)
            digits = 0 if name == "memory" else 3
            cells.append("-" if value is None else f"{value:.{digits}f} ({value / ours[name]:.2f}x)")
        print(f"| {way} | {' | '.join(cells)} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(sys.argv[2])
    elif sys.argv[1:] == ["rounds"]:
        rounds()
    else:
        main()
