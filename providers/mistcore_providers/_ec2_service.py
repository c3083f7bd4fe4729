"""How an account asks EC2: its credentials, the wires to its regions, and the steps that take more than one call."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from mistcore import Machine
from mistcore.deadline import sleep
from mistcore.errors import MistError, PermissionDenied, ProviderError
from mistcore.parallel import in_parallel
from mistcore_providers import _ec2_credentials as ways
from mistcore_providers import _ec2_errors as errors
from mistcore_providers import _ec2_xml as xml
from mistcore_providers._ec2_fields import home_of, partition_of, role_partition
from mistcore_providers._ec2_records import read_instances
from mistcore_providers._ec2_regions import ALL
from mistcore_providers._ec2_wire import Wire, wire_to

if TYPE_CHECKING:
    from mistcore_providers.ec2 import Ec2

__all__ = ["Service"]

T = TypeVar("T")

#: For so many seconds after it was created, EC2 may not know an instance everywhere yet.
_YOUNG = 30.0
_MOST_EMPTY_PAGES = 100
_ABOUT = frozenset({"nextToken", "requestId"})


class Service:
    """What an account keeps between calls, and how it asks. Used by several threads at once."""

    def __init__(self, account: Ec2) -> None:
        self._account = account
        self._wires: dict[tuple[int, str, str], Wire] = {}
        self._credentials: Any = None
        self._region_of: dict[str, str] = {}
        self._created: dict[str, float] = {}

    @property
    def home(self) -> str:
        """The region that is asked what concerns no region in particular."""
        account = self._account
        return home_of(ALL, role_partition(account.role_arn)) if account.region == ALL else account.region

    # -- asking -------------------------------------------------------------------------------------------------------

    def call(
        self, operation: str, form: Mapping[str, str], *, region: str, service: str = "ec2", credentials: Any = None
    ) -> Any:
        """Ask for an operation in a region and return the root element of the answer. Raises as `Wire.call` does."""
        return self._read(operation, form, region, xml.parse, service, credentials)

    def pages(self, operation: str, form: Mapping[str, str], region: str) -> Iterator[Any]:
        """Yield the root element of each page of an answer."""

        def read(body: bytes, expected: str) -> tuple[Any, str]:
            root = xml.parse(body, expected)
            return root, xml.text(root, "nextToken")

        return self._turn(operation, form, region, read, _texts)

    def _turn(
        self,
        operation: str,
        form: Mapping[str, str],
        region: str,
        read: Callable[[bytes, str], tuple[T, str]],
        mark: Callable[[T], list[str]],
    ) -> Iterator[T]:
        """Yield what `read` makes of each page; it also returns the token of the next one. `mark` tells pages apart."""
        token, before, empty = "", [""], 0
        while True:
            last = token
            page, token = self._read(operation, {**form, "NextToken": token} if token else form, region, read)
            found = mark(page)
            empty = 0 if found else empty + 1  # a few in a row are nothing odd: EC2 filters what it has cut into pages
            if token and (token == last or (found and found == before) or empty > _MOST_EMPTY_PAGES):
                raise ProviderError(f"{operation} goes round in circles: the same page again", reason="malformed")
            yield page
            if not token:
                return
            before = found

    def _read(
        self,
        operation: str,
        form: Mapping[str, str],
        region: str,
        read: Callable[[bytes, str], T],
        service: str = "ec2",
        credentials: Any = None,
    ) -> T:
        account = self._account
        key = (os.getpid(), service, region)  # a forked child must not share the connections
        wire = self._wires.get(key)
        if wire is None:
            wire = self._wires[key] = wire_to(
                service, region, endpoint=account.endpoint, verify=account.verify, ca_cert=account.ca_cert
            )
        body = wire.call(operation, form, credentials=credentials or self._signer(), limit=account.default_timeout)
        try:
            return read(body, operation)
        except xml.Malformed as error:
            raise ProviderError(
                f"the answer of {wire.host} to {operation} is not what EC2 answers: {error}",
                reason="malformed",
                remedy="Try again; if it stays so, a proxy may be in between, or the endpoint may be another service.",
            ) from None

    def _signer(self) -> Any:
        if self._credentials is None:
            account = self._account
            if account.api_key:
                own = ways.static(account.api_key, account.api_secret, account.session_token)
            else:
                own = ways.chain(account.profile)
            if account.role_arn:

                def assume(form: dict[str, str]) -> Any:
                    return self.call("AssumeRole", form, region=self.home, service="sts", credentials=own)

                self._credentials = ways.role(account.role_arn, account.external_id, assume)
            else:
                self._credentials = own
        return self._credentials

    # -- regions ------------------------------------------------------------------------------------------------------

    def enabled_regions(self) -> list[str]:
        """Return the regions that the account has enabled; those of another partition are never among them."""
        root = self.call("DescribeRegions", {}, region=self.home)
        named = [xml.text(entry, "regionName") for entry in xml.items(root, "regionInfo")]
        return [region for region in named if partition_of(region) == partition_of(self.home)]

    def in_each_region(self, read: Callable[[str], Iterable[T]]) -> Iterator[T]:
        """Yield what the account's region answers, or (for "all") what each does, asked side by side.

        A region that fails does not keep the others from answering: its error, naming it, is raised at the end.
        """
        if self._account.region != ALL:
            yield from read(self._account.region)
            return
        regions = self.enabled_regions()
        failed: dict[str, MistError] = {}

        def ask(region: str) -> list[T]:
            try:
                return list(read(region))
            except Exception as error:
                ours = error if isinstance(error, MistError) else errors.translate(error, region)
                if ours is None:
                    raise
                if ours is not error:
                    ours.__cause__ = error
                failed[region] = ours
                return []

        for found in in_parallel(ask, regions, workers=16):
            yield from found
        if failed:
            raise errors.combined({region: failed[region] for region in regions if region in failed})

    # -- machines -----------------------------------------------------------------------------------------------------

    def instances(self, region: str, form: Mapping[str, str]) -> Iterator[Machine]:
        """Yield the machines that DescribeInstances answers in a region."""
        read = partial(read_instances, region=region)
        for machines in self._turn("DescribeInstances", form, region, read, _ids):
            if self._account.region == ALL:
                self._region_of.update((machine.id, region) for machine in machines)
            yield from machines

    def find(self, machine_id: str) -> Iterable[Machine]:
        """Return the machine with this id, if it is there; in every region where it is not known in which."""
        region = self._region_of.get(machine_id) if self._account.region == ALL else self._account.region
        if region:
            form = {"InstanceId.1": machine_id}
            return self._patiently(machine_id, lambda: list(self.instances(region, form)))
        # As a filter, an id that a region does not know is no error there.
        form = {"Filter.1.Name": "instance-id", "Filter.1.Value.1": machine_id}
        return self.in_each_region(lambda region: self.instances(region, form))

    def act(
        self, operation: str, machine_id: str, options: Mapping[str, str] | None = None, parameter: str = "InstanceId.1"
    ) -> None:
        """Do something to one machine."""
        region = self._account.region
        if region == ALL and machine_id not in self._region_of:
            region = next((machine.extra["region"] for machine in self.find(machine_id)), "")
            if not region:
                raise self._account.machine_not_found(machine_id)
        elif region == ALL:
            region = self._region_of[machine_id]
        form = {parameter: machine_id, **(options or {})}
        self._patiently(machine_id, lambda: self.call(operation, form, region=region))

    def run(self, form: Mapping[str, str], region: str) -> Machine | None:
        """Create an instance and return it."""
        for machine in self._read("RunInstances", form, region, partial(read_instances, region=region))[0]:
            self._created[machine.id] = time.monotonic()
            self._region_of[machine.id] = region
            return machine
        return None

    def _patiently(self, machine_id: str, ask: Callable[[], T]) -> T:
        """Ask again for a while where EC2 does not know an instance yet that it has just created.

        See https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html
        """
        while True:
            try:
                return ask()
            except Exception as error:
                age = time.monotonic() - self._created.get(machine_id, float("-inf"))
                if errors.code_of(error) != "InvalidInstanceID.NotFound" or age > _YOUNG:
                    raise
                sleep(1.0)

    def key_name(self, key: str, region: str) -> str:
        """Return the name of a key pair; a public key's text is imported under a name made from it."""
        if not key.startswith(("ssh-", "ecdsa-", "sk-")) or " " not in key.strip():
            return key
        kind_and_key = " ".join(key.split()[:2])
        name = f"mistcore-{hashlib.sha256(kind_and_key.encode()).hexdigest()[:16]}"
        form = {"KeyName": name, "PublicKeyMaterial": base64.b64encode(key.strip().encode()).decode()}
        try:
            self.call("ImportKeyPair", form, region=region)
        except Exception as error:
            if errors.code_of(error) != "InvalidKeyPair.Duplicate":
                raise
        return name

    # -- who and whether ----------------------------------------------------------------------------------------------

    def identity(self) -> dict[str, str]:
        """Return account, ARN and user id by STS; nothing where an endpoint has no STS."""
        try:
            return self._caller(self.home)
        except Exception as error:
            if self._account.endpoint and errors.means_no_sts(error):
                return {}
            if errors.code_of(error) not in errors.UNKNOWN_KEY or home_of(self._account.region) == self.home:
                raise
            try:
                self._caller(home_of(self._account.region))
            except Exception:  # noqa: BLE001 - the first answer says it
                raise error from None
            raise self._not_enabled() from error

    def _caller(self, region: str) -> dict[str, str]:
        root = self.call("GetCallerIdentity", {}, region=region, service="sts")
        result = xml.items(root, "GetCallerIdentityResult")
        return {
            name: xml.text(result, tag) for name, tag in (("account", "Account"), ("arn", "Arn"), ("user_id", "UserId"))
        }

    def dry_run(self) -> None:
        """Ask whether instances may be listed, without listing them. Raises what says that they may not."""
        try:
            # A cloud that knows no dry runs lists: then at least not everything.
            self.call("DescribeInstances", {"DryRun": "true", "MaxResults": "5"}, region=self.home)
        except Exception as error:
            code = errors.code_of(error)
            if code == "DryRunOperation":
                return
            if code in errors.UNKNOWN_KEY and not self._account.endpoint:  # to STS they were good
                raise self._not_enabled() from error
            ours = self._account.translate_error(error)
            raise error if ours is None else ours from error

    def _not_enabled(self) -> PermissionDenied:
        return PermissionDenied(
            f"the account has not enabled the region {self._account.region}",
            reason="region_not_enabled",
            remedy="Enable it in the AWS console (Account → AWS Regions), or use another region.",
        )


def _ids(machines: Iterable[Machine]) -> list[str]:
    return [machine.id for machine in machines]


def _texts(root: Any) -> list[str]:
    """Return all text of an answer that is not about the answer itself."""
    texts = ((element.text or "").strip() for element in root.iter() if xml.local(element) not in _ABOUT)
    return [text for text in texts if text]
