"""vcloud against responses that were recorded from a vCloud Director 1.5, and against VMware's schema of the API."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from fakes.vcloud import FakeVcloud

from mistcore import PermissionDenied, Rejected
from mistcore.http import Failure
from mistcore_providers._vcloud_data import (
    address_rows,
    href_id,
    machine_of,
    parse_xml,
    record_of,
    rows,
    state_of,
)
from mistcore_providers._vcloud_errors import NO_ACCESS, meaning, task_error
from mistcore_providers.vcloud import Vcloud


@pytest.fixture
def recorded(api_specs: Path) -> Any:
    def read(name: str) -> Any:
        return parse_xml((api_specs / "vcloud/libcloud_1.5" / f"{name}.xml").read_bytes())

    return read


def test_every_recorded_document_is_read(api_specs: Path) -> None:
    files = sorted((api_specs / "vcloud").glob("libcloud_*/*.xml"))
    assert len(files) >= 50
    for file in files:
        assert isinstance(parse_xml(file.read_bytes()), dict), file.name


def test_a_query(recorded: Any) -> None:
    body = recorded("api_query_vm")
    assert int(body["total"]) == 1
    (record,) = body["record"]
    machine = machine_of(record)
    assert machine.id == "dd75d1d3-5b7b-48f0-aff3-69622ab7e046"
    assert (machine.name, machine.state, machine.size) == ("testVm2", "stopped", "2x4096")
    assert machine.extra["guest_os"] == "Microsoft Windows 10 (64-bit)"
    assert machine.extra["networkName"] == "TEST_NETWORK"
    assert machine.extra["isDeployed"] is False
    assert machine.extra["vapp_id"] == "8c57a5b6-e61b-48ca-8a78-3b70ee65ef6b"


def test_a_vapp(recorded: Any) -> None:
    vapp = recorded("api_vApp_vapp_8c57a5b6_e61b_48ca_8a78_3b70ee65ef6b")
    vms = rows(vapp["children"]["vm"])
    assert [vm["name"] for vm in vms] == ["testVm2"]
    assert state_of(vms[0]["status"]) == "running"
    assert address_rows(vms[0])
    record = record_of(vms[0])
    assert href_id(record["container"]) == "8c57a5b6-e61b-48ca-8a78-3b70ee65ef6b"
    assert machine_of(record, address_rows(vms[0])).name == "testVm2"


def test_a_task_that_failed(recorded: Any) -> None:
    error = task_error(recorded("api_task_undeploy_error"))
    assert isinstance(error, Rejected)
    assert error.reason == "tools"
    assert "vappUndeployPowerOff failed: Error in powering off" in str(error)


def test_a_template_is_being_instantiated(recorded: Any) -> None:
    vapp = recorded("api_vdc_3d9ae28c_1de9_4307_8107_9356ff8ba6d0_action_instantiateVAppTemplate")
    (task,) = rows(vapp["tasks"]["task"])
    assert task["status"] == "running"
    assert href_id(task["href"]) == "b034df55-fe81-4798-bc81-1f0fd0ead450"


def test_an_entity_that_may_not_be_seen(api_specs: Path) -> None:
    text = (api_specs / "vcloud/libcloud_1.5/api_vApp_vapp_access_to_resource_forbidden.xml").read_text()
    error = meaning(Failure(403, {}, None, text, "GET", "https://vcd/api/vApp/vapp-1"))
    assert isinstance(error, PermissionDenied)
    assert error.reason == NO_ACCESS
    assert "No access to entity" in error.message


def test_an_organisation_and_its_session(recorded: Any) -> None:
    session = recorded("api_sessions")
    assert (session["user"], session["org"]) == ("a", "MyOrg")
    assert len(rows(session["link"])) == 4


@pytest.fixture(scope="session")
def schema(api_specs: Path) -> Any:
    """VMware's schema of what is sent; without the extensions for administrators, which are not at hand."""
    etree = pytest.importorskip("lxml.etree")
    spec = api_specs / "vcloud/spec/rest-api-1.5"

    class Local(etree.Resolver):
        def resolve(self, url: str, public_id: str, context: Any) -> Any:
            for folder in (spec / "schemas/external/ovf1.1", spec / "schemas/external"):
                if url.startswith("http") and (folder / os.path.basename(url)).exists():  # noqa: PTH119 - of an address
                    return self.resolve_filename(str(folder / os.path.basename(url)), context)  # noqa: PTH119
            return None

    parser = etree.XMLParser(no_network=True)
    parser.resolvers.add(Local())
    folder = spec / "1.5/schemas/vcloud"
    included = "".join(f'<xs:include schemaLocation="{file}"/>' for file in sorted(folder.glob("*.xsd")))
    text = f"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" elementFormDefault="qualified"
        targetNamespace="http://www.vmware.com/vcloud/v1.5">{included}</xs:schema>"""
    return etree.XMLSchema(etree.fromstring(text.encode(), parser, base_url=str(folder / "all.xsd")))


def test_what_is_sent_is_what_the_schema_says(schema: Any) -> None:
    from lxml import etree

    with FakeVcloud() as cloud:
        cloud.add_template("debian")
        provider = Vcloud(host=cloud.url, organization="Acme", username="jane", password="s3cret")
        for address in ("pool", "10.1.0.9"):
            options = {"network": "lan", "address": address, "user_data": "echo '<&>'"}
            machine = provider.create_machine(f"new {address}", image="debian", **options)
        provider.rename_machine(machine.id, "other & more")
        provider.stop_machine(machine.id, force=True)
        bodies = [request.body for request in cloud.requests if request.body.startswith(b"<")]
    assert len(bodies) == 4
    for body in bodies:
        assert schema.validate(etree.fromstring(body)), schema.error_log
