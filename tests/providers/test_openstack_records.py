"""States, addresses and rows: those recorded at real clouds, and odd ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mistcore import Machine, MachineState
from mistcore_providers import _openstack_records as records


def read(raw: Any, **names: dict[str, str]) -> Machine:
    found = records.machine(raw, region="RegionOne", sizes=names.get("sizes", {}), images=names.get("images", {}))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("ACTIVE", "running"), ("BUILD", "pending"), ("REBUILD", "pending"), ("PASSWORD", "pending"),
        ("MIGRATING", "pending"), ("SHUTOFF", "stopped"), ("STOPPED", "stopped"), ("SHELVED", "stopped"),
        ("SHELVED_OFFLOADED", "stopped"), ("SUSPENDED", "suspended"), ("PAUSED", "paused"), ("REBOOT", "rebooting"),
        ("HARD_REBOOT", "rebooting"), ("RESIZE", "pending"), ("REVERT_RESIZE", "pending"),
        ("VERIFY_RESIZE", "running"), ("RESCUE", "running"), ("SOFT_DELETED", "terminated"),
        ("DELETED", "terminated"), ("ERROR", "error"), ("UNKNOWN", "unknown"), ("SOMETHING_NEW", "unknown"),
        ("active", "running"), ("BUILD(scheduling)", "pending"), ("", "unknown"), (None, "unknown"), (7, "unknown"),
    ],
)  # fmt: skip
def test_every_status(status: Any, state: str) -> None:
    assert read({"id": "1", "status": status}).state is MachineState(state)


@pytest.mark.parametrize(
    ("status", "task", "state"),
    [
        ("ACTIVE", "powering-off", "stopping"), ("SHUTOFF", "powering-on", "starting"),
        ("ACTIVE", "rebooting", "rebooting"), ("ACTIVE", "reboot_started_hard", "rebooting"),
        ("ACTIVE", "deleting", "stopping"), ("SUSPENDED", "resuming", "starting"), ("BUILD", "spawning", "pending"),
        ("DELETED", "deleting", "terminated"), ("ACTIVE", "image_snapshot", "running"), ("ACTIVE", None, "running"),
    ],
)  # fmt: skip
def test_a_task_under_way_shows(status: str, task: str | None, state: str) -> None:
    assert read({"id": "1", "status": status, "OS-EXT-STS:task_state": task}).state is MachineState(state)


@pytest.mark.parametrize(
    ("entry", "network", "public"),
    [
        ({"addr": "10.0.0.1", "OS-EXT-IPS:type": "fixed"}, "private", False),
        ({"addr": "172.24.4.7", "OS-EXT-IPS:type": "floating"}, "private", True),
        ({"addr": "51.15.20.30", "OS-EXT-IPS:type": "fixed"}, "Ext-Net", True),
        ({"addr": "51.15.20.30", "OS-EXT-IPS:type": "fixed"}, "private", True),
        ({"addr": "10.0.0.1", "OS-EXT-IPS:type": "fixed"}, "public", False),
        ({"addr": "fd00::1", "OS-EXT-IPS:type": "fixed"}, "lan", False),
        ({"addr": "2a01:4f8::1", "OS-EXT-IPS:type": "fixed"}, "lan", True),
        ({"addr": "fe80::1"}, "lan", False),
        ({"addr": "fec0::1"}, "lan", False),
        ({"addr": "10.0.0.1"}, "public", True),
        ({"addr": "8.8.8.8"}, "private", False),
        ("67.23.10.132", "public", True),
    ],
)
def test_public_and_private(entry: Any, network: str, public: bool) -> None:
    machine = read({"id": "1", "addresses": {network: [entry]}})
    address = entry if isinstance(entry, str) else entry["addr"]
    assert (machine.public_ips, machine.private_ips) == (((address,), ()) if public else ((), (address,)))


@pytest.mark.parametrize("text", ["odd", "10.0.0.1/24", " 10.0.0.1", "10.0.0", "2a01::1/64"])
def test_what_is_no_address_by_itself_is_left_out(text: str) -> None:
    networks = {"lan": [{"addr": text, "OS-EXT-IPS:type": "floating"}]}
    machine = read({"id": "1", "addresses": networks, "accessIPv4": text})
    assert (machine.public_ips, machine.private_ips) == ((), ())
    assert "addresses" not in machine.extra


@pytest.mark.parametrize(
    "odd",
    [
        {}, {"addresses": None}, {"addresses": []}, {"addresses": {"n": None}}, {"addresses": {"n": [None, {}, 7]}},
        {"addresses": {"n": ["odd", {"addr": "odd"}, {"addr": {}}]}},
        {"flavor": None}, {"flavor": "m1"}, {"flavor": {"id": 7}}, {"image": ""}, {"image": None}, {"image": {"id": 7}},
        {"created": "yesterday"}, {"created": 7}, {"metadata": None}, {"metadata": {"a": 1}}, {"tags": None},
        {"tags": ["a"]}, {"name": None}, {"fault": "x"}, {"fault": None}, {"security_groups": [None]},
        {"os-extended-volumes:volumes_attached": [7]}, {"OS-EXT-STS:power_state": "on"}, {"id": 12},
        {"addresses": {"n": [{"addr": "odd"}]}}, {"accessIPv4": "odd"},
        {"status": "UNKNOWN", "tenant_id": "t", "created": "2018-12-03T21:06:18Z", "links": []},
    ],
)  # fmt: skip
def test_odd_rows_are_read_all_the_same(odd: dict[str, Any]) -> None:
    machine = read({"id": "1", **odd})
    assert json.loads(json.dumps(machine.to_dict()))["id"] in ("1", "12")


@pytest.mark.parametrize("row", [None, 7, "x", [], {}, {"id": None}, {"id": ""}, {"name": "no id"}])
def test_rows_that_name_no_server_are_left_out(row: Any) -> None:
    assert records.machine(row, region="", sizes={}, images={}) is None
    assert records.size(row) is None
    assert records.image(row) is None
    assert records.network(row, []) is None


def test_the_other_records_of_odd_rows() -> None:
    size = records.size({"id": 1, "name": "256 slice", "ram": "much", "disk": None, "vcpus": "", "swap": ""})
    assert size is not None
    assert (size.id, size.cpus, size.memory, size.disk) == ("1", None, None, None)
    network = records.network({"id": "n", "name": None}, [None, {"network_id": "n", "cidr": "fd00::/64"},
                                                         {"network_id": "n", "cidr": "10.0.0.0/8"}])  # fmt: skip
    assert network is not None
    assert network.cidr == "10.0.0.0/8"
    assert network.extra["cidrs"] == ["10.0.0.0/8", "fd00::/64"]


def test_rows_recorded_at_nova_1_1(api_specs: Path) -> None:
    folder = api_specs / "openstack" / "libcloud_v1.1"
    rows = json.loads((folder / "_servers_detail.json").read_text())["servers"]
    machines = [read(row, sizes={"2": "512 slice"}, images={"7": "Ubuntu"}) for row in rows]
    assert len(machines) == len(rows)
    first = machines[0]
    assert (first.id, first.name, first.state) == (str(rows[0]["id"]), "lc-test-2", "pending")
    assert first.image == "Ubuntu"
    assert first.created_at == datetime(2011, 10, 11, 0, 51, 39, tzinfo=UTC)
    assert {"50.57.94.35", "2001:4801:7808:52:16:3eff:fe47:788a", "192.168.3.3", "1.1.1.1", "2.2.2.2",
            "172.16.1.1"} <= set(first.public_ips)  # fmt: skip
    assert {"10.182.64.34", "fec0:4801:7808:52:16:3eff:fe60:187d", "10.3.3.3"} <= set(first.private_ips)
    assert [":" in address for address in first.public_ips] == sorted(":" in address for address in first.public_ips)
    failed = json.loads((folder / "_servers_detail_ERROR_STATE.json").read_text())["servers"]
    assert {read(row).state for row in failed} == {MachineState.ERROR}
    assert json.loads((folder / "_servers_detail_EMPTY.json").read_text())["servers"] == []


def test_every_recorded_server_is_read(api_specs: Path) -> None:
    count = 0
    for path in [*api_specs.glob("openstack/**/*.json"), *api_specs.glob("rackspace/**/*.json")]:
        try:
            body = json.loads(path.read_text())
        except ValueError:
            continue
        if not isinstance(body, dict):
            continue
        rows = [*(body.get("servers") or []), *([body["server"]] if isinstance(body.get("server"), dict) else [])]
        for row in rows if all(isinstance(row, dict) for row in rows) else ():
            if row.get("id"):
                machine = read(row)
                assert machine.id == str(row["id"])
                assert "status" not in row or machine.state is not MachineState.UNKNOWN
                json.dumps(machine.to_dict())
                count += 1
    assert count > 10


def test_recorded_sizes_images_and_networks(api_specs: Path) -> None:
    folder = api_specs / "openstack" / "libcloud_v1.1"
    rackspace = api_specs / "rackspace" / "libcloud_next_gen"
    sizes = {
        size.id: size
        for row in json.loads((rackspace / "_flavors_detail.json").read_text())["flavors"]
        if (size := records.size(row))
    }
    assert len(sizes) == 8
    assert (sizes["3"].name, sizes["3"].memory, sizes["3"].disk, sizes["3"].cpus) == ("1GB slice", 1024, 40, 1)
    assert sizes["1"].extra["ephemeral_disk"] == 40
    for path, key in ((rackspace / "_images_detail.json", "images"), (folder / "_images_v2.json", "images")):
        rows = json.loads(path.read_text())[key]
        images = [records.image(row) for row in rows]
        assert all(image is not None and image.name and image.created_at for image in images)
    subnets = json.loads((folder / "_v2_0__subnets.json").read_text())["subnets"]
    rows = json.loads((folder / "_v2_0__networks.json").read_text())["networks"]
    networks = [records.network(row, subnets) for row in rows]
    assert all(network is not None and network.id for network in networks)


def test_recorded_logins(api_specs: Path) -> None:
    """The catalogs of a real Rackspace account, and of a v3 cloud, offer what they offer."""
    from keystoneauth1.access import AccessInfoV2, AccessInfoV3

    from mistcore_providers._openstack_cloud import Cloud
    from mistcore_providers._openstack_login import Keys, KeystoneLogin, _versions_in

    folder = api_specs / "openstack" / "libcloud_auth_and_v1.0"

    class Recorded(KeystoneLogin):
        def __init__(self, access: Any) -> None:
            super().__init__("http://unused.invalid", Keys(), lambda: 1.0)
            self.auth_ref = access

        def _needs_reauthenticate(self) -> bool:
            return False

    v2 = AccessInfoV2(json.loads((folder / "_v2_0__auth.json").read_text()))
    cloud = Cloud(Recorded(v2), lambda: 1.0, region="fr1", service="nova")
    assert cloud.regions() == ["RegionOne", "fr1"]
    assert cloud.endpoint("compute") == "https://test_endpoint.com/v2/1337"
    v3 = AccessInfoV3(json.loads((folder / "_v3__auth.json").read_text()), auth_token="t")
    cloud = Cloud(Recorded(v3), lambda: 1.0)
    assert cloud.region() == "regionOne"
    assert cloud.endpoint("compute") == "http://192.168.18.100:8774/v2/9c4693dce56b493b9b83197d900f7fba"
    assert cloud.details()["roles"] == ["_member_", "admin"]
    document = json.loads((api_specs / "openstack" / "libcloud_identity" / "v3" / "v3_versions.json").read_text())

    class Answer:
        def json(self) -> Any:
            return document

    assert _versions_in(Answer()) == {"v3", "v2.0"}
