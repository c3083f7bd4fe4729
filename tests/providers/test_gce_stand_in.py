"""The stand-in for Compute Engine, proven by Google's own SDK: if these fail, no other GCE test means anything."""

from __future__ import annotations

import pytest
from fakes.gce_access import PROJECT

service_account = pytest.importorskip("google.oauth2.service_account")
auth_errors = pytest.importorskip("google.auth.exceptions")
api_errors = pytest.importorskip("google.api_core.exceptions")
compute = pytest.importorskip("google.cloud.compute_v1")

SCOPES = ["https://www.googleapis.com/auth/compute"]
ZONE = "us-central1-a"


@pytest.fixture(autouse=True)
def _trust(gce_ca, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", gce_ca)


@pytest.fixture
def client(gce):
    """Return clients of the SDK for one kind of resource, all with the same key."""
    info = gce.new_key()
    made = []

    def make(kind, key=info):
        module = __import__(f"google.cloud.compute_v1.services.{kind}.transports", fromlist=["x"])
        name = "".join(part.capitalize() for part in kind.split("_"))
        credentials = service_account.Credentials.from_service_account_info(key, scopes=SCOPES)
        transport = getattr(module, f"{name}RestTransport")(
            host=gce.url.removeprefix("https://"), credentials=credentials, url_scheme="https"
        )
        made.append(transport)
        return getattr(compute, f"{name}Client")(transport=transport)

    yield make
    for transport in made:
        transport.close()


def test_sdk_lives_a_machines_life(gce, client):
    instances, operations = client("instances"), client("zone_operations")

    def done(operation):
        return operations.wait(project=PROJECT, zone=ZONE, operation=operation.name)

    family = client("images").get_from_family(project="debian-cloud", family="debian-12")
    assert family.name == "debian-12-bookworm-v20250201"
    access = compute.AccessConfig(name="External NAT", type_="ONE_TO_ONE_NAT")
    parameters = compute.AttachedDiskInitializeParams(
        source_image="projects/debian-cloud/global/images/family/debian-12"
    )
    body = compute.Instance(
        name="web-1",
        machine_type=f"zones/{ZONE}/machineTypes/e2-small",
        disks=[compute.AttachedDisk(boot=True, auto_delete=True, initialize_params=parameters)],
        network_interfaces=[compute.NetworkInterface(network="global/networks/default", access_configs=[access])],
        labels={"a": "b"},
    )
    where = {"project": PROJECT, "zone": ZONE}
    operation = instances.insert_unary(**where, instance_resource=body)
    assert operation.status == compute.Operation.Status.RUNNING
    assert done(operation).status == compute.Operation.Status.DONE

    def state():
        return instances.get(**where, instance="web-1").status

    assert state() == "RUNNING"
    with pytest.raises(api_errors.Conflict):
        instances.insert_unary(**where, instance_resource=body)
    done(instances.suspend_unary(**where, instance="web-1"))
    assert state() == "SUSPENDED"
    done(instances.resume_unary(**where, instance="web-1"))
    done(instances.reset_unary(**where, instance="web-1"))
    assert state() == "RUNNING"
    request = compute.InstancesSetNameRequest(name="web-2", current_name="web-1")
    with pytest.raises(api_errors.BadRequest):
        instances.set_name_unary(**where, instance="web-1", instances_set_name_request_resource=request)
    done(instances.stop_unary(**where, instance="web-1"))
    assert state() == "TERMINATED"
    done(instances.set_name_unary(**where, instance="web-1", instances_set_name_request_resource=request))
    found = instances.get(**where, instance="web-2")
    assert instances.get(**where, instance=str(found.id)) == found  # a number does as well as a name
    done(instances.start_unary(**where, instance="web-2"))
    done(instances.delete_unary(**where, instance="web-2"))
    with pytest.raises(api_errors.NotFound):
        instances.get(**where, instance="web-2")


def test_sdk_reads_every_page(gce, client):
    for number in range(7):
        gce.add(("us-central1-a", "europe-west1-b")[number % 2], f"vm-{number}")
    gce.page_size = 3
    pages = client("instances").aggregated_list(project=PROJECT)
    names = [one.name for _, scope in pages for one in scope.instances]
    assert sorted(names) == [f"vm-{number}" for number in range(7)]
    gce.unreachable.add("us-central1-a")
    gce.always_partial = True
    pages = client("instances").aggregated_list(project=PROJECT)
    warnings = {scope: found.warning.code for scope, found in pages if found.warning.code}
    assert warnings["zones/us-central1-a"] == "UNREACHABLE"


def test_sdk_reads_what_is_on_offer(client):
    zones = [zone.name for zone in client("zones").list(project=PROJECT)]
    assert zones == ["europe-west1-b", "us-central1-a", "us-central1-b"]
    types = [one.name for one in client("machine_types").list(project=PROJECT, zone=ZONE)]
    assert types == ["e2-small", "n2-standard-4", "t2a-standard-1"]
    every = client("machine_types").aggregated_list(project=PROJECT)
    assert sum(len(scope.machine_types) for _, scope in every) == 6
    assert [one.name for one in client("networks").list(project=PROJECT)] == ["default", "office"]
    assert len(list(client("images").list(project="debian-cloud"))) == 4
    assert list(client("images").list(project="centos-cloud")) == []


def test_sdk_sees_an_operation_fail(gce, client):
    gce.add(ZONE, "vm", status="TERMINATED")
    gce.fail_operation("start", "ZONE_RESOURCE_POOL_EXHAUSTED", "The zone has no room.")
    operation = client("instances").start_unary(project=PROJECT, zone=ZONE, instance="vm")
    ended = client("zone_operations").wait(project=PROJECT, zone=ZONE, operation=operation.name)
    assert [error.code for error in ended.error.errors] == ["ZONE_RESOURCE_POOL_EXHAUSTED"]


def test_sdk_is_refused(gce, client):
    stranger = gce.new_key(register=False)
    with pytest.raises(auth_errors.RefreshError, match="Invalid JWT Signature"):
        client("zones", key=stranger).list(project=PROJECT)
    nobody = {**gce.new_key(), "client_email": "nobody@example.com"}
    with pytest.raises(auth_errors.RefreshError, match="account not found"):
        client("zones", key=nobody).list(project=PROJECT)
    gce.skew = 7200
    with pytest.raises(auth_errors.RefreshError, match="reasonable timeframe"):
        client("zones", key=gce.new_key()).list(project=PROJECT)


def test_sdk_is_told_that_it_may_not(gce, client):
    gce.add(ZONE, "vm")
    gce.account.permissions = {"compute.instances.get"}
    assert client("instances").get(project=PROJECT, zone=ZONE, instance="vm").name == "vm"
    with pytest.raises(api_errors.Forbidden, match=r"compute\.instances\.stop"):
        client("instances").stop_unary(project=PROJECT, zone=ZONE, instance="vm")
