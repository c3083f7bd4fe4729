"""EC2 against a stand-in on loopback: thousands of instances, every kind of fault, regions that answer differently."""

from __future__ import annotations

import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import trustme
from fakes.ec2 import KEY, SECRET, FakeEc2, answer, instance, refusal, reservation, sts_refusal
from fakes.patience import HANGS, patient

from mistcore import (
    AuthenticationFailed,
    InvalidFields,
    MachineNotFound,
    MistError,
    PermissionDenied,
    ProviderError,
    RateLimited,
    Rejected,
    Unreachable,
)
from mistcore.deadline import deadline
from mistcore.testing.server import Request, Response
from mistcore_providers.ec2 import Ec2

NOT_VALIDATED = "AWS was not able to validate the provided access credentials"


@pytest.fixture
def fake() -> Iterator[FakeEc2]:
    with FakeEc2({"eu-west-1": [instance(1)], "us-east-1": [instance(2, "us-east-1")]}) as service:
        yield service


def account(fake: FakeEc2, **fields: Any) -> Ec2:
    return Ec2(**{"api_key": KEY, "api_secret": SECRET, "region": "eu-west-1", "endpoint": fake.url, **fields})


def asks(operation: str) -> Any:
    return lambda request: request.form()["Action"] == operation


# -- many -------------------------------------------------------------------------------------------------------------


def test_thousands_of_instances_in_as_few_requests_as_ec2_allows() -> None:
    with FakeEc2({"eu-west-1": [instance(number) for number in range(2500)]}) as fake:
        machines = list(account(fake).list_machines())
        assert [machine.id for machine in machines] == [f"i-{number:017x}" for number in range(2500)]
        assert [form.get("MaxResults") for form in fake.operations()] == ["1000"] * 3
        assert [form.get("NextToken") for form in fake.operations()] == [None, "1000", "2000"]


def test_pages_that_go_round_in_circles(fake: FakeEc2) -> None:
    same = answer(
        "DescribeInstances", f"<reservationSet>{reservation(instance(1))}</reservationSet><nextToken>x</nextToken>"
    )
    fake.fault(same, times=100)
    with pytest.raises(ProviderError, match="circles"):
        list(account(fake).list_machines())
    assert len(fake.requests) == 2


def test_one_account_in_several_threads_and_several_accounts_on_one_wire(fake: FakeEc2) -> None:
    fake.keys |= {f"AKIA{number:016}" for number in range(8)}
    accounts = [account(fake, api_key=f"AKIA{number:016}") for number in range(8)]
    found: list[str] = []

    def work(ec2: Ec2) -> None:
        for _ in range(5):
            found.extend(machine.id for machine in ec2.list_machines())

    threads = [threading.Thread(target=work, args=(ec2,)) for ec2 in accounts * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    signed = [fake.scope(request)[0] for request in fake.requests]
    assert {key: signed.count(key) for key in signed} == {ec2.api_key: 10 for ec2 in accounts}
    assert len({id(wire) for ec2 in accounts for wire in ec2._service._wires.values()}) == 1


def test_the_model_of_ec2_is_never_loaded(fake: FakeEc2) -> None:
    code = f"""
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
from mistcore_providers.ec2 import Ec2
ec2 = Ec2(api_key={KEY!r}, api_secret={SECRET!r}, region="eu-west-1", endpoint={fake.url!r})
ec2.check()
asked = [name for name in opened if "ec2" in name and "rule-set" in name]
assert len(list(ec2.list_machines())) == 1
assert any("rule-set" in name for name in opened)
print([name for name in opened if "service-2" in name or "endpoints.json" in name])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# -- retries and faults -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        refusal("RequestLimitExceeded", "Request limit exceeded.", 503),
        refusal("InternalError", "An internal error has occurred", 500),
        refusal("Unavailable", "The server is overloaded", 503),
        Response(502, b"<html>bad gateway</html>"),
        Response(200, b"<DescribeInstancesResponse>", cut=9),
    ],
    ids=["throttled", "500", "503", "html 502", "cut"],
)
def test_a_passing_failure_is_tried_again(fake: FakeEc2, fault: Response) -> None:
    fake.fault(fault)
    assert len(list(account(fake).list_machines())) == 1
    assert len(fake.requests) == 2


def test_a_repeated_request_creates_one_machine(fake: FakeEc2) -> None:
    fake.fault(refusal("InternalError", "An internal error has occurred", 500))
    account(fake).create_machine("once", image="ami-1", size="t3.micro")
    tokens = [form["ClientToken"] for form in fake.operations("RunInstances")]
    assert len(tokens) == 2
    assert len(set(tokens)) == 1


@pytest.mark.parametrize(
    ("fault", "error", "reason", "words"),
    [
        (refusal("RequestLimitExceeded", "Request limit exceeded.", 503), RateLimited, "", "too many requests"),
        (refusal("InternalError", "Oh dear", 500), ProviderError, "failed", "Oh dear"),
        (refusal("Unavailable", "Overloaded", 503), ProviderError, "unavailable", "Overloaded"),
        (Response(502, b"<html>bad gateway</html>"), ProviderError, "unavailable", "502"),
        (Response(200, b"<DescribeInstancesResponse>" * 9, cut=50), Unreachable, "network", "broke off"),
    ],
    ids=["throttled", "500", "503", "html 502", "cut"],
)
def test_a_lasting_failure(fake: FakeEc2, fault: Response, error: type[MistError], reason: str, words: str) -> None:
    fake.fault(fault, times=100)
    with pytest.raises(error, match=words) as caught:
        list(account(fake).list_machines())
    assert caught.value.reason == reason
    assert len(fake.requests) == 3


def test_how_long_to_wait_is_said(fake: FakeEc2) -> None:
    fake.fault(refusal("RequestLimitExceeded", "Request limit exceeded.", 503, {"Retry-After": "7"}), times=100)
    with pytest.raises(RateLimited) as caught:
        list(account(fake).list_machines())
    assert caught.value.retry_after == 7


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Log in to the hotel's network</body></html>",
        b"<DescribeInstancesResponse><reservationSet>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><DescribeInstancesResponse>&a;</DescribeInstancesResponse>',
    ],
    ids=["empty", "captive portal", "cut off", "document type"],
)
def test_an_answer_that_is_no_answer_is_never_an_empty_listing(fake: FakeEc2, body: bytes) -> None:
    fake.fault(Response(200, body))
    with pytest.raises(ProviderError, match="not what EC2 answers") as caught:
        list(account(fake).list_machines())
    assert caught.value.reason == "malformed"


@pytest.mark.parametrize(
    "fault",
    [Response(200, b"x", delay=HANGS), Response(200, b"<a>" * 1000, chunk_delay=0.1)],
    ids=["silent", "trickling"],
)
def test_a_deadline_holds_however_slow_the_answer(fake: FakeEc2, fault: Response) -> None:
    fake.fault(fault, times=100)
    with pytest.raises(Unreachable) as caught, deadline(0.7):
        list(patient(account(fake)).list_machines())
    assert caught.value.reason == "timeout"


def test_nothing_listens(fake: FakeEc2) -> None:
    fake.stop()
    with pytest.raises(Unreachable) as caught:
        account(fake).check()
    assert caught.value.reason == "refused"


def test_a_name_that_does_not_resolve() -> None:
    ec2 = Ec2(api_key="k", api_secret="s", region="x", endpoint="http://no-such-host.invalid:1")
    with pytest.raises(Unreachable) as caught:
        ec2.check()
    assert caught.value.reason == "dns"


def test_a_certificate_of_ones_own(tmp_path: Path) -> None:
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    with FakeEc2({"eu-west-1": [instance(1)]}, tls=context) as fake:
        with pytest.raises(Unreachable) as caught:
            account(fake).check()
        assert caught.value.reason == "tls"
        pem = ca.cert_pem.bytes().decode()
        assert account(fake, ca_cert=pem).check().warnings == ()
        bundle = tmp_path / "ca.pem"
        bundle.write_text(pem)
        assert len(list(account(fake, ca_cert=str(bundle)).list_machines())) == 1
        assert "not checked" in account(fake, verify=False).check().warnings[0]
        with pytest.raises(InvalidFields, match="ca_cert"):
            account(fake, ca_cert=str(tmp_path / "none.pem")).check()


# -- who and whether --------------------------------------------------------------------------------------------------


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


# -- every region -----------------------------------------------------------------------------------------------------


def test_a_region_that_fails_is_not_dropped(fake: FakeEc2) -> None:
    fake.instances["ap-south-1"] = [instance(3, "ap-south-1")]
    fake.fault(
        refusal("UnauthorizedOperation", "Not here.", 403),
        times=100,
        where=lambda request: fake.scope(request)[1] == "ap-south-1",
    )
    arrived = []
    with pytest.raises(PermissionDenied, match="ap-south-1: .*Not here") as caught:
        for machine in account(fake, region="all").list_machines():
            arrived.append(machine.id)
    assert len(arrived) == 2
    assert "eu-west-1" not in str(caught.value)


def test_several_regions_that_fail_are_all_named(fake: FakeEc2) -> None:
    fake.instances |= {"ap-south-1": [], "ap-south-2": []}
    fake.fault(
        refusal("Blocked", "Sorry."),
        times=100,
        where=lambda request: fake.scope(request)[1].startswith("ap-"),
    )
    with pytest.raises(PermissionDenied, match="ap-south-1, ap-south-2: AWS has blocked"):
        list(account(fake, region="all").list_machines())


class Meeting(FakeEc2):
    """Answers no question for machines before five are there."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.there = 0
        self.five = threading.Event()

    def handle(self, request: Request) -> Response:
        if request.form().get("Action") == "DescribeInstances":
            with self.lock:
                self.there += 1
            if self.there >= 5:
                self.five.set()
            self.five.wait(60)
        return super().handle(request)


def test_regions_are_asked_side_by_side() -> None:
    names = ["us-east-1", "us-west-2", "eu-west-1", "eu-west-2", "eu-west-3", "sa-east-1", "ap-south-1", "ap-east-1"]
    with Meeting({name: [instance(number, name)] for number, name in enumerate(names)}) as fake:
        assert len(list(account(fake, region="all").list_machines())) == 8
        assert fake.five.is_set()


def test_where_a_machine_is_found_although_another_region_fails(fake: FakeEc2) -> None:
    fake.instances["ap-south-1"] = []
    fake.fault(refusal("Blocked", "Sorry."), times=9, where=lambda request: fake.scope(request)[1] == "ap-south-1")
    ec2 = account(fake, region="all")
    ec2.stop_machine(f"i-{1:017x}")
    stops = [request for request in list(fake.requests) if request.form()["Action"] == "StopInstances"]
    assert [fake.scope(request)[1] for request in stops] == ["eu-west-1"]
    # One that no region shows may be in the one that did not answer.
    with pytest.raises(PermissionDenied, match="ap-south-1"):
        ec2.stop_machine("i-0123456789abcdef0")


# -- one machine ------------------------------------------------------------------------------------------------------


def test_a_machine_just_made_may_not_be_known_everywhere_yet(fake: FakeEc2) -> None:
    ec2 = account(fake)
    machine = ec2.create_machine("new", image="ami-1", size="t3.micro")
    late = refusal("InvalidInstanceID.NotFound", f"The instance ID '{machine.id}' does not exist")
    fake.fault(late, where=asks("DescribeInstances"))
    assert ec2.get_machine(machine.id).name == "new"
    fake.fault(late, where=asks("StopInstances"))
    ec2.stop_machine(machine.id)
    fake.fault(late, times=1000)
    with pytest.raises(Unreachable) as caught, deadline(0.5):
        ec2.get_machine(machine.id)
    assert caught.value.reason == "timeout"


def test_an_old_machine_that_is_gone_is_not_waited_for(fake: FakeEc2) -> None:
    with pytest.raises(MachineNotFound):
        account(fake).stop_machine("i-0123456789abcdef0")
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        ("IncorrectInstanceState", "The instance 'i-1' is not in a state from which it can be started.", "wrong_state"),
        (
            "OperationNotPermitted",
            "It may not be stopped. Modify its 'disableApiStop' attribute.",
            "protected",
        ),
        ("InstanceLimitExceeded", "You have requested more instances than your limit allows.", "quota"),
        ("VcpuLimitExceeded", "You have requested more vCPU capacity than your limit of 5 allows.", "quota"),
        ("InsufficientInstanceCapacity", "There is no capacity.", "capacity"),
        ("InvalidAMIID.NotFound", "The image id '[ami-1]' does not exist", "invalid_amiid_not_found"),
    ],
)
def test_refusals_say_why(fake: FakeEc2, code: str, message: str, reason: str) -> None:
    fake.fault(refusal(code, message), times=9)
    with pytest.raises(Rejected) as caught:
        account(fake).stop_machine("i-1")
    assert caught.value.reason == reason
    assert message.rstrip(".") in str(caught.value)


def test_after_close_it_can_be_used_again(fake: FakeEc2) -> None:
    with account(fake) as ec2:
        assert len(list(ec2.list_machines())) == 1
    assert len(list(ec2.list_machines())) == 1
    other = account(fake)
    ec2.close()
    assert len(list(other.list_machines())) == 1


def test_a_region_that_only_its_owner_knows(fake: FakeEc2) -> None:
    fake.instances["RegionOne"] = [instance(9, "nova")]
    ec2 = account(fake, region="RegionOne")
    assert ec2.check().details["region"] == "RegionOne"
    assert [machine.region for machine in ec2.list_machines()] == ["novaa"]
    assert {fake.scope(request)[1] for request in fake.requests} == {"RegionOne"}


def test_requests_are_signed_for_the_region_and_say_who_asks(fake: FakeEc2) -> None:
    list(account(fake, session_token="a-token").list_machines())
    request: Request = fake.requests[0]
    assert fake.scope(request) == (KEY, "eu-west-1", "ec2")
    assert request.headers["X-Amz-Security-Token"] == "a-token"
    assert "mistcore" in request.headers["User-Agent"]
