"""How EC2 and STS are asked: botocore without the service model, one client for all accounts of a region.

A botocore client costs a few milliseconds and the EC2 model some 50 MB, most of it for describing what is in the
answers. Here botocore gets a model that names the operations and nothing else, and does what it is good at: the rules
of endpoints, signing, retries. The rest goes through its extension points:

- the loader component hands out the small model, the rest is the installed botocore's own data;
- `before-parameter-build` and `before-call` put in the form of a request and whose credentials sign it, so that one
  client (and its connections) serves every account;
- `before-send` sends through mistcore's own transport, which ends in time whatever the network does;
- the response parser component hands out the answer as it came, to be read by `_ec2_xml` and `_ec2_records`.

This module imports botocore; nothing imports it before the first request.
"""

from __future__ import annotations

import io
import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import botocore
import botocore.awsrequest
import botocore.config
import botocore.exceptions
import botocore.loaders
import botocore.parsers
import botocore.session
import requests
from requests.structures import CaseInsensitiveDict

from mistcore.deadline import remaining
from mistcore.errors import MistError
from mistcore.http.transport import Broken, Transport
from mistcore.others_logs import silent
from mistcore_providers import _ec2_xml as xml

__all__ = ["PassingFailure", "Wire", "wire_to"]

#: Attempts in all, of those requests whose failure botocore holds to be passing.
ATTEMPTS = 3
_LARGEST_ANSWER = 32 * 2**20
#: How many wires are kept although nobody uses them just now.
_SPARE = 8

#: The facts that botocore signs and addresses requests by, from the `metadata` of its own service models.
_METADATA = {
    "ec2": {
        "apiVersion": "2016-11-15",
        "endpointPrefix": "ec2",
        "protocol": "ec2",
        "protocols": ["ec2"],
        "serviceFullName": "Amazon Elastic Compute Cloud",
        "serviceId": "EC2",
        "signatureVersion": "v4",
        "xmlNamespace": "http://ec2.amazonaws.com/doc/2016-11-15",
    },
    "sts": {
        "apiVersion": "2011-06-15",
        "endpointPrefix": "sts",
        "globalEndpoint": "sts.amazonaws.com",
        "protocol": "query",
        "protocols": ["query"],
        "serviceFullName": "AWS Security Token Service",
        "serviceId": "STS",
        "signatureVersion": "v4",
        "xmlNamespace": "https://sts.amazonaws.com/doc/2011-06-15/",
    },
}
_OPERATIONS = {
    "ec2": (
        "CreateTags", "DescribeAvailabilityZones", "DescribeImages", "DescribeInstanceTypes", "DescribeInstances",
        "DescribeRegions", "DescribeSubnets", "ImportKeyPair", "RebootInstances", "RunInstances", "StartInstances",
        "StopInstances", "TerminateInstances",
    ),
    "sts": ("AssumeRole", "GetCallerIdentity"),
}  # fmt: skip

_limit: ContextVar[float] = ContextVar("mistcore_ec2_limit")


class PassingFailure(botocore.exceptions.HTTPClientError):  # type: ignore[misc]
    """A failure of the network that botocore is to try again; `error` is ours."""

    fmt = "{error}"

    def __init__(self, error: MistError) -> None:
        super().__init__(error=error)
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.error,)


class _Loader(botocore.loaders.Loader):  # type: ignore[misc]
    """Botocore's data, but for the models and for the table of endpoints: the rules for these are kept elsewhere."""

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:
        if type_name == "service-2":
            operations = {
                name: {"name": name, "http": {"method": "POST", "requestUri": "/"}}
                for name in _OPERATIONS[service_name]
            }
            return {"version": "2.0", "metadata": _METADATA[service_name], "operations": operations, "shapes": {}}
        return super().load_service_model(service_name, type_name, api_version)

    def load_data_with_path(self, name: str) -> tuple[Any, str]:
        # Since rule sets say where each service is, the table of all endpoints (8 MB of memory) has nothing to add.
        data, path = super().load_data_with_path("partitions" if name == "endpoints" else name)
        return (_endpoints(data) if name == "endpoints" else data), path


def _endpoints(partitions: Any) -> dict[str, Any]:
    return {
        "version": 3,
        "partitions": [
            {
                "partition": each["id"],
                "partitionName": each["id"],
                "dnsSuffix": each["outputs"]["dnsSuffix"],
                "regionRegex": each["regionRegex"],
                "regions": each["regions"],
                "defaults": {
                    "hostname": "{service}.{region}.{dnsSuffix}", "protocols": ["https"], "signatureVersions": ["v4"],
                },
                "services": {},
            }
            for each in partitions["partitions"]
        ],
    }  # fmt: skip


class _Parser:
    """Takes the place of botocore's parsers: an answer is its tree, a refusal its code and message."""

    def create_parser(self, _protocol: str) -> _Parser:
        return self

    def set_parser_defaults(self, **_defaults: Any) -> None:
        """Do nothing: botocore's factory takes this call, and clients may make it."""

    def parse(self, response: Mapping[str, Any], _shape: Any) -> dict[str, Any]:
        status, body = response["status_code"], response["body"]
        about = {"HTTPStatusCode": status, "HTTPHeaders": {k.lower(): v for k, v in response["headers"].items()}}
        if status >= 300:
            code, message = xml.error_in(body)
            return {"Error": {"Code": code or str(status), "Message": message}, "ResponseMetadata": about}
        return {"Body": body, "ResponseMetadata": about}


class _Whole(io.BytesIO):
    def stream(self, **_options: Any) -> Iterator[bytes]:
        yield self.getvalue()


class Wire:
    """One botocore client of a service in a region: thread-safe, shared by all accounts there."""

    def __init__(self, service: str, region: str, endpoint: str, verify: bool, ca_cert: str) -> None:
        plain = endpoint.lower().startswith("http:")  # then there is no certificate, and no need to load the CAs
        self._transport = Transport(verify=verify and not plain, ca_cert=ca_cert or os.environ.get("AWS_CA_BUNDLE", ""))
        self._client: Any = _session().create_client(
            service,
            region_name=region,
            endpoint_url=endpoint or None,
            aws_access_key_id="unused",  # each request brings its own
            aws_secret_access_key="unused",  # noqa: S106
            config=botocore.config.Config(
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                ignore_configured_endpoint_urls=True,
                parameter_validation=False,
                user_agent_extra="mistcore",
            ),
        )
        events = self._client.meta.events
        events.register(f"before-parameter-build.{service}", _take_request)
        events.register(f"before-call.{service}", _fill_request)
        events.register(f"before-send.{service}", self._send)

    def call(self, operation: str, form: Mapping[str, str], *, credentials: Any, limit: float) -> bytes:
        """Ask for an operation and return the answer, which is XML.

        Args:
            operation: EC2's name for it. form: its parameters, as they go over the wire.
            credentials: those of botocore that sign it. limit: seconds that each attempt may take at the most.

        Raises:
            botocore.exceptions.ClientError: the service refused. MistError, PassingFailure: it did not answer.

        """
        token = _limit.set(limit)
        try:
            with silent():
                answer = getattr(self._client, botocore.xform_name(operation))(form=form, credentials=credentials)
        finally:
            _limit.reset(token)
        body: bytes = answer["Body"]
        return body

    @property
    def host(self) -> str:
        """The host (and port) that is asked."""
        return str(urlsplit(self._client.meta.endpoint_url).netloc)

    def _send(self, request: Any, **_event: Any) -> Any:
        """Answer botocore's `before-send`: do the sending in its place."""
        url = urlsplit(request.url)
        prepared = requests.PreparedRequest()
        prepared.method, prepared.url, prepared.body = request.method, request.url, request.body
        prepared.headers = CaseInsensitiveDict(
            (name, value.decode() if isinstance(value, bytes) else str(value))
            for name, value in request.headers.items()
        )
        del request  # whose `repr` holds the headers
        try:
            response, body = self._transport.exchange(
                prepared,
                origin=f"{url.scheme}://{url.netloc}",
                seconds=remaining(_limit.get()),
                max_body=_LARGEST_ANSWER,
            )
        except Broken as broken:
            raise (PassingFailure(broken.error) if broken.passing else broken.error) from broken.__cause__
        return botocore.awsrequest.AWSResponse(prepared.url, response.status_code, response.headers, _Whole(body))


def _take_request(params: dict[str, Any], context: dict[str, Any], **_event: Any) -> None:
    context["form"] = params.pop("form")
    context["signing"] = {"request_credentials": params.pop("credentials")}


def _fill_request(params: dict[str, Any], context: dict[str, Any], **_event: Any) -> None:
    params["body"].update(context["form"])


# -- shared by all ----------------------------------------------------------------------------------------------------

_lock = threading.RLock()
_wires: WeakValueDictionary[tuple[Any, ...], Wire] = WeakValueDictionary()
_spare: deque[Wire] = deque(maxlen=_SPARE)
_shared: list[botocore.session.Session] = []


def _session() -> botocore.session.Session:
    """Return the one session of all wires. It reads no file of AWS's: an account is what its fields say."""
    if not _shared:
        files = dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
        session = botocore.session.Session(session_vars={**files, "profile": (None, None, None, None)})
        session.set_config_variable("sts_regional_endpoints", "regional")  # not every botocore does so by itself
        session.register_component("data_loader", _Loader())
        session.register_component("response_parser_factory", _Parser())
        _shared.append(session)
    return _shared[0]


def wire_to(service: str, region: str, *, endpoint: str, verify: bool, ca_cert: str) -> Wire:
    """Return the wire to a service ("ec2", "sts") in a region; those who hold it share it."""
    key = (os.getpid(), service, region, endpoint, verify, ca_cert)
    with _lock:
        wire = _wires.get(key)
        if wire is None:
            wire = _wires[key] = Wire(service, region, endpoint, verify, ca_cert)
            _spare.append(wire)
        return wire
