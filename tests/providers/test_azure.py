"""Azure: who is let in, what is said to those who are not, and what they may do."""

from __future__ import annotations

import json

import pytest
from fakes.azure import SUBSCRIPTION, arm_error
from fakes.azure_entra import CLIENT, SECRET, TENANT, oauth_error
from fakes.azure_keys import application_key
from fakes.patience import HANGS, patient

from mistcore import (
    AuthenticationFailed,
    InvalidFields,
    PermissionDenied,
    ProviderError,
    RateLimited,
    Registry,
    ServiceRetired,
    Unreachable,
)
from mistcore.deadline import deadline
from mistcore.testing.server import Response

Azure = Registry()["azure"]
OTHER = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
def account(azure, azure_ca):
    """Return accounts at the stand-in, by secret unless told otherwise; they are closed at the end."""
    made = []

    def make(**fields):
        if "client_secret" not in fields and "certificate" not in fields:
            fields["client_secret"] = SECRET
        known = {"subscription_id": SUBSCRIPTION, "tenant_id": TENANT, "client_id": CLIENT}
        known |= {"endpoint": azure.url, "authority": azure.url, "ca_cert": azure_ca}
        made.append(Azure(**{**known, **fields}))
        return made[-1]

    yield make
    for each in made:
        each.close()


# -- the fields -------------------------------------------------------------------------------------------------------


def test_fields_that_belong_to_the_retired_api():
    with pytest.raises(ServiceRetired) as caught:
        Azure(subscription_id=SUBSCRIPTION, certificate="/home/me/mycert.pem")
    assert caught.value.reason == "service_retired"
    text = str(caught.value)
    for word in ("6 September 2023", "31 August 2024", "Resource Manager", "tenant_id", "client_id", "client_secret"):
        assert word in text


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"client_secret": "x"}, {"tenant_id", "client_id"}),
        ({"client_secret": "x", "client_id": CLIENT}, {"tenant_id"}),
        ({"certificate": "x", "tenant_id": TENANT}, {"client_id"}),
        ({"client_secret": "x", "certificate": "y", "tenant_id": TENANT, "client_id": CLIENT}, {"certificate"}),
        ({"tenant_id": "//evil/", "client_id": "me", "client_secret": "x"}, {"tenant_id", "client_id"}),
        ({"cloud": "germany"}, {"cloud"}),
        ({"authority": "http://login.example"}, {"authority"}),
        ({"subscription_id": "my subscription"}, {"subscription_id"}),
        ({"certificate": "/no/such/file.pem", "tenant_id": TENANT, "client_id": CLIENT}, {"certificate"}),
    ],
)
def test_fields_that_cannot_be_right_are_named(fields, named):
    with pytest.raises(InvalidFields) as caught:
        Azure(**{"subscription_id": SUBSCRIPTION, **fields})
    assert set(caught.value.problems) == named


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda pem: pem.partition("-----BEGIN CERT")[0], "no certificate"),
        (lambda pem: "-----BEGIN CERT" + pem.partition("-----BEGIN CERT")[2], "no private key"),
        (lambda pem: pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), "passphrase"),
    ],
)
def test_a_certificate_that_cannot_be_used(spoil, words):
    pem, _ = application_key()
    with pytest.raises(InvalidFields, match=words) as caught:
        Azure(subscription_id=SUBSCRIPTION, tenant_id=TENANT, client_id=CLIENT, certificate=spoil(pem))
    assert "BEGIN" not in str(caught.value)


def test_secrets_stay_out_of_sight():
    account = Azure(subscription_id=SUBSCRIPTION, tenant_id=TENANT, client_id=CLIENT, client_secret="s3cr3t")
    assert "s3cr3t" not in repr(account)
    account = Azure(subscription_id=SUBSCRIPTION, tenant_id=TENANT, client_id=CLIENT, certificate=application_key()[0])
    assert "PRIVATE" not in repr(account)


# -- the check --------------------------------------------------------------------------------------------------------


def test_check_tells_who_it_is(account):
    found = account().check()
    assert found.id == SUBSCRIPTION
    assert found.name == "Pay-As-You-Go"
    assert found.details["tenant_id"] == TENANT
    assert found.details["login"] == "client secret"
    assert {"list_machines", "start_machine", "create_machine", "destroy_machine"} <= found.permissions
    assert "Contributor is enough" in found.warnings[0]


def test_check_asks_only_what_it_must(account, azure):
    account().check()
    assert [f"{request.method} {request.path.rpartition('/')[2]}" for request in azure.requests][:2] == [
        "GET openid-configuration",
        "POST token",
    ]
    assert len(azure.requests) == 4


@pytest.mark.parametrize("given", ["text", "path"])
def test_a_certificate_lets_in(account, azure, tmp_path, given):
    pem, certificate = application_key()
    azure.client.certificates.append(certificate)
    (tmp_path / "app.pem").write_text(pem)
    found = account(certificate=pem if given == "text" else str(tmp_path / "app.pem")).check()
    assert found.details["login"] == "certificate"


def test_a_certificate_of_somebody_else_does_not(account, azure):
    azure.client.certificates.append(application_key()[1])
    with pytest.raises(AuthenticationFailed) as caught:
        account(certificate=application_key()[0]).check()
    assert caught.value.reason == "wrong_certificate"


def test_a_certificate_with_another_key_does_not(account, azure):
    pem, certificate = application_key()
    azure.client.certificates.append(certificate)
    stolen = (
        application_key()[0].partition("-----BEGIN CERT")[0] + "-----BEGIN CERT" + pem.partition("-----BEGIN CERT")[2]
    )
    with pytest.raises(AuthenticationFailed) as caught:
        account(certificate=stolen).check()
    assert caught.value.reason == "wrong_certificate"


@pytest.mark.parametrize(
    ("wrong", "reason", "words"),
    [
        ({"client_secret": "not-this-one"}, "wrong_secret", "AADSTS7000215"),
        ({"client_secret": "Xw8~expired-secret-value"}, "expired", "AADSTS7000222"),
        ({"client_id": OTHER}, "unknown_client", "AADSTS700016"),
        ({"tenant_id": OTHER}, "unknown_tenant", "AADSTS90002"),
    ],
)
def test_who_is_refused_is_told_why(account, azure, wrong, reason, words):
    with pytest.raises(AuthenticationFailed, match=words) as caught:
        account(**wrong).check()
    assert caught.value.reason == reason
    assert caught.value.remedy
    assert "secret-value" not in str(caught.value)
    assert "not-this-one" not in str(caught.value)
    assert not [request for request in azure.requests if request.path.startswith("/subscriptions")]


@pytest.mark.parametrize(
    ("status", "error", "code", "expected", "reason"),
    [
        (401, "invalid_client", 7000299, AuthenticationFailed, "invalid_credentials"),
        (400, "unauthorized_client", 7009999, AuthenticationFailed, "unknown_client"),
        (400, "invalid_grant", 53003, PermissionDenied, "policy"),
        (401, "invalid_client", 700024, AuthenticationFailed, "clock_skew"),
        (400, "invalid_resource", 500011, AuthenticationFailed, "wrong_cloud"),
        (503, "temporarily_unavailable", 90033, ProviderError, "unavailable"),
    ],
)
def test_other_refusals_of_the_token_service(account, azure, status, error, code, expected, reason):
    azure.fault(
        oauth_error(status, error, code, "Something."), times=9, where=lambda request: request.path.endswith("/token")
    )
    with pytest.raises(expected) as caught:
        account().check()
    assert caught.value.reason == reason
    assert "Trace ID" not in str(caught.value)


def test_a_crowded_token_service(account, azure):
    azure.fault(Response(429, headers={"Retry-After": "120"}), times=9, where=lambda r: r.path.endswith("/token"))
    with pytest.raises(RateLimited) as caught:
        account().check()
    assert caught.value.retry_after == 120


def test_the_subscription_of_another_tenant(account, azure):
    azure.tenants[OTHER] = {CLIENT: azure.client}
    with pytest.raises(AuthenticationFailed) as caught:
        account(tenant_id=OTHER).check()
    assert caught.value.reason == "wrong_tenant"
    assert account().check().id == SUBSCRIPTION


def test_a_subscription_that_is_not_there(account):
    with pytest.raises(PermissionDenied) as caught:
        account(subscription_id=OTHER).check()
    assert caught.value.reason == "unknown_subscription"
    assert "role" in caught.value.remedy


def test_an_application_without_a_role(account, azure):
    azure.client.roles.clear()
    with pytest.raises(PermissionDenied) as caught:
        account().check()
    assert caught.value.reason == "unknown_subscription"


READER = {"actions": ["*/read"], "notActions": []}
CONTRIBUTOR = {"actions": ["*"], "notActions": ["Microsoft.Authorization/*/Write", "Microsoft.Authorization/*/Delete"]}
OPERATOR = {
    "actions": [
        "Microsoft.Compute/*/read",
        "microsoft.compute/virtualmachines/start/ACTION",
        "Microsoft.Resources/*/read",
    ],
    "notActions": [],
}
NOT_DELETE = {"actions": ["Microsoft.Compute/virtualMachines/*"], "notActions": ["*/delete"]}


@pytest.mark.parametrize(
    ("roles", "may", "may_not"),
    [
        ([READER], {"list_machines", "list_networks", "list_images"}, {"start_machine", "create_machine"}),
        ([CONTRIBUTOR], {"create_machine", "destroy_machine"}, set()),
        ([OPERATOR], {"start_machine", "list_machines"}, {"stop_machine", "list_networks"}),
        ([READER, NOT_DELETE], {"start_machine", "stop_machine", "reboot_machine"}, {"destroy_machine"}),
        # what one role takes away, another may give
        ([NOT_DELETE, CONTRIBUTOR], {"destroy_machine"}, set()),
    ],
)
def test_roles_become_operations(account, azure, roles, may, may_not):
    azure.client.roles[:] = [
        *roles,
        {"actions": ["Microsoft.Resources/subscriptions/read", "Microsoft.Authorization/*/read"], "notActions": []},
    ]
    permissions = account().check().permissions
    assert may <= permissions
    assert not may_not & permissions


def test_warnings(account, azure):
    azure.client.roles[:] = [CONTRIBUTOR]
    assert account().check().warnings == ()
    azure.client.roles[:] = [OPERATOR, {"actions": ["Microsoft.Authorization/*/read"], "notActions": []}]
    assert "no addresses" in account().check().warnings[0]
    azure.client.roles[:] = [CONTRIBUTOR]
    azure.subscriptions[SUBSCRIPTION]["state"] = "Warned"
    assert account(ca_cert="", verify=False).check().warnings == (
        "The certificates of Azure are not verified.",
        "The subscription is Warned: it may be read-only.",
    )


def test_permissions_that_may_not_be_read_are_unknown(account, azure):
    azure.client.roles[:] = [{"actions": ["Microsoft.Resources/*/read"], "notActions": []}]
    found = account().check()
    assert found.permissions is None
    assert "roles further down" in found.warnings[0]


# -- tokens -----------------------------------------------------------------------------------------------------------


def tokens_asked(azure):
    return sum(request.path.endswith("/token") for request in azure.requests)


def test_a_token_is_used_until_it_ends(account, azure):
    one = account()
    one.check()
    list(one.list_machines())
    assert tokens_asked(azure) == 1


def test_a_token_is_renewed_before_it_ends(account, azure):
    azure.lifetime = 200.0  # less than a token must be good for to be kept
    one = account()
    list(one.list_networks())
    list(one.list_networks())
    assert tokens_asked(azure) == 2


def test_a_token_that_was_withdrawn_is_replaced(account, azure):
    one = account()
    one.check()
    azure.tokens.clear()
    with pytest.raises(AuthenticationFailed) as caught:
        one.check()
    assert caught.value.reason == "invalid_token"
    assert one.check().id == SUBSCRIPTION


def test_tokens_are_not_shared(account, azure):
    """Two accounts that differ in the secret alone: the good one's token must not let the other in."""
    account().check()
    with pytest.raises(AuthenticationFailed):
        account(client_secret="not-this-one").check()


def test_tokens_stay_off_the_disk(account, azure, tmp_path):
    account().check()
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(token.encode() in text for token in azure.tokens for text in written)


def test_nothing_goes_to_another_host(account, azure, monkeypatch):
    """A token endpoint elsewhere, named by who answers for the tenant, never gets to see the secret."""
    elsewhere = {"token_endpoint": "https://127.0.0.1:9/token", "authorization_endpoint": "https://127.0.0.1:9/a"}
    azure.fault(
        Response(200, json.dumps(elsewhere).encode(), {"Content-Type": "application/json"}),
        where=lambda request: request.path.endswith("openid-configuration"),
    )
    with pytest.raises(ProviderError) as caught:
        account().check()
    assert caught.value.reason == "foreign_link"


# -- the wire ---------------------------------------------------------------------------------------------------------


def test_an_unknown_certification_authority(account):
    with pytest.raises(Unreachable) as caught:
        account(ca_cert="").check()
    assert caught.value.reason == "tls"


def test_a_token_service_that_hangs_respects_the_deadline(account, azure):
    azure.fault(Response(delay=HANGS), times=5)
    with deadline(0.4), pytest.raises(Unreachable) as caught:
        patient(account()).check()
    assert caught.value.reason == "timeout"


def test_a_crowded_service(account, azure):
    crowded = arm_error(429, "TooManyRequests", "The request is being throttled.", {"Retry-After": "90"})
    azure.fault(crowded, times=9, where=lambda request: request.path.startswith("/subscriptions"))
    with pytest.raises(RateLimited) as caught:
        account().check()
    assert caught.value.retry_after == 90


def test_a_short_throttling_is_waited_for(account, azure):
    crowded = arm_error(429, "TooManyRequests", "The request is being throttled.", {"Retry-After": "0"})
    azure.fault(crowded, times=2, where=lambda request: request.path.startswith("/subscriptions"))
    assert account().check().id == SUBSCRIPTION


@pytest.mark.parametrize("body", [b"<html>log in to the hotel's network</html>", b"{", b"[]", b'"x"', b"null"])
def test_nonsense_is_called_that(account, azure, body):
    azure.fault(
        Response(200, body, {"Content-Type": "application/json"}), where=lambda r: r.path.endswith("/virtualMachines")
    )
    with pytest.raises(ProviderError):
        list(account().list_machines())
