"""Azure: machines made, and what they are made of."""

from __future__ import annotations

import math

import pytest
from fakes.azure import SUBSCRIPTION, arm_error
from fakes.azure_entra import CLIENT, SECRET, TENANT

from mistcore import InvalidFields, PermissionDenied, Registry, Rejected, Unreachable
from mistcore.deadline import deadline
from mistcore.testing.server import Response

Azure = Registry()["azure"]
PREFIX = f"/subscriptions/{SUBSCRIPTION}"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIexample me@here"
USUAL = {"image": "Debian12", "size": "Standard_B1s", "location": "eastus", "key": KEY}


@pytest.fixture
def account(azure, azure_ca):
    with Azure(
        subscription_id=SUBSCRIPTION,
        tenant_id=TENANT,
        client_id=CLIENT,
        client_secret=SECRET,
        endpoint=azure.url,
        authority=azure.url,
        ca_cert=azure_ca,
    ) as provider:
        yield provider


def of_kind(azure, kind):
    return [row for row in azure.resources.items.values() if row["type"].endswith(f"/{kind}")]


def sent(azure, kind):
    """Return the body of the last PUT of such a resource."""
    puts = [r for r in azure.requests if r.method == "PUT" and f"/{kind}/" in r.path]
    return puts[-1].json()


def test_everything_is_made(azure, account):
    machine = account.create_machine("web-1", **USUAL, tags={"env": "test"}, user_data="#cloud-config\n")
    assert machine.state == "running"
    assert machine.name == "web-1"
    assert machine.image.startswith("Debian:debian-12:12-gen2:")
    assert len(machine.public_ips) == len(machine.private_ips) == 1
    assert machine.tags == {"env": "test"}
    assert azure.resources.user_data["web-1"] == "#cloud-config\n"
    assert machine == account.get_machine(machine.id)
    assert machine in list(account.list_machines())
    (group,) = of_kind(azure, "resourceGroups")
    assert group["name"] == "mistcore"
    (rule,) = of_kind(azure, "networkSecurityGroups")[0]["properties"]["securityRules"]
    assert rule["properties"]["destinationPortRange"] == "22"
    (keys,) = sent(azure, "virtualMachines")["properties"]["osProfile"]["linuxConfiguration"]["ssh"]["publicKeys"]
    assert keys["keyData"] == KEY


def test_what_was_made_goes_with_it(azure, account):
    machine = account.create_machine("web-1", **USUAL)
    account.destroy_machine(machine.id, storage=True)
    kinds = {row["type"].rpartition("/")[2] for row in azure.resources.items.values()}
    assert kinds == {"resourceGroups", "virtualNetworks", "networkSecurityGroups"}


def test_the_network_is_made_once_for_each_location(azure, account):
    account.create_machine("a", **USUAL)
    account.create_machine("b", **USUAL)
    account.create_machine("c", **{**USUAL, "location": "West Europe"})
    assert [row["name"] for row in of_kind(azure, "virtualNetworks")] == ["mistcore-eastus", "mistcore-westeurope"]
    assert [machine.region for machine in account.list_machines()] == ["eastus", "eastus", "westeurope"]


def test_the_place_of_an_existing_group_is_taken(azure, account):
    azure.resources.put_group("mine", {"location": "westeurope"})
    machine = account.create_machine("a", **{**USUAL, "location": ""}, resource_group="mine")
    assert machine.region == "westeurope"
    with pytest.raises(InvalidFields) as caught:
        account.create_machine("a", **{**USUAL, "location": ""}, resource_group="other")
    assert set(caught.value.problems) == {"location"}


def test_not_to_wait(azure, account):
    def last_step(request):
        if request.method == "PUT" and "/virtualMachines/" in request.path:
            azure.operation_seconds = math.inf

    azure.fault(Response(), where=last_step)
    machine = account.create_machine("web-1", **USUAL, wait=False)
    assert machine.state == "pending"
    assert len(machine.public_ips) == 1


def test_without_a_public_address(azure, account):
    machine = account.create_machine("web-1", **USUAL, public_ip=False, disk=64)
    assert machine.public_ips == ()
    assert of_kind(azure, "publicIPAddresses") == []
    assert sent(azure, "virtualMachines")["properties"]["storageProfile"]["osDisk"]["diskSizeGB"] == 64


def test_by_password_alone(azure, account):
    account.create_machine("web-1", **{**USUAL, "key": ""}, password="Corr3ct-horse", user="me")
    profile = sent(azure, "virtualMachines")["properties"]["osProfile"]
    assert profile["adminPassword"] == "Corr3ct-horse"
    assert profile["adminUsername"] == "me"
    assert "linuxConfiguration" not in profile


def test_windows_has_short_names(azure, account):
    options = {**USUAL, "image": "Win2022Datacenter", "key": ""}
    account.create_machine("a-rather-long-name.for-windows", **options, password="Corr3ct-horse")
    assert sent(azure, "virtualMachines")["properties"]["osProfile"]["computerName"] == "a-rather-long-n"


# -- the network ------------------------------------------------------------------------------------------------------


@pytest.fixture
def network(azure):
    azure.resources.put_group("net-group", {"location": "eastus"})
    ranges = {"addressSpace": {"addressPrefixes": ["192.168.0.0/16"]}}
    subnets = [{"name": name, "properties": {"addressPrefix": "192.168.0.0/24"}} for name in ("front", "back")]
    body = {"location": "eastus", "properties": {**ranges, "subnets": subnets}}
    azure.resources.put("net-group", "microsoft.network/virtualnetworks", "office", body)
    return azure.resources.id_of("net-group", "microsoft.network/virtualnetworks", "office")


@pytest.mark.parametrize(
    ("given", "subnet"),
    [("office", "front"), ("OFFICE/back", "back"), ("{id}", "front"), ("{id}/subnets/back", "back")],
)
def test_a_network_that_is_there(azure, account, network, given, subnet):
    machine = account.create_machine("web-1", **USUAL, network=given.format(id=network))
    assert machine.private_ips[0].startswith("192.168.")
    (interface,) = of_kind(azure, "networkInterfaces")
    used = interface["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"]
    assert used == f"{network}/subnets/{subnet}"
    assert len(of_kind(azure, "virtualNetworks")) == 1


@pytest.mark.parametrize("given", ["none", "office/none"])
def test_a_network_that_is_not_there(azure, account, network, given):
    with pytest.raises(InvalidFields) as caught:
        account.create_machine("web-1", **USUAL, network=given)
    assert set(caught.value.problems) == {"network"}
    assert of_kind(azure, "networkInterfaces") == []


def test_networks_are_listed(account, network):
    (found,) = account.list_networks()
    assert (found.id, found.name, found.cidr) == (network, "office", "192.168.0.0/16")
    assert [one["name"] for one in found.extra["subnets"]] == ["front", "back"]


# -- keys, images, sizes ----------------------------------------------------------------------------------------------


def test_a_key_that_azure_has(azure, account):
    azure.resources.put_group("keys", {"location": "eastus"})
    body = {"location": "eastus", "properties": {"publicKey": f"{KEY}\n"}}
    azure.resources.put("keys", "microsoft.compute/sshpublickeys", "Laptop", body)
    account.create_machine("web-1", **{**USUAL, "key": "laptop"})
    (keys,) = sent(azure, "virtualMachines")["properties"]["osProfile"]["linuxConfiguration"]["ssh"]["publicKeys"]
    assert keys["keyData"] == KEY
    with pytest.raises(InvalidFields, match="Laptop"):
        account.create_machine("web-2", **{**USUAL, "key": "desktop"})


@pytest.mark.parametrize(
    "image",
    ["Ubuntu2204", "ubuntu2404", "Debian:debian-12:12-gen2:0.20240101.1", "Debian:debian-12:12", "debian11"],
)
def test_images_by_alias_and_urn(account, image):
    machine = account.create_machine("web-1", **{**USUAL, "image": image})
    assert machine.image.count(":") == 3
    assert "latest" not in machine.image


def test_an_image_of_ones_own(azure, account):
    azure.resources.put_group("images", {"location": "eastus"})
    body = {"location": "eastus", "properties": {"storageProfile": {"osDisk": {"osType": "Linux"}}}}
    azure.resources.put("images", "microsoft.compute/images", "golden", body)
    image_id = azure.resources.id_of("images", "microsoft.compute/images", "golden")
    assert (image_id, "golden", "linux") in [(one.id, one.name, one.os) for one in account.list_images("golden")]
    assert account.create_machine("web-1", **{**USUAL, "image": image_id}).image == image_id


def test_the_usual_images_need_no_walk(azure, account):
    names = [image.name for image in account.list_images()]
    assert {"Ubuntu2204", "Ubuntu2404", "Debian12", "Win2022Datacenter"} <= set(names)
    assert not [request for request in azure.requests if "publishers" in request.path]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("debian", {"Debian:debian-12:12:latest", "Debian:debian-12:12-gen2:latest"}),
        ("canonical:ubuntu-24", {"Canonical:ubuntu-24_04-lts:minimal:latest"}),
        (
            "Debian:debian-12:12-gen2",
            {"Debian:debian-12:12-gen2:0.20240101.1", "Debian:debian-12:12-gen2:0.20240201.2"},
        ),
        ("Debian:debian-12:12-gen2:0.20240101.1", {"Debian:debian-12:12-gen2:0.20240101.1"}),
    ],
)
def test_the_walk_through_the_marketplace(account, search, found):
    images = {image.id for image in account.list_images(search)}
    assert found <= images
    assert all(search.partition(":")[0].lower() in image.lower() for image in images)


def test_a_search_that_leads_nowhere(account):
    assert list(account.list_images("no-such-publisher")) == []
    assert list(account.list_images("Debian:no-such-offer")) == []


def test_sizes(account):
    found = {size.id: size for size in account.list_sizes()}
    assert list(found) == ["Standard_B1s", "Standard_B2ats_v2", "Standard_D2ps_v5", "Standard_D4s_v5"]
    small = found["Standard_B1s"]
    assert (small.cpus, small.memory, small.disk, small.architecture) == (1, 1024, 4, "x86_64")
    assert small.extra["locations"] == ["eastus", "westeurope"]
    assert found["Standard_D2ps_v5"].architecture == "arm64"
    assert found["Standard_D4s_v5"].extra["not_available"] == ["westeurope"]
    assert [size.id for size in account.list_sizes(location="East US")] == [
        "Standard_B1s",
        "Standard_B2ats_v2",
        "Standard_D4s_v5",
    ]


def test_sizes_of_no_place(account):
    with pytest.raises(InvalidFields):
        account.list_sizes(location="x' or 'a' eq 'a")


def test_locations(account):
    assert [(place.id, place.name, place.country) for place in account.list_locations()] == [
        ("eastus", "East US", "United States"),
        ("westeurope", "West Europe", "Europe"),
    ]


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_everything_wrong_is_named_at_once(azure, account):
    with pytest.raises(InvalidFields) as caught:
        account.create_machine(
            "-no-", image="Debain12", size=" ", resource_group="a/b", user="root", user_data="x" * 70000
        )
    assert set(caught.value.problems) == {"name", "image", "size", "resource_group", "user", "user_data", "key"}
    assert "did you mean Debian12" in caught.value.problems["image"]
    assert [request for request in azure.requests if request.method == "PUT"] == []


def test_a_name_that_is_taken(azure, account):
    account.create_machine("web-1", **USUAL)
    before = dict(azure.resources.items)
    with pytest.raises(Rejected) as caught:
        account.create_machine("web-1", **{**USUAL, "size": "Standard_D4s_v5"})
    assert caught.value.reason == "exists"
    assert azure.resources.items == before


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"size": "Standard_Nope"}, "InvalidParameter"),
        ({"image": "Debian:debian-12:12-gen2:9.9.9"}, "PlatformImageNotFound"),
        ({"key": "ecdsa-sha2-nistp256 AAAA me"}, "InvalidParameter"),
    ],
)
def test_what_was_made_is_taken_back(azure, account, options, code):
    with pytest.raises(Rejected, match=code):
        account.create_machine("web-1", **{**USUAL, **options})
    assert of_kind(azure, "networkInterfaces") == of_kind(azure, "publicIPAddresses") == []
    assert of_kind(azure, "virtualMachines") == []


def test_a_quota(azure, account):
    refusal = arm_error(409, "OperationNotAllowed", "exceeding approved Total Regional Cores quota.")
    azure.fault(refusal, where=lambda request: request.method == "PUT" and "/virtualMachines/" in request.path)
    with pytest.raises(Rejected) as caught:
        account.create_machine("web-1", **USUAL)
    assert caught.value.reason == "quota"
    assert of_kind(azure, "networkInterfaces") == []


def test_a_place_without_capacity(azure, account):
    """Azure accepts the machine, and fails to make it later: then it is there, to be looked at or deleted."""
    azure.fail_operation("/virtualmachines/web-1", "AllocationFailed", "We do not have sufficient capacity.")
    with pytest.raises(Rejected) as caught:
        account.create_machine("web-1", **USUAL)
    assert caught.value.reason == "no_capacity"
    assert [row["name"] for row in of_kind(azure, "virtualMachines")] == ["web-1"]


def test_an_application_that_may_not_create(azure, account):
    azure.client.roles[:] = [{"actions": ["*/read"], "notActions": []}]
    with pytest.raises(PermissionDenied):
        account.create_machine("web-1", **USUAL)
    assert azure.resources.items == {}


def test_a_deadline_within_the_making(azure, account):
    azure.operation_seconds = 0.3
    account.check()
    with deadline(0.5), pytest.raises(Unreachable) as caught:
        account.create_machine("web-1", **USUAL)
    assert caught.value.reason == "timeout"
