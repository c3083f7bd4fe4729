"""DigitalOcean: the life of a droplet, and how one is made, against the stand-in."""

from __future__ import annotations

import pytest
from fakes import digitalocean_fixtures as fixtures
from fakes.digitalocean import FakeDigitalOcean, problem
from fakes.digitalocean_fixtures import FINGERPRINT, PUBLIC_KEY, asked
from fakes.patience import deadline_once, looked_after

from mistcore import InvalidFields, MachineNotFound, MachineState, ProviderError, Rejected, Unreachable
from mistcore_providers.digitalocean import DigitalOcean

service = fixtures.service
digitalocean = fixtures.digitalocean


# -- the life of a machine --------------------------------------------------------------------------------------------


def test_the_whole_life_of_a_machine(service: FakeDigitalOcean, digitalocean: DigitalOcean) -> None:
    service.action_seconds = 0.1
    created = digitalocean.create_machine(
        "web-1",
        image="debian-12-x64",
        size="s-1vcpu-1gb",
        location="fra1",
        key=PUBLIC_KEY,
        user_data="#cloud-config",
        tags={"web": "", "env": "prod"},
        ipv6=True,
        monitoring=True,
        backups=True,
    )
    assert (created.name, created.state, created.public_ips) == ("web-1", MachineState.PENDING, ())
    body = service.droplets[int(created.id)]["_body"]
    assert body["tags"] == ["web", "env:prod"]
    assert body["user_data"] == "#cloud-config"
    assert body["ssh_keys"] == [FINGERPRINT]

    while (machine := digitalocean.get_machine(created.id)).state is MachineState.PENDING:
        pass
    assert machine.state is MachineState.RUNNING
    assert [":" in address for address in machine.public_ips] == [False, True]
    assert machine.private_ips[0].startswith("10.114.")
    assert machine.tags == {"web": "", "env": "prod"}

    def state() -> str:
        return str(digitalocean.get_machine(created.id).state)

    digitalocean.stop_machine(created.id)
    assert state() == "stopped"
    digitalocean.start_machine(created.id)
    assert state() == "running"
    digitalocean.reboot_machine(created.id)
    digitalocean.reboot_machine(created.id, force=True)
    digitalocean.stop_machine(created.id, force=True)
    assert state() == "stopped"
    digitalocean.rename_machine(created.id, "web-2")
    assert [found.name for found in digitalocean.list_machines()] == ["web-2"]
    digitalocean.destroy_machine(created.id)
    assert list(digitalocean.list_machines()) == []
    with pytest.raises(MachineNotFound, match=created.id):
        digitalocean.get_machine(created.id)
    kinds = [request.json()["type"] for request in service.requests if request.path.endswith("/actions")]
    assert kinds == ["shutdown", "power_on", "reboot", "power_cycle", "power_off", "rename"]


def test_an_action_is_awaited_and_its_failure_told(service: FakeDigitalOcean, digitalocean: DigitalOcean) -> None:
    droplet = str(service.add_droplet()["id"])
    service.action_seconds = 0.4
    digitalocean.stop_machine(droplet)
    assert service.droplets[int(droplet)]["status"] == "off"
    service.failing.add("shutdown")
    service.droplets[int(droplet)]["status"] = "active"
    with pytest.raises(Rejected, match="could not do the shutdown.*force=True cuts the power") as caught:
        digitalocean.stop_machine(droplet)
    assert caught.value.reason == "action_failed"
    service.action_seconds = 60
    goes_on = "power on was accepted and goes on by itself"
    with deadline_once(looked_after(service)), pytest.raises(Unreachable, match=goes_on) as timed_out:
        digitalocean.start_machine(droplet)
    assert timed_out.value.reason == "timeout"
    with pytest.raises(Rejected, match="pending event") as busy:
        digitalocean.start_machine(droplet)
    assert busy.value.reason == "busy"


def test_a_token_that_may_act_but_not_look_does_not_wait(service: FakeDigitalOcean) -> None:
    service.tokens["actor"] = {"droplet:update"}
    droplet = service.add_droplet(status="off")
    service.action_seconds = 0.3
    DigitalOcean(token="actor", endpoint=service.url).start_machine(str(droplet["id"]))


def test_an_action_that_may_have_been_done_is_not_repeated(
    service: FakeDigitalOcean, digitalocean: DigitalOcean
) -> None:
    droplet = str(service.add_droplet()["id"])
    service.fault(problem(500), where=lambda request: request.method == "POST")
    with pytest.raises(ProviderError):
        digitalocean.reboot_machine(droplet)
    assert asked(service) == [f"POST /v2/droplets/{droplet}/actions"]


@pytest.mark.parametrize("machine_id", ["7", "0", "07", "../account", "7/actions", "web-1", ""])
def test_a_machine_that_is_not_there(digitalocean: DigitalOcean, machine_id: str) -> None:
    for operation in (
        digitalocean.get_machine,
        digitalocean.start_machine,
        digitalocean.stop_machine,
        digitalocean.reboot_machine,
        digitalocean.destroy_machine,
    ):
        with pytest.raises(MachineNotFound):
            operation(machine_id)
    with pytest.raises(MachineNotFound):
        digitalocean.rename_machine(machine_id, "web-2")


def test_destroy_takes_volumes_along_only_when_told_to(service: FakeDigitalOcean, digitalocean: DigitalOcean) -> None:
    service.volumes = {"v-1", "v-2", "v-3"}
    first, second = service.add_droplet(volume_ids=["v-1"]), service.add_droplet(volume_ids=["v-2"])
    digitalocean.destroy_machine(str(first["id"]))
    assert service.volumes == {"v-1", "v-2", "v-3"}
    digitalocean.destroy_machine(str(second["id"]), storage=True)
    assert service.volumes == {"v-1", "v-3"}
    assert service.droplets == {}


# -- create -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    ["id", FINGERPRINT, f"MD5:{FINGERPRINT.upper()}", "laptop", "sha256", PUBLIC_KEY],
)
def test_a_key_is_found_by_whatever_is_at_hand(
    service: FakeDigitalOcean, digitalocean: DigitalOcean, given: str
) -> None:
    service.keys[42] = {"id": 42, "name": "laptop", "fingerprint": FINGERPRINT, "public_key": PUBLIC_KEY}
    known = {"id": "42", "sha256": "SHA256:ZkAslGjFiUHdGf/WUL8rQvkib4PTvQatUV0OUQSncCA"}
    created = digitalocean.create_machine("web-1", image="101", size="s-1vcpu-1gb", key=known.get(given, given))
    used = service.droplets[int(created.id)]["_body"]["ssh_keys"]
    assert used in ([42], [FINGERPRINT])
    assert list(service.keys) == [42]
    assert created.image == "debian-12-x64"


def test_a_public_key_is_added_once(service: FakeDigitalOcean, digitalocean: DigitalOcean) -> None:
    for name in ("web-1", "web-2"):
        digitalocean.create_machine(name, image="debian-12-x64", size="s-1vcpu-1gb", key=[PUBLIC_KEY])
    assert [(key["name"], key["fingerprint"]) for key in service.keys.values()] == [("me@desk", FINGERPRINT)]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("nobody's", 'no SSH key "nobody\'s"'),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "give the public one"),
        ("ssh-ed25519 AAAA!", "no SSH key"),
        ("ssh-ed25519 AAA", "not a whole public key"),
    ],
)
def test_a_key_that_is_none_is_refused_before_anything_is_made(
    service: FakeDigitalOcean, digitalocean: DigitalOcean, key: str, words: str
) -> None:
    with pytest.raises(InvalidFields, match=words) as caught:
        digitalocean.create_machine("web-1", image="debian-12-x64", size="s-1vcpu-1gb", key=key)
    assert list(caught.value.problems) == ["key"]
    assert service.droplets == {}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image": "debian-2"}, "invalid image"),
        ({"size": "tiny"}, "invalid size"),
        ({"location": "moon1"}, "invalid region"),
    ],
)
def test_what_the_service_refuses_is_told_in_its_words(
    digitalocean: DigitalOcean, options: dict[str, str], words: str
) -> None:
    whole = {"name": "web-1", "image": "debian-12-x64", "size": "s-1vcpu-1gb"} | options
    with pytest.raises(Rejected, match=words):
        digitalocean.create_machine(**whole)


@pytest.mark.parametrize("name", ["no spaces", "", "web-", "wéb", "a" * 256, "web-1\n"])
def test_a_name_that_digitalocean_does_not_take_is_not_sent(
    service: FakeDigitalOcean, digitalocean: DigitalOcean, name: str
) -> None:
    droplet = str(service.add_droplet()["id"])
    for ask in (
        lambda: digitalocean.create_machine(name, image="debian-12-x64", size="s-1vcpu-1gb"),
        lambda: digitalocean.rename_machine(droplet, name),
    ):
        with pytest.raises(InvalidFields, match="no name that DigitalOcean takes.*Use up to 255 letters") as caught:
            ask()
        assert list(caught.value.problems) == ["name"]
    assert service.requests == []


def test_the_droplet_limit_is_told_apart(service: FakeDigitalOcean, digitalocean: DigitalOcean) -> None:
    service.account["droplet_limit"] = 0
    with pytest.raises(Rejected, match="exceed your droplet limit.*Ask DigitalOcean to raise") as caught:
        digitalocean.create_machine("web-1", image="debian-12-x64", size="s-1vcpu-1gb")
    assert caught.value.reason == "quota"
