"""EC2's machines by a stand-in on loopback: thousands of them, one of them, regions that answer differently."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest
from fakes import ec2_accounts
from fakes.ec2 import KEY, SECRET, FakeEc2, answer, instance, refusal, reservation
from fakes.ec2_accounts import account, asks

from mistcore import MachineNotFound, PermissionDenied, ProviderError, Rejected, Unreachable
from mistcore.deadline import deadline
from mistcore.testing.server import Request, Response
from mistcore_providers.ec2 import Ec2

fake = ec2_accounts.fake

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
