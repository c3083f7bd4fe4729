"""EC2 in the suite that every provider passes, against the stand-in: what it must do, and a service's bad days."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

import attrs
import pytest
from fakes import dialects
from fakes.ec2 import KEY, SECRET, FakeEc2, instance

from mistcore import Provider
from mistcore.testing import TortureSuite
from mistcore.testing.server import FakeService, Request, Response
from mistcore_providers.ec2 import Ec2


class TestEc2(TortureSuite):
    provider = Ec2
    refusal = staticmethod(dialects.by_ec2)
    repeats_changes = {"POST"}  # RunInstances has a token of the client, and the others do nothing the second time
    not_secret = ("api_key",)  # the id of an access key
    missing_id = "i-0123456789abcdef0"
    new_machine = {"image": "ami-1", "size": "t3.micro"}

    @pytest.fixture
    def service(self) -> Iterator[FakeEc2]:
        with FakeEc2({"eu-west-1": [instance(1), instance(2, state="stopped")]}) as service:
            yield service

    def good(self, service: FakeEc2) -> Provider:
        return Ec2(api_key=KEY, api_secret=SECRET, region="eu-west-1", endpoint=service.url)

    def bad(self, service: FakeEc2) -> Provider:
        return Ec2(api_key="AKIAUNKNOWNUNKNOWN12", api_secret=SECRET, region="eu-west-1", endpoint=service.url)

    def changes(self, request: Request) -> bool:
        return not request.form().get("Action", "").startswith(("Describe", "Get"))

    def endless(self, service: FakeEc2, marks: Iterator[str]) -> None:
        plain = service.handle

        def handle(request: Request) -> Response:
            if request.form().get("Action") != "DescribeInstances" or "DryRun" in request.form():
                return plain(request)
            asked = {name: value for name, value in request.form().items() if name != "NextToken"}
            answer = plain(attrs.evolve(request, body=urlencode(asked).encode()))
            end = b"</DescribeInstancesResponse>"
            more = f"<nextToken>{next(marks)}</nextToken>".encode()
            return attrs.evolve(answer, body=answer.body.replace(end, more + end))

        service.handle = handle  # type: ignore[method-assign]  # only this service, only in this test

    def test_odd_values_break_no_listing(self, service: FakeService, account: Provider) -> None:
        pytest.skip("it makes values of JSON odd; those of XML are in test_ec2.py")


class TestEc2Everywhere(TestEc2):
    """The same with every region as one account."""

    @pytest.fixture
    def service(self) -> Iterator[FakeEc2]:
        with FakeEc2({"us-east-1": [instance(1, "us-east-1")], "eu-west-1": [instance(2)]}) as service:
            yield service

    new_machine = {"image": "ami-1", "size": "t3.micro", "location": "eu-west-1"}

    def good(self, service: FakeEc2) -> Provider:
        return Ec2(api_key=KEY, api_secret=SECRET, region="all", endpoint=service.url)

    def bad(self, service: FakeEc2) -> Provider:
        return Ec2(api_key="AKIAUNKNOWNUNKNOWN12", api_secret=SECRET, region="all", endpoint=service.url)
