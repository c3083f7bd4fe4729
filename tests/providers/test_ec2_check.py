"""What a check of an EC2 account tells, by a stand-in on loopback: who asks, and why somebody is not let in."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from fakes import ec2_accounts
from fakes.ec2 import KEY, SECRET, FakeEc2, refusal, sts_refusal
from fakes.ec2_accounts import account, asks

from mistcore import AuthenticationFailed, PermissionDenied
from mistcore.testing.server import Response

fake = ec2_accounts.fake

NOT_VALIDATED = "AWS was not able to validate the provided access credentials"


def test_a_check_is_two_requests(fake: FakeEc2) -> None:
    checked = account(fake).check()
    assert (checked.id, checked.name) == ("123456789012", "user/alice")
    assert [form["Action"] for form in fake.operations()] == ["GetCallerIdentity", "DescribeInstances"]
    assert fake.operations()[1]["DryRun"] == "true"


def test_the_key_of_the_root_user_is_warned_of(fake: FakeEc2) -> None:
    fake.fault(
        Response(
            200,
            b"<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::1:root</Arn><UserId>1</UserId>"
            b"<Account>1</Account></GetCallerIdentityResult></GetCallerIdentityResponse>",
        )
    )
    checked = account(fake).check()
    assert checked.name == "root"
    assert any("root user" in warning for warning in checked.warnings)


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        (
            sts_refusal("InvalidClientTokenId", "The token is invalid."),
            "unknown_key",
            "does not know",
        ),
        (sts_refusal("SignatureDoesNotMatch", "The request signature does not match."), "wrong_secret", "secret"),
        (sts_refusal("ExpiredToken", "The security token included in the request is expired"), "expired", "expired"),
        (refusal("RequestExpired", "Request has expired."), "expired", "expired"),
        (refusal("AuthFailure", NOT_VALIDATED, 401), "unknown_key", "does not know"),
    ],
)
def test_bad_credentials_are_told_apart(fake: FakeEc2, fault: Response, reason: str, words: str) -> None:
    fake.fault(fault, times=100)
    with pytest.raises(AuthenticationFailed, match=words) as caught:
        account(fake, region="us-east-1").check()
    assert caught.value.reason == reason
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(("off", "words"), [(2220, "37 minutes behind"), (-3600, "60 minutes ahead of")])
@pytest.mark.parametrize(
    "code", ["SignatureDoesNotMatch", "RequestExpired", "AuthFailure", "InvalidClientTokenId", "RequestTimeTooSkewed"]
)
def test_a_clock_that_is_off_is_said_by_how_much(fake: FakeEc2, code: str, off: int, words: str) -> None:
    fault = sts_refusal(code, "Signature expired: 20261124T200000Z is now earlier than 20261124T210000Z")
    fault.headers["Date"] = formatdate(time.time() + off, usegmt=True)
    fake.fault(fault, times=100)
    with pytest.raises(AuthenticationFailed, match=words) as caught:
        account(fake).check()
    assert caught.value.reason == "clock_skew"


def test_a_region_that_is_not_enabled(fake: FakeEc2) -> None:
    fake.disabled = {"af-south-1"}
    with pytest.raises(PermissionDenied, match="has not enabled the region af-south-1") as caught:
        account(fake, region="af-south-1").check()
    assert caught.value.reason == "region_not_enabled"
    # An unknown key is still one, in whatever region.
    with pytest.raises(AuthenticationFailed) as unknown:
        account(fake, region="af-south-1", api_key="AKIAUNKNOWNUNKNOWN12").check()
    assert unknown.value.reason == "unknown_key"


@pytest.mark.parametrize(
    ("code", "words"),
    [("Blocked", "blocked"), ("PendingVerification", "verifying"), ("OptInRequired", "not signed up")],
)
def test_an_account_that_may_not_be_used(fake: FakeEc2, code: str, words: str) -> None:
    fake.fault(refusal(code, "Sorry."), where=asks("DescribeInstances"))
    with pytest.raises(PermissionDenied, match=words) as caught:
        account(fake).check()
    assert caught.value.reason == "not_enabled"


def test_a_missing_permission_names_who_and_what_and_no_more(fake: FakeEc2) -> None:
    words = (
        "You are not authorized to perform this operation. Encoded authorization failure message: AbCdEf-secret-policy"
    )
    fake.fault(refusal("UnauthorizedOperation", words, 403), times=2, where=asks("DescribeInstances"))
    with pytest.raises(PermissionDenied, match="arn:aws:iam::123456789012:user/alice is known, but") as caught:
        account(fake).check()
    assert "secret-policy" not in str(caught.value)
    assert "ec2:DescribeInstances" in str(caught.value)


def test_what_a_refusal_repeats_of_the_request_is_not_shown(fake: FakeEc2) -> None:
    words = (
        "The request signature we calculated does not match. Consult the service documentation for details.\n\n"
        "The Canonical String for this request should have been\n'POST\n/\n\nx-amz-security-token:the-session-token'"
    )
    fake.fault(sts_refusal("SignatureDoesNotMatch", words))
    with pytest.raises(AuthenticationFailed) as caught:
        account(fake, session_token="the-session-token").check()
    assert "the-session-token" not in str(caught.value)
    assert "does not match" in str(caught.value)


def test_a_cloud_without_sts(fake: FakeEc2) -> None:
    fake.sts = False
    assert account(fake).check().id == KEY
    fake.fault(Response(404, b"not here"), where=asks("GetCallerIdentity"))
    assert account(fake).check().name == KEY
    with pytest.raises(AuthenticationFailed):
        account(fake, api_key="nobody").check()
