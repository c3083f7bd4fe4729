"""The suite that plugin authors use, over our own providers: each whose service has a stand-in, by its stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fakes import dialects
from fakes.azure import SUBSCRIPTION
from fakes.azure_entra import CLIENT, SECRET, TENANT
from fakes.digitalocean import TOKEN, FakeDigitalOcean
from fakes.linode import TOKEN as LINODE_TOKEN
from fakes.linode import FakeLinode
from fakes.nephoscale import PASSWORD, USERNAME, FakeNephoScale
from fakes.rackspace import FakeFirstGen
from fakes.softlayer import API_KEY, FakeSoftLayer
from fakes.softlayer import USERNAME as SOFTLAYER_USERNAME
from fakes.vcloud import FakeVcloud

from mistcore import Provider
from mistcore.testing import ProviderSuite, TortureSuite
from mistcore.testing.server import Request, Response
from mistcore_providers.azure import Azure
from mistcore_providers.digitalocean import DigitalOcean
from mistcore_providers.gce import Gce
from mistcore_providers.indonesian_vcloud import IndonesianVcloud
from mistcore_providers.linode import Linode
from mistcore_providers.nephoscale import NephoScale
from mistcore_providers.rackspace import Rackspace
from mistcore_providers.softlayer import SoftLayer
from mistcore_providers.vcloud import Vcloud

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIexample me@here"
ZONE = "us-central1-a"
_VMS = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/virtualMachines"


class TestDigitalOcean(TortureSuite):
    provider = DigitalOcean
    refusal = staticmethod(dialects.by_digitalocean)
    missing_id = "4711"
    new_machine = {"image": "debian-12-x64", "size": "s-1vcpu-1gb", "location": "fra1"}

    @pytest.fixture
    def service(self) -> Iterator[FakeDigitalOcean]:
        with FakeDigitalOcean() as service:
            service.foreign_faults = True  # those of the suite are the same for every vendor
            service.add_droplet("web-1", tags=["env:prod", "web"])
            service.add_droplet("db-1", status="off")
            yield service

    def good(self, service: FakeDigitalOcean) -> Provider:
        return DigitalOcean(token=TOKEN, endpoint=service.url)

    def bad(self, service: FakeDigitalOcean) -> Provider:
        return DigitalOcean(token="dop_v1_" + "b6" * 32, endpoint=service.url)

    def endless(self, service: FakeDigitalOcean, marks: Iterator[str]) -> None:
        def more(body: Any, answer: Response) -> None:
            body["meta"]["total"] = 1000

        self.repeat_page(service, lambda request: request.path == "/v2/droplets", {"page"}, more)


class TestLinode(TortureSuite):
    provider = Linode
    refusal = staticmethod(dialects.by_linode)
    missing_id = "4711"
    new_machine = {"image": "linode/debian12", "size": "g6-nanode-1", "location": "eu-central"}

    @pytest.fixture
    def service(self) -> Iterator[FakeLinode]:
        with FakeLinode() as service:
            service.foreign_faults = True  # those of the suite are the same for every vendor
            service.add_instance("web-1", tags=["env:prod", "web"])
            service.add_instance("db-1", status="offline")
            yield service

    def good(self, service: FakeLinode) -> Provider:
        return Linode(api_key=LINODE_TOKEN, endpoint=service.url)

    def bad(self, service: FakeLinode) -> Provider:
        return Linode(api_key="b6" * 32, endpoint=service.url)

    def endless(self, service: FakeLinode, marks: Iterator[str]) -> None:
        def more(body: Any, answer: Response) -> None:
            body |= {"pages": 1000, "results": 2000}

        self.repeat_page(service, lambda request: request.path.endswith("/linode/instances"), {"page"}, more)


class TestNephoScale(TortureSuite):
    provider = NephoScale
    refusal = staticmethod(dialects.by_nephoscale)
    missing_id = "4711"
    new_machine = {"image": "49", "size": "3", "location": "87729", "key": "desk", "console_key": "console"}

    @pytest.fixture
    def service(self) -> Iterator[FakeNephoScale]:
        with FakeNephoScale() as service:
            yield service

    def good(self, service: FakeNephoScale) -> Provider:
        return NephoScale(username=USERNAME, password=PASSWORD, endpoint=service.url)

    def bad(self, service: FakeNephoScale) -> Provider:
        return NephoScale(username=USERNAME, password="another-password", endpoint=service.url)

    def endless(self, service: FakeNephoScale, marks: Iterator[str]) -> None:
        pytest.skip("its lists have no pages")


class TestAzure(TortureSuite):
    provider = Azure
    refusal = staticmethod(dialects.by_azure)
    repeats_changes = {"PUT", "DELETE"}  # they say what is to be, not what is to be done
    most_memory = 200 * 10**6  # five lists are read at a time
    missing_id = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/seeded/providers/Microsoft.Compute/virtualMachines/gone"
    new_machine = {"image": "Debian12", "size": "Standard_B1s", "location": "eastus", "key": KEY}

    @pytest.fixture
    def service(self, azure: Any, azure_ca: str) -> Any:
        azure.resources.seed(2)
        self.ca_cert = azure_ca
        return azure

    def good(self, service: Any, secret: str = SECRET) -> Provider:
        return Azure(
            subscription_id=SUBSCRIPTION,
            tenant_id=TENANT,
            client_id=CLIENT,
            client_secret=secret,
            endpoint=service.url,
            authority=service.url,
            ca_cert=self.ca_cert,
        )

    def bad(self, service: Any) -> Provider:
        return self.good(service, "another-client-secret")

    def changes(self, request: Request) -> bool:
        return super().changes(request) and not request.path.endswith("/token")

    def endless(self, service: Any, marks: Iterator[str]) -> None:
        def more(body: Any, answer: Response) -> None:
            body["nextLink"] = f"{service.url}{_VMS}?api-version=2024-07-01&$skiptoken={next(marks)}"

        self.repeat_page(service, lambda request: request.path == _VMS, {"$skiptoken"}, more)


class TestGce(TortureSuite):
    provider = Gce
    refusal = staticmethod(dialects.by_google)
    repeats_changes = {"POST", "DELETE"}  # each has a requestId
    new_machine = {"image": "debian-12", "size": "e2-small", "location": ZONE, "key": KEY}

    @pytest.fixture
    def service(self, gce: Any, gce_ca: str) -> Any:
        gce.add(ZONE, "vm-0")
        gce.add("europe-west1-b", "vm-1", status="TERMINATED")
        self.ca_cert = gce_ca
        return gce

    def good(self, service: Any, *, register: bool = True) -> Provider:
        key = json.dumps(service.new_key(register=register))
        return Gce(private_key=key, endpoint=service.url, ca_cert=self.ca_cert)

    def bad(self, service: Any) -> Provider:
        return self.good(service, register=False)

    def changes(self, request: Request) -> bool:
        return super().changes(request) and not request.path.endswith("/token")

    def endless(self, service: Any, marks: Iterator[str]) -> None:
        def more(body: Any, answer: Response) -> None:
            body["nextPageToken"] = next(marks)

        self.repeat_page(service, lambda request: request.path.endswith("/aggregated/instances"), {"pageToken"}, more)


class TestVcloud(TortureSuite):
    provider = Vcloud
    refusal = staticmethod(dialects.by_vcloud)
    new_machine = {"image": "debian"}

    @pytest.fixture
    def service(self) -> Iterator[FakeVcloud]:
        with FakeVcloud() as service:
            service.add_vm("web-1", status="POWERED_ON")
            service.add_vm("db-1")
            service.add_template("debian")
            yield service

    def good(self, service: FakeVcloud, password: str = "s3cret") -> Provider:
        return Vcloud(host=service.url, organization="Acme", username="jane", password=password)

    def bad(self, service: FakeVcloud) -> Provider:
        return self.good(service, "another-password")

    def changes(self, request: Request) -> bool:
        return super().changes(request) and "/sessions" not in request.path

    def endless(self, service: FakeVcloud, marks: Iterator[str]) -> None:
        def more(body: Any, answer: Response) -> None:
            body["total"] = 1000

        self.repeat_page(service, lambda request: request.query.get("type") == "vm", {"page"}, more)


class TestIndonesianVcloud(TestVcloud):
    provider = IndonesianVcloud
    refusal = staticmethod(dialects.by_older_vcloud)

    def good(self, service: FakeVcloud, password: str = "s3cret") -> Provider:
        return IndonesianVcloud(host=service.url, organization="Acme", username="jane", password=password)


class TestRackspaceFirstGen(TortureSuite):
    provider = Rackspace
    refusal = staticmethod(dialects.by_the_first_generation)
    missing_id = "4711"
    new_machine = {"image": "CentOS 5.2", "size": "1"}
    not_here = {
        "start_machine",
        "stop_machine",
        "pause_machine",
        "suspend_machine",
        "resume_machine",
        "list_networks",
    }

    @pytest.fixture
    def service(self) -> Iterator[FakeFirstGen]:
        with FakeFirstGen() as service:
            service.api_key = "0123456789abcdef"
            with self.good(service) as account:
                account.create_machine("web-1", image="CentOS 5.2", size="1")
            service.requests.clear()
            yield service

    def good(self, service: FakeFirstGen) -> Provider:
        return Rackspace(
            username="slice", api_key="0123456789abcdef", region="rackspace_first_gen:us", endpoint=service.url
        )

    def bad(self, service: FakeFirstGen) -> Provider:
        return Rackspace(
            username="slice", api_key="fedcba9876543210", region="rackspace_first_gen:us", endpoint=service.url
        )

    def endless(self, service: FakeFirstGen, marks: Iterator[str]) -> None:
        self.repeat_page(
            service, lambda request: request.path.endswith("/servers/detail"), {"offset"}, lambda body, answer: None
        )


class TestSoftLayer(TortureSuite):
    provider = SoftLayer
    refusal = staticmethod(dialects.by_softlayer)
    missing_id = "4711"
    new_machine = {"image": "DEBIAN_12_64", "size": "B1_2X4X100", "location": "sjc01", "domain": "example.com"}

    @pytest.fixture
    def service(self) -> Iterator[FakeSoftLayer]:
        with FakeSoftLayer() as service:
            service.add_guest("web-1", tagReferences=[{"tag": {"name": "env:prod"}}])
            service.add_hardware("db-1")
            yield service

    def good(self, service: FakeSoftLayer) -> Provider:
        return SoftLayer(username=SOFTLAYER_USERNAME, api_key=API_KEY, endpoint=service.url)

    def bad(self, service: FakeSoftLayer) -> Provider:
        return SoftLayer(username=SOFTLAYER_USERNAME, api_key="b6" * 32, endpoint=service.url)

    def changes(self, request: Request) -> bool:
        return not request.path.rpartition("/")[2].startswith("get")

    def endless(self, service: FakeSoftLayer, marks: Iterator[str]) -> None:
        def more(body: Any, answer: Response) -> None:
            answer.headers["softlayer-total-items"] = "1000"

        self.repeat_page(service, lambda request: "/getVirtualGuests" in request.path, {"resultLimit"}, more)


class TestSoftLayerBareMetal(ProviderSuite):
    provider = SoftLayer
    missing_id = "hardware:4711"
    good, bad = TestSoftLayer.good, TestSoftLayer.bad

    @pytest.fixture
    def service(self) -> Iterator[FakeSoftLayer]:
        with FakeSoftLayer() as service:
            service.add_hardware("db-1")
            yield service
