"""The stand-in for Azure, proven by Microsoft's own SDK: if these fail, no other Azure test means anything."""

from __future__ import annotations

import pytest
from fakes.azure import SUBSCRIPTION
from fakes.azure_entra import AUDIENCE, CLIENT, SECRET, TENANT
from fakes.azure_keys import application_key

azure_core = pytest.importorskip("azure.core.exceptions")
identity = pytest.importorskip("azure.identity")
ComputeManagementClient = pytest.importorskip("azure.mgmt.compute").ComputeManagementClient
NetworkManagementClient = pytest.importorskip("azure.mgmt.network").NetworkManagementClient
ResourceManagementClient = pytest.importorskip("azure.mgmt.resource.resources").ResourceManagementClient
SubscriptionClient = pytest.importorskip("azure.mgmt.resource.subscriptions").SubscriptionClient

DEBIAN = {"publisher": "Debian", "offer": "debian-12", "sku": "12-gen2", "version": "latest"}


@pytest.fixture(autouse=True)
def _closed():
    """Close what the SDK leaves open: its connections would be reported in some later test."""
    yield
    for each in opened:
        each.close()
    opened.clear()


opened: list = []


def keep(each):
    opened.append(each)
    return each


def credential(azure, ca, secret=SECRET, client=CLIENT, tenant=TENANT):
    options = {"authority": azure.url, "disable_instance_discovery": True, "connection_verify": ca}
    return keep(identity.ClientSecretCredential(tenant, client, secret, **options))


def open_client(cls, azure, ca, login=None):
    made = cls(
        login or credential(azure, ca),
        *([] if cls is SubscriptionClient else [SUBSCRIPTION]),
        base_url=azure.url,
        credential_scopes=[f"{AUDIENCE}/.default"],
        connection_verify=ca,
        polling_interval=0,
        retry_total=0,
    )
    return keep(made)


def test_sdk_lives_a_machines_life(azure, azure_ca):
    resources = open_client(ResourceManagementClient, azure, azure_ca)
    network = open_client(NetworkManagementClient, azure, azure_ca)
    compute = open_client(ComputeManagementClient, azure, azure_ca)
    resources.resource_groups.create_or_update("web", {"location": "eastus", "tags": {"a": "b"}})
    guard = network.network_security_groups.begin_create_or_update("web", "guard", {"location": "eastus"}).result()
    inside = {"addressPrefix": "10.0.0.0/24", "networkSecurityGroup": {"id": guard.id}}
    space = {
        "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
        "subnets": [{"name": "default", "properties": inside}],
    }
    net = network.virtual_networks.begin_create_or_update(
        "web", "net", {"location": "eastus", "properties": space}
    ).result()
    static = {"publicIPAllocationMethod": "Static"}
    address = network.public_ip_addresses.begin_create_or_update(
        "web", "ip", {"location": "eastus", "sku": {"name": "Standard"}, "properties": static}
    ).result()
    configuration = {"subnet": {"id": net.subnets[0].id}, "publicIPAddress": {"id": address.id}}
    nic = network.network_interfaces.begin_create_or_update(
        "web",
        "nic",
        {"location": "eastus", "properties": {"ipConfigurations": [{"name": "one", "properties": configuration}]}},
    ).result()
    assert nic.ip_configurations[0].private_ip_address.startswith("10.0.")
    key = {"path": "/home/azureuser/.ssh/authorized_keys", "keyData": "ssh-ed25519 AAAA me"}
    linux = {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [key]}}
    properties = {
        "hardwareProfile": {"vmSize": "Standard_B1s"},
        "storageProfile": {"imageReference": DEBIAN, "osDisk": {"createOption": "FromImage"}},
        "osProfile": {"computerName": "vm", "adminUsername": "azureuser", "linuxConfiguration": linux},
        "networkProfile": {"networkInterfaces": [{"id": nic.id}]},
    }
    machines = compute.virtual_machines
    machine = machines.begin_create_or_update("web", "vm", {"location": "eastus", "properties": properties}).result()
    assert machine.provisioning_state == "Succeeded"

    def power():
        view = machines.instance_view("web", "vm")
        return [status.code for status in view.statuses if status.code.startswith("PowerState")]

    assert power() == ["PowerState/running"]
    machines.begin_power_off("web", "vm").result()
    assert power() == ["PowerState/stopped"]
    machines.begin_start("web", "vm").result()
    machines.begin_restart("web", "vm").result()
    assert power() == ["PowerState/running"]
    machines.begin_deallocate("web", "vm").result()
    assert power() == ["PowerState/deallocated"]
    with pytest.raises(azure_core.HttpResponseError, match="used by an existing resource"):
        network.network_interfaces.begin_delete("web", "nic").result()
    disk = machines.get("web", "vm", expand="instanceView").storage_profile.os_disk.name
    machines.begin_delete("web", "vm").result()
    with pytest.raises(azure_core.ResourceNotFoundError):
        machines.get("web", "vm")
    network.network_interfaces.begin_delete("web", "nic").result()
    network.public_ip_addresses.begin_delete("web", "ip").result()
    compute.disks.begin_delete("web", disk).result()
    assert list(compute.disks.list()) == []
    resources.resource_groups.begin_delete("web").result()
    assert list(resources.resource_groups.list()) == []


def test_sdk_reads_every_page(azure, azure_ca):
    azure.resources.seed(7)
    azure.page_size = 3
    machines = open_client(ComputeManagementClient, azure, azure_ca).virtual_machines
    assert [machine.name for machine in machines.list_all()] == [f"vm-{number:04}" for number in range(7)]
    states = [row.instance_view.statuses[-1].code for row in machines.list_all(status_only="true")]
    assert states == ["PowerState/running"] * 7
    network = open_client(NetworkManagementClient, azure, azure_ca)
    assert len(list(network.network_interfaces.list_all())) == 7
    assert all(address.ip_address for address in network.public_ip_addresses.list_all())


def test_sdk_reads_what_is_on_offer(azure, azure_ca):
    compute = open_client(ComputeManagementClient, azure, azure_ca)
    offered = compute.resource_skus.list(filter="location eq 'westeurope'")
    assert [sku.name for sku in offered if sku.resource_type == "virtualMachines"] == [
        "Standard_B1s",
        "Standard_D2ps_v5",
        "Standard_D4s_v5",
    ]
    images = compute.virtual_machine_images
    assert [row.name for row in images.list_publishers("eastus")] == ["Canonical", "Debian", "MicrosoftWindowsServer"]
    assert [row.name for row in images.list_offers("eastus", "Debian")] == ["debian-11", "debian-12"]
    assert [row.name for row in images.list_skus("eastus", "Debian", "debian-12")] == ["12", "12-gen2"]
    assert len(images.list("eastus", "Debian", "debian-12", "12-gen2")) == 2
    subscriptions = open_client(SubscriptionClient, azure, azure_ca).subscriptions
    assert subscriptions.get(SUBSCRIPTION).state == "Enabled"
    assert [place.name for place in subscriptions.list_locations(SUBSCRIPTION)] == ["eastus", "westeurope", "global"]


def test_sdk_sees_an_operation_fail(azure, azure_ca):
    azure.resources.seed(1)
    azure.fail_operation("/start", "AllocationFailed", "We do not have sufficient capacity.")
    compute = open_client(ComputeManagementClient, azure, azure_ca)
    with pytest.raises(azure_core.HttpResponseError, match="sufficient capacity"):
        compute.virtual_machines.begin_start("seeded", "vm-0000").result()


def test_sdk_is_known_by_its_certificate(azure, azure_ca):
    pem, certificate = application_key()
    azure.client.certificates.append(certificate)
    options = {"authority": azure.url, "disable_instance_discovery": True, "connection_verify": azure_ca}
    login = keep(identity.CertificateCredential(TENANT, CLIENT, certificate_data=pem.encode(), **options))
    assert list(open_client(ComputeManagementClient, azure, azure_ca, login).virtual_machines.list_all()) == []
    stranger, _ = application_key()
    login = keep(identity.CertificateCredential(TENANT, CLIENT, certificate_data=stranger.encode(), **options))
    with pytest.raises(azure_core.ClientAuthenticationError, match="AADSTS700027"):
        list(open_client(ComputeManagementClient, azure, azure_ca, login).virtual_machines.list_all())


def test_sdk_cannot_sign_with_another_key(azure, azure_ca):
    """The certificate is the registered one, the key is not: only the signature tells."""
    pem, certificate = application_key()
    other, _ = application_key()
    azure.client.certificates.append(certificate)
    end = "-----END PRIVATE KEY-----\n"
    mixed = other.partition(end)[0] + end + pem.partition(end)[2]
    options = {"authority": azure.url, "disable_instance_discovery": True, "connection_verify": azure_ca}
    login = keep(identity.CertificateCredential(TENANT, CLIENT, certificate_data=mixed.encode(), **options))
    with pytest.raises(azure_core.ClientAuthenticationError, match=r"AADSTS700027.*Signature verification failed"):
        login.get_token(f"{AUDIENCE}/.default")


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"secret": "not-this"}, "AADSTS7000215"),
        ({"secret": "Xw8~expired-secret-value"}, "AADSTS7000222"),
        ({"client": "11111111-1111-1111-1111-111111111111"}, "AADSTS700016"),
    ],
)
def test_sdk_is_refused(azure, azure_ca, wrong, code):
    login = credential(azure, azure_ca, **wrong)
    with pytest.raises(azure_core.ClientAuthenticationError, match=code):
        list(open_client(ComputeManagementClient, azure, azure_ca, login).virtual_machines.list_all())


def test_sdk_is_told_that_it_may_not(azure, azure_ca):
    azure.resources.seed(1)
    azure.client.roles[:] = [{"actions": ["*/read"], "notActions": []}]
    compute = open_client(ComputeManagementClient, azure, azure_ca)
    assert len(list(compute.virtual_machines.list_all())) == 1
    with pytest.raises(azure_core.HttpResponseError, match="AuthorizationFailed"):
        compute.virtual_machines.begin_start("seeded", "vm-0000").result()
