"""EC2 on a service's bad days, by a stand-in on loopback: what is tried again, and what is said of what fails."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme
from fakes import ec2_accounts
from fakes.ec2 import FakeEc2, instance, refusal
from fakes.ec2_accounts import account
from fakes.patience import HANGS, patient

from mistcore import InvalidFields, MistError, ProviderError, RateLimited, Unreachable
from mistcore.deadline import deadline
from mistcore.testing.server import Response
from mistcore_providers.ec2 import Ec2

fake = ec2_accounts.fake


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
