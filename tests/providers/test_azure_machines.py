"""Azure: machines listed and acted on, against a stand-in that Microsoft's own SDK accepts."""

from __future__ import annotations

import json
import math
import threading

import pytest
from fakes.azure import SUBSCRIPTION, arm_error
from fakes.azure_entra import CLIENT, SECRET, TENANT
from fakes.patience import deadline_once, looked_after, patient

from mistcore import MachineNotFound, PermissionDenied, ProviderError, Registry, Rejected, Unreachable
from mistcore.deadline import deadline
from mistcore.testing.server import Response

Azure = Registry()["azure"]
PREFIX = f"/subscriptions/{SUBSCRIPTION}"


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


@pytest.fixture
def machine(azure, account):
    """One running machine with a public address."""
    azure.resources.seed(1)
    (found,) = account.list_machines()
    return found


def asked(azure):
    """Return the requests to Resource Manager, each as method and what follows the subscription."""
    return [
        f"{request.method} {request.path.removeprefix(PREFIX)}"
        for request in azure.requests
        if request.path.startswith(PREFIX)
    ]


# -- listing ----------------------------------------------------------------------------------------------------------


def test_an_empty_subscription(account):
    assert list(account.list_machines()) == []


def test_four_requests_for_any_number_of_machines(azure, account):
    azure.resources.seed(30)
    machines = list(account.list_machines())
    assert len(machines) == 30
    assert sorted(asked(azure)) == [
        "GET /providers/Microsoft.Compute/virtualMachines",
        "GET /providers/Microsoft.Compute/virtualMachines",
        "GET /providers/Microsoft.Network/networkInterfaces",
        "GET /providers/Microsoft.Network/publicIPAddresses",
    ]


def test_requests_grow_with_pages(azure, account):
    azure.resources.seed(25)
    azure.page_size = 10
    machines = list(account.list_machines())
    assert [machine.name for machine in machines] == [f"vm-{number:04}" for number in range(25)]
    assert len(asked(azure)) == 4 * 3
    assert all(machine.public_ips and machine.state == "running" for machine in machines)


def test_the_listings_are_fetched_side_by_side(azure, account):
    azure.resources.seed(3)
    account.check()
    meeting, authorize = threading.Barrier(4, timeout=60), azure.authorize

    def meet(request):
        meeting.wait()  # none is answered before all have been asked
        return authorize(request)

    azure.authorize = meet
    assert len(list(account.list_machines())) == 3


def test_what_is_said_of_a_machine(azure, machine):
    assert machine.name == "vm-0000"
    assert machine.id == f"{PREFIX}/resourceGroups/seeded/providers/Microsoft.Compute/virtualMachines/vm-0000"
    assert machine.state == "running"
    assert [address.partition(".")[0] for address in (*machine.public_ips, *machine.private_ips)] == ["203", "10"]
    assert machine.size == "Standard_B1s"
    assert machine.image == "Debian:debian-12:12-gen2:0.20240201.2"
    assert machine.region == "eastus"
    assert machine.created_at.isoformat() == "2026-01-02T03:04:05.678000+00:00"
    assert machine.tags == {"number": "0"}
    assert machine.extra["resource_group"] == "seeded"
    assert machine.extra["user"] == "azureuser"
    assert "billed" not in machine.extra
    json.dumps(machine.to_dict())


def test_one_machine_looks_as_it_does_in_the_list(account, machine):
    assert account.get_machine(machine.id) == machine
    assert account.get_machine(machine.id).extra == machine.extra
    # Azure compares names without regard to case; the ID stays the one that was asked for.
    assert account.get_machine(machine.id.upper()).id == machine.id.upper()


@pytest.mark.parametrize(
    ("power", "state", "billed"),
    [
        ("running", "running", None),
        ("starting", "starting", None),
        ("stopping", "stopping", None),
        ("deallocating", "stopping", None),
        ("stopped", "stopped", True),
        ("deallocated", "stopped", False),
        ("unknown", "unknown", None),
        ("dancing", "unknown", None),
    ],
)
def test_power_states(azure, account, machine, power, state, billed):
    azure.resources.power[machine.id.lower()] = power
    for found in (*account.list_machines(), account.get_machine(machine.id)):
        assert found.state == state
        assert found.extra.get("billed") is billed


@pytest.mark.parametrize(
    ("provisioning", "power", "state"),
    [
        ("Creating", "", "pending"),
        ("Updating", "running", "running"),
        ("Failed", "running", "running"),
        ("Failed", "", "error"),
        ("Deleting", "running", "terminated"),
        ("Odd", "", "unknown"),
    ],
)
def test_provisioning_states(azure, account, machine, provisioning, power, state):
    azure.resources.get(machine.id)["properties"]["provisioningState"] = provisioning
    azure.resources.power[machine.id.lower()] = power
    assert [found.state for found in account.list_machines()] == [state]


def test_odd_rows_do_not_break_the_list(azure, account, machine):
    strange = [
        None,
        "text",
        {},
        {"id": 7},
        {"id": f"{PREFIX}/bare"},
        {"id": f"{PREFIX}/x", "properties": None, "tags": None, "location": None},
        {"id": f"{PREFIX}/y", "properties": {"networkProfile": {"networkInterfaces": [None, {"id": None}, "z"]}}},
        {"id": f"{PREFIX}/z", "properties": {"timeCreated": "soon", "storageProfile": [], "hardwareProfile": 3}},
    ]
    body = json.dumps({"value": [*strange, azure.resources.get(machine.id)]}).encode()
    azure.fault(
        Response(200, body, {"Content-Type": "application/json"}),
        where=lambda request: request.path.endswith("/virtualMachines") and "statusOnly" not in request.query,
    )
    found = list(account.list_machines())
    assert [machine.name for machine in found] == ["bare", "x", "y", "z", "vm-0000"]
    assert found[-1] == machine


def test_many_addresses_of_both_kinds(azure, account, machine):
    nic = next(item for item in azure.resources.items.values() if item["type"].endswith("networkInterfaces"))
    nic["properties"]["ipConfigurations"] += [
        {"name": "six", "properties": {"privateIPAddress": "fd00::7", "privateIPAddressVersion": "IPv6"}},
        {"name": "two", "properties": {"privateIPAddress": "10.0.0.99", "publicIPAddress": {"id": "/not/there"}}},
        {"name": "odd", "properties": None},
    ]
    for found in (*account.list_machines(), account.get_machine(machine.id)):
        assert found.private_ips == (machine.private_ips[0], "10.0.0.99", "fd00::7")
        assert found.public_ips == machine.public_ips


def test_addresses_that_may_not_be_seen(azure, account, machine):
    azure.client.roles[:] = [{"actions": ["Microsoft.Compute/*"], "notActions": []}]
    for found in (*account.list_machines(), account.get_machine(machine.id)):
        assert found.state == "running"
        assert found.public_ips == found.private_ips == ()


def test_machines_that_may_not_be_seen(azure, account):
    azure.client.roles[:] = [{"actions": ["Microsoft.Network/*"], "notActions": []}]
    with pytest.raises(PermissionDenied, match=r"Microsoft\.Compute/virtualMachines/read"):
        list(account.list_machines())


def test_a_page_that_leads_to_itself(azure, account):
    body = {"value": [], "nextLink": f"{azure.url}{PREFIX}/providers/Microsoft.Compute/virtualMachines?a=1"}
    loop = Response(200, json.dumps(body).encode(), {"Content-Type": "application/json"})
    azure.fault(loop, times=9, where=lambda request: request.path.endswith("/virtualMachines"))
    with pytest.raises(ProviderError) as caught:
        list(account.list_machines())
    assert caught.value.reason == "paging"


def test_a_page_link_that_names_the_vendors_own_host(azure, account):
    """Behind a proxy, links still name management.azure.com: they are followed at the address that was given."""
    azure.resources.seed(4)
    azure.page_size = 3
    rows = [row for row in azure.resources.items.values() if row["type"].endswith("virtualMachines")]
    link = f"https://management.azure.com:443{PREFIX}/providers/Microsoft.Compute/virtualMachines"
    body = {"value": rows[:3], "nextLink": f"{link}?api-version=2024-07-01&$skiptoken=page!3"}
    first = Response(200, json.dumps(body).encode(), {"Content-Type": "application/json"})
    azure.fault(
        first, where=lambda request: request.path.endswith("/virtualMachines") and "statusOnly" not in request.query
    )
    assert len(list(account.list_machines())) == 4


# -- acting -----------------------------------------------------------------------------------------------------------


def test_the_life_of_a_machine(azure, account, machine):
    def now():
        found = account.get_machine(machine.id)
        return found.state, found.extra["power_state"]

    account.stop_machine(machine.id)
    assert now() == ("stopped", "deallocated")
    account.start_machine(machine.id)
    assert now() == ("running", "running")
    account.reboot_machine(machine.id)
    assert now() == ("running", "running")
    account.stop_machine(machine.id, deallocate=False)
    assert now() == ("stopped", "stopped")
    account.destroy_machine(machine.id)
    with pytest.raises(MachineNotFound):
        account.get_machine(machine.id)
    assert [line.split("/")[-1] for line in asked(azure) if line.startswith(("POST", "DELETE"))] == [
        "deallocate",
        "start",
        "restart",
        "powerOff",
        "vm-0000",
    ]


def test_to_cut_the_power(azure, account, machine):
    account.stop_machine(machine.id, force=True)
    (cut,) = [request for request in azure.requests if request.path.endswith("/powerOff")]
    assert cut.query["skipShutdown"] == "true"
    assert account.get_machine(machine.id).extra["power_state"] == "deallocated"


def test_not_to_wait(azure, account, machine):
    azure.operation_seconds = math.inf
    account.stop_machine(machine.id, wait=False)
    assert account.get_machine(machine.id).state == "stopping"
    assert not [line for line in asked(azure) if "/operations/" in line]


def test_to_wait_is_to_look_until_it_is_done(azure, account, machine):
    azure.operation_seconds = math.inf

    def third_look(request):
        if [line for line in asked(azure) if "/operations/" in line][2:]:
            for operation in azure.operations.values():
                operation.ends = 0

    azure.fault(Response(), where=third_look)
    account.start_machine(machine.id)
    assert [operation.status for operation in azure.operations.values()] == ["Succeeded"]
    assert len([line for line in asked(azure) if "/operations/" in line]) == 3


def test_the_advice_when_to_look_again_is_followed(azure, account, machine):
    azure.retry_after = "1"
    azure.operation_seconds = 0.9  # over when a second has passed, and not before
    with deadline(100):
        account.start_machine(machine.id)
    assert len([line for line in asked(azure) if "/operations/" in line]) == 1


def test_an_operation_told_by_location_alone(azure, account, machine):
    """Older services answer 202 with a Location, which answers 202 until it is done."""
    azure.operation_seconds = 0.1
    azure.location_only = True
    account.stop_machine(machine.id)
    assert [line for line in asked(azure) if "/operationresults/" in line]
    assert account.get_machine(machine.id).extra["power_state"] == "deallocated"


def test_an_operation_that_fails_later(azure, account, machine):
    azure.fail_operation("/start", "AllocationFailed", "We do not have sufficient capacity for the size.")
    with pytest.raises(Rejected, match="sufficient capacity") as caught:
        account.start_machine(machine.id)
    assert caught.value.reason == "no_capacity"
    assert "another size" in caught.value.remedy


def test_an_operation_that_outlasts_the_deadline(azure, account, machine):
    azure.operation_seconds = math.inf
    with deadline_once(looked_after(azure)), pytest.raises(Unreachable) as caught:
        patient(account).stop_machine(machine.id)
    assert caught.value.reason == "timeout"
    assert "goes on" in caught.value.remedy


@pytest.mark.parametrize(
    ("status", "code", "message", "expected", "reason"),
    [
        (409, "OperationNotAllowed", "exceeding approved standardBSFamily Cores quota.", Rejected, "quota"),
        (409, "OperationNotAllowed", "The VM is being deleted.", Rejected, "conflict"),
        (409, "SkuNotAvailable", "The requested size is not available.", Rejected, "no_capacity"),
        (409, "MissingSubscriptionRegistration", "Microsoft.Compute is not registered.", Rejected, "not_enabled"),
        (403, "RequestDisallowedByPolicy", "Resource was disallowed by policy.", Rejected, "policy"),
        (403, "ReadOnlyDisabledSubscription", "The subscription is disabled.", PermissionDenied, "not_enabled"),
        (400, "InvalidParameter", "The value is not valid.", Rejected, "invalid"),
        (500, "InternalServerError", "Encountered internal server error.", ProviderError, "failed"),
    ],
)
def test_refusals(azure, account, machine, status, code, message, expected, reason):
    azure.fault(arm_error(status, code, message), times=9, where=lambda request: request.path.endswith("/start"))
    with pytest.raises(expected, match=code) as caught:
        account.start_machine(machine.id)
    assert caught.value.reason == reason


def test_what_one_may_not_do(azure, account, machine):
    azure.client.roles[:] = [{"actions": ["*/read"], "notActions": []}]
    for act in (account.start_machine, account.stop_machine, account.reboot_machine, account.destroy_machine):
        with pytest.raises(PermissionDenied) as caught:
            act(machine.id)
        assert "a role that allows Microsoft.Compute/virtualMachines/" in caught.value.remedy
    assert account.get_machine(machine.id).state == "running"


@pytest.mark.parametrize(
    "machine_id",
    [
        "",
        "web-1",
        f"{PREFIX}/resourceGroups/seeded/providers/Microsoft.Compute/virtualMachines/none",
        f"{PREFIX}/resourceGroups/none/providers/Microsoft.Compute/virtualMachines/vm-0000",
        f"{PREFIX}/resourceGroups/seeded/providers/Microsoft.Compute/virtualMachines/../disks/vm-0000",
        f"{PREFIX}/resourceGroups/seeded/providers/Microsoft.Compute/disks/vm-0000_OsDisk_1",
        "/subscriptions/1/resourceGroups/seeded/providers/Microsoft.Compute/virtualMachines/vm-0000",
    ],
)
def test_machines_that_are_not_there(azure, account, machine, machine_id):
    before = dict(azure.resources.items)
    actions = (account.get_machine, account.start_machine, account.stop_machine, account.reboot_machine)
    for act in (*actions, account.destroy_machine, lambda one: account.destroy_machine(one, storage=True)):
        with pytest.raises(MachineNotFound):
            act(machine_id)
    assert azure.resources.items == before


# -- destroying -------------------------------------------------------------------------------------------------------


def left(azure):
    return {key.rpartition("/")[2] for key in azure.resources.items if "/providers/" in key}


def test_destroy_leaves_the_rest(azure, account, machine):
    account.destroy_machine(machine.id)
    assert left(azure) == {"net", "vm-0000-ip", "vm-0000-nic", "vm-0000_osdisk_1"}


def test_destroy_with_what_is_its_own(azure, account):
    azure.resources.seed(2)
    machines = {machine.name: machine for machine in account.list_machines()}
    account.destroy_machine(machines["vm-0000"].id, storage=True)
    # The address was not made by create_machine: it may be a name that people know, so it stays.
    assert left(azure) == {"net", "vm-0000-ip", "vm-0001", "vm-0001-ip", "vm-0001-nic", "vm-0001_osdisk_1"}


def test_what_cannot_be_deleted_is_named(azure, account, machine):
    refusal = arm_error(409, "ScopeLocked", "The scope cannot perform delete operation because it is locked.")
    azure.fault(refusal, times=9, where=lambda request: request.method == "DELETE" and "/disks/" in request.path)
    with pytest.raises(Rejected, match="vm-0000_OsDisk_1") as caught:
        account.destroy_machine(machine.id, storage=True)
    assert caught.value.reason == "leftovers"
    assert left(azure) == {"net", "vm-0000-ip", "vm-0000_osdisk_1"}
