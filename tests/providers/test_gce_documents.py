"""GCE: what we send and what the stand-in answers, held against Google's documents; and recorded answers read."""

from __future__ import annotations

import json

import pytest
from fakes.discovery import Document
from fakes.gce_access import PROJECT

from mistcore import Registry
from mistcore.testing.server import FakeService, Request, Response, json_response, route

Gce = Registry()["gce"]
ZONE = "us-central1-a"


@pytest.fixture(scope="module")
def documents(api_specs):
    folder = api_specs / "gce" / "spec"
    # The methods' descriptions recommend this parameter, though the list of parameters lacks it by now.
    compute = Document(folder / "compute.v1.json", also=frozenset({"returnPartialSuccess"}))
    return {"/compute/": compute, "/v1/": Document(folder / "cloudresourcemanager.v1.json")}


def test_everything_that_is_said(gce, gce_ca, documents):
    for number in range(5):
        gce.add(ZONE, f"vm-{number}")
    gce.page_size = 2
    gce.recording = True
    account = Gce(private_key=json.dumps(gce.new_key()), endpoint=gce.url, ca_cert=gce_ca)
    account.check()
    first = next(iter(account.list_machines()))
    account.stop_machine(first.id, force=True)
    account.rename_machine(first.id, "renamed")
    account.start_machine(first.id)
    account.suspend_machine(first.id)
    account.resume_machine(first.id)
    account.reboot_machine(first.id)
    made = account.create_machine(
        "web-1",
        image="debian-12",
        size="e2-small",
        location=ZONE,
        key="ssh-ed25519 AAAA me",
        user_data="#cloud-config",
        tags={"a": "b"},
        disk=20,
        network_tags=["http-server"],
    )
    gce.instances[(ZONE, "web-1")]["disks"][0]["autoDelete"] = False
    account.destroy_machine(made.id, storage=True)
    for listing in (account.list_sizes, account.list_locations, account.list_networks, account.list_images):
        assert list(listing())
    assert list(account.list_sizes(location=ZONE))
    account.close()
    problems = []
    held = 0
    for request, response in gce.exchanges:
        for start, document in documents.items():
            if request.path.startswith(start):
                held += 1
                problems += document.problems(request, response)
    assert problems == []
    assert held > 40


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda body: body.update(machinetype="x"), "machinetype"),
        (lambda body: body.update(status="RUNNING"), "status"),
        (lambda body: body.update(labels=["a"]), "labels"),
        (lambda body: body["disks"][0].update(boot="yes"), "boot"),
        (lambda body: body.update(name="No!"), "name"),
    ],
)
def test_the_documents_find_mistakes(documents, change, problem):
    """The twin of the test above: a body with a mistake is found out."""
    body = {"name": "a", "machineType": "zones/z/machineTypes/e2-small", "disks": [{"boot": True}]}

    def problems():
        path = f"/compute/v1/projects/{PROJECT}/zones/{ZONE}/instances"
        return list(
            documents["/compute/"].problems(Request("POST", path, {}, {}, {}, json.dumps(body).encode()), Response(200))
        )

    assert problems() == []
    change(body)
    assert problem in problems()[0]


# -- recorded answers -------------------------------------------------------------------------------------------------


class Recorded(FakeService):
    """Answers with recordings, by the end of the path; the tokens are a stand-in's."""

    def __init__(self, answers, tls) -> None:
        super().__init__(tls=tls)
        self.answers = answers

    @route("POST", "/token")
    def token(self, request):
        return json_response({"access_token": "t", "expires_in": 3600, "token_type": "Bearer"})

    @route("GET", "/compute/v1/projects/{rest...}")
    def recorded(self, request, rest):
        return json_response(self.answers.get(request.path.partition(f"/{PROJECT}/")[2], {"kind": "compute#x"}))


@pytest.fixture
def recorded(gce_authority, gce):
    started = []

    def start(answers):
        started.append(Recorded(answers, gce_authority[0]).start())
        key = {**gce.new_key(), "token_uri": f"{started[-1].url}/token"}
        return Gce(private_key=json.dumps(key), endpoint=started[-1].url, ca_cert=gce_authority[1])

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def load(api_specs):
    return lambda name: json.loads((api_specs / "gce" / "libcloud" / f"{name}.json").read_text())


def test_recorded_machines_read_right(load, recorded):
    body = load("aggregated_instances")
    raw = {row["id"]: row for scope in body["items"].values() for row in scope.get("instances", [])}
    account = recorded({"aggregated/instances": body})
    found = list(account.list_machines())
    account.close()
    assert {machine.id for machine in found} == set(raw)
    assert len(found) > 5
    for machine in found:
        row = raw[machine.id]
        assert machine.name == row["name"]
        assert machine.state == {"RUNNING": "running", "SUSPENDED": "suspended"}[row["status"]]
        assert machine.size == row["machineType"].rpartition("/")[2]
        assert machine.region == row["zone"].rpartition("/")[2]
        assert machine.created_at is not None
        first = row["networkInterfaces"][0]
        assert machine.private_ips == (first["networkIP"],)
        assert machine.public_ips == tuple(one["natIP"] for one in first["accessConfigs"] if "natIP" in one)


def test_recorded_offers_read_right(load, recorded):
    answers = {
        "zones": load("zones"),
        "global/networks": load("global_networks"),
        "global/images": load("global_images"),
        # only the first page was recorded
        "aggregated/machineTypes": {**load("aggregated_machineTypes"), "nextPageToken": ""},
        "aggregated/subnetworks": load("aggregated_subnetworks"),
    }
    account = recorded(answers)
    assert [zone.id for zone in account.list_locations()] == [row["name"] for row in answers["zones"]["items"]]
    networks = {network.id: network for network in account.list_networks()}
    assert set(networks) == {row["name"] for row in answers["global/networks"]["items"]}
    sizes = {size.id: size for size in account.list_sizes()}
    assert sizes["n1-standard-1"].cpus == 1
    assert sizes["n1-standard-1"].memory == 3840
    assert list(account.list_images())
    account.close()
