"""Every provider at once, each in front of every kind of hostile peer, and good backends in between."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fakes import hostile_fleet
from fakes.docker_life import PASSWORD, USER, LivingDocker
from peers import require
from peers.waiting import until

from mistcore import Provider, Registry
from mistcore.testing.certificates import context_with, trusted_pem
from mistcore.testing.judge import leaks, secrets_of
from mistcore.testing.wire import MISCHIEF, Talk, WireServer, after, pouring, saying, silent, trickling

IDS = [name for name in Registry() if Registry().package(name) == "mistcore"]
TIMEOUT = 3.0
#: Seconds that the whole may take longer than that: for a busy machine.
GRACE = 40.0
#: MiB; twelve of the peers send 200 at the same time, twice, and 64 of each is what is read at most.
MOST = 800

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 20\r\n\r\n<html>Log in!</html>"
Wanted = Mapping[str, tuple[Talk, set[str]]]


def http(talk: Talk) -> Talk:
    return after(b"\r\n\r\n", talk)


#: What each may end with: the class and the reason of the error, or the class where each has a word of its own.
HTTP: Wanted = {
    "never answers": (silent, {"Unreachable timeout"}),
    "a page": (http(saying(PAGE)), {"ProviderError"}),
    "garbage": (MISCHIEF["says garbage and hangs up"], {"Unreachable network", "ProviderError not_docker"}),
    "trickles": (http(saying(OK + b"Content-Length: 9999\r\n\r\n", then=trickling(b" "))), {"Unreachable timeout"}),
    "cut off": (http(saying(OK + b"Content-Length: 9999\r\n\r\n{")), {"Unreachable network"}),
    "200 MB": (http(pouring(OK + b"Connection: close\r\n\r\n", filler=b" " * 65536)), {"ProviderError too_long"}),
}
OTHER: Wanted = {
    "never answers": (silent, {"Unreachable timeout"}),
    "garbage": (MISCHIEF["says garbage"], {"Unreachable not_ssh", "Unreachable network"}),
    "trickles": (MISCHIEF["trickles garbage"], {"Unreachable not_ssh", "Unreachable network"}),
    "cut off": (MISCHIEF["hangs up on the first words"], {"Unreachable not_ssh", "Unreachable network"}),
    "200 MB": (MISCHIEF["pours garbage"], {"Unreachable not_ssh", "Unreachable network"}),
}
#: Some follow, without a credential, and find there what is no service.
SENT_ON = {"ProviderError"}
NOT_HTTP = {"bare_metal", "libvirt"}
ONLY_TLS = {"azure", "gce"}


def fields(provider: str, port: int, secret: str, ca: str) -> dict[str, Any]:
    """An account of each provider whose service is at this port."""
    url = f"https://localhost:{port}" if provider in ONLY_TLS else f"http://127.0.0.1:{port}"
    uuid = "1b671a64-40d5-491e-99b0-da01ff1f3341"
    password = {"username": "u", "password": secret}
    return {
        "azure": lambda: {
            "subscription_id": uuid,
            "tenant_id": uuid,
            "client_id": uuid,
            "client_secret": secret,
            "endpoint": url,
            "authority": url,
            "ca_cert": ca,
        },
        "bare_metal": lambda: {
            "machine_ip": "127.0.0.1",
            "machine_port": port,
            "password": secret,
            "ssh_config": "none",
        },
        "careless": lambda: {"token": secret, "endpoint": url},
        "digitalocean": lambda: {"token": secret, "endpoint": url},
        "docker": lambda: {"docker_host": f"tcp://127.0.0.1:{port}", "auth_user": "u", "auth_password": secret},
        "ec2": lambda: {"region": "eu-west-1", "api_key": "AKIAEXAMPLE", "api_secret": secret, "endpoint": url},
        "gce": lambda: {"private_key": service_account(secret, url), "endpoint": url, "ca_cert": ca},
        "hpcloud": lambda: {"region": "region-a.geo-1", "tenant_name": "t", "auth_url": f"{url}/v2.0", **password},
        "indonesian_vcloud": lambda: {"host": url, "organization": "o", **password},
        "libvirt": lambda: {"uri": f"qemu+tcp://127.0.0.1:{port}/system", "auth_user": "u", "auth_password": secret},
        "linode": lambda: {"api_key": secret, "endpoint": url},
        "nephoscale": lambda: {"endpoint": url, **password},
        "openstack": lambda: {"auth_url": f"{url}/v3", "tenant_name": "t", **password},
        "rackspace": lambda: {"region": "dfw", "username": "u", "api_key": secret, "endpoint": url},
        "softlayer": lambda: {"username": "u", "api_key": secret, "endpoint": url},
        "vcloud": lambda: {"host": url, "organization": "o", **password},
    }[provider]()


_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def service_account(secret: str, url: str) -> str:
    pem = _key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    said = {"type": "service_account", "project_id": "project-1", "client_email": "a@b.example"}
    return json.dumps({**said, "private_key_id": secret, "private_key": pem, "token_uri": f"{url}/token"})


@attrs.define
class Fleet:
    """What the program is told, and what it must come to."""

    ca: str
    stack: contextlib.ExitStack
    backends: list[tuple[str, str, dict[str, Any]]] = attrs.field(factory=list)
    closed: list[str] = attrs.field(factory=list)
    wires: dict[str, WireServer] = attrs.field(factory=dict)
    wanted: dict[str, set[str]] = attrs.field(factory=dict)
    good: dict[str, list[list[str]]] = attrs.field(factory=dict)

    def put_before(self, provider: str, mischief: str, talk: Talk, wanted: set[str]) -> None:
        title = f"{provider}: {mischief}"
        context = context_with() if provider in ONLY_TLS else None
        wire = self.wires[title] = self.stack.enter_context(WireServer(talk, tls=context))
        secret = f"secret-of-{provider}-{mischief.replace(' ', '-')}"
        self.backends.append((provider, title, fields(provider, wire.port, secret, self.ca)))
        self.wanted[title] = wanted

    def put_before_nobody(self, provider: str) -> None:
        title = f"{provider}: nobody"
        self.backends.append((provider, title, fields(provider, 1, "secret-of-nobody", self.ca)))
        self.closed.append(title)

    def put_before_good_ones(self) -> None:
        engine = self.stack.enter_context(LivingDocker())
        account = {"docker_host": engine.url, "auth_user": USER, "auth_password": PASSWORD}
        for number in range(3):
            self.backends.insert(number * 20, ("docker", f"good {number}", account))
            self.good[f"good {number}"] = [["web", "running"], ["db", "running"]]
        self.backends.append(("bare_metal", "good here", {"machine_ip": "local"}))
        name = Path("/proc/sys/kernel/hostname").read_text(encoding="utf-8").strip()
        self.good["good here"] = [[name, "running"]]

    def run(self, timeout: float = TIMEOUT, staying: int = 0) -> dict[str, Any]:
        told = {"backends": self.backends, "closed": self.closed, "timeout": timeout, "staying": staying}
        done = subprocess.run(
            [sys.executable, "-P", hostile_fleet.__file__],
            input=json.dumps(told),
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        outcome: dict[str, Any] = json.loads(done.stdout)
        return outcome

    def complaints(self, outcome: Mapping[str, Any], most: float = MOST) -> Iterator[str]:
        """Yield what is wrong with what came of it."""
        if outcome["rows"] != self.good or outcome["accounts"].keys() != self.good.keys():
            yield f"rows: {outcome['rows']} and {outcome['accounts']} instead of {self.good}"
        for kind in ("failures", "check failures"):
            found = outcome[kind]
            if found.keys() != self.wanted.keys():
                yield f"rows: {kind} of {found.keys() ^ self.wanted.keys()}"
            for title, (cls, reason, backend, words) in found.items():
                allowed = self.wanted.get(title, set()) | {"Unreachable timeout"}  # whatever a busy machine is late for
                if not {cls, f"{cls} {reason}"} & allowed or reason in ("", "bug") or backend != title:
                    yield f"error: {title} ended with {cls} {reason}: {words}"
        if outcome["refused"].keys() != set(self.closed):
            yield f"error: {outcome['refused']}"
        for title, (cls, reason, *_) in outcome["refused"].items():
            if (cls, reason) != ("Unreachable", "refused"):
                yield f"error: {title} ended with {cls} {reason}"
        if outcome["late"] > GRACE:
            yield f"time: {outcome['late']} seconds too late"
        if outcome["threads"]:
            yield f"threads: {outcome['threads']}"
        if outcome["memory"] > most:
            yield f"memory: {outcome['memory']} MiB"
        for owner, others in self.told_elsewhere().items():
            yield f"secret: that of {owner} was told to {others}"

    def heard(self) -> dict[str, set[str]]:
        """Every backend whose secret was told to anybody, with who heard it."""
        found: dict[str, set[str]] = {}
        for provider, title, values in self.backends:
            if title not in self.wires:
                continue
            cls: type[Provider] = hostile_fleet.Careless if provider == "careless" else Registry()[provider]
            secrets = secrets_of(cls(**values))
            hearers = {name for name, wire in self.wires.items() if leaks(secrets, wire.received.decode("latin-1"))}
            if hearers:
                found[title] = hearers
        return found

    def told_elsewhere(self) -> dict[str, set[str]]:
        return {owner: names - {owner} for owner, names in self.heard().items() if names - {owner}}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    authority = tmp_path / "authority.pem"
    authority.write_bytes(trusted_pem())
    with contextlib.ExitStack() as stack:
        made = Fleet(str(authority), stack)
        made.put_before_good_ones()
        made.wires["elsewhere"] = stack.enter_context(WireServer(http(saying(OK + b"Content-Length: 2\r\n\r\n{}"))))
        yield made


def sent_on(fleet: Fleet) -> Talk:
    place = f"http://127.0.0.1:{fleet.wires['elsewhere'].port}/there"
    return http(saying(f"HTTP/1.1 307 There\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()))


def test_every_provider_before_every_hostile_peer_at_once(fleet: Fleet) -> None:
    asked = [name for name in IDS if name != "libvirt" or find_spec("libvirt")]
    for provider in asked:
        fleet.put_before_nobody(provider)
        for mischief, (talk, wanted) in (OTHER if provider in NOT_HTTP else HTTP).items():
            fleet.put_before(provider, mischief, talk, wanted)
        if provider not in NOT_HTTP:
            fleet.put_before(provider, "elsewhere", sent_on(fleet), SENT_ON)
    complaints = list(fleet.complaints(fleet.run()))
    assert complaints == [], "\n".join(complaints)
    until(lambda: all(wire.lines for title, wire in fleet.wires.items() if title != "elsewhere"), 60, 0.05)
    assert {"digitalocean: 200 MB", "docker: never answers"} <= fleet.heard().keys()  # they were looked for
    if len(asked) < len(IDS):
        require.missing("libvirt's Python binding is not installed")


def test_a_careless_provider_is_found_and_takes_nobody_down(fleet: Fleet) -> None:
    fleet.put_before_nobody("careless")
    fleet.put_before_nobody("docker")
    for mischief in ("never answers", "a page", "200 MB"):
        fleet.put_before("careless", mischief, *HTTP[mischief])
    fleet.put_before("careless", "elsewhere", sent_on(fleet), SENT_ON)
    outcome = fleet.run(2.5, staying=2)  # those that wait for an answer to a listing and to a check
    found = {words.partition(":")[0] for words in fleet.complaints(outcome, most=250)}
    assert found == {"rows", "error", "memory", "threads", "secret"}
    assert {title: outcome["rows"].get(title) for title in fleet.good} == fleet.good
