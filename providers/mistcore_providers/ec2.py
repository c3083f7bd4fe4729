"""EC2: Amazon's virtual machines, and those of clouds that speak its API."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mistcore import (
    Account,
    Image,
    InvalidFields,
    Location,
    Machine,
    MistError,
    Network,
    PermissionDenied,
    Provider,
    ProviderError,
    Region,
    Size,
    UnknownRegion,
    ca_certificate,
    credential,
    secret,
    verification,
)
from mistcore.rows import readable
from mistcore_providers._ec2_fields import key_problems, known_region, place_of, region_of_zone, well_formed
from mistcore_providers._ec2_regions import ALL, REGIONS

if TYPE_CHECKING:
    from mistcore_providers._ec2_service import Service

#: EC2's own limit, which is also what it recommends: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html
_PAGE = "1000"
_PAGE_OF_SIZES = "100"
#: Whose public images a search goes through: Amazon, Canonical (also in China and GovCloud), Debian, Red Hat, SUSE,
#: Fedora, Rocky Linux, AlmaLinux, FreeBSD. Each vendor says its own number on its page about AWS.
_VENDORS = (
    "amazon", "099720109477", "837727238323", "513442679011", "136693071363", "309956199498", "013907871322",
    "125523088429", "792107900819", "764336703387", "782442783595",
)  # fmt: skip


class Ec2(Provider):
    """An AWS account in one region of EC2, or (`region="all"`) in every region that it has enabled.

    Three ways in: a key (with its session token if it is temporary); a role assumed with that key; or, without a key,
    AWS's own chain of environment, shared files, SSO and instance role, of which `profile` names a profile.
    """

    title = "EC2"
    regions = REGIONS
    rights = """
    AWS console → IAM → Policies → Create policy, with this JSON; then Users → Create user, attach the policy, and
    Security credentials → Create access key. The first statement is all that reading needs, the second is for acting;
    `check` needs `ec2:DescribeInstances` alone, and with `region="all"` also `ec2:DescribeRegions`.

    ```json
    {
      "Version": "2012-10-17",
      "Statement": [
        {"Sid": "Read", "Effect": "Allow", "Resource": "*", "Action": [
          "ec2:DescribeInstances", "ec2:DescribeRegions",
          "ec2:DescribeInstanceTypes", "ec2:DescribeImages",
          "ec2:DescribeAvailabilityZones", "ec2:DescribeSubnets"
        ]},
        {"Sid": "Act", "Effect": "Allow", "Resource": "*", "Action": [
          "ec2:StartInstances", "ec2:StopInstances", "ec2:RebootInstances",
          "ec2:TerminateInstances", "ec2:RunInstances",
          "ec2:CreateTags", "ec2:ImportKeyPair"
        ]}
      ]
    }
    ```

    `CreateTags` is for renaming and creating, `ImportKeyPair` for creating with the text of a public key. To start
    instances whose volumes are encrypted with a key of your own, add `kms:CreateGrant` on it. For a role
    (`role_arn`), the role has the policy, and the key's user needs only `sts:AssumeRole` on it.
    """
    limits = (
        "A region that is newer than this release needs its `endpoint` as well.",
        "Images are the account's own; a search also goes through those of nine well-known vendors, and no others.",
        "Instances are not hibernated, and sizes have no prices.",
        "Destroying leaves volumes that are not set to be deleted with their instance.",
        "`check` tells whether machines may be listed; whether they may be started or stopped, only trying tells.",
        "Never tried against AWS itself: it is tested with moto, and with a stand-in of what moto lacks.",
    )

    api_key: str = credential(
        "Access key ID",
        default="",
        help="AWS console → IAM → Users → Security credentials → Create access key. Without it, AWS's own chain "
        "(environment, ~/.aws, SSO, instance role) is used.",
        env="AWS_ACCESS_KEY_ID",
        example="AKIAIOSFODNN7EXAMPLE",
    )
    api_secret: str = secret(
        "Secret access key", default="", help="Shown once, when the access key is made.", env="AWS_SECRET_ACCESS_KEY"
    )
    session_token: str = secret(
        "Session token",
        default="",
        help="Comes with temporary keys: those that begin with ASIA.",
        env="AWS_SESSION_TOKEN",
    )
    role_arn: str = credential(
        "Role to assume",
        default="",
        help="AWS console → IAM → Roles → the role's ARN. It is assumed with the key, or with what AWS's chain finds.",
        example="arn:aws:iam::123456789012:role/reader",
    )
    external_id: str = credential(
        "External ID", default="", help="What the role's trust policy asks for, where it does; its owner tells."
    )
    profile: str = credential(
        "Profile", default="", help="The name of a profile in ~/.aws/config or ~/.aws/credentials, in place of a key."
    )
    endpoint: str = credential(
        "API address",
        default="",
        help="Only for emulators and EC2-compatible clouds, whose owner tells it: EC2 and STS are both asked there.",
        example="http://127.0.0.1:4566",
        address=True,
    )
    verify: bool = verification()
    ca_cert: str = ca_certificate()

    def problems(self) -> Mapping[str, str]:
        """Return what cannot be right, without asking: swapped or cut-off keys, a temporary key without its token."""
        return dict(key_problems(self))

    @classmethod
    def find_region(cls, region: str, values: Mapping[str, Any]) -> Region:
        """Return a region by its id or alias; with an `endpoint`, also one that nobody has heard of.

        Raises:
            UnknownRegion: with the nearest names, or with the region of a zone that was given in its place.

        """
        known = known_region(region)
        if known is not None:
            return known
        of_zone = region_of_zone(region)
        if known_region(of_zone) is not None:
            raise UnknownRegion(
                {"region": f"{region!r} is a zone, not a region; its region is {of_zone}"}, provider=cls.id
            )
        if values.get("endpoint") and well_formed(region):
            return Region(region)
        try:
            return super().find_region(region, values)
        except UnknownRegion as error:
            error.remedy = "A region newer than this release can be used by giving its endpoint as well."
            raise

    # -- the account --------------------------------------------------------------------------------------------------

    def check(self) -> Account:
        """Ask STS who this is, then EC2 by a dry run whether instances may be listed.

        Returns the account's number as `id`, the user or role as `name`, and in `details` the ARN. Needs the permission
        ec2:DescribeInstances, and with `region="all"` ec2:DescribeRegions.
        See https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
        """
        who = self._service.identity()
        details: dict[str, Any] = {**who, "region": self.region}
        arn = who.get("arn", "")
        try:
            if self.region == ALL:
                details["regions"] = self._service.enabled_regions()
            self._service.dry_run()
        except MistError as error:
            if isinstance(error, PermissionDenied) and arn and not error.reason:
                error.args = (f"{arn} is known, but {error.message}",)
            raise
        warnings = []
        if arn.endswith(":root"):
            warnings.append("This is a key of the account's root user, which may do anything; use an IAM user or role.")
        if self.endpoint.lower().startswith("http:"):
            warnings.append("The endpoint is plain HTTP: whoever is in between can read and change what is sent.")
        elif not self.verify:
            warnings.append("The service's certificate is not checked.")
        return Account(
            id=who.get("account", "") or self.api_key,
            name=arn.rpartition(":")[2] or self.api_key,
            details=details,
            permissions={"list_machines", "get_machine"},
            warnings=warnings,
        )

    def list_machines(self) -> Iterable[Machine]:
        """Yield the instances, those terminated within the last hour among them (EC2 shows them for that long).

        A machine's `created_at` is when it was made; when it was last started is `extra["launched_at"]`. With
        `region="all"`, if some regions fail the machines of the others come first, then their errors as one that names
        the regions. Needs the permission ec2:DescribeInstances, and for "all" ec2:DescribeRegions.
        """
        service, form = self._service, {"MaxResults": _PAGE}
        return service.in_each_region(lambda region: service.instances(region, form))

    def get_machine(self, machine_id: str) -> Machine:
        """Return one instance. With `region="all"`, one that no listing has shown is looked for in every region."""
        for machine in self._service.find(machine_id):
            return machine
        raise self.machine_not_found(machine_id)

    # -- one machine --------------------------------------------------------------------------------------------------

    def start_machine(self, machine_id: str) -> None:
        """Start a stopped instance. Raises `Rejected` (reason "wrong_state") from other states."""
        self._service.act("StartInstances", machine_id)

    def stop_machine(self, machine_id: str, *, force: bool = False) -> None:
        """Shut an instance down; `force` does not wait for its operating system to write its caches."""
        self._service.act("StopInstances", machine_id, {"Force": "true"} if force else {})

    def reboot_machine(self, machine_id: str) -> None:
        """Reboot an instance; EC2 resets it when it has not shut down within a few minutes."""
        self._service.act("RebootInstances", machine_id)

    def rename_machine(self, machine_id: str, name: str) -> None:
        """Set the tag Name."""
        form = {"Tag.1.Key": "Name", "Tag.1.Value": name}
        self._service.act("CreateTags", machine_id, form, parameter="ResourceId.1")

    def destroy_machine(self, machine_id: str) -> None:
        """Terminate an instance. Raises `Rejected` (reason "protected") where termination protection is on."""
        self._service.act("TerminateInstances", machine_id)

    def create_machine(
        self,
        name: str,
        *,
        image: str,
        size: str,
        location: str = "",
        network: str = "",
        key: str = "",
        user_data: str = "",
        tags: Mapping[str, str] | None = None,
        security_groups: Iterable[str] | str = (),
    ) -> Machine:
        """Create one instance and return it as EC2 has accepted it (state pending).

        Args:
            name: the tag Name.
            image: an AMI's id. size: an instance type ("t3.micro").
            location: a zone, or (for `region="all"`, which needs one) a region; by default EC2 chooses a zone.
            network: a subnet's id; by default one of the default VPC.
            key: the name of a key pair, or a public key's text, which is then imported as one.
            user_data: what cloud-init gets. tags: further tags.
            security_groups: their ids, also as one text with commas.

        """
        region, zone = self._place(location)
        if network.startswith("vpc-"):
            raise InvalidFields({"network": "must be a subnet's id, not a VPC's: see the list of networks"})
        form = {
            "ImageId": image,
            "InstanceType": size,
            "MinCount": "1",
            "MaxCount": "1",
            "ClientToken": str(uuid.uuid4()),  # so that a repeated request makes no second instance
            "Placement.AvailabilityZone": zone,
            "SubnetId": network,
            "KeyName": self._service.key_name(key, region),
            "UserData": base64.b64encode(user_data.encode()).decode(),
        }
        form = {field: value for field, value in form.items() if value}
        form["TagSpecification.1.ResourceType"] = "instance"
        for number, (tag, value) in enumerate({**(tags or {}), "Name": name}.items(), 1):
            form[f"TagSpecification.1.Tag.{number}.Key"] = tag
            form[f"TagSpecification.1.Tag.{number}.Value"] = value
        groups = security_groups.split(",") if isinstance(security_groups, str) else security_groups
        for number, group in enumerate(filter(None, (group.strip() for group in groups)), 1):
            form[f"SecurityGroupId.{number}"] = group
        machine = self._service.run(form, region)
        if machine is None:
            raise ProviderError("EC2 accepted the request but names no instance", reason="malformed")
        return machine

    # -- what there is ------------------------------------------------------------------------------------------------

    def list_sizes(self) -> Iterable[Size]:
        """Yield the instance types of the region (for "all": of the partition's first), by family and size."""
        from mistcore_providers import _ec2_records as records
        from mistcore_providers._ec2_xml import items

        service = self._service
        pages = service.pages("DescribeInstanceTypes", {"MaxResults": _PAGE_OF_SIZES}, service.home)
        sizes = list(readable(records.size, (entry for page in pages for entry in items(page, "instanceTypeSet"))))
        yield from sorted(
            sizes, key=lambda size: (size.id.partition(".")[0], size.cpus or 0, size.memory or 0, size.id)
        )

    def list_images(self, search: str = "") -> Iterable[Image]:
        """Yield the account's own images, and with `search` also Amazon's and well-known vendors', newest first.

        `search` is a part of an image's name in small letters, in capitals or as given, or the id of an image.
        """
        form = {"MaxResults": _PAGE, "Filter.1.Name": "state", "Filter.1.Value.1": "available"}
        owners: tuple[str, ...] = ("self",)
        if search.startswith("ami-"):
            form, owners = {"Filter.1.Name": "image-id", "Filter.1.Value.1": f"{search}*"}, ()
        elif search:
            owners = ("self", *_VENDORS)
            form |= {"Filter.2.Name": "name", "Filter.3.Name": "image-type", "Filter.3.Value.1": "machine"}
            for number, text in enumerate(dict.fromkeys((search, search.lower(), search.title(), search.upper())), 1):
                form[f"Filter.2.Value.{number}"] = f"*{text}*"
        form |= {f"Owner.{number}": owner for number, owner in enumerate(owners, 1)}
        from mistcore_providers import _ec2_records as records

        service = self._service

        def read(region: str) -> Iterator[Image]:
            for page in service.pages("DescribeImages", form, region):
                yield from records.images(page, region)

        images = service.in_each_region(read)
        yield from sorted(
            images, key=lambda image: image.created_at.timestamp() if image.created_at else 0, reverse=True
        )

    def list_locations(self) -> Iterable[Location]:
        """Yield the zones that the account may use."""
        from mistcore_providers import _ec2_records as records
        from mistcore_providers._ec2_xml import items

        service = self._service

        def read(region: str) -> Iterator[Location]:
            root = service.call("DescribeAvailabilityZones", {}, region=region)
            return readable(lambda zone: records.location(zone, place_of(region)), items(root, "availabilityZoneInfo"))

        return service.in_each_region(read)

    def list_networks(self) -> Iterable[Network]:
        """Yield the subnets; the VPC of each is in `extra`."""
        from mistcore_providers import _ec2_records as records
        from mistcore_providers._ec2_xml import items

        service = self._service

        def read(region: str) -> Iterator[Network]:
            for page in service.pages("DescribeSubnets", {"MaxResults": _PAGE}, region):
                yield from readable(lambda subnet: records.network(subnet, region), items(page, "subnetSet"))

        return service.in_each_region(read)

    def close(self) -> None:
        """Let go of the connections and of temporary credentials. Connections that other accounts use stay."""
        self.__dict__.pop("_asked", None)

    def translate_error(self, error: Exception) -> MistError | None:
        """Return our error for one of botocore's."""
        from mistcore_providers._ec2_errors import translate

        return translate(error, self.region)

    # -- how ----------------------------------------------------------------------------------------------------------

    @property
    def _service(self) -> Service:
        from mistcore_providers._ec2_service import Service

        asked: Service = self.__dict__.get("_asked") or self.__dict__.setdefault("_asked", Service(self))
        return asked

    def _place(self, location: str) -> tuple[str, str]:
        """Return the region and the zone ("" where EC2 is to choose) to create a machine in."""
        known = known_region(location) if location != ALL else None
        region = known.id if known is not None else region_of_zone(location)
        zone = "" if known is not None else location
        if self.region == ALL:
            if not region:
                words = f"{location!r} is neither a zone nor a region" if location else "missing: a zone or a region"
                raise InvalidFields({"location": words})
            return region, zone
        if region and region != self.region and not self.endpoint:
            raise InvalidFields({"location": f"{location!r} is not in {self.region}"})
        return self.region, zone
