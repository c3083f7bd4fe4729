"""The life of servers in a real OpenStack: every operation, what forbids it, pages, and several clients at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fakes.openstack import Forwarder
from fakes.patience import patient
from peers.openstack_cloud import PAGE, OpenStackCloud
from peers.waiting import until

from mistcore import Machine, MachineState
from mistcore.errors import (
    InvalidFields,
    MachineNotFound,
    NotSupported,
    PermissionDenied,
    Rejected,
)
from mistcore_providers.openstack import Openstack

pytestmark = pytest.mark.timeout(300, func_only=True)

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE1vY2tLZXlGb3JUZXN0c09ubHlOb3RBUmVhbEtleTEy somebody@example"
NO_SUCH = "00000000-0000-0000-0000-000000000000"


def wait_for(account: Openstack, machine_id: str, state: str) -> Machine:
    def look() -> Machine | None:
        machine = account.get_machine(machine_id)
        assert machine.state == state or machine.state != "error", machine.extra
        return machine if machine.state == state else None

    found: Machine = until(look)
    return found


def gone(account: Openstack, machine_id: str) -> bool:
    try:
        account.get_machine(machine_id)
    except MachineNotFound:
        return True
    return False


@pytest.fixture(scope="module")
def demo(openstack_cloud: OpenStackCloud) -> Iterator[Openstack]:
    with patient(Openstack(**openstack_cloud.login())) as account:  # the cloud shares the machine, and may be slow
        yield account


@pytest.fixture(scope="module")
def web(demo: Openstack) -> Iterator[Machine]:
    """A server with everything that can be asked for."""
    created = demo.create_machine(
        "web-1",
        image="debian-12",
        size="m1.tiny",
        location="nova",
        network="private",
        key=KEY,
        user_data="#cloud-config\nhostname: ü\n",
        tags={"env": "test", "team": "löwe"},
        security_groups="default",
        floating_ip=True,
    )
    assert created.name == "web-1"
    assert created.state in ("pending", "running")
    assert created.extra["admin_password"]
    machine = wait_for(demo, created.id, "running")
    yield until(lambda: (found := demo.get_machine(machine.id)).public_ips and found)
    demo.destroy_machine(machine.id, floating_ip=True)
    until(lambda: gone(demo, machine.id))


def test_a_listed_server_has_it_all(demo: Openstack, web: Machine) -> None:
    listed = {machine.id: machine for machine in demo.list_machines()}[web.id]
    assert listed == demo.get_machine(web.id)
    assert listed.state is MachineState.RUNNING
    assert listed.size == "m1.tiny"
    assert listed.image == "debian-12"
    assert listed.region == "nova"
    assert listed.tags == {"env": "test", "team": "löwe"}
    assert listed.created_at is not None
    assert abs(listed.created_at.timestamp() - time.time()) < 600
    (public,), (private,) = listed.public_ips, listed.private_ips
    assert public.startswith("203.0.113.")
    assert private.startswith("10.11.")
    told = {entry["address"]: entry["kind"] for entry in listed.extra["addresses"]["private"]}
    assert told == {public: "floating", private: "fixed"}
    assert (listed.extra["cpus"], listed.extra["memory"], listed.extra["disk"]) == (1, 512, 1)
    assert listed.extra["key_name"].startswith("mistcore-")
    assert listed.extra["security_groups"] == ["default"]
    assert listed.extra["power_state"] == "running"
    assert "admin_password" not in listed.extra, "told once, when it is made"


def test_without_name_lookup_there_are_ids(openstack_cloud: OpenStackCloud, demo: Openstack, web: Machine) -> None:
    with patient(Openstack(**openstack_cloud.login(), name_lookup=False)) as account:
        listed = {machine.id: machine for machine in account.list_machines()}[web.id]
        assert listed == account.get_machine(web.id)
    assert [size.name for size in demo.list_sizes() if size.id == listed.size] == [web.size]
    assert [image.name for image in demo.list_images() if image.id == listed.image] == [web.image]
    assert listed.extra["addresses"] == web.extra["addresses"]
    for name in ("id", "name", "state", "public_ips", "private_ips", "region", "created_at", "tags"):
        assert getattr(listed, name) == getattr(web, name)
    assert {"cpus", "memory", "disk", "locked"} & set(listed.extra) == set()


def test_what_was_sent_has_arrived(openstack_cloud: OpenStackCloud, demo: Openstack, web: Machine) -> None:
    import base64

    nova = openstack_cloud.api("compute")
    raw = nova.get(f"/servers/{web.id}", microversion="2.3").json()["server"]
    assert base64.b64decode(raw["OS-EXT-SRV-ATTR:user_data"]).decode() == "#cloud-config\nhostname: ü\n"
    pairs = openstack_cloud.api("compute", "demo").get("/os-keypairs").json()["keypairs"]
    assert [pair["keypair"]["public_key"] for pair in pairs] == [KEY]
    assert web.extra["key_name"] == pairs[0]["keypair"]["name"]


def test_off_and_on_again(demo: Openstack, web: Machine) -> None:
    demo.stop_machine(web.id)
    assert demo.get_machine(web.id).state in ("stopping", "stopped")
    wait_for(demo, web.id, "stopped")
    with pytest.raises(Rejected) as caught:
        demo.stop_machine(web.id)
    assert caught.value.reason == "state"
    assert "Cannot 'stop' instance" in caught.value.message
    with pytest.raises(Rejected):
        demo.pause_machine(web.id)
    demo.start_machine(web.id)
    assert demo.get_machine(web.id).state in ("starting", "running")
    wait_for(demo, web.id, "running")
    with pytest.raises(Rejected) as caught:
        demo.start_machine(web.id)
    assert caught.value.reason == "state"


@pytest.mark.parametrize("force", [False, True])
def test_reboot_is_seen_at_once(openstack_cloud: OpenStackCloud, demo: Openstack, web: Machine, force: bool) -> None:
    with Forwarder(openstack_cloud.compute_url.removesuffix("/v2.1")) as front:
        account = patient(Openstack(**openstack_cloud.login(), compute_endpoint=front.url))
        account.reboot_machine(web.id, force=force)
        (request,) = front.requests
        assert request.json() == {"reboot": {"type": "HARD" if force else "SOFT"}}
        account.close()
    wait_for(demo, web.id, "running")


def test_paused_suspended_and_back(demo: Openstack, web: Machine) -> None:
    for sleep, state in ((demo.pause_machine, "paused"), (demo.suspend_machine, "suspended")):
        sleep(web.id)
        wait_for(demo, web.id, state)
        demo.resume_machine(web.id)
        wait_for(demo, web.id, "running")
    with pytest.raises(Rejected):
        demo.resume_machine(web.id)


def test_renamed(demo: Openstack, web: Machine) -> None:
    demo.rename_machine(web.id, "web-2")
    assert demo.get_machine(web.id).name == "web-2"
    demo.rename_machine(web.id, "web-1")


@pytest.mark.parametrize("machine_id", [NO_SUCH, "nope", "../flavors/1", "a/b", "", "?"])
def test_a_server_that_is_not_there(demo: Openstack, machine_id: str) -> None:
    for operation in (
        demo.get_machine,
        demo.start_machine,
        demo.stop_machine,
        demo.reboot_machine,
        demo.pause_machine,
        demo.suspend_machine,
        demo.resume_machine,
        demo.destroy_machine,
    ):
        with pytest.raises(MachineNotFound):
            operation(machine_id)
    with pytest.raises(MachineNotFound):
        demo.rename_machine(machine_id, "x")


def test_destroyed(demo: Openstack) -> None:
    machine = demo.create_machine("short-lived", image="ubuntu-24.04", size="1", network="none")
    wait_for(demo, machine.id, "running")
    assert demo.get_machine(machine.id).private_ips == ()
    demo.destroy_machine(machine.id)
    until(lambda: gone(demo, machine.id))
    assert machine.id not in {found.id for found in demo.list_machines()}


def test_floating_addresses_are_given_back(openstack_cloud: OpenStackCloud, demo: Openstack) -> None:
    neutron = openstack_cloud.api("network", "demo")
    before = {ip["id"] for ip in neutron.get("/v2.0/floatingips").json()["floatingips"]}
    machine = demo.create_machine("floater", image="debian-12", size="m1.tiny", floating_ip="public")
    during = {ip["id"] for ip in neutron.get("/v2.0/floatingips").json()["floatingips"]}
    assert len(during - before) == 1
    wait_for(demo, machine.id, "running")
    demo.destroy_machine(machine.id, floating_ip=True)
    assert {ip["id"] for ip in neutron.get("/v2.0/floatingips").json()["floatingips"]} == before
    until(lambda: gone(demo, machine.id))


def test_what_there_is_to_choose_from(demo: Openstack) -> None:
    sizes = {size.name: size for size in demo.list_sizes()}
    assert set(sizes) == {"m1.tiny", "m1.small", "m1.medium", "m1.toobig"}
    assert (sizes["m1.medium"].cpus, sizes["m1.medium"].memory, sizes["m1.medium"].disk) == (2, 4096, 40)
    assert {image.name: image.os for image in demo.list_images()} == {"debian-12": "debian", "ubuntu-24.04": "ubuntu"}
    (debian,) = demo.list_images("DEB")
    assert debian.created_at is not None
    assert debian.extra["visibility"] == "public"
    assert [location.id for location in demo.list_locations()] == ["nova"]
    networks = {network.name: network for network in demo.list_networks()}
    assert networks["private"].cidr == "10.11.0.0/16"
    assert networks["public"].extra["external"] is True


@pytest.mark.parametrize(
    ("options", "field", "words"),
    [
        ({"image": "windows"}, "image", "debian-12, ubuntu-24.04"),
        ({"image": NO_SUCH}, "image", "debian-12"),
        ({"size": "m9.huge"}, "size", "m1.medium"),
        ({"network": "lan"}, "network", "private"),
        ({"network": ["private", "lan"]}, "network", "'lan'"),
        ({"key": "two words"}, "key", "public key"),
        ({"floating_ip": "lan"}, "floating_ip", "public"),
    ],
)
def test_a_mistake_is_named_and_leaves_nothing_behind(
    demo: Openstack, options: dict[str, Any], field: str, words: str
) -> None:
    before = {machine.id for machine in demo.list_machines()}
    with pytest.raises(InvalidFields) as caught:
        demo.create_machine("oops", **{"image": "debian-12", "size": "m1.tiny", **options})
    assert list(caught.value.problems) == [field]
    assert words in caught.value.problems[field]
    assert {machine.id for machine in demo.list_machines()} == before


def test_what_only_nova_knows_to_be_wrong(demo: Openstack, web: Machine) -> None:
    with pytest.raises(InvalidFields) as unknown:
        demo.create_machine("oops", image="debian-12", size="m1.tiny", network="none", key="no-such-pair")
    assert unknown.value.problems == {"key": f"there is no key pair 'no-such-pair'; there is {web.extra['key_name']}"}
    with pytest.raises(Rejected, match="availability zone") as caught:
        demo.create_machine("oops", image="debian-12", size="m1.tiny", network="none", location="no-such-zone")
    assert caught.value.reason == "invalid"


def test_no_valid_host_ends_in_an_error_with_its_fault(demo: Openstack) -> None:
    machine = demo.create_machine("too-big", image="debian-12", size="m1.toobig", network="none")
    failed = until(lambda: (found := demo.get_machine(machine.id)).state == "error" and found)
    assert "No valid host was found" in failed.extra["fault"]["message"]
    listed = next(found for found in demo.list_machines() if found.id == machine.id)
    assert listed.extra["fault"] == failed.extra["fault"]
    demo.destroy_machine(machine.id)
    until(lambda: gone(demo, machine.id))


def test_a_reader_may_look_but_not_touch(openstack_cloud: OpenStackCloud, web: Machine) -> None:
    with patient(Openstack(**openstack_cloud.login("reader"))) as reader:
        assert reader.check().details["roles"] == ["reader"]
        assert web.id in {machine.id for machine in reader.list_machines()}
        for forbidden in (
            lambda: reader.create_machine("x", image="debian-12", size="m1.tiny", network="none"),
            lambda: reader.stop_machine(web.id),
            lambda: reader.destroy_machine(web.id),
        ):
            with pytest.raises(PermissionDenied) as caught:
                forbidden()
            assert "role" in caught.value.remedy


def test_an_administrator_is_warned(openstack_cloud: OpenStackCloud) -> None:
    with Openstack(**openstack_cloud.login("admin")) as admin:
        assert any("role admin" in warning for warning in admin.check().warnings)


def test_a_full_quota(openstack_cloud: OpenStackCloud) -> None:
    ids = openstack_cloud.add_user("small", project="small")
    nova = openstack_cloud.api("compute")
    nova.put(f"/os-quota-sets/{ids['project_id']}", json={"quota_set": {"instances": 0}})
    with patient(Openstack(**login_of(openstack_cloud, "small"))) as account, pytest.raises(Rejected) as caught:
        account.create_machine("one", image="debian-12", size="m1.tiny", network="none")
    assert caught.value.reason == "quota"
    assert "Quota exceeded" in caught.value.message


def test_several_networks_want_a_choice(openstack_cloud: OpenStackCloud) -> None:
    ids = openstack_cloud.add_user("networker", project="networker")
    neutron = openstack_cloud.api("network")
    body = {"network": {"name": "second", "project_id": ids["project_id"]}}
    network = neutron.post("/v2.0/networks", json=body).json()["network"]["id"]
    subnet = {"network_id": network, "ip_version": 4, "cidr": "10.99.0.0/24", "enable_dhcp": False}
    neutron.post("/v2.0/subnets", json={"subnet": {**subnet, "project_id": ids["project_id"]}})
    with patient(Openstack(**login_of(openstack_cloud, "networker"))) as account:
        with pytest.raises(Rejected) as caught:
            account.create_machine("one", image="debian-12", size="m1.tiny")
        assert caught.value.reason == "network"
        machine = account.create_machine("both", image="debian-12", size="m1.tiny", network="private, second")
        ready = wait_for(account, machine.id, "running")
        assert sorted(ready.extra["addresses"]) == ["private", "second"]
        assert len(ready.private_ips) == 2
        account.destroy_machine(machine.id)
        until(lambda: gone(account, machine.id))


def test_pages_are_followed_to_the_end(openstack_cloud: OpenStackCloud) -> None:
    openstack_cloud.add_user("pager", project="pager")
    login = login_of(openstack_cloud, "pager")
    count = 2 * PAGE
    with patient(Openstack(**login)) as account:
        size, image = next(iter(account.list_sizes())), next(iter(account.list_images()))
        body = {"name": "many", "flavorRef": size.id, "imageRef": image.id, "networks": "none",
                "min_count": count, "max_count": count}  # fmt: skip
        cloud = account._cloud()
        cloud.request("POST", "compute", "/servers", microversion="2.37", json={"server": body})
        until(lambda: sum(machine.state == "running" for machine in account.list_machines()) == count)
    with (
        Forwarder(openstack_cloud.compute_url.removesuffix("/v2.1")) as front,
        patient(Openstack(**login, compute_endpoint=front.url)) as account,
    ):
        found = list(account.list_machines())
        assert len({machine.id for machine in found}) == count
        asked = [request.query.get("marker") for request in front.requests]
        assert asked[0] is None
        assert asked[1] == found[PAGE - 1].id
        assert len(asked) in (2, 3)
        assert {machine.image for machine in found} == {image.name}
        # A server that goes between two pages may be the very one that the next page starts after.
        front.requests.clear()
        walk = account.list_machines()
        seen = [next(walk).id for _ in range(PAGE)]
        account.destroy_machine(seen[-1])
        until(lambda: gone(account, seen[-1]))
        rest = [machine.id for machine in walk]
        assert len(set(seen + rest)) == len(seen + rest) == count
        for machine_id in set(seen[:-1] + rest):
            account.destroy_machine(machine_id)
        until(lambda: not list(account.list_machines()))


def test_four_clients_at_once(openstack_cloud: OpenStackCloud) -> None:
    openstack_cloud.add_user("crowd", project="crowd")
    login = login_of(openstack_cloud, "crowd")

    def live(number: int) -> str:
        with patient(Openstack(**login)) as account:
            machine = account.create_machine(f"crowd-{number}", image="debian-12", size="m1.tiny", network="private")
            wait_for(account, machine.id, "running")
            account.stop_machine(machine.id)
            wait_for(account, machine.id, "stopped")
            account.destroy_machine(machine.id)
            until(lambda: gone(account, machine.id))
            return machine.id

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(live, range(4)))) == 4
    with patient(Openstack(**login)) as account:
        assert list(account.list_machines()) == []


def test_one_account_in_four_threads_logs_in_once(openstack_cloud: OpenStackCloud, web: Machine) -> None:
    with Forwarder(openstack_cloud.auth_url.removesuffix("/v3")) as front:
        account = patient(Openstack(**{**openstack_cloud.login(), "auth_url": front.url}))
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: [machine.id for machine in account.list_machines()], range(8)))
        assert all(web.id in ids for ids in found)
        assert len(front.requests) == 1
        account.close()


def test_a_cloud_without_a_service_says_so(openstack_cloud: OpenStackCloud) -> None:
    keystone = openstack_cloud.api("identity")
    region = {"region": {"id": "Bare"}}
    keystone.post("/regions", json=region)
    services = {service["type"]: service["id"] for service in keystone.get("/services").json()["services"]}
    endpoint = {"interface": "public", "region_id": "Bare", "service_id": services["compute"]}
    body = {"endpoint": {**endpoint, "url": openstack_cloud.compute_url}}
    made = keystone.post("/endpoints", json=body).json()["endpoint"]["id"]
    try:
        with Openstack(**openstack_cloud.login(), region="Bare") as account:
            assert account.check().details["regions"] == ["RegionOne", "Bare"]
            list(account.list_machines())
            for operation, kind in ((account.list_images, "Glance"), (account.list_networks, "Neutron")):
                with pytest.raises(NotSupported, match=kind) as caught:
                    list(operation())
                assert "Bare" in caught.value.message
        with Openstack(**openstack_cloud.login()) as account, pytest.raises(InvalidFields) as several:
            account.check()
        assert "choose one: RegionOne, Bare" in several.value.problems["region"]
    finally:
        keystone.delete(f"/endpoints/{made}")


def login_of(cloud: OpenStackCloud, name: str) -> dict[str, str]:
    return {"auth_url": cloud.auth_url, "username": name, "password": f"{name}-secret", "tenant_name": name}
