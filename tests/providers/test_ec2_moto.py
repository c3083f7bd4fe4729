"""EC2 against moto's server, over HTTP: a whole life, paging, every region, and credentials that are really checked."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fakes.patience import patient
from peers.moto_server import Moto

from mistcore import (
    AuthenticationFailed,
    BackendManager,
    InvalidFields,
    MachineNotFound,
    MachineState,
    PermissionDenied,
    Registry,
    Rejected,
)
from mistcore.deadline import deadline
from mistcore.testing.server import FakeService, Request, Response, json_response, route
from mistcore_providers.ec2 import Ec2

IMAGE = "ami-12c6146b"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKMVyRKjdHWNqUZ+yIrxf7ziZRr8MfFVrdYx8rGIGJ6C me@desk"


def account(moto: Moto, region: str = "us-east-1", **fields: Any) -> Ec2:
    fields.setdefault("api_key", "testing")
    fields.setdefault("api_secret", "testing")
    return patient(Ec2(region=region, endpoint=moto.url, **fields))  # moto is slow, at first above all


def create(ec2: Ec2, name: str, **options: Any) -> Any:
    return ec2.create_machine(name, image=IMAGE, size="t3.micro", **options)


# -- the life of an instance ------------------------------------------------------------------------------------------


def test_the_whole_life_of_an_instance(moto: Moto) -> None:
    ec2 = account(moto)
    made = create(ec2, "web-1", user_data="#!/bin/sh\necho hello\n", tags={"env": "prod & test <1>"}, key=PUBLIC_KEY)
    assert made.state is MachineState.PENDING
    assert made.id.startswith("i-")

    [machine] = ec2.list_machines()
    assert (machine.id, machine.name, machine.state) == (made.id, "web-1", MachineState.RUNNING)
    assert machine.tags == {"env": "prod & test <1>", "Name": "web-1"}
    assert (machine.size, machine.image) == ("t3.micro", IMAGE)
    assert machine.region.startswith("us-east-1")
    assert machine.region != "us-east-1"
    assert machine.created_at is not None
    assert machine.created_at.tzinfo is UTC
    assert abs(machine.created_at - datetime.now(UTC)) < timedelta(minutes=2)
    assert machine.public_ips
    assert machine.private_ips
    assert machine.extra["vpc"].startswith("vpc-")
    assert machine.extra["subnet"].startswith("subnet-")
    assert machine.extra["region"] == "us-east-1"
    assert ec2.get_machine(made.id) == machine

    client = moto.client("ec2")
    seen = client.describe_instance_attribute(InstanceId=made.id, Attribute="userData")
    assert seen["UserData"]["Value"] == "IyEvYmluL3NoCmVjaG8gaGVsbG8K"
    [pair] = client.describe_key_pairs()["KeyPairs"]
    assert pair["KeyName"] == machine.extra["key"]

    ec2.stop_machine(made.id)
    assert ec2.get_machine(made.id).state is MachineState.STOPPED
    ec2.start_machine(made.id)
    assert ec2.get_machine(made.id).state is MachineState.RUNNING
    ec2.stop_machine(made.id, force=True)
    assert ec2.get_machine(made.id).state is MachineState.STOPPED
    ec2.start_machine(made.id)
    ec2.reboot_machine(made.id)
    assert ec2.get_machine(made.id).state is MachineState.RUNNING
    ec2.rename_machine(made.id, "web-2 & more")
    assert ec2.get_machine(made.id).name == "web-2 & more"
    ec2.destroy_machine(made.id)
    assert ec2.get_machine(made.id).state is MachineState.TERMINATED


def test_the_same_through_a_manager_with_waiting(moto: Moto, tmp_path: Any) -> None:
    manager = BackendManager(str(tmp_path / "backends.json"))
    backend = manager.add_backend(
        provider="ec2", title="Mine", region="ec2_us_east", api_key="testing", api_secret="testing", endpoint=moto.url
    )
    assert backend.region == "us-east-1"
    machine = backend.create_machine("web-1", image=IMAGE, size="t3.micro")
    assert machine.wait_for("running", timeout=100, interval=0.1).state is MachineState.RUNNING
    machine.stop()
    assert machine.wait_for("stopped", timeout=100, interval=0.1).actions == ("start", "rename", "destroy")
    [found] = manager.machines(search="web")
    found.destroy()
    assert found.wait_for("terminated", timeout=100, interval=0.1).state is MachineState.TERMINATED


def test_what_creating_takes(moto: Moto) -> None:
    ec2 = account(moto)
    [subnet] = [network for network in ec2.list_networks() if network.extra["zone"] == "us-east-1b"]
    client = moto.client("ec2")
    group = client.create_security_group(GroupName="g", Description="g", VpcId=subnet.extra["vpc"])["GroupId"]
    client.create_key_pair(KeyName="mine")
    machine = create(ec2, "a", network=subnet.id, key="mine", security_groups=[group])
    machine = ec2.get_machine(machine.id)
    assert machine.extra["subnet"] == subnet.id
    assert machine.region == "us-east-1b"
    assert machine.extra["key"] == "mine"
    assert machine.extra["security_groups"] == [group]
    assert ec2.get_machine(create(ec2, "b", location="us-east-1c").id).region == "us-east-1c"
    with pytest.raises(InvalidFields, match="VPC"):
        create(ec2, "c", network=subnet.extra["vpc"])
    with pytest.raises(Rejected, match="ami-"):
        ec2.create_machine("d", image="ami-00000000", size="t3.micro")
    with pytest.raises(Rejected, match="no.such"):
        ec2.create_machine("d", image=IMAGE, size="no.such")
    # The same public key twice is one key pair.
    first, second = create(ec2, "e", key=PUBLIC_KEY), create(ec2, "f", key=PUBLIC_KEY)
    assert ec2.get_machine(first.id).extra["key"] == ec2.get_machine(second.id).extra["key"]


def test_a_machine_that_is_not_there(moto: Moto) -> None:
    ec2 = account(moto)
    missing = "i-0123456789abcdef0"
    for call in (ec2.get_machine, ec2.start_machine, ec2.stop_machine, ec2.reboot_machine, ec2.destroy_machine):
        with pytest.raises(MachineNotFound, match=missing):
            call(missing)
    with pytest.raises(MachineNotFound, match="i-what"):
        ec2.get_machine("i-what")


def test_termination_protection(moto: Moto) -> None:
    ec2 = account(moto)
    machine = create(ec2, "precious")
    client = moto.client("ec2")
    client.modify_instance_attribute(InstanceId=machine.id, DisableApiTermination={"Value": True})
    with pytest.raises(Rejected, match="disableApiTermination") as caught:
        ec2.destroy_machine(machine.id)
    assert caught.value.reason == "protected"
    assert ec2.get_machine(machine.id).state is MachineState.RUNNING


# -- what there is ----------------------------------------------------------------------------------------------------


def test_sizes(moto: Moto) -> None:
    sizes = {size.id: size for size in account(moto).list_sizes()}
    assert len(sizes) > 500  # so there was more than one page
    micro = sizes["t3.micro"]
    assert (micro.cpus, micro.memory, micro.disk, micro.architecture) == (2, 1024, None, "x86_64")
    assert sizes["t4g.micro"].architecture == "arm64"
    assert sizes["m5d.large"].disk == 69  # 75 GB
    assert micro.extra["current_generation"]


def test_images(moto: Moto) -> None:
    ec2 = account(moto)
    assert list(ec2.list_images()) == []
    machine = create(ec2, "template")
    own = moto.client("ec2").create_image(InstanceId=machine.id, Name="my-own-image")["ImageId"]
    assert [image.id for image in ec2.list_images()] == [own]
    found = list(ec2.list_images("amzn2"))
    assert found
    assert all("amzn2" in image.name.lower() for image in found)
    times = [image.created_at for image in found]
    assert times == sorted(times, reverse=True)
    assert [image.id for image in ec2.list_images("my-own")] == [own]
    assert [image.id for image in ec2.list_images(IMAGE)] == [IMAGE]
    assert list(ec2.list_images("no such image at all")) == []


def test_locations_and_networks(moto: Moto) -> None:
    ec2 = account(moto, "eu-west-1")
    zones = list(ec2.list_locations())
    assert [zone.id for zone in zones] == ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
    assert zones[0].name == "Ireland (eu-west-1a)"
    assert zones[0].extra["region"] == "eu-west-1"
    networks = list(ec2.list_networks())
    assert {network.extra["zone"] for network in networks} == {zone.id for zone in zones}
    assert all(network.cidr.endswith("/20") for network in networks)
    assert all(network.extra["default"] for network in networks)


# -- many -------------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(600)
def test_paging_to_the_end_over_thousands(moto: Moto) -> None:
    client = moto.client("ec2")
    for _ in range(3):
        client.run_instances(ImageId=IMAGE, InstanceType="t3.micro", MinCount=700, MaxCount=700)
    # moto counts reservations, so these are three pages. It answers each slowly, which is no fault of what asks it.
    with deadline(600):
        ec2 = account(moto)
        machines = list(ec2._service.instances("us-east-1", {"MaxResults": "1"}))
    assert len({machine.id for machine in machines}) == 2100
    assert all(machine.private_ips and machine.state is MachineState.RUNNING for machine in machines)


# -- every region -----------------------------------------------------------------------------------------------------


def test_all_regions_are_one_backend(moto: Moto) -> None:
    made = {region: create(account(moto, region), f"in-{region}") for region in ("eu-west-1", "us-west-2", "sa-east-1")}
    everywhere = account(moto, "all")
    machines = {machine.name: machine for machine in everywhere.list_machines()}
    assert machines.keys() == {f"in-{region}" for region in made}
    assert machines["in-eu-west-1"].region.startswith("eu-west-1")

    # Each can be handled, whether this account has listed it before or not.
    everywhere.stop_machine(made["eu-west-1"].id)
    assert account(moto, "eu-west-1").get_machine(made["eu-west-1"].id).state is MachineState.STOPPED
    fresh = account(moto, "all")
    assert fresh.get_machine(made["sa-east-1"].id).name == "in-sa-east-1"
    account(moto, "all").destroy_machine(made["us-west-2"].id)
    assert account(moto, "us-west-2").get_machine(made["us-west-2"].id).state is MachineState.TERMINATED
    for call in (fresh.get_machine, fresh.stop_machine):
        with pytest.raises(MachineNotFound):
            call("i-0123456789abcdef0")

    checked = everywhere.check()
    assert len(checked.details["regions"]) >= 17
    zones = {zone.id for zone in everywhere.list_locations()}
    assert {"us-east-1a", "eu-west-1c", "sa-east-1a"} <= zones
    assert {network.extra["region"] for network in everywhere.list_networks()} == set(checked.details["regions"])


def test_all_regions_need_a_place_to_create_in(moto: Moto) -> None:
    ec2 = account(moto, "all")
    with pytest.raises(InvalidFields, match="location"):
        create(ec2, "nowhere")
    with pytest.raises(InvalidFields, match="atlantis"):
        create(ec2, "nowhere", location="atlantis")
    assert create(ec2, "zone", location="eu-west-1b").region == "eu-west-1b"
    machine = create(ec2, "region", location="us-west-2")
    assert machine.extra["region"] == "us-west-2"
    ec2.rename_machine(machine.id, "renamed")
    assert ec2.get_machine(machine.id).name == "renamed"


# -- who is let in ----------------------------------------------------------------------------------------------------


@pytest.fixture
def keys(moto: Moto) -> Iterator[dict[str, tuple[str, str]]]:
    found = {
        "reader": moto.user("reader", "ec2:Describe*"),
        "nobody": moto.user("nobody"),
        "starter": moto.user("starter", "ec2:StartInstances"),
    }
    with moto.enforcing():
        yield found


def test_a_good_key(moto: Moto, keys: Any) -> None:
    key, secret = keys["reader"]
    checked = account(moto, api_key=key, api_secret=secret).check()
    assert checked.id == "123456789012"
    assert checked.name == "user/reader"
    assert checked.details["arn"] == "arn:aws:iam::123456789012:user/reader"
    assert checked.permissions == {"list_machines", "get_machine"}
    assert any("plain HTTP" in warning for warning in checked.warnings)


def test_an_unknown_key(moto: Moto, keys: Any) -> None:
    ec2 = account(moto, api_key="AKIAIOSFODNN7EXAMPLE", api_secret="s" * 40)
    for call in (ec2.check, lambda: list(ec2.list_machines())):
        with pytest.raises(AuthenticationFailed, match="does not know this access key") as caught:
            call()
        assert caught.value.reason == "unknown_key"
        assert "s" * 40 not in str(caught.value)


def test_a_wrong_secret(moto: Moto, keys: Any) -> None:
    ec2 = account(moto, api_key=keys["reader"][0], api_secret="s" * 40)
    with pytest.raises(AuthenticationFailed, match="secret does not belong") as caught:
        ec2.check()
    assert caught.value.reason == "wrong_secret"


def test_a_key_without_permission(moto: Moto, keys: Any) -> None:
    key, secret = keys["nobody"]
    ec2 = account(moto, api_key=key, api_secret=secret)
    with pytest.raises(PermissionDenied, match=r"user/nobody is known, but .* DescribeInstances") as caught:
        ec2.check()
    assert "ec2:DescribeInstances" in caught.value.remedy
    with pytest.raises(PermissionDenied):
        list(ec2.list_machines())


def test_a_key_that_may_only_read(moto: Moto, keys: Any) -> None:
    key, secret = keys["reader"]
    ec2 = account(moto, api_key=key, api_secret=secret)
    assert list(ec2.list_machines()) == []
    assert list(account(moto, "all", api_key=key, api_secret=secret).list_machines()) == []
    with pytest.raises(PermissionDenied, match="RunInstances"):
        create(ec2, "no")


def test_a_role_is_assumed(moto: Moto) -> None:
    key, secret = moto.user("assumer", "sts:AssumeRole")
    iam = moto.client("iam")
    trust: dict[str, Any] = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::123456789012:user/assumer"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    arn = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    trust["Statement"][0]["Principal"] = {"AWS": "arn:aws:iam::123456789012:user/somebody-else"}
    other_arn = iam.create_role(RoleName="other", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}]}
    iam.put_role_policy(RoleName="reader", PolicyName="p", PolicyDocument=json.dumps(policy))
    with moto.enforcing():
        ec2 = account(moto, api_key=key, api_secret=secret, role_arn=arn)
        assert ec2.check().name == "assumed-role/reader/mistcore"
        assert list(ec2.list_machines()) == []
        assert list(account(moto, "all", api_key=key, api_secret=secret, role_arn=arn).list_machines()) == []
        other = account(moto, api_key=key, api_secret=secret, role_arn=other_arn)
        with pytest.raises(PermissionDenied, match="AssumeRole") as caught:
            other.check()
        assert "sts:AssumeRole" in caught.value.remedy
        # A temporary key of one's own, with its token and with a wrong one.
        signer = ec2._service._signer().get_frozen_credentials()
        given = {"api_key": signer.access_key, "api_secret": signer.secret_key}
        assert account(moto, session_token=signer.token, **given).check().name == "assumed-role/reader/mistcore"
        with pytest.raises(AuthenticationFailed):
            account(moto, session_token="wrong", **given).check()


def test_no_key_at_all_means_the_chain_of_aws(moto: Moto, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    key, secret = moto.user("chained", "ec2:Describe*")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    cls = Registry()["ec2"]
    with moto.enforcing():
        with pytest.raises(AuthenticationFailed, match="no credentials") as caught:
            cls(region="us-east-1", endpoint=moto.url).check()
        assert caught.value.reason == "no_credentials"
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        assert cls(region="us-east-1", endpoint=moto.url).check().name == "user/chained"
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        (tmp_path / "credentials").write_text(
            f"[work]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n[empty]\nregion = x\n"
        )
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        assert cls(region="us-east-1", endpoint=moto.url, profile="work").check().name == "user/chained"
        with pytest.raises(InvalidFields, match="no profile 'play'"):
            cls(region="us-east-1", endpoint=moto.url, profile="play").check()
        with pytest.raises(AuthenticationFailed, match="'empty' holds no credentials"):
            cls(region="us-east-1", endpoint=moto.url, profile="empty").check()


class Metadata(FakeService):
    """What an instance with a role finds at its metadata address (IMDSv2)."""

    given: ClassVar[dict[str, Any]] = {}

    @route("PUT", "/latest/api/token")
    def token(self, _request: Request) -> Response:
        return Response(200, b"a-token")

    @route("GET", "/latest/meta-data/iam/security-credentials/")
    def role(self, _request: Request) -> Response:
        return Response(200, b"the-role")

    @route("GET", "/latest/meta-data/iam/security-credentials/the-role")
    def credentials_of_the_role(self, _request: Request) -> Response:
        return json_response(self.given)


def test_the_role_of_the_instance_it_runs_on(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    key, secret = moto.user("on-an-instance", "ec2:Describe*")
    with Metadata() as metadata, moto.enforcing():
        Metadata.given = {
            "Code": "Success",
            "AccessKeyId": key,
            "SecretAccessKey": secret,
            "Token": "",
            "Expiration": (datetime.now(UTC) + timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url)
        assert patient(Ec2(region="us-east-1", endpoint=moto.url)).check().name == "user/on-an-instance"


class Portal(FakeService):
    """The part of AWS's single sign-on that hands out the credentials of a role."""

    key = secret = ""

    @route("GET", "/federation/credentials")
    def credentials(self, request: Request) -> Response:
        if request.headers["x-amz-sso_bearer_token"] != "signed-in":
            kind = {"x-amzn-ErrorType": "UnauthorizedException"}
            return json_response({"message": "Session token not found or invalid"}, 401, kind)
        expires = int((datetime.now(UTC) + timedelta(hours=6)).timestamp() * 1000)
        return json_response(
            {
                "roleCredentials": {
                    "accessKeyId": self.key,
                    "secretAccessKey": self.secret,
                    "sessionToken": "",
                    "expiration": expires,
                }
            }
        )


def test_a_profile_that_has_signed_in_by_sso(moto: Moto, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    start = "https://example.awsapps.com/start"
    config = tmp_path / "config"
    config.write_text(
        f"[profile work]\nsso_start_url = {start}\nsso_region = us-east-1\n"
        "sso_account_id = 123456789012\nsso_role_name = reader\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    cache = Path.home() / ".aws" / "sso" / "cache" / f"{hashlib.sha1(start.encode()).hexdigest()}.json"
    cache.parent.mkdir(parents=True)

    def sign_in(token: str, hours: int) -> None:
        expires = (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
        content = {"startUrl": start, "region": "us-east-1", "accessToken": token, "expiresAt": expires}
        cache.write_text(json.dumps(content))

    def check() -> str:
        # In a process of its own: botocore settles on the home folder when it is imported.
        code = (
            "from mistcore import MistError\nfrom mistcore_providers.ec2 import Ec2\n"
            f"ec2 = Ec2(region='us-east-1', endpoint={moto.url!r}, profile='work')\n"
            "try: print(ec2.check().name)\nexcept MistError as error: print(type(error).__name__, error)\n"
        )
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    key, secret = moto.user("by-sso", "ec2:Describe*")
    with Portal() as portal, moto.enforcing():
        portal.key, portal.secret = key, secret
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", portal.url)
        for token, hours in (("expired", -1), ("signed-out", 1)):
            sign_in(token, hours)
            assert re.match("AuthenticationFailed .*aws sso login", check())
        sign_in("signed-in", 1)
        assert check() == "user/by-sso\n"
