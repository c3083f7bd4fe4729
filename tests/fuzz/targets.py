"""What is fuzzed: the store's reader, and each provider with a stand-in behind it whose answers are changed.

A target is a function of bytes. It raises what it should not: anything but an error of mistcore's own out of a
provider, a record that is not well formed, a store that does not hold what was read from it.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from contextlib import suppress

from fuzz.wire import Choices, Wire, changed, digest, stop_the_clock

from mistcore import MistError, NotSupported, Provider
from mistcore.deadline import deadline
from mistcore.models import Account, Image, Location, Network, Size
from mistcore.testing.judge import machine_problems, record_problems
from mistcore.testing.server import FakeService, Response

__all__ = ["TARGETS", "Target"]

Target = Callable[[bytes], None]
_URL = "http://127.0.0.1:9"
_OPERATIONS = ("list_machines", "check", "list_sizes", "list_images", "list_locations", "list_networks", "get_machine")
_LOGIN = {"username": "me", "tenant_name": "demo", "region": "region-a.geo-1", "password": "right"}
_KINDS = {"list_sizes": Size, "list_images": Image, "list_locations": Location, "list_networks": Network}
#: Seconds, of a clock that jumps, for one call.
_MOST = 120.0


def store() -> Target:
    """The reader of stores: bytes are refused, or read and written again with nothing lost."""
    from mistcore.stores.format import Damaged, compose, encode, parse

    def fuzz(data: bytes) -> None:
        try:
            document = parse(data)
        except Damaged as damaged:
            if not str(damaged).isprintable():
                raise
            return
        before = dict(document.records)
        assert parse(compose(document)).records == before
        for record in list(before.values())[:1]:
            document.put(*encode(record))
        assert parse(compose(document)).records == before

    return fuzz


def _over_the_wire(service: FakeService, account: Callable[[str], Provider], url: str = _URL) -> Target:
    service.url = url
    stop_the_clock()
    wire = Wire(service)
    wire.attach()
    asked: dict[str, int] = {}
    ids: list[str] = []

    def call(provider: Provider, operation: str) -> None:
        if operation == "check":
            # Not every service tells whose the credentials are.
            problems = [each for each in record_problems(provider.check(), Account) if each != "it has no id"]
        elif operation == "get_machine":
            problems = machine_problems(provider.get_machine(ids[0]))
        elif operation == "list_machines":
            machines = list(provider.list_machines())
            problems = [problem for each in machines for problem in machine_problems(each)]
            if len({each.id for each in machines}) < len(machines):
                problems.append("two machines share an id")
        elif provider.supports(operation):
            problems = [
                problem
                for each in getattr(provider, operation)()
                for problem in record_problems(each, _KINDS[operation])
            ]
        else:
            return
        assert not problems, problems

    def learn(about: str, answer: Response) -> Response:
        asked.setdefault(about, len(asked))
        return answer

    wire.change = learn
    with account(url) as provider:
        ids += [machine.id for machine in provider.list_machines()]
    assert ids, "the stand-in has no machine"
    for operation in _OPERATIONS:
        with account(url) as provider, suppress(NotSupported):
            call(provider, operation)

    def fuzz(data: bytes) -> None:
        choices = Choices(data)
        operation = _OPERATIONS[choices.number(len(_OPERATIONS))]
        changes: dict[int, list[bytes]] = {}
        while choices.more():
            which, size = choices.number(len(asked)), 4 + choices.number(12)
            changes.setdefault(which, []).append(choices.rest(size))

        def change(about: str, answer: Response) -> Response:
            for each in changes.get(asked.get(about, digest(about) % len(asked)), ()):
                answer = changed(answer, Choices(each))
            return answer

        wire.change, wire.requests = change, 0
        service.requests.clear()
        with warnings.catch_warnings(), deadline(_MOST):
            warnings.simplefilter("ignore")
            try:
                with account(url) as provider:
                    call(provider, operation)
            except MistError:
                pass

    return fuzz


def azure() -> Target:
    from fakes.azure import SUBSCRIPTION, FakeAzure
    from fakes.azure_entra import CLIENT, SECRET, TENANT

    from mistcore_providers.azure import Azure

    service = FakeAzure()
    service.resources.seed(2)
    return _over_the_wire(
        service,
        lambda url: Azure(
            subscription_id=SUBSCRIPTION,
            tenant_id=TENANT,
            client_id=CLIENT,
            client_secret=SECRET,
            endpoint=url,
            authority=url,
        ),
        _URL.replace("http:", "https:"),
    )


def bare_metal() -> Target:
    """What the script prints on a machine: text, whatever it is."""
    from mistcore_providers._bare_metal_facts import outcome, parse

    def fuzz(data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        outcome(text)
        facts = parse(text + "\nmist-end=1")
        assert facts is not None
        json.dumps(facts.to_dict(), allow_nan=False)
        facts.size()
        facts.sorted_addresses()

    return fuzz


def digitalocean() -> Target:
    from fakes.digitalocean import TOKEN, FakeDigitalOcean

    from mistcore_providers.digitalocean import DigitalOcean

    service = FakeDigitalOcean()
    service.add_droplet("web-1", tags=["env:prod", "web"])
    service.add_droplet("db-1", status="off")
    return _over_the_wire(service, lambda url: DigitalOcean(token=TOKEN, endpoint=url))


def docker() -> Target:
    from fakes.docker import FakeDocker

    from mistcore_providers.docker import Docker

    service = FakeDocker()
    service.rows = [
        {
            "Id": "a" * 64,
            "Names": ["/web-1"],
            "Image": "debian:12",
            "ImageID": "sha256:1",
            "Created": 1750000000,
            "State": "running",
            "Status": "Up 2 days",
            "Labels": {"env": "prod"},
            "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}],
            "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2", "GlobalIPv6Address": ""}}},
        }
    ]
    service.containers = {
        "a" * 64: {
            "Id": "a" * 64,
            "Name": "/web-1",
            "Created": "2026-01-02T03:04:05.678901234Z",
            "State": {"Status": "running", "ExitCode": 0},
            "Image": "sha256:1",
            "Config": {"Image": "debian:12", "Labels": {"env": "prod"}},
            "NetworkSettings": {
                "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]},
                "Networks": {"bridge": {"IPAddress": "172.17.0.2"}},
            },
        }
    }
    service.images = [
        {"Id": "sha256:1", "RepoTags": ["debian:12"], "RepoDigests": ["debian@sha256:2"], "Created": 1750000000}
    ]
    service.networks = [{"Id": "n1", "Name": "bridge", "IPAM": {"Config": [{"Subnet": "172.17.0.0/16"}]}}]
    return _over_the_wire(service, lambda url: Docker(docker_host=url.replace("http:", "tcp:")))


def ec2() -> Target:
    from fakes.ec2 import KEY, SECRET, FakeEc2, instance

    from mistcore_providers.ec2 import Ec2

    service = FakeEc2({"eu-west-1": [instance(1), instance(2, state="stopped")]})
    return _over_the_wire(service, lambda url: Ec2(api_key=KEY, api_secret=SECRET, region="eu-west-1", endpoint=url))


def gce() -> Target:
    from fakes.gce import FakeGce

    from mistcore_providers.gce import Gce

    service = FakeGce()
    service.url = _URL
    service.add("us-central1-a", "vm-0")
    service.add("europe-west1-b", "vm-1", status="TERMINATED")
    key = json.dumps(service.new_key())
    return _over_the_wire(service, lambda url: Gce(private_key=key, endpoint=url))


def libvirt() -> Target:
    """The XML that a hypervisor describes itself in."""
    from mistcore_providers._libvirt_xml import details_of, guest_of, network_of, volume_of

    def fuzz(data: bytes) -> None:
        text = data[1:].decode("utf-8", "surrogateescape")
        with suppress(ValueError):  # which is what the provider takes for a domain that cannot be read
            (details_of, network_of, volume_of, guest_of)[data[0] % 4 if data else 0](text)

    return fuzz


def linode() -> Target:
    from fakes.linode import TOKEN, FakeLinode

    from mistcore_providers.linode import Linode

    service = FakeLinode()
    service.add_instance("web-1", tags=["env:prod", "web"])
    service.add_instance("db-1", status="offline")
    return _over_the_wire(service, lambda url: Linode(api_key=TOKEN, endpoint=url))


def nephoscale() -> Target:
    from fakes.nephoscale import PASSWORD, USERNAME, FakeNephoScale

    from mistcore_providers.nephoscale import NephoScale

    return _over_the_wire(FakeNephoScale(), lambda url: NephoScale(username=USERNAME, password=PASSWORD, endpoint=url))


def _openstack(cls: str, versions: set[str], **fields: str) -> Target:
    from fakes.openstack import FakeOpenStack

    from mistcore import Registry

    service = FakeOpenStack()
    service.kinds, service.versions = ["compute", "image", "network"], versions
    if cls == "rackspace":
        service.regions, service.service_name = ["LON"], "cloudServersOpenStack"
    address = {"addr": "10.0.0.1", "version": 4, "OS-EXT-IPS:type": "fixed"}
    flavor = {"original_name": "m1.tiny", "vcpus": 1, "ram": 512, "disk": 1}
    common = {"created": "2026-01-02T03:04:05Z", "flavor": flavor, "image": {"id": "i1"}, "metadata": {"env": "test"}}
    service.servers = [
        {"id": f"s{n}", "name": f"web-{n}", "status": status, "addresses": {"lan": [address]}, **common}
        for n, status in enumerate(("ACTIVE", "SHUTOFF"))
    ]
    service.flavors = [{"id": "1", "name": "m1.tiny", "vcpus": 1, "ram": 512, "disk": 1}]
    service.images = [{"id": "i1", "name": "debian", "status": "active", "created_at": "2026-01-02T03:04:05Z"}]
    return _over_the_wire(service, lambda url: Registry()[cls](**{k: v or url for k, v in fields.items()}))


def openstack() -> Target:
    return _openstack("openstack", {"v3", "v2.0"}, auth_url="", **_LOGIN)


def hpcloud() -> Target:
    return _openstack("hpcloud", {"v3", "v2.0"}, auth_url="", **_LOGIN)


def rackspace() -> Target:
    return _openstack("rackspace", {"v2.0"}, endpoint="", username="me", api_key="right", region="lon")


def rackspace_first_gen() -> Target:
    from fakes.rackspace import FakeFirstGen

    from mistcore_providers.rackspace import Rackspace

    service = FakeFirstGen()
    service.url, service.api_key = _URL, "0123456789abcdef"
    wire = Wire(service)
    wire.attach()

    def account(url: str) -> Provider:
        return Rackspace(username="slice", api_key="0123456789abcdef", region="rackspace_first_gen:us", endpoint=url)

    with account(_URL) as provider:
        provider.create_machine("web-1", image="CentOS 5.2", size="1")
    return _over_the_wire(service, account)


def softlayer() -> Target:
    from fakes.softlayer import API_KEY, USERNAME, FakeSoftLayer

    from mistcore_providers.softlayer import SoftLayer

    service = FakeSoftLayer()
    service.add_guest("web-1", tagReferences=[{"tag": {"name": "env:prod"}}])
    service.add_hardware("db-1")
    return _over_the_wire(service, lambda url: SoftLayer(username=USERNAME, api_key=API_KEY, endpoint=url))


def _vcloud(cls: str) -> Target:
    from fakes.vcloud import FakeVcloud

    from mistcore import Registry

    service = FakeVcloud()
    service.url = _URL
    service.add_vm("web-1", status="POWERED_ON")
    service.add_vm("db-1")
    service.add_template("debian")
    return _over_the_wire(
        service, lambda url: Registry()[cls](host=url, organization="Acme", username="jane", password="s3cret")
    )


def vcloud() -> Target:
    return _vcloud("vcloud")


def indonesian_vcloud() -> Target:
    return _vcloud("indonesian_vcloud")


#: How each is made: what is imported before belongs to the instrumentation.
TARGETS: dict[str, Callable[[], Target]] = {
    make.__name__: make
    for make in (
        store,
        azure,
        bare_metal,
        digitalocean,
        docker,
        ec2,
        gce,
        hpcloud,
        indonesian_vcloud,
        libvirt,
        linode,
        nephoscale,
        openstack,
        rackspace,
        rackspace_first_gen,
        softlayer,
        vcloud,
    )
}
