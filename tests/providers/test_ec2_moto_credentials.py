"""EC2 against moto's server, which checks who asks: keys, roles, the chain of AWS, single sign-on."""

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
from peers.moto_accounts import account, create
from peers.moto_server import Moto

from mistcore import AuthenticationFailed, InvalidFields, PermissionDenied, Registry
from mistcore.testing.server import FakeService, Request, Response, json_response, route
from mistcore_providers.ec2 import Ec2


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
            patient(cls(region="us-east-1", endpoint=moto.url)).check()
        assert caught.value.reason == "no_credentials"
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        assert patient(cls(region="us-east-1", endpoint=moto.url)).check().name == "user/chained"
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        (tmp_path / "credentials").write_text(
            f"[work]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n[empty]\nregion = x\n"
        )
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        assert patient(cls(region="us-east-1", endpoint=moto.url, profile="work")).check().name == "user/chained"
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
        monkeypatch.setenv("AWS_METADATA_SERVICE_TIMEOUT", "100")  # botocore waits one second, and asks once
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
