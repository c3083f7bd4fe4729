"""What is done to machines: requests whose bodies are XML, which every version takes, and the tasks that they start."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

import attrs

from mistcore import InvalidFields, MistError, PermissionDenied, ProviderError, Rejected
from mistcore.deadline import sleep
from mistcore_providers._vcloud_data import address_rows, flag, href_id, rows
from mistcore_providers._vcloud_errors import NO_ACCESS, task_error
from mistcore_providers._vcloud_session import VcloudSession

__all__ = ["NewMachine", "Vms"]

_NS = "http://www.vmware.com/vcloud/v1.5"
_OVF = "http://schemas.dmtf.org/ovf/envelope/1"
_TYPE = "application/vnd.vmware.vcloud.{}+xml"
#: Seconds that a task is waited for where no deadline is nearer.
_TASK_SECONDS = 900.0
_OVER = ("success", "error", "canceled", "aborted")


@attrs.frozen
class NewMachine:
    """What `create_machine` was asked for, every thing of it found: ids, or "" where none was named."""

    name: str
    template: str
    vdc: str
    network: str = ""
    address: str = "pool"
    policy: str = ""
    storage_profile: str = ""
    script: str = ""
    start: bool = True


class Vms:
    """The virtual machines of a session: entities, actions and tasks."""

    def __init__(self, session: VcloudSession) -> None:
        self._session = session

    def get(self, machine_id: str, missing: MistError) -> dict[str, Any]:
        """Return the entity. What is not there is refused as what may not be seen, so that both are `missing`."""
        try:
            vm: dict[str, Any] = self._session.get(f"api/vApp/vm-{machine_id}", missing=missing)
        except PermissionDenied as error:
            if error.reason == NO_ACCESS:
                raise missing from error
            raise
        return vm

    def act(self, machine_id: str, action: str, missing: MistError, body: ET.Element | None = None) -> None:
        """Start an action ("power/action/powerOn") and wait until it is done."""
        self._start("POST", f"api/vApp/vm-{machine_id}/{action}", body, missing)

    def undeploy(self, machine_id: str, missing: MistError, *, kind: str = "vm") -> None:
        """Cut the power, if it is on, and give back what the host had reserved."""
        body = ET.Element(f"{{{_NS}}}UndeployVAppParams")
        ET.SubElement(body, f"{{{_NS}}}UndeployPowerAction").text = "powerOff"
        self._start("POST", f"api/vApp/{kind}-{machine_id}/action/undeploy", body, missing)

    def rename(self, machine_id: str, name: str, missing: MistError) -> None:
        """Give it another name; every section that the body leaves out stays as it is."""
        self.act(machine_id, "action/reconfigureVm", missing, ET.Element(f"{{{_NS}}}Vm", name=name))

    def destroy(self, machine_id: str, missing: MistError, *, force: bool) -> None:
        """Delete it, and its vApp where that exists for nothing else."""
        vm = self.get(machine_id, missing)
        running = str(vm.get("status")) in ("4", "5")
        if running and not force:
            raise Rejected("the machine runs", reason="state", remedy="Stop it first, or use force.")
        vapp = next((href_id(link.get("href")) for link in rows(vm.get("link")) if link.get("rel") == "up"), "")
        alone = bool(vapp) and self._is_alone(vapp, str(vm.get("name") or ""), missing)
        kind, target = ("vapp", vapp) if alone else ("vm", machine_id)
        if running or flag(vm.get("deployed")):
            self.undeploy(target, missing, kind=kind)
        self._start("DELETE", f"api/vApp/{kind}-{target}", None, missing)

    def addresses_of_vapp(self, vapp_id: str) -> dict[str, list[str]]:
        """Return the addresses of the machines of a vApp, by machine; nothing where it may not be seen or is gone."""
        try:
            vapp = self._session.get(f"api/vApp/vapp-{vapp_id}")
        except (PermissionDenied, ProviderError) as error:
            if isinstance(error, PermissionDenied) or error.status == 404:
                return {}
            raise
        return {href_id(vm.get("href")): address_rows(vm) for vm in _children(vapp) if isinstance(vm, Mapping)}

    def create(self, wanted: NewMachine, missing: MistError) -> str:
        """Create a vApp from a template and return the id of its machine."""
        template = self._session.get(f"api/vAppTemplate/vappTemplate-{wanted.template}", missing=missing)
        sources = [vm for vm in _children(template) if vm.get("href")]
        if len(sources) > 1:
            raise InvalidFields({"image": f"has {len(sources)} machines, of which one at a time can be created"})
        base = self._session.base_url
        root = ET.Element(
            f"{{{_NS}}}InstantiateVAppTemplateParams",
            {"name": wanted.name, "deploy": _word(wanted.start), "powerOn": _word(wanted.start)},
        )
        network = self._network(wanted.network) if wanted.network else {}
        if network:
            parameters = ET.SubElement(root, f"{{{_NS}}}InstantiationParams")
            _network_config(parameters, network, f"{base}/api/network/{wanted.network}")
        ET.SubElement(root, f"{{{_NS}}}Source", href=f"{base}/api/vAppTemplate/vappTemplate-{wanted.template}")
        for source in sources:
            item = ET.SubElement(root, f"{{{_NS}}}SourcedItem")
            _sourced_item(item, f"{base}/api/vAppTemplate/vm-{href_id(source['href'])}", wanted, network, base)
        ET.SubElement(root, f"{{{_NS}}}AllEULAsAccepted").text = "true"
        kind = _TYPE.format("instantiateVAppTemplateParams")
        answer = self._session.post(
            f"api/vdc/{wanted.vdc}/action/instantiateVAppTemplate",
            data=_bytes(root),
            headers={"Content-Type": kind},
            missing=missing,
        )
        vapp_id = href_id(answer.get("href"))
        tasks = answer.get("tasks")
        for task in rows(tasks.get("task")) if isinstance(tasks, Mapping) else []:
            self.wait(task)
        made = _children(self._session.get(f"api/vApp/vapp-{vapp_id}", missing=missing))
        if not made:
            raise ProviderError("the new vApp has no machine in it", reason="garbled")
        return href_id(made[0].get("href"))

    def wait(self, task: Mapping[str, Any]) -> None:
        """Wait until a task is done.

        Raises:
            Rejected: it failed. Unreachable: (reason "timeout") the deadline in force passed; the task goes on.
            ProviderError: (reason "timeout") it takes longer than a quarter of an hour.

        """
        path = f"api/task/{href_id(task.get('href') or task.get('id'))}"
        end = time.monotonic() + _TASK_SECONDS
        pause = 0.1
        while True:
            status = str(task.get("status") or "")
            if status == "success":
                return
            if status in _OVER:
                raise task_error(task)
            if time.monotonic() > end:
                raise ProviderError(
                    f"{task.get('operationName') or 'a task'} takes long and goes on",
                    reason="timeout",
                    remedy="Look at the machine again later.",
                )
            sleep(pause)
            pause = min(pause * 1.5, 3.0)
            task = self._session.get(path)

    def _start(self, method: str, path: str, body: ET.Element | None, missing: MistError) -> None:
        options: dict[str, Any] = {}
        if body is not None:
            name = body.tag.rpartition("}")[2]
            options = {"data": _bytes(body), "headers": {"Content-Type": _TYPE.format(name[:1].lower() + name[1:])}}
        try:
            task = self._session.request(method, path, missing=missing, **options).json()
        except PermissionDenied as error:
            if error.reason == NO_ACCESS:
                raise missing from error
            raise
        if isinstance(task, Mapping):
            self.wait(task)

    def _is_alone(self, vapp_id: str, name: str, missing: MistError) -> bool:
        """Tell whether a vApp holds this machine only, and was made for it: by its name, or by vCloud itself."""
        try:
            vapp = self._session.get(f"api/vApp/vapp-{vapp_id}", missing=missing)
        except PermissionDenied:
            return False
        return len(_children(vapp)) == 1 and (vapp.get("name") == name or flag(vapp.get("autoNature")))

    def _network(self, network_id: str) -> dict[str, Any]:
        missing = InvalidFields({"network": f"there is no network {network_id!r}"})
        network: dict[str, Any] = self._session.get(f"api/network/{network_id}", missing=missing)
        return network


def _children(vapp: Mapping[str, Any]) -> list[dict[str, Any]]:
    children = vapp.get("children")
    return rows(children.get("vm")) if isinstance(children, Mapping) else []


def _word(value: bool) -> str:
    return "true" if value else "false"


def _bytes(root: ET.Element) -> bytes:
    ET.register_namespace("", _NS)
    ET.register_namespace("ovf", _OVF)
    data: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return data


def _network_config(parameters: ET.Element, network: Mapping[str, Any], href: str) -> None:
    """Let the vApp have this network of the organisation, under its own name."""
    section = ET.SubElement(parameters, f"{{{_NS}}}NetworkConfigSection")
    ET.SubElement(section, f"{{{_OVF}}}Info").text = "The networks of the vApp"
    config = ET.SubElement(section, f"{{{_NS}}}NetworkConfig", networkName=str(network.get("name") or ""))
    configuration = ET.SubElement(config, f"{{{_NS}}}Configuration")
    ET.SubElement(configuration, f"{{{_NS}}}ParentNetwork", href=href)
    ET.SubElement(configuration, f"{{{_NS}}}FenceMode").text = "bridged"


def _sourced_item(item: ET.Element, source: str, wanted: NewMachine, network: Mapping[str, Any], base: str) -> None:
    """Say what the machine of the template becomes. The order of the elements is that of the schema."""
    ET.SubElement(item, f"{{{_NS}}}Source", href=source)
    general = ET.SubElement(item, f"{{{_NS}}}VmGeneralParams")
    ET.SubElement(general, f"{{{_NS}}}Name").text = wanted.name
    ET.SubElement(general, f"{{{_NS}}}NeedsCustomization").text = "true"
    parameters = ET.SubElement(item, f"{{{_NS}}}InstantiationParams")
    if network:
        section = ET.SubElement(parameters, f"{{{_NS}}}NetworkConnectionSection")
        ET.SubElement(section, f"{{{_OVF}}}Info").text = "The network of the machine"
        ET.SubElement(section, f"{{{_NS}}}PrimaryNetworkConnectionIndex").text = "0"
        connection = ET.SubElement(section, f"{{{_NS}}}NetworkConnection", network=str(network.get("name") or ""))
        ET.SubElement(connection, f"{{{_NS}}}NetworkConnectionIndex").text = "0"
        mode = wanted.address.upper()
        if mode not in ("POOL", "DHCP"):
            ET.SubElement(connection, f"{{{_NS}}}IpAddress").text = wanted.address
            mode = "MANUAL"
        ET.SubElement(connection, f"{{{_NS}}}IsConnected").text = "true"
        ET.SubElement(connection, f"{{{_NS}}}IpAddressAllocationMode").text = mode
    customization = ET.SubElement(parameters, f"{{{_NS}}}GuestCustomizationSection")
    ET.SubElement(customization, f"{{{_OVF}}}Info").text = "What the guest is to be"
    ET.SubElement(customization, f"{{{_NS}}}Enabled").text = "true"
    if wanted.script:
        ET.SubElement(customization, f"{{{_NS}}}CustomizationScript").text = wanted.script
    ET.SubElement(customization, f"{{{_NS}}}ComputerName").text = _computer_name(wanted.name)
    if wanted.storage_profile:
        ET.SubElement(item, f"{{{_NS}}}StorageProfile", href=f"{base}/api/vdcStorageProfile/{wanted.storage_profile}")
    if wanted.policy:
        policy = ET.SubElement(item, f"{{{_NS}}}ComputePolicy")
        href = f"{base}/cloudapi/2.0.0/vdcComputePolicies/{wanted.policy}"
        ET.SubElement(policy, f"{{{_NS}}}VmSizingPolicy", href=href, id=wanted.policy)


def _computer_name(name: str) -> str:
    """Return a host name made of a machine's name: letters, digits and hyphens, at most 63."""
    cleaned = "".join(c if c.isascii() and c.isalnum() else "-" for c in name).strip("-")
    return cleaned[:63].rstrip("-") or "vm"
