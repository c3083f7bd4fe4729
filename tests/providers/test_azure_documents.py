"""Azure: what we send and what the stand-in answers, held against Microsoft's documents; and recorded answers read."""

from __future__ import annotations

import json

import pytest
from fakes.azure import SUBSCRIPTION
from fakes.azure_entra import CLIENT, SECRET, TENANT
from fakes.swagger import Documents

from mistcore import Registry
from mistcore.testing.server import FakeService, Request, Response, json_response, route

Azure = Registry()["azure"]
PREFIX = f"/subscriptions/{SUBSCRIPTION}"
#: What no document at hand describes.
_ELSEWHERE = ("/oauth2/", "openid-configuration", "/operations/", "/permissions", "/sshpublickeys")


@pytest.fixture(scope="module")
def documents(api_specs):
    return Documents(api_specs / "azure" / "spec")


def open_account(service, ca_cert=""):
    return Azure(
        subscription_id=SUBSCRIPTION,
        tenant_id=TENANT,
        client_id=CLIENT,
        client_secret=SECRET,
        endpoint=service.url,
        authority=service.url,
        ca_cert=ca_cert,
    )


def test_everything_that_is_said(azure, azure_ca, documents):
    azure.resources.seed(3)
    azure.page_size = 2
    azure.recording = True
    account = open_account(azure, azure_ca)
    account.check()
    (first, *_) = list(account.list_machines())
    account.get_machine(first.id)
    account.stop_machine(first.id, force=True)
    account.start_machine(first.id)
    account.reboot_machine(first.id)
    made = account.create_machine(
        "web-1",
        image="Debian12",
        size="Standard_B1s",
        location="eastus",
        key="ssh-ed25519 AAAA me",
        user_data="#cloud-config",
        tags={"a": "b"},
        password="Corr3ct-horse",
        disk=64,
    )
    account.destroy_machine(made.id, storage=True)
    for listing in (account.list_sizes, account.list_locations, account.list_networks):
        assert list(listing())
    assert list(account.list_images("Debian:debian-12:12-gen2"))
    account.close()
    problems = []
    held = set()
    for request, response in azure.exchanges:
        if any(part in request.path.lower() for part in _ELSEWHERE):
            continue
        held.add(request.method)
        problems += documents.problems(request, response)
    assert problems == []
    assert held == {"GET", "PUT", "POST", "DELETE"}
    assert len(azure.exchanges) > 50


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda body: body["properties"].update(hardwareProfil={}), "hardwareProfil"),
        (lambda body: body["properties"].update(vmId="7"), "vmId"),
        (lambda body: body["properties"]["osProfile"].update(adminUsername=7), "adminUsername"),
        (lambda body: body["properties"]["storageProfile"]["osDisk"].pop("createOption"), "createOption"),
    ],
)
def test_the_documents_find_mistakes(documents, change, problem):
    """The twin of the test above: a body with a mistake is found out."""
    body = {
        "location": "eastus",
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_B1s"},
            "storageProfile": {"osDisk": {"createOption": "FromImage"}},
            "osProfile": {"computerName": "a", "adminUsername": "me"},
        },
    }
    path = f"{PREFIX}/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/a"

    def problems():
        query = {"api-version": "2024-07-01"}
        lists = {key: [value] for key, value in query.items()}
        request = Request("PUT", path, query, lists, {}, json.dumps(body).encode())
        return list(documents.problems(request, Response(200, b"{}")))

    assert problems() == []
    change(body)
    assert problem in problems()[0]


# -- recorded answers -------------------------------------------------------------------------------------------------


class Recorded(FakeService):
    """Answers with recordings; the tokens are a stand-in's."""

    def __init__(self, answers: dict[str, list[dict]], tls) -> None:
        super().__init__(tls=tls)
        self.answers = answers

    @route("GET", "/{tenant}/v2.0/.well-known/openid-configuration")
    def configuration(self, request, tenant):
        names = {"token_endpoint": "token", "authorization_endpoint": "authorize"}
        return json_response({key: f"{self.url}/{tenant}/oauth2/v2.0/{name}" for key, name in names.items()})

    @route("POST", "/{tenant}/oauth2/v2.0/token")
    def token(self, request, tenant):
        return json_response({"access_token": "t", "expires_in": 3600, "token_type": "Bearer"})

    @route("GET", "/subscriptions/{rest...}")
    def recorded(self, request, rest):
        kind = request.path.rpartition("/")[2]
        if request.query.get("statusOnly"):
            kind = "statusOnly"
        pages = self.answers.get(kind, [{"value": []}])
        return json_response(pages[1 if "$skiptoken" in request.query else 0])


@pytest.fixture
def recorded(azure_authority):
    started = []

    def start(answers):
        started.append(Recorded(answers, azure_authority[0]).start())
        return open_account(started[-1], azure_authority[1])

    yield start
    for each in started:
        each.stop()


def test_recorded_machines_read_right(api_specs, recorded):
    folder = api_specs / "azure" / "libcloud_arm"

    def load(name):
        return json.loads((folder / f"_subscriptions_99999999_{name}.json").read_text())

    machines = "providers_Microsoft_Compute_virtualMachines"
    inside = "resourceGroups_000000_providers_Microsoft"
    interfaces = [load(f"{inside}_Network_networkInterfaces_test_node_{number}_nic") for number in (1, 2)]
    statuses = []
    for number, page in ((1, load(machines)), (2, load(f"{machines}_1"))):
        view = load(f"{inside}_Compute_virtualMachines_test_node_{number}_InstanceView")
        row = page["value"][0]
        statuses.append({"id": row["id"].upper(), "name": row["name"], "properties": {"instanceView": view}})
    # The link to the second page names the vendor's host and port, as recorded.
    account = recorded(
        {
            "virtualMachines": [load(machines), load(f"{machines}_1")],
            "statusOnly": [{"value": statuses}],
            "networkInterfaces": [{"value": interfaces}],
        }
    )
    found = list(account.list_machines())
    account.close()
    assert [machine.name for machine in found] == ["test-node-1", "test-node-2"]
    assert [machine.state for machine in found] == ["running", "running"]
    assert [machine.private_ips for machine in found] == [("10.0.0.1",), ("10.0.0.2",)]
    assert {machine.image for machine in found} == {"OpenLogic:CentOS:7.3:latest"}
    assert {machine.size for machine in found} == {"Standard_A1"}
    assert {machine.region for machine in found} == {"eastus"}


def test_the_examples_of_the_documents_read_right(api_specs, recorded):
    folder = api_specs / "azure" / "spec"

    def example(version, name):
        return json.loads((folder / version / "examples" / f"{name}.json").read_text())["responses"]["200"]["body"]

    machines = example("compute-2019-07-01", "ListVirtualMachinesInASubscriptionByLocation")
    networks = example("network-2019-09-01", "VirtualNetworkListAll")
    images = example("compute-2019-07-01", "ListImagesInASubscription")
    account = recorded(
        {
            "virtualMachines": [{"value": machines["value"]}],
            "networkInterfaces": [example("network-2019-09-01", "NetworkInterfaceListAll")],
            "publicIPAddresses": [example("network-2019-09-01", "PublicIpAddressListAll")],
            "virtualNetworks": [networks],
            "images": [images],
        }
    )
    found = list(account.list_machines())
    assert [machine.name for machine in found] == [row["name"] for row in machines["value"]]
    assert all(machine.size and machine.image and machine.region for machine in found)
    assert [network.id for network in account.list_networks()] == [row["id"] for row in networks["value"]]
    assert {row["id"] for row in images["value"]} <= {image.id for image in account.list_images()}
    account.close()
