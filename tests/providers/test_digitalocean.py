"""DigitalOcean, against a stand-in that DigitalOcean's own SDK accepts and DigitalOcean's own document describes."""

from __future__ import annotations

import base64
import functools
import json
import re
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from fakes.described import DescribedService, Foreign
from fakes.digitalocean import IMAGES, TOKEN, FakeDigitalOcean, problem
from fakes.patience import deadline_once, looked_after, patient

from mistcore import (
    AuthenticationFailed,
    InvalidFields,
    Machine,
    MachineNotFound,
    MachineState,
    PermissionDenied,
    ProviderError,
    RateLimited,
    Registry,
    Rejected,
    Unreachable,
)
from mistcore.deadline import deadline
from mistcore.testing.server import Request, Response, route
from mistcore_providers.digitalocean import DigitalOcean

PUBLIC_KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes(range(32))).decode() + " me@desk"
FINGERPRINT = "0f:a2:0a:d7:38:3e:65:45:08:6b:63:84:1c:ff:dc:ba"


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def service(ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDigitalOcean]:
    """DigitalOcean over TLS, its document held against everything that is said."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    bundle = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(bundle))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(bundle))
    with FakeDigitalOcean(tls=context) as fake:
        yield fake


@pytest.fixture
def digitalocean(service: FakeDigitalOcean) -> Iterator[DigitalOcean]:
    with DigitalOcean(token=TOKEN, endpoint=service.url) as provider:
        yield provider


def asked(service: FakeDigitalOcean) -> list[str]:
    return [f"{request.method} {request.path}" for request in service.requests]


# -- the stand-in itself ----------------------------------------------------------------------------------------------


def test_digitaloceans_own_sdk_leads_the_same_life_of_a_machine(service: FakeDigitalOcean) -> None:
    import pydo

    client = pydo.Client(TOKEN, endpoint=service.url)
    assert client.account.get()["account"]["email"] == "sammy@example.com"
    key = client.ssh_keys.create({"name": "me", "public_key": PUBLIC_KEY})["ssh_key"]
    created = client.droplets.create(
        {"name": "web-1", "region": "fra1", "size": "s-1vcpu-1gb", "image": "debian-12-x64", "ssh_keys": [key["id"]]}
    )["droplet"]
    assert created["status"] == "new"
    assert client.droplets.get(created["id"])["droplet"]["status"] == "active"
    for kind, state in (("shutdown", "off"), ("power_on", "active"), ("reboot", "active")):
        action = client.droplet_actions.post(created["id"], {"type": kind})["action"]
        assert client.droplet_actions.get(created["id"], action["id"])["action"]["status"] == "completed"
        assert client.droplets.get(created["id"])["droplet"]["status"] == state
    client.droplet_actions.post(created["id"], {"type": "rename", "name": "web-2"})
    assert [droplet["name"] for droplet in client.droplets.list()["droplets"]] == ["web-2"]
    assert client.droplets.list(type="gpus")["droplets"] == []
    assert client.sizes.list()["meta"]["total"] == 3
    assert client.images.list(private=True)["images"][0]["id"] == 900
    assert client.regions.list()["regions"][1]["slug"] == "fra1"
    assert client.vpcs.list()["vpcs"][0]["ip_range"] == "10.114.0.0/20"
    client.droplets.destroy(created["id"])
    assert client.droplets.list()["meta"]["total"] == 0
    with pytest.raises(Exception, match="Unable to authenticate"):
        pydo.Client("wrong", endpoint=service.url).account.get()
    service.departs("the header 'x-ms-client-request-id' is not known")  # of the library that pydo is made with


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


# -- check ------------------------------------------------------------------------------------------------------------


def test_check_says_whose_token_it_is(service: FakeDigitalOcean, digitalocean: DigitalOcean) -> None:
    account = digitalocean.check()
    assert (account.id, account.name) == ("5df3e3004a17e242b7c20ca6c9fc25b701a47ece", "My Team")
    assert account.details == {
        "email": "sammy@example.com",
        "name": "Sammy the Shark",
        "team": "My Team",
        "status": "active",
        "droplet_limit": 25,
    }
    assert account.permissions is None
    assert account.warnings == ()
    assert asked(service) == ["GET /v2/account"]


def test_check_without_a_team(service: FakeDigitalOcean, digitalocean: DigitalOcean) -> None:
    del service.account["team"]
    account = digitalocean.check()
    assert (account.id, account.name) == (service.account["uuid"], "sammy@example.com")


def test_wrong_credentials(service: FakeDigitalOcean) -> None:
    wrong = DigitalOcean(token="dop_v1_" + "0" * 64, endpoint=service.url)
    for ask in (wrong.check, lambda: list(wrong.list_machines()), lambda: wrong.start_machine("7")):
        with pytest.raises(AuthenticationFailed, match="Unable to authenticate you") as caught:
            ask()
        assert "0000" not in str(caught.value)
    assert caught.value.provider == "digitalocean"


def test_a_least_privilege_token_is_good(service: FakeDigitalOcean) -> None:
    service.tokens["reader"] = {"droplet:read"}
    service.add_droplet(tags=["web"])
    reader = DigitalOcean(token="reader", endpoint=service.url)
    assert reader.check().details == {"scopes": "without account:read"}
    assert asked(service) == ["GET /v2/account", "GET /v2/droplets"]
    (machine,) = reader.list_machines()
    assert (machine.image, machine.tags, machine.size) == ("", {}, "s-1vcpu-1gb")
    with pytest.raises(PermissionDenied, match="Give the token the scope"):
        reader.stop_machine(machine.id)


def test_a_token_that_may_read_nothing_useful(service: FakeDigitalOcean) -> None:
    service.tokens |= {"none": {"sizes:read"}, "account": {"account:read"}}
    with pytest.raises(PermissionDenied, match="at least the scope droplet:read"):
        DigitalOcean(token="none", endpoint=service.url).check()
    account = DigitalOcean(token="account", endpoint=service.url).check()
    assert account.warnings == ("The token lacks the scope droplet:read, without which no machine can be listed.",)


@pytest.mark.parametrize(
    ("scopes", "options", "allowed"),
    [
        ("droplet:create", {}, False),
        ("droplet:create image:read", {}, True),
        ("droplet:create image:read", {"tags": {"web": ""}}, False),
        ("droplet:create image:read tag:create", {"tags": {"web": ""}}, True),
        ("droplet:create image:read", {"key": FINGERPRINT}, False),
        ("droplet:create image:read ssh_key:read", {"key": FINGERPRINT}, True),
        ("droplet:create image:read", {"network": "5a4981aa-9653-4bd1-bef5-d6bff52042e4"}, False),
        ("image:read tag:create", {}, False),
    ],
)
def test_what_a_limited_token_may_create(
    service: FakeDigitalOcean, scopes: str, options: dict[str, Any], allowed: bool
) -> None:
    service.keys[42] = {"id": 42, "name": "laptop", "fingerprint": FINGERPRINT, "public_key": PUBLIC_KEY}
    service.tokens["limited"] = set(scopes.split())
    limited = DigitalOcean(token="limited", endpoint=service.url)
    whole: dict[str, Any] = {"name": "web-1", "image": "debian-12-x64", "size": "s-1vcpu-1gb"} | options
    if allowed:
        assert limited.create_machine(**whole).state is MachineState.PENDING
    else:
        with pytest.raises(PermissionDenied, match="Give the token the scope"):
            limited.create_machine(**whole)
    assert len(service.droplets) == allowed


def said_to_need(point: str) -> set[str]:
    """Return the scopes that the declaration names for a purpose."""
    (line,) = (line for line in DigitalOcean.rights.split("\n- ") if line.startswith(point))
    return set(re.findall(r"`(\w+:\w+)`", line))


def test_what_the_declaration_says_is_needed_to_create_is_needed_and_enough(service: FakeDigitalOcean) -> None:
    needed = said_to_need("To create")
    options: dict[str, Any] = {
        "tags": {"web": ""},
        "network": "5a4981aa-9653-4bd1-bef5-d6bff52042e4",
        "key": PUBLIC_KEY,
    }

    def create(*without: str) -> Machine:
        service.keys.clear()
        service.tokens["limited"] = needed - set(without)
        limited = DigitalOcean(token="limited", endpoint=service.url)
        return limited.create_machine("web-1", image="debian-12-x64", size="s-1vcpu-1gb", **options)

    for scope in needed:
        with pytest.raises(PermissionDenied):
            create(scope)
    assert service.droplets == {}
    assert create().name == "web-1"


def test_what_the_declaration_says_is_needed_to_destroy_is_needed_and_enough(service: FakeDigitalOcean) -> None:
    needed = said_to_need("To destroy")
    service.volumes = {"v-1"}
    droplet = str(service.add_droplet(volume_ids=["v-1"])["id"])

    def destroy(*without: str) -> None:
        service.tokens["limited"] = needed - set(without)
        DigitalOcean(token="limited", endpoint=service.url).destroy_machine(droplet, storage=True)

    for scope in needed:
        with pytest.raises(PermissionDenied):
            destroy(scope)
    with pytest.raises(PermissionDenied, match="may not see which volumes.*scope block_storage:read"):
        destroy("block_storage:read")
    assert (len(service.droplets), service.volumes) == (1, {"v-1"})
    destroy()
    assert (service.droplets, service.volumes) == ({}, set())
    plain = str(service.add_droplet()["id"])
    service.tokens["limited"] = {"droplet:delete"}
    DigitalOcean(token="limited", endpoint=service.url).destroy_machine(plain)
    assert service.droplets == {}


@pytest.mark.parametrize(
    ("ask", "scopes"), [("list_sizes", 2), ("list_images", 1), ("list_locations", 1), ("list_networks", 1)]
)
def test_what_the_declaration_says_is_needed_to_look_around(service: FakeDigitalOcean, ask: str, scopes: int) -> None:
    needed = said_to_need("Sizes")

    def look(without: str = "") -> None:
        service.tokens["limited"] = needed - {without}
        assert list(getattr(DigitalOcean(token="limited", endpoint=service.url), ask)())

    look()
    refused = []
    for scope in needed:
        try:
            look(scope)
        except PermissionDenied:
            refused.append(scope)
    assert len(refused) == scopes


def test_a_locked_account_is_an_error_that_says_so(service: FakeDigitalOcean, digitalocean: DigitalOcean) -> None:
    service.account |= {"status": "locked", "status_message": "Please verify your payment method."}
    with pytest.raises(PermissionDenied, match="locked: Please verify your payment method") as caught:
        digitalocean.check()
    assert caught.value.reason == "account_locked"


def test_what_the_service_warns_about(service: FakeDigitalOcean, digitalocean: DigitalOcean) -> None:
    service.account |= {"status": "warning", "status_message": "A payment failed.", "email_verified": False}
    assert digitalocean.check().warnings == (
        "DigitalOcean warns about this account: A payment failed.",
        "The e-mail address of this account has not been verified.",
    )


def test_plain_http_is_warned_about() -> None:
    assert DigitalOcean(token="x", endpoint="http://do.example")._session.warnings[0].startswith("Plain HTTP")


def test_rate_limits(service: FakeDigitalOcean, digitalocean: DigitalOcean) -> None:
    service.quota, service.retry_after = 0, 3600
    with pytest.raises(RateLimited, match="API rate limit exceeded") as caught:
        digitalocean.check()
    assert caught.value.retry_after == 3600
    assert len(service.requests) == 1

    service.quota, service.retry_after = 0, None
    with deadline(20), pytest.raises(RateLimited) as caught:
        digitalocean.check()
    assert 20 < (caught.value.retry_after or 0) <= 60

    service.quota, service.retry_after = 0, 1
    threading.Timer(0.5, setattr, (service, "quota", None)).start()
    assert digitalocean.check().name == "My Team"


# -- listings ---------------------------------------------------------------------------------------------------------


def test_every_page_and_the_gpus_are_listed(service: FakeDigitalOcean, digitalocean: DigitalOcean) -> None:
    for number in range(1003):
        service.add_droplet(f"web-{number}")
    service.add_droplet("gpu", size_slug="gpu-h100x1-80gb")
    machines = list(patient(digitalocean).list_machines())
    assert [machine.name for machine in machines] == [f"web-{number}" for number in range(1003)] + ["gpu"]
    assert machines[-1].extra["gpu_info"]["model"] == "nvidia_h100"
    assert len(service.requests) == 7


def test_an_emulator_that_ignores_the_type_lists_nothing_twice(ca: trustme.CA) -> None:
    class Old(DescribedService):
        DOCUMENT = FakeDigitalOcean.DOCUMENT

        @route("GET", "/v2/droplets")
        def droplets(self, request: Request) -> Response:
            body = b'{"droplets": [{"id": 7, "name": "a"}], "meta": {"total": 1}}'
            return Foreign(200, body, {"Content-Type": "application/json"})

    with Old() as old:
        assert [machine.id for machine in DigitalOcean(token="x", endpoint=old.url).list_machines()] == ["7"]


def test_all_addresses_and_all_facts(service: FakeDigitalOcean, digitalocean: DigitalOcean) -> None:
    droplet = service.add_droplet("web-1", tags=["web", "env:prod", "env:old"])
    droplet["networks"]["v4"].append(
        {"ip_address": "104.236.9.9", "netmask": "255.255.192.0", "gateway": "104.236.0.1", "type": "public"}
    )
    (machine,) = digitalocean.list_machines()
    networks = droplet["networks"]
    assert machine == Machine(
        id=str(droplet["id"]),
        name="web-1",
        state=MachineState.RUNNING,
        public_ips=(networks["v4"][1]["ip_address"], "104.236.9.9", networks["v6"][0]["ip_address"]),
        private_ips=(networks["v4"][0]["ip_address"],),
        size="s-1vcpu-1gb",
        image="debian-12-x64",
        region="fra1",
        created_at=datetime(2020, 7, 21, 18, 37, 44, tzinfo=UTC),
        tags={"web": "", "env": "prod", "env:old": ""},
        extra={
            "vcpus": 1,
            "memory": 1024,
            "disk": 25,
            "locked": False,
            "vpc_uuid": droplet["vpc_uuid"],
            "features": ["ipv6"],
            "image_id": 101,
        },
    )
    json.dumps(machine.to_dict())


@pytest.mark.parametrize(
    ("status", "state"),
    [("new", "pending"), ("active", "running"), ("off", "stopped"), ("archive", "terminated"), ("odd", "unknown")],
)
def test_states(service: FakeDigitalOcean, digitalocean: DigitalOcean, status: str, state: str) -> None:
    if status == "odd":
        service.departs(r"droplets\.0\.status: 'odd' is not one of")
    service.add_droplet(status=status)
    assert [str(machine.state) for machine in digitalocean.list_machines()] == [state]


def test_odd_rows_break_no_listing(service: FakeDigitalOcean, digitalocean: DigitalOcean) -> None:
    service.add_droplet("good")
    odd: dict[str, Any] = {
        "networks": "none", "image": "gone", "region": 7, "tags": 5, "created_at": "soon", "status": None,
        "size_slug": 1,
    }  # fmt: skip
    for field, value in odd.items():
        service.add_droplet(field)[field] = value
    for field in ("networks", "image", "region", "tags", "created_at", "size_slug", "size"):
        service.add_droplet(f"no {field}")[field] = None
    fields = "networks|image|region|tags|created_at|status|size_slug|size"
    service.departs(rf"GET /v2/droplets: the answer 200: droplets\.\d+\.({fields}): ")
    machines = list(digitalocean.list_machines())
    assert len(machines) == 15
    assert {machine.name for machine in machines if machine.extra.get("unreadable")} == {
        "networks", "image", "region", "tags", "size_slug",
    }  # fmt: skip


def test_what_a_droplet_can_be_made_of(digitalocean: DigitalOcean) -> None:
    small, _, gpu = digitalocean.list_sizes()
    assert (small.id, small.cpus, small.memory, small.disk) == ("s-1vcpu-1gb", 1, 1024, 25)
    assert (small.price_hour, small.price_month, small.currency) == (0.00893, 6.0, "USD")
    assert gpu.extra["gpu_info"]["count"] == 1
    images = list(digitalocean.list_images())
    assert [(image.id, image.name, image.os) for image in images] == [
        ("debian-12-x64", "Debian 12 x64", "Debian"),
        ("ubuntu-24-04-x64", "Ubuntu 24.04 (LTS) x64", "Ubuntu"),
        ("900", "Debian before the upgrade", "Debian"),
    ]
    assert images[0].architecture == "x86_64"
    assert [(place.id, place.name, place.country) for place in digitalocean.list_locations()][1:] == [
        ("fra1", "Frankfurt 1", "DE"),
        ("nyc3", "New York 3", "US"),
    ]
    (network,) = digitalocean.list_networks()
    assert (network.name, network.cidr, network.extra["region"]) == ("default-fra1", "10.114.0.0/20", "fra1")


# -- what others recorded ---------------------------------------------------------------------------------------------


class Recorded(DescribedService):
    """Answers from a folder of recorded responses, of other years than the document: only requests are held."""

    DOCUMENT = FakeDigitalOcean.DOCUMENT

    def __init__(self, folder: Path, pages: dict[str, str]) -> None:
        super().__init__()
        self.folder, self.pages = folder, pages

    def not_found(self, request: Request) -> Response:
        name = self.pages.get(request.path)
        if name is None or request.query.get("type") == "gpus" or request.query.get("private"):
            body = b'{"droplets": [], "images": [], "meta": {"total": 0}}'
        else:
            body = (self.folder / f"{name}.json").read_bytes()
        return Foreign(200, body, {"Content-Type": "application/json"})


def test_recorded_responses_read_right(api_specs: Path) -> None:
    pages = {
        "/v2/droplets": "list_nodes", "/v2/droplets/3164444": "list_node", "/v2/sizes": "list_sizes",
        "/v2/images": "list_images", "/v2/regions": "list_locations",
    }  # fmt: skip
    with Recorded(api_specs / "digitalocean" / "libcloud_v2", pages) as recorded:
        digitalocean = DigitalOcean(token="x", endpoint=recorded.url)
        (machine,) = digitalocean.list_machines()
        assert machine.name == "ubuntu-s-1vcpu-1gb-sfo3-01"
        assert machine.public_ips == ("128.199.13.158", "2604:a880:4:1d0::142:9000")
        assert machine.private_ips == ("10.124.0.2",)
        assert (machine.image, machine.region, machine.size) == ("ubuntu-20-04-x64", "sfo3", "s-1vcpu-1gb")
        sizes = {size.id: size for size in digitalocean.list_sizes()}
        assert all(size.price_month for size in sizes.values())
        assert {place.id for place in digitalocean.list_locations()} >= {"nyc1"}
        assert all(image.id and image.name for image in digitalocean.list_images())


def test_recorded_answers_to_what_is_done_read_right(
    service: FakeDigitalOcean, digitalocean: DigitalOcean, api_specs: Path
) -> None:
    def recorded(name: str, status: int = 200) -> Foreign:
        body = (api_specs / "digitalocean" / "libcloud_v2" / f"{name}.json").read_bytes()
        return Foreign(status, body, {"Content-Type": "application/json"})

    for name, act in {
        "ex_power_on_node": digitalocean.start_machine,
        "ex_shutdown_node": digitalocean.stop_machine,
        "reboot_node": digitalocean.reboot_machine,
        "ex_hard_reboot": functools.partial(digitalocean.reboot_machine, force=True),
        "ex_rename_node": functools.partial(digitalocean.rename_machine, name="web-2"),
    }.items():
        service.requests.clear()
        answer = recorded(name, 201)
        service.fault(answer)
        service.fault(recorded("create_node"), where=lambda request: request.method == "GET")  # a completed action
        act("12345")
        action = json.loads(answer.body)["action"]
        assert action["status"] == "in-progress"
        assert asked(service)[1] == f"GET /v2/droplets/12345/actions/{action['id']}"
    service.fault(recorded("list_nodes_empty"), times=2)
    assert list(digitalocean.list_machines()) == []
    service.fault(recorded("list_nodes_page_1"), where=lambda request: "type" not in request.query)
    assert [machine.name for machine in digitalocean.list_machines()] == ["example.com"]
    assert "2" in [request.query.get("page") for request in service.requests]  # of two droplets, one is gone by then
    service.fault(recorded("list_key_pairs"))
    with pytest.raises(Rejected, match="7717 are invalid key identifiers"):  # found by its name, unknown to the rest
        digitalocean.create_machine("web-1", image="debian-12-x64", size="s-1vcpu-1gb", key="test1")
    service.fault(recorded("error_invalid_image", 422))
    with pytest.raises(Rejected, match="You specified an invalid image"):
        digitalocean.create_machine("web-1", image="debian-12-x64", size="s-1vcpu-1gb")
    service.fault(recorded("error", 401))
    with pytest.raises(AuthenticationFailed, match="Unable to authenticate you"):
        digitalocean.check()


# -- the declaration --------------------------------------------------------------------------------------------------


def test_the_declaration() -> None:
    provider = Registry()["digitalocean"]
    assert provider.title == "DigitalOcean"
    assert [field.name for field in provider.fields()] == ["token", "endpoint"]
    assert "secret-token" not in repr(provider(token="secret-token"))
    with pytest.raises(InvalidFields) as caught:
        provider()
    assert set(caught.value.problems) == {"token"}


def test_a_token_that_cannot_be_sent_is_told_without_showing_it(service: FakeDigitalOcean) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        DigitalOcean(token="geheim€\n", endpoint=service.url).check()
    assert "geheim" not in str(caught.value)
    assert service.requests == []


def test_images_of_the_stand_in_are_whole() -> None:
    assert {entry["slug"] for entry in IMAGES} == {"debian-12-x64", "ubuntu-24-04-x64", None}
