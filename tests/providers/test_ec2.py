"""EC2 without a service: what its fields may be, which regions there are, how its XML is read."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fakes.ec2 import KEY, SECRET, answer, instance, reservation

from mistcore import InvalidFields, Machine, MachineState, Registry, UnknownRegion
from mistcore_providers import _ec2_xml as xml
from mistcore_providers._ec2_records import images, location, network, read_instances, size
from mistcore_providers._ec2_wire import wire_to
from mistcore_providers.ec2 import Ec2

ROOT = Path(__file__).parents[2]
PRIVATE = {"region": "here", "endpoint": "http://127.0.0.1:1"}


def account(**fields: Any) -> Ec2:
    return Ec2(**{"api_key": KEY, "api_secret": SECRET, "region": "eu-west-1", **fields})


# -- regions ----------------------------------------------------------------------------------------------------------


def test_the_listing_begins_with_the_eight_regions_of_old() -> None:
    first = [(region.aliases[0], region.location) for region in Ec2.regions[:8]]
    assert first == [
        ("ec2_ap_northeast", "Tokyo"),
        ("ec2_ap_southeast", "Singapore"),
        ("ec2_ap_southeast_2", "Sydney"),
        ("ec2_eu_west", "Ireland"),
        ("ec2_sa_east", "Sao Paulo"),
        ("ec2_us_east", "N. Virginia"),
        ("ec2_us_west", "N. California"),
        ("ec2_us_west_oregon", "Oregon"),
    ]
    ids = [region.id for region in Ec2.regions]
    assert {"eu-central-1", "cn-north-1", "us-gov-west-1", "all"} <= set(ids)
    assert not any("iso" in name for name in ids)
    assert all(region.location for region in Ec2.regions)


@pytest.mark.parametrize("name", ["ec2_us_east", "us-east-1", "US-East-1", " us-east-1 "])
def test_a_region_goes_by_either_of_its_ids(name: str) -> None:
    assert account(region=name).region == "us-east-1"


def test_the_table_of_regions_is_what_the_installed_botocore_knows() -> None:
    run = subprocess.run([sys.executable, ROOT / "tools" / "ec2_regions.py", "--check"], check=False)
    assert run.returncode == 0, "run tools/ec2_regions.py"


@pytest.mark.parametrize(
    ("given", "region"),
    [("us-east-1d", "us-east-1"), ("us-west-2-lax-1a", "us-west-2"), ("us-east-1-wl1-bos-wlz-1", "us-east-1")],
)
def test_a_zone_is_not_a_region(given: str, region: str) -> None:
    for more in ({}, {"endpoint": "http://127.0.0.1:1"}):
        with pytest.raises(UnknownRegion, match=f"is a zone, not a region; its region is {region}"):
            account(region=given, **more)


def test_an_unknown_region_needs_an_endpoint() -> None:
    with pytest.raises(UnknownRegion, match="did you mean eu-west-1") as caught:
        account(region="eu-wset-1")
    assert "endpoint" in caught.value.remedy
    assert account(region="eu-north-7", endpoint="http://127.0.0.1:1").region == "eu-north-7"
    assert account(region="RegionOne", endpoint="http://127.0.0.1:1").region == "RegionOne"
    for bad in ("-x", "a b", "x/y", "evil.example.com", "1234"):
        with pytest.raises(UnknownRegion):
            account(region=bad, endpoint="http://127.0.0.1:1")


def test_a_region_is_required() -> None:
    with pytest.raises(InvalidFields) as caught:
        Ec2(api_key=KEY, api_secret=SECRET)
    assert set(caught.value.problems) == {"region"}


# -- fields -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "problems"),
    [
        ({"api_key": SECRET, "api_secret": KEY}, {"api_key": "swapped"}),
        ({"api_key": "AKIA"}, {"api_key": "AKIA or ASIA"}),
        ({"api_secret": "s" * 39}, {"api_secret": "this has 39"}),
        ({"api_key": "ASIAIOSFODNN7EXAMPLE"}, {"session_token": "temporary"}),
        ({"api_secret": "s" * 20 + " " + "s" * 19}, {"api_secret": "white space"}),
        ({"api_key": "AKIAIOSF\tODNN7EXAMPLE"}, {"api_key": "white space"}),
        ({"api_secret": ""}, {"api_secret": "missing"}),
        ({"api_key": ""}, {"api_key": "missing"}),
        ({"api_key": "", "api_secret": "", "session_token": "t"}, {"api_key": "missing"}),
        ({"profile": "work"}, {"profile": "not both"}),
        ({"external_id": "x"}, {"role_arn": "missing"}),
        ({"role_arn": "reader"}, {"role_arn": "arn:aws:iam"}),
        ({"endpoint": "ec2.example.com"}, {"endpoint": "https://"}),
        ({"endpoint": "ftp://ec2.example.com"}, {"endpoint": "https://"}),
        ({"api_key": "AKIA", "api_secret": "short"}, {"api_key": "AKIA", "api_secret": "40 characters"}),
    ],
)
def test_what_cannot_be_right_is_said_without_asking(fields: dict[str, str], problems: dict[str, str]) -> None:
    with pytest.raises(InvalidFields) as caught:
        account(**fields)
    assert caught.value.problems.keys() == problems.keys()
    for name, words in problems.items():
        assert words in caught.value.problems[name]
    assert not any(len(value) > 6 and value in str(caught.value) for key, value in fields.items() if "secret" in key)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"api_key": "ASIAIOSFODNN7EXAMPLE", "session_token": "t"},
        {"api_key": "", "api_secret": ""},
        {"api_key": "", "api_secret": "", "profile": "work"},
        {"role_arn": "arn:aws:iam::123456789012:role/path/reader", "external_id": "x"},
        {"api_key": "admin", "api_secret": "secret", **PRIVATE},
    ],
)
def test_what_may_be_right_is_let_in(fields: dict[str, str]) -> None:
    account(**fields)


def test_no_secret_shows() -> None:
    ec2 = account(session_token="very-secret-token")
    assert SECRET not in repr(ec2)
    assert "very-secret-token" not in repr(ec2)
    shown = {field.name for field in Registry()["ec2"].fields() if field.secret}
    assert shown == {"api_secret", "session_token"}


def test_a_machine_is_not_created_in_another_region_than_the_account_s() -> None:
    for elsewhere in ("eu-west-1a", "eu-west-1", "ec2_eu_west"):
        with pytest.raises(InvalidFields, match="is not in us-east-1"):
            account(region="us-east-1").create_machine("x", image="ami-1", size="t3.micro", location=elsewhere)


# -- endpoints --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "region", "host"),
    [
        ("ec2", "eu-west-1", "ec2.eu-west-1.amazonaws.com"),
        ("ec2", "cn-north-1", "ec2.cn-north-1.amazonaws.com.cn"),
        ("ec2", "us-gov-west-1", "ec2.us-gov-west-1.amazonaws.com"),
        ("sts", "eu-west-1", "sts.eu-west-1.amazonaws.com"),
        ("sts", "cn-north-1", "sts.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_addresses_are_those_of_botocore(service: str, region: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Neither a stray address nor a stray profile of the environment changes where an account's requests go.
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    assert wire_to(service, region, endpoint="", verify=True, ca_cert="").host == host


# -- reading ----------------------------------------------------------------------------------------------------------


def read(body: bytes) -> list[Machine]:
    return read_instances(body, "DescribeInstances", "eu-west-1")[0]


def page(*instances: str, more: str = "") -> bytes:
    found = "".join(reservation(each) for each in instances)
    return answer("DescribeInstances", f"<reservationSet>{found}</reservationSet>{more}").body


def test_all_that_an_instance_says() -> None:
    [machine] = read(page(instance(7)))
    assert machine == Machine(
        id="i-00000000000000007",
        name="web-7",
        state="running",
        public_ips=["54.0.0.7", "2001:db8::7"],
        private_ips=["10.0.0.7"],
        size="t3.micro",
        image="ami-0abcdef1234567890",
        region="eu-west-1a",
        created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        tags={"Name": "web-7", "env": "prod", "team": "core"},
        extra={
            "region": "eu-west-1",
            "launched_at": "2026-03-02T03:04:05.000Z",
            "vpc": "vpc-0a1b2c3d4e5f60718",
            "subnet": "subnet-0a1b2c3d4e5f60718",
            "key": "deploy",
            "architecture": "x86_64",
            "platform": "Linux/UNIX",
            "private_dns": "ip-10-0-0-7.eu-west-1.compute.internal",
            "public_dns": "ec2-54-0-0-7.eu-west-1.compute.amazonaws.com",
            "security_groups": ["sg-0a1b2c3d4e5f60718"],
        },
    )


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("pending", MachineState.PENDING),
        ("running", MachineState.RUNNING),
        ("shutting-down", MachineState.STOPPING),
        ("terminated", MachineState.TERMINATED),
        ("stopping", MachineState.STOPPING),
        ("stopped", MachineState.STOPPED),
        ("hovering", MachineState.UNKNOWN),
    ],
)
def test_states(word: str, state: MachineState) -> None:
    assert [machine.state for machine in read(page(instance(1, state=word)))] == [state]


def test_several_addresses_and_interfaces() -> None:
    second = """<networkInterfaceSet><item><privateIpAddress>10.0.9.1</privateIpAddress><privateIpAddressesSet>
        <item><privateIpAddress>10.0.9.1</privateIpAddress></item><item><privateIpAddress>10.0.9.2</privateIpAddress>
        <association><publicIp>54.0.9.2</publicIp></association></item></privateIpAddressesSet><ipv6AddressesSet>
        <item><ipv6Address>2001:db8::a</ipv6Address></item><item><ipv6Address>2001:db8::b</ipv6Address></item>
        <item><ipv6Address>fd00:ec2::7</ipv6Address></item>
        </ipv6AddressesSet></item>"""
    [machine] = read(page(instance(1).replace("<networkInterfaceSet>", second)))
    assert machine.private_ips == ("10.0.0.1", "10.0.9.1", "10.0.9.2", "fd00:ec2::7")
    assert machine.public_ips == ("54.0.0.1", "54.0.9.2", "2001:db8::a", "2001:db8::b", "2001:db8::1")


def test_odd_instances_do_no_harm() -> None:
    bare = "<item><instanceId>i-1</instanceId></item>"
    odd = (
        "<item><instanceId>i-2</instanceId><launchTime>yesterday</launchTime><instanceState/><tagSet><item>"
        "<key>Name</key></item></tagSet><future><name>stopped</name><key>Name</key><value>wrong</value></future></item>"
    )
    nameless = "<item><instanceState><name>running</name></instanceState></item>"
    machines = read(page(bare, nameless, odd, instance(3)))
    assert [(machine.id, machine.name, machine.state) for machine in machines] == [
        ("i-1", "", MachineState.UNKNOWN),
        ("i-2", "", MachineState.UNKNOWN),
        ("i-00000000000000003", "web-3", MachineState.RUNNING),
    ]
    assert machines[0].created_at is None
    assert machines[1].created_at is None
    assert machines[0].region == "eu-west-1"


def test_a_reservation_of_several_instances() -> None:
    three = [instance(1), instance(2), instance(3)]
    body = answer("DescribeInstances", f"<reservationSet>{reservation(*three)}</reservationSet>").body
    assert read(body) == read(page(*three))
    # moto sorts the elements, so that an instance does not begin with its id.
    moved = [each.replace(f"<instanceId>i-{n:017x}</instanceId>", "") for n, each in enumerate(three, 1)]
    moved = [each[:-7] + f"<instanceId>i-{n:017x}</instanceId></item>" for n, each in enumerate(moved, 1)]
    body = answer("DescribeInstances", f"<reservationSet>{reservation(*moved)}</reservationSet>").body
    assert read(body) == read(page(*three))


def test_texts_that_need_unescaping() -> None:
    tags = {"Name": "a <b> & 'c' \"d\"", "emptý": "", "url": 'x="1" y = "2"', "更": "多 😀"}
    [machine] = read(page(instance(1, tags=tags)))
    assert machine.tags == tags
    assert machine.name == tags["Name"]
    character = instance(1, tags={"Name": "X"}).replace(">X<", ">tab&#9;nl&#xA;<")
    assert read(page(character))[0].name == "tab\tnl\n"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text.replace("<item>", "<!-- <instancesSet> --><item>", 1), id="comment"),
        pytest.param(lambda text: text.replace("web-1<", "<![CDATA[web-1]]><"), id="cdata"),
        pytest.param(lambda text: text.replace("<instancesSet>", '<instancesSet odd="1">'), id="attribute"),
        pytest.param(lambda text: text.replace("<reservationSet>", "<?odd?><reservationSet>"), id="instruction"),
        pytest.param(lambda text: text.replace("UTF-8", "iso-8859-1"), id="latin-1"),
        pytest.param(lambda text: text.partition("?>")[2].strip(), id="no declaration"),
        pytest.param(
            lambda text: text.replace("</", "</e:").replace("<", "<e:").replace("<e:/e:", "</e:")
            .replace("<e:?xml", "<?xml").replace("xmlns=", "xmlns:e="),
            id="prefix",
        ),
    ],
)  # fmt: skip
def test_other_spellings_of_the_same_document(change: Any) -> None:
    text = page(instance(1), instance(2), more="<nextToken>more</nextToken>").decode()
    changed = change(text)
    assert changed != text
    expected = read_instances(text.encode(), "DescribeInstances", "eu-west-1")
    assert expected[1] == "more"
    assert read_instances(changed.encode(), "DescribeInstances", "eu-west-1") == expected


BOMB = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<DescribeInstancesResponse><reservationSet>&b;</reservationSet></DescribeInstancesResponse>"""
OUTSIDE = b"""<?xml version="1.0"?><!DOCTYPE x SYSTEM "file:///etc/passwd"><DescribeInstancesResponse/>"""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not xml",
        b"<html><body>Log in to the hotel's network</body></html>",
        b"<DescribeInstancesResponse><reservationSet>",
        page(instance(1))[:-9],
        page(instance(1)).replace(b"</instanceId>", b"</instance>"),
        page(instance(1)) + b"<more/>",
        b'<?xml version="1.0" encoding="no-such"?><DescribeInstancesResponse/>',
        b"\xff\xfe<DescribeInstancesResponse/>",
        BOMB,
        OUTSIDE,
        BOMB.decode().replace('"1.0"', '"1.0" encoding="UTF-16"').encode("utf-16"),
    ],
    ids=range(12),
)
def test_what_is_not_ec2s_xml_is_refused(body: bytes) -> None:
    for way in (xml.parse, xml.Flat):
        with pytest.raises(xml.Malformed):
            way(body, "DescribeInstances")


def test_a_deeply_nested_document_is_read_or_refused_without_harm() -> None:
    deep = b"<DescribeInstancesResponse>" + b"<a>" * 50_000 + b"</a>" * 50_000 + b"</DescribeInstancesResponse>"
    assert read_instances(deep, "DescribeInstances", "x") == ([], "")


# -- recorded answers -------------------------------------------------------------------------------------------------


def recorded(api_specs: Path, name: str) -> bytes:
    return (api_specs / "ec2" / "libcloud" / f"{name}.xml").read_bytes()


def test_recorded_instances(api_specs: Path) -> None:
    first, second = read(recorded(api_specs, "describe_instances"))
    assert (first.id, first.name, first.state, first.size) == ("i-4382922a", "", MachineState.STOPPED, "m1.small")
    assert (first.public_ips, first.private_ips) == (("1.2.3.4",), ("10.211.11.211",))
    assert first.extra["security_groups"] == ["sg-42916629", "sg-42916628"]
    assert second.name == "Test Server 2"
    assert second.tags == {"Name": "Test Server 2", "Group": "VPC Test"}
    assert second.private_ips == ("172.16.9.139", "172.16.4.139")
    assert second.extra["launched_at"] == "2013-12-02T15:58:29.000Z"
    assert second.extra["vpc"] == "vpc-61dcd30e"
    assert second.region == "us-east-1d"


@pytest.mark.parametrize(
    "name", ["run_instances", "run_instances_idem", "run_instances_iam_profile", "run_instances_spot"]
)
def test_recorded_runs(api_specs: Path, name: str) -> None:
    [machine] = read_instances(recorded(api_specs, name), "RunInstances", "us-east-1")[0]
    assert machine.id.startswith("i-2ba6434")
    assert machine.state is MachineState.PENDING
    assert machine.created_at is not None


def test_recorded_images_zones_and_subnets(api_specs: Path) -> None:
    found = images(xml.parse(recorded(api_specs, "describe_images")), "us-east-1")
    assert (found[0].id, found[0].name) == ("ami-57ba933a", "Test Image")
    assert found[0].architecture == "x86_64"
    zones = xml.items(xml.parse(recorded(api_specs, "describe_availability_zones")), "availabilityZoneInfo")
    assert location(zones[0], "").id == "eu-west-1a"
    subnets = xml.items(xml.parse(recorded(api_specs, "describe_subnets")), "subnetSet")
    first = network(next(iter(subnets)), "us-east-1")
    assert (first.id, first.cidr, first.extra["vpc"]) == ("subnet-ce0e7ce5", "192.168.51.0/25", "vpc-532135d1")


def test_every_recorded_answer_can_be_read(api_specs: Path) -> None:
    files = sorted((api_specs / "ec2" / "libcloud").glob("*.xml"))
    assert len(files) > 80
    for file in files:
        root = xml.parse(file.read_bytes())
        assert xml.local(root)
        code, message = xml.error_in(file.read_bytes())
        assert bool(code) == bool(message) == (xml.local(root) == "Response")


def test_a_size_says_what_it_has() -> None:
    body = answer(
        "DescribeInstanceTypes",
        "<instanceTypeSet><item><instanceType>g4ad.xlarge</instanceType><currentGeneration>true</currentGeneration>"
        "<bareMetal>false</bareMetal><processorInfo><supportedArchitectures><item>i386</item><item>x86_64</item>"
        "</supportedArchitectures></processorInfo><vCpuInfo><defaultVCpus>4</defaultVCpus></vCpuInfo><memoryInfo>"
        "<sizeInMiB>16384</sizeInMiB></memoryInfo><instanceStorageInfo><totalSizeInGB>150</totalSizeInGB>"
        "</instanceStorageInfo><gpuInfo><gpus><item><name>Radeon Pro V520</name><manufacturer>AMD</manufacturer>"
        "<count>1</count></item></gpus></gpuInfo></item><item><instanceType>odd</instanceType></item></instanceTypeSet>",
    ).body
    whole, odd = [size(entry) for entry in xml.items(xml.parse(body), "instanceTypeSet")]
    assert (whole.id, whole.cpus, whole.memory, whole.disk, whole.architecture) == (
        "g4ad.xlarge",
        4,
        16384,
        139,
        "x86_64",
    )
    assert whole.extra["gpus"] == ["1 x AMD Radeon Pro V520"]
    assert (odd.id, odd.cpus, odd.memory, odd.disk) == ("odd", None, None, None)
