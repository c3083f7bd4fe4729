"""Google Compute Engine: who is let in, what is said to those who are not, and what they may do."""

from __future__ import annotations

import json
import re
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fakes.gce_access import EMAIL, PROJECT
from fakes.gce_errors import api_error, oauth_error
from fakes.patience import HANGS, patient

from mistcore import (
    AuthenticationFailed,
    InvalidFields,
    PermissionDenied,
    ProviderError,
    RateLimited,
    Registry,
    Unreachable,
)
from mistcore.deadline import deadline
from mistcore.testing.server import Response

Gce = Registry()["gce"]


@pytest.fixture
def key(gce):
    return gce.new_key()


@pytest.fixture
def account(gce, gce_ca, key):
    """Return accounts at the stand-in, by the good key unless told otherwise; they are closed at the end."""
    made = []

    def make(**fields):
        known = {"private_key": json.dumps(key), "endpoint": gce.url, "ca_cert": gce_ca}
        made.append(Gce(**{**known, **fields}))
        return made[-1]

    yield make
    for each in made:
        each.close()


def pem(key):
    return key["private_key"]


# -- the fields -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (lambda key: {"private_key": pem(key), "project_id": PROJECT}, {"email"}),
        (lambda key: {"private_key": pem(key), "email": EMAIL}, {"project_id"}),
        (lambda key: {"email": EMAIL}, {"private_key"}),
        (lambda key: {"private_key": "/no/such/key.json"}, {"private_key"}),
        (lambda key: {"private_key": "{"}, {"private_key"}),
        (lambda key: {"private_key": json.dumps({"installed": {"client_id": "x"}})}, {"private_key"}),
        (lambda key: {"private_key": json.dumps({**key, "type": "authorized_user"})}, {"private_key"}),
        (lambda key: {"private_key": json.dumps({**key, "client_email": None})}, {"private_key"}),
        (lambda key: {"private_key": json.dumps({**key, "private_key": "x"})}, {"private_key"}),
        (
            lambda key: {"private_key": pem(key).replace("PRIVATE", "ENCRYPTED PRIVATE"), "email": EMAIL},
            {"private_key"},
        ),
        (lambda key: {"private_key": json.dumps(key), "email": "other@example.com"}, {"email"}),
        (lambda key: {"private_key": json.dumps(key), "project_id": "My Project"}, {"project_id"}),
    ],
)
def test_fields_that_cannot_be_right_are_named(gce, fields, named):
    with pytest.raises(InvalidFields) as caught:
        Gce(**fields(gce.new_key()))
    assert set(caught.value.problems) == named
    assert "BEGIN" not in str(caught.value)


def test_a_key_of_another_kind(tmp_path):
    (tmp_path / "key.p12").write_bytes(b"\x30\x82\xff\xfe binary")
    with pytest.raises(InvalidFields, match="openssl"):
        Gce(private_key=str(tmp_path / "key.p12"))


def test_the_project_is_read_from_the_key(account, gce):
    assert account().check().id == PROJECT
    account().close()
    with pytest.raises(PermissionDenied):
        account(project_id="another-project-1").check()


def test_secrets_stay_out_of_sight(account):
    one = account()
    one.check()
    assert "PRIVATE" not in repr(one)
    assert "PRIVATE" not in repr(one._key())


# -- the check --------------------------------------------------------------------------------------------------------


def test_check_tells_who_it_is(account, gce):
    found = account().check()
    assert (found.id, found.name) == (PROJECT, PROJECT)
    assert found.details == {"number": "123456789012", "email": EMAIL, "login": "service account key"}
    assert {"list_machines", "start_machine", "create_machine", "rename_machine"} <= found.permissions
    assert "Compute Admin is enough" in found.warnings[0]
    assert [request.path.rpartition("/")[2] for request in gce.requests[:1]] == ["token"]
    assert len(gce.requests) == 3


@pytest.mark.parametrize("way", ["path", "text", "pem", "pem path"])
def test_every_form_of_the_key(account, gce, key, tmp_path, way):
    (tmp_path / "key").write_text(pem(key) if "pem" in way else json.dumps(key))
    fields = {"private_key": str(tmp_path / "key") if "path" in way else (tmp_path / "key").read_text()}
    if "pem" in way:
        fields |= {"email": EMAIL, "project_id": PROJECT, "token_uri": f"{gce.url}/token"}
    assert account(**fields).check().id == PROJECT
    gce.account.keys.clear()
    with pytest.raises(AuthenticationFailed) as caught:
        account(**fields).check()
    assert caught.value.reason == "wrong_key"


def test_a_key_that_is_not_registered(account, gce):
    with pytest.raises(AuthenticationFailed, match="not one of this service account") as caught:
        account(private_key=json.dumps(gce.new_key(register=False))).check()
    assert caught.value.reason == "wrong_key"
    assert [request.path for request in gce.requests] == ["/token"]


def test_the_key_of_another_account(account, gce, key):
    with pytest.raises(AuthenticationFailed) as caught:
        account(private_key=json.dumps({**key, "client_email": "nobody@example.com"})).check()
    assert caught.value.reason == "unknown_account"


@pytest.mark.parametrize("place", [40, 200, 300])
def test_a_key_that_is_damaged(account, key, place):
    """In its form, or in its modulus; of a key with another wrong number OpenSSL still makes right signatures."""
    damaged = key["private_key"][:place] + "ABCD" + key["private_key"][place + 4 :]
    with pytest.raises((InvalidFields, AuthenticationFailed)) as caught:
        account(private_key=json.dumps({**key, "private_key": damaged})).check()
    assert "BEGIN" not in str(caught.value)


def test_a_key_of_another_algorithm(account, key):
    made = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(InvalidFields, match="RSA"):
        account(private_key=json.dumps({**key, "private_key": made.decode()})).check()


@pytest.mark.parametrize(("skew", "word"), [(7200, "slow"), (-7200, "fast")])
def test_a_clock_that_is_wrong(account, gce, skew, word):
    gce.skew = skew
    began = time.monotonic()
    with pytest.raises(AuthenticationFailed, match=rf"clock is \d+ seconds {word}") as caught:
        account().check()
    taken = time.monotonic() - began
    assert caught.value.reason == "clock_skew"
    (seconds,) = re.findall(r"clock is (\d+)", str(caught.value))
    assert abs(int(seconds) - 7200) <= 1 + taken  # what passes between the answer and its reading is in it


@pytest.mark.parametrize(
    ("status", "error", "text", "expected", "reason"),
    [
        (400, "invalid_grant", "Token has been expired or revoked.", AuthenticationFailed, "expired"),
        (401, "disabled_client", "The OAuth client was disabled.", AuthenticationFailed, "disabled"),
        (403, "invalid_scope", "Invalid OAuth scope.", AuthenticationFailed, "invalid_scope"),
        (500, "internal_failure", "Backend error.", ProviderError, "unavailable"),
    ],
)
def test_other_refusals_of_the_token_service(account, gce, status, error, text, expected, reason):
    gce.fault(oauth_error(status, error, text), times=9, where=lambda request: request.path == "/token")
    with pytest.raises(expected) as caught:
        account().check()
    assert caught.value.reason == reason


DISABLED = "Compute Engine API has not been used in project 123 before or it is disabled. Enable it by visiting "
DISABLED += "https://console.developers.google.com/apis/api/compute.googleapis.com/overview?project=123 then retry."
INFO = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED", "domain": "googleapis.com"}]


@pytest.mark.parametrize(
    ("refusal", "expected", "reason", "remedy"),
    [
        (api_error(403, "accessNotConfigured", DISABLED), PermissionDenied, "not_enabled", "https://console"),
        (api_error(403, "forbidden", DISABLED, details=INFO), PermissionDenied, "not_enabled", "https://console"),
        (api_error(403, "forbidden", "Billing is disabled."), PermissionDenied, "not_enabled", "billing"),
        (
            api_error(403, "forbidden", "Required 'compute.projects.get' permission for 'projects/x'"),
            PermissionDenied,
            "",
            "compute.projects.get",
        ),
        (api_error(401, "authError", "Invalid Credentials"), AuthenticationFailed, "invalid_token", ""),
        (
            api_error(404, "notFound", "The resource 'projects/x' was not found"),
            PermissionDenied,
            "unknown_project",
            "",
        ),
        (api_error(400, "invalid", "Unknown project id: 0"), PermissionDenied, "unknown_project", ""),
        (api_error(500, "backendError", "Backend Error"), ProviderError, "failed", ""),
    ],
)
def test_refusals_of_the_project(account, gce, refusal, expected, reason, remedy):
    gce.fault(refusal, times=9, where=lambda request: request.path.endswith(f"/projects/{PROJECT}"))
    with pytest.raises(expected) as caught:
        account().check()
    assert caught.value.reason == reason
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("reason", ["rateLimitExceeded", "userRateLimitExceeded"])
def test_a_403_that_means_too_many_requests(account, gce, reason):
    gce.fault(
        api_error(403, reason, "Quota exceeded for quota metric 'Queries'."),
        times=9,
        where=lambda request: request.path.endswith("/instances"),
    )
    with pytest.raises(RateLimited) as caught:
        list(account().list_machines())
    assert caught.value.retry_after == 60
    assert sum(request.path.endswith("/instances") for request in gce.requests) == 1


def test_a_429_with_advice(account, gce):
    refusal = api_error(429, "rateLimitExceeded", "Slow down.", **{"Retry-After": "0"})
    gce.fault(refusal, times=2, where=lambda request: request.path.endswith("/instances"))
    assert list(account().list_machines()) == []


def test_roles_become_operations(account, gce):
    gce.account.permissions = {"compute.projects.get", "compute.instances.list", "compute.instances.start"}
    found = account().check()
    assert found.permissions == {"check", "list_machines", "start_machine"}
    assert found.warnings == ()


@pytest.mark.parametrize(
    "refusal", [api_error(403, "accessNotConfigured", DISABLED), api_error(404, "notFound", "No.")]
)
def test_permissions_that_are_not_told(account, gce, refusal):
    gce.fault(refusal, where=lambda request: request.path.endswith(":testIamPermissions"))
    assert account().check().permissions is None


def test_warnings(account, gce):
    gce.account.permissions = {"compute.projects.get"}
    assert account(ca_cert="", verify=False).check().warnings == ("The certificates of Google are not verified.",)


# -- tokens -----------------------------------------------------------------------------------------------------------


def tokens_asked(gce):
    return sum(request.path == "/token" for request in gce.requests)


def test_a_token_is_used_until_it_ends(account, gce):
    one = account()
    one.check()
    list(one.list_machines())
    assert tokens_asked(gce) == 1


def test_a_token_is_renewed_before_it_ends(account, gce):
    gce.lifetime = 200
    one = account()
    list(one.list_locations())
    list(one.list_locations())
    assert tokens_asked(gce) == 2


def test_a_token_that_was_withdrawn_is_replaced(account, gce):
    one = account()
    one.check()
    gce.tokens.clear()
    with pytest.raises(AuthenticationFailed):
        one.check()
    assert one.check().id == PROJECT


def test_tokens_are_not_shared(account, gce):
    """Two accounts of one project that differ in the key: the good one's token must not let the other in."""
    account().check()
    with pytest.raises(AuthenticationFailed):
        account(private_key=json.dumps(gce.new_key(register=False))).check()


def test_tokens_stay_off_the_disk(account, gce, tmp_path):
    account().check()
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(token.encode() in text for token in gce.tokens for text in written)


def test_the_key_says_where_tokens_come_from(account, gce, key):
    with pytest.raises(Unreachable) as caught:
        account(private_key=json.dumps({**key, "token_uri": "https://localhost:9/token"})).check()
    assert caught.value.reason == "refused"
    assert gce.requests == []


# -- the wire ---------------------------------------------------------------------------------------------------------


def test_an_unknown_certification_authority(account):
    with pytest.raises(Unreachable) as caught:
        account(ca_cert="").check()
    assert caught.value.reason == "tls"


def test_a_service_that_hangs_respects_the_deadline(account, gce):
    gce.fault(Response(delay=HANGS), times=5)
    with deadline(0.4), pytest.raises(Unreachable) as caught:
        patient(account()).check()
    assert caught.value.reason == "timeout"


@pytest.mark.parametrize("body", [b"<html>log in to the hotel's network</html>", b"{", b"[]", b'"x"', b"{}"])
def test_nonsense_is_called_that(account, gce, body):
    answer = Response(200, body, {"Content-Type": "application/json"})
    gce.fault(answer, where=lambda request: request.path.endswith("/instances"))
    with pytest.raises(ProviderError):
        list(account().list_machines())


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b"{}", b'{"expires_in": 3}'])
def test_nonsense_instead_of_a_token(account, gce, body):
    answer = Response(200, body, {"Content-Type": "application/json"})
    gce.fault(answer, where=lambda request: request.path == "/token")
    with pytest.raises((ProviderError, AuthenticationFailed)):
        account().check()
