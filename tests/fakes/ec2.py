"""A stand-in of EC2 and STS on one port, for what moto cannot do: thousands of instances, faults, regions that differ.

It answers in EC2's own order and spelling of elements, pages by reservation as EC2 does, and says no in EC2's words.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from mistcore.testing.server import FakeService, Request, Response, route

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "s" * 40
ACCOUNT = "123456789012"
_EC2 = "http://ec2.amazonaws.com/doc/2016-11-15/"
_STS = "https://sts.amazonaws.com/doc/2011-06-15/"


def instance(
    number: int, region: str = "eu-west-1", state: str = "running", tags: Mapping[str, str] | None = None
) -> str:
    """Return an instance as EC2 describes one that runs in a VPC, with all that it says."""
    name = {"Name": f"web-{number}", "env": "prod", "team": "core"} if tags is None else tags
    pairs = "".join(f"<item><key>{escape(k)}</key><value>{escape(v)}</value></item>" for k, v in name.items())
    high, low = divmod(number, 250)
    private, public = f"10.0.{high % 250}.{low}", f"54.0.{high % 250}.{low}"
    dns = f"ip-{private.replace('.', '-')}.{region}.compute.internal"
    host = f"ec2-{public.replace('.', '-')}.{region}.compute.amazonaws.com"
    group = "<groupSet><item><groupId>sg-0a1b2c3d4e5f60718</groupId><groupName>default</groupName></item></groupSet>"
    association = (
        f"<association><publicIp>{public}</publicIp><publicDnsName>{host}</publicDnsName>"
        "<ipOwnerId>amazon</ipOwnerId></association>"
    )
    return f"""<item><instanceId>i-{number:017x}</instanceId><imageId>ami-0abcdef1234567890</imageId>
<instanceState><code>16</code><name>{state}</name></instanceState><privateDnsName>{dns}</privateDnsName>
<dnsName>{host}</dnsName><reason/><keyName>deploy</keyName><amiLaunchIndex>0</amiLaunchIndex><productCodes/>
<instanceType>t3.micro</instanceType><launchTime>2026-03-02T03:04:05.000Z</launchTime>
<placement><availabilityZone>{region}a</availabilityZone><availabilityZoneId>xxx1-az1</availabilityZoneId><groupName/>
<tenancy>default</tenancy></placement><monitoring><state>disabled</state></monitoring>
<subnetId>subnet-0a1b2c3d4e5f60718</subnetId><vpcId>vpc-0a1b2c3d4e5f60718</vpcId>
<privateIpAddress>{private}</privateIpAddress><ipAddress>{public}</ipAddress><sourceDestCheck>true</sourceDestCheck>
{group}<architecture>x86_64</architecture><rootDeviceType>ebs</rootDeviceType><rootDeviceName>/dev/xvda</rootDeviceName>
<blockDeviceMapping><item><deviceName>/dev/xvda</deviceName><ebs><volumeId>vol-{number:017x}</volumeId>
<status>attached</status><attachTime>2026-01-02T03:04:06.000Z</attachTime>
<deleteOnTermination>true</deleteOnTermination></ebs></item></blockDeviceMapping>
<virtualizationType>hvm</virtualizationType><clientToken>t-{number}</clientToken><tagSet>{pairs}</tagSet>
<hypervisor>xen</hypervisor><networkInterfaceSet><item><networkInterfaceId>eni-{number:017x}</networkInterfaceId>
<subnetId>subnet-0a1b2c3d4e5f60718</subnetId><vpcId>vpc-0a1b2c3d4e5f60718</vpcId><description/>
<ownerId>{ACCOUNT}</ownerId><status>in-use</status><macAddress>02:00:00:00:00:01</macAddress>
<privateIpAddress>{private}</privateIpAddress><privateDnsName>{dns}</privateDnsName>
<sourceDestCheck>true</sourceDestCheck>{group}<attachment><attachmentId>eni-attach-{number:017x}</attachmentId>
<deviceIndex>0</deviceIndex><status>attached</status><attachTime>2026-01-02T03:04:05.000Z</attachTime>
<deleteOnTermination>true</deleteOnTermination><networkCardIndex>0</networkCardIndex></attachment>{association}
<privateIpAddressesSet><item><privateIpAddress>{private}</privateIpAddress><privateDnsName>{dns}</privateDnsName>
<primary>true</primary>{association}</item></privateIpAddressesSet><ipv6AddressesSet>
<item><ipv6Address>2001:db8::{number:x}</ipv6Address><isPrimaryIpv6>false</isPrimaryIpv6></item></ipv6AddressesSet>
<interfaceType>interface</interfaceType></item></networkInterfaceSet><ebsOptimized>false</ebsOptimized>
<enaSupport>true</enaSupport><cpuOptions><coreCount>1</coreCount><threadsPerCore>2</threadsPerCore></cpuOptions>
<capacityReservationSpecification><capacityReservationPreference>open</capacityReservationPreference>
</capacityReservationSpecification><hibernationOptions><configured>false</configured></hibernationOptions>
<enclaveOptions><enabled>false</enabled></enclaveOptions><metadataOptions><state>applied</state>
<httpTokens>required</httpTokens><httpPutResponseHopLimit>2</httpPutResponseHopLimit><httpEndpoint>enabled</httpEndpoint>
<httpProtocolIpv6>disabled</httpProtocolIpv6><instanceMetadataTags>disabled</instanceMetadataTags></metadataOptions>
<platformDetails>Linux/UNIX</platformDetails><usageOperation>RunInstances</usageOperation>
<usageOperationUpdateTime>2026-01-02T03:04:05.000Z</usageOperationUpdateTime><privateDnsNameOptions>
<hostnameType>ip-name</hostnameType><enableResourceNameDnsARecord>false</enableResourceNameDnsARecord>
<enableResourceNameDnsAAAARecord>false</enableResourceNameDnsAAAARecord></privateDnsNameOptions>
<maintenanceOptions><autoRecovery>default</autoRecovery></maintenanceOptions>
<currentInstanceBootMode>legacy-bios</currentInstanceBootMode><operator><managed>false</managed></operator></item>"""


def reservation(*instances: str) -> str:
    """Return a reservation of these instances."""
    return (
        f"<item><reservationId>r-0a1b2c3d4e5f60718</reservationId><ownerId>{ACCOUNT}</ownerId><groupSet/>"
        f"<instancesSet>{''.join(instances)}</instancesSet></item>"
    )


def answer(operation: str, inner: str) -> Response:
    """Return EC2's answer to an operation."""
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{operation}Response xmlns="{_EC2}">\n'
        f"<requestId>0a1b2c3d</requestId>{inner}</{operation}Response>"
    )
    return Response(200, body.encode(), {"Content-Type": "text/xml;charset=UTF-8"})


def refusal(code: str, message: str, status: int = 400, headers: Mapping[str, str] | None = None) -> Response:
    """Return a refusal in EC2's form."""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>'
        f"<Code>{code}</Code><Message>{escape(message)}</Message></Error></Errors><RequestID>0a1b</RequestID></Response>"
    )
    return Response(status, body.encode(), {"Content-Type": "text/xml;charset=UTF-8", **(headers or {})})


def sts_refusal(code: str, message: str, status: int = 403) -> Response:
    """Return a refusal in the form of STS."""
    body = (
        f'<ErrorResponse xmlns="{_STS}"><Error><Type>Sender</Type><Code>{code}</Code>'
        f"<Message>{escape(message)}</Message></Error><RequestId>0a1b</RequestId></ErrorResponse>"
    )
    return Response(status, body.encode(), {"Content-Type": "text/xml"})


UNKNOWN_KEY = "The security token included in the request is invalid."


class FakeEc2(FakeService):
    """The service. It knows the key `KEY`, in every region but those in `disabled`.

    Attributes:
        instances: the XML of the instances of each region, one reservation each.
        disabled: the regions that the account has not enabled.
        keys: the access keys that are known.
        sts: whether there is an STS.
    """

    def __init__(self, instances: Mapping[str, list[str]] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.instances = {region: list(found) for region, found in (instances or {}).items()}
        self.disabled: set[str] = set()
        self.keys = {KEY}
        self.sts = True
        self._numbers = itertools.count(40_000)

    def scope(self, request: Request) -> tuple[str, str, str]:
        """Return key, region and service that a request is signed for."""
        found = re.search(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/", request.headers.get("Authorization", ""))
        return (found[1], found[2], found[3]) if found else ("", "", "")

    def operations(self, name: str = "") -> list[dict[str, str]]:
        """Return the forms of the requests so far, of one operation or of all."""
        forms = [request.form() for request in self.requests]
        return [form for form in forms if not name or form["Action"] == name]

    @route("POST", "/")
    def ask(self, request: Request) -> Response:
        form = request.form()
        key, region, service = self.scope(request)
        operation = form["Action"]
        if service == "sts" and not self.sts:
            return refusal("InvalidAction", f"The action {operation} is not valid for this web service.")
        if key not in self.keys or region in self.disabled:
            if service == "sts":
                return sts_refusal("InvalidClientTokenId", UNKNOWN_KEY)
            return refusal("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
        reply: Response = getattr(self, f"_{operation}")(form, region)
        return reply

    def _GetCallerIdentity(self, _form: dict[str, str], _region: str) -> Response:
        body = (
            f'<GetCallerIdentityResponse xmlns="{_STS}"><GetCallerIdentityResult>'
            f"<Arn>arn:aws:iam::{ACCOUNT}:user/alice</Arn><UserId>AIDA</UserId><Account>{ACCOUNT}</Account>"
            "</GetCallerIdentityResult></GetCallerIdentityResponse>"
        )
        return Response(200, body.encode(), {"Content-Type": "text/xml"})

    def _DescribeRegions(self, _form: dict[str, str], _region: str) -> Response:
        entries = "".join(
            f"<item><regionName>{name}</regionName><regionEndpoint>ec2.{name}.amazonaws.com</regionEndpoint></item>"
            for name in self.instances
            if name not in self.disabled
        )
        return answer("DescribeRegions", f"<regionInfo>{entries}</regionInfo>")

    def _DescribeInstances(self, form: dict[str, str], region: str) -> Response:
        if form.get("DryRun") == "true":
            return refusal("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        found = self.instances.get(region, [])
        wanted = form.get("InstanceId.1") or form.get("Filter.1.Value.1")
        if wanted:
            found = [each for each in found if f">{wanted}<" in each]
            if not found and "InstanceId.1" in form:
                return refusal("InvalidInstanceID.NotFound", f"The instance ID '{wanted}' does not exist")
        first, most = int(form.get("NextToken") or 0), int(form.get("MaxResults") or len(found))
        page = "".join(reservation(each) for each in found[first : first + most])
        more = f"<nextToken>{first + most}</nextToken>" if first + most < len(found) else ""
        return answer("DescribeInstances", f"<reservationSet>{page}</reservationSet>{more}")

    def _RunInstances(self, form: dict[str, str], region: str) -> Response:
        with self.lock:
            made = instance(next(self._numbers), region, "pending", {"Name": form["TagSpecification.1.Tag.1.Value"]})
            self.instances.setdefault(region, []).append(made)
        inner = f"<reservationId>r-1</reservationId><ownerId>{ACCOUNT}</ownerId><groupSet/>"
        return answer("RunInstances", f"{inner}<instancesSet>{made}</instancesSet>")

    def _act(self, form: dict[str, str], region: str) -> Response:
        wanted = form.get("InstanceId.1") or form["ResourceId.1"]
        if not any(f">{wanted}<" in each for each in self.instances.get(region, [])):
            return refusal("InvalidInstanceID.NotFound", f"The instance ID '{wanted}' does not exist")
        return answer(form["Action"], "<return>true</return>")

    _StartInstances = _StopInstances = _RebootInstances = _TerminateInstances = _CreateTags = _act

    def _DescribeInstanceTypes(self, _form: dict[str, str], _region: str) -> Response:
        size = (
            "<item><instanceType>t3.micro</instanceType><vCpuInfo><defaultVCpus>2</defaultVCpus></vCpuInfo>"
            "<memoryInfo><sizeInMiB>1024</sizeInMiB></memoryInfo></item>"
        )
        return answer("DescribeInstanceTypes", f"<instanceTypeSet>{size}</instanceTypeSet>")

    def _DescribeImages(self, _form: dict[str, str], region: str) -> Response:
        image = (
            f"<imageId>ami-{region}</imageId><name>debian</name><creationDate>2026-01-02T03:04:05.000Z</creationDate>"
        )
        return answer("DescribeImages", f"<imagesSet><item>{image}</item></imagesSet>")

    def _DescribeAvailabilityZones(self, _form: dict[str, str], region: str) -> Response:
        zone = f"<zoneName>{region}a</zoneName><regionName>{region}</regionName><zoneState>available</zoneState>"
        return answer("DescribeAvailabilityZones", f"<availabilityZoneInfo><item>{zone}</item></availabilityZoneInfo>")

    def _DescribeSubnets(self, _form: dict[str, str], region: str) -> Response:
        subnet = f"<subnetId>subnet-{region}</subnetId><cidrBlock>10.0.0.0/20</cidrBlock>"
        return answer("DescribeSubnets", f"<subnetSet><item>{subnet}</item></subnetSet>")
