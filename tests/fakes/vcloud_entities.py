"""The machines of the stand-in of vCloud Director: entities, actions, tasks, and the tree that leads to them."""

from __future__ import annotations

import itertools
import time
from typing import Any
from uuid import UUID, uuid5
from xml.etree import ElementTree as ET

import attrs
from fakes.vcloud_xml import NS, OVF, element

from mistcore.testing.server import FakeService, Request, Response, route

_SPACE = UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
_NUMERIC = {"POWERED_ON": 4, "POWERED_OFF": 8, "SUSPENDED": 3, "UNRESOLVED": 0, "FAILED_CREATION": -1}
#: action: (the task's name, states it is allowed in, state afterwards, deployed afterwards)
_ACTIONS = {
    "powerOn": ("vappPowerOn", {"POWERED_OFF", "SUSPENDED"}, "POWERED_ON", True),
    "powerOff": ("vappPowerOff", {"POWERED_ON", "SUSPENDED"}, "POWERED_OFF", True),
    "shutdown": ("vappShutdownGuest", {"POWERED_ON"}, "POWERED_OFF", True),
    "reboot": ("vappRebootGuest", {"POWERED_ON"}, "POWERED_ON", True),
    "reset": ("vappReset", {"POWERED_ON"}, "POWERED_ON", True),
    "suspend": ("vappSuspend", {"POWERED_ON"}, "SUSPENDED", True),
}


def uuid_of(*words: object) -> str:
    return str(uuid5(_SPACE, "/".join(map(str, words))))


@attrs.define
class Vm:
    id: str
    name: str
    vapp: str
    status: str = "POWERED_OFF"
    deployed: bool = False
    cpus: int = 1
    memory: int = 1024
    os: str = "Debian GNU/Linux 12 (64-bit)"
    ips: list[str] = attrs.field(factory=list)
    ip_in_record: bool = True
    tools: bool = True
    vdc: str = ""
    catalog: str = ""
    template: bool = False
    task: str = ""
    script: str = ""
    policy: str = ""
    network: str = ""
    computer_name: str = ""


@attrs.define
class Task:
    id: str
    name: str
    finish: Any
    due: float
    status: str = "running"
    error: tuple[str, str] | None = None
    vm: Vm | None = None


class Entities(FakeService):
    """What there is, and what can be done to it; how it is said is `FakeVcloud`'s matter."""

    url: str

    def __init__(self, *, task_seconds: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.task_seconds = task_seconds
        self.vms: dict[str, Vm] = {}
        self.vapps: dict[str, str] = {}
        self.templates: dict[str, tuple[str, list[str]]] = {}
        self.vdcs = {uuid_of("vdc", "east"): "east"}
        self.networks = {uuid_of("net", "lan"): ("lan", "10.1.0.1", 24)}
        self.policies = {f"urn:vcloud:vdcComputePolicy:{uuid_of('policy', 'small')}": ("small", 2, 4096)}
        self.tasks: dict[str, Task] = {}
        self._ids = itertools.count(1)

    def _respond(
        self, request: Request, root: ET.Element, status: int = 200, headers: dict[str, str] | None = None
    ) -> Response:
        raise NotImplementedError

    def _problem(self, request: Request, status: int, code: str, message: str) -> Response:
        raise NotImplementedError

    # -- filling it ---------------------------------------------------------------------------------------------------

    def add_vm(self, name: str, *, vapp: str = "", **fields: Any) -> Vm:
        number = next(self._ids)
        vapp_id = uuid_of("vapp", vapp or name)
        self.vapps.setdefault(vapp_id, vapp or name)
        fields.setdefault("vdc", next(iter(self.vdcs)))
        vm = Vm(id=uuid_of("vm", number), name=name, vapp=vapp_id, **fields)
        if vm.status == "POWERED_ON":
            vm.deployed = True
        self.vms[vm.id] = vm
        return vm

    def add_template(self, name: str, catalog: str = "Linux", machines: int = 1) -> str:
        template_id = uuid_of("template", catalog, name)
        vms = [
            self.add_vm(f"{name}-{n}", vapp=f"template {name}", template=True, catalog=catalog) for n in range(machines)
        ]
        self.templates[template_id] = (name, [vm.id for vm in vms])
        return template_id

    # -- the tree that clients walked before there were queries --------------------------------------------------------

    @route("GET", "/api/org")
    def list_orgs(self, request: Request) -> Response:
        kind = "application/vnd.vmware.vcloud.org+xml"
        href = f"{self.url}/api/org/{uuid_of('org', 'acme')}"
        return self._respond(request, element("OrgList", element("Org", type=kind, name="Acme", href=href)))

    @route("GET", "/api/org/{org_id}")
    def get_org(self, request: Request, org_id: str) -> Response:
        kind = "application/vnd.vmware.vcloud.vdc+xml"
        links = [
            element("Link", rel="down", type=kind, name=name, href=f"{self.url}/api/vdc/{vdc_id}")
            for vdc_id, name in self.vdcs.items()
        ]
        return self._respond(request, element("Org", *links, name="Acme", href=f"{self.url}{request.path}"))

    @route("GET", "/api/vdc/{vdc_id}")
    def get_vdc(self, request: Request, vdc_id: str) -> Response:
        kind = "application/vnd.vmware.vcloud.vApp+xml"
        found = dict.fromkeys(vm.vapp for vm in self.vms.values() if vm.vdc == vdc_id and not vm.template)
        entities = [
            element("ResourceEntity", type=kind, name=self.vapps[vapp], href=f"{self.url}/api/vApp/vapp-{vapp}")
            for vapp in found
        ]
        href = f"{self.url}{request.path}"
        return self._respond(
            request, element("Vdc", element("ResourceEntities", *entities), name=self.vdcs[vdc_id], href=href, status=1)
        )

    # -- entities -----------------------------------------------------------------------------------------------------

    def _no_access(self, request: Request, what: str) -> Response:
        words = f'No access to entity "{what}".'
        return self._problem(request, 403, "ACCESS_TO_RESOURCE_IS_FORBIDDEN", words)

    def _vm_element(self, vm: Vm) -> ET.Element:
        base = f"{self.url}/api/vApp/vm-{vm.id}"
        power = [
            element("Link", rel=f"power:{action}", href=f"{base}/power/action/{action}")
            for action, (_, allowed, _, _) in _ACTIONS.items()
            if vm.status in allowed
        ]
        connections = [
            element(
                "NetworkConnection",
                element("NetworkConnectionIndex", index),
                element("IpAddress", ip),
                element("IsConnected", "true"),
                element("MACAddress", f"00:50:56:00:00:{index:02x}"),
                network="lan",
            )
            for index, ip in enumerate(vm.ips)
        ]
        return element(
            "Vm",
            *power,
            element(
                "Link",
                rel="up",
                type="application/vnd.vmware.vcloud.vApp+xml",
                href=f"{self.url}/api/vApp/vapp-{vm.vapp}",
            ),
            element("NetworkConnectionSection", element("Info", "networks", ns=OVF), *connections),
            element(
                "VmSpecSection",
                element("Info", "hardware", ns=OVF),
                element("NumCpus", vm.cpus),
                element("MemoryResourceMb", element("Configured", vm.memory)),
            ),
            element("DateCreated", "2024-05-06T07:08:09.123Z"),
            name=vm.name,
            id=f"urn:vcloud:vm:{vm.id}",
            href=base,
            status=_NUMERIC.get(vm.status, 6),
            deployed=str(vm.deployed).lower(),
        )

    @route("GET", "/api/vApp/vm-{vm_id}")
    def get_vm(self, request: Request, vm_id: str) -> Response:
        vm = self.vms.get(vm_id)
        return self._respond(request, self._vm_element(vm)) if vm else self._no_access(request, vm_id)

    @route("GET", "/api/vApp/vapp-{vapp_id}")
    def get_vapp(self, request: Request, vapp_id: str) -> Response:
        if vapp_id not in self.vapps:
            return self._no_access(request, vapp_id)
        return self._respond(request, self._vapp_element(vapp_id))

    def _vapp_element(self, vapp_id: str, *tasks: ET.Element) -> ET.Element:
        vms = [self._vm_element(vm) for vm in self.vms.values() if vm.vapp == vapp_id]
        href = f"{self.url}/api/vApp/vapp-{vapp_id}"
        children = element("Children", *vms) if vms else None
        running = element("Tasks", *tasks) if tasks else None
        kind = "application/vnd.vmware.vcloud.vdc+xml"
        vdcs = {vm.vdc for vm in self.vms.values() if vm.vapp == vapp_id}
        up = [element("Link", rel="up", type=kind, href=f"{self.url}/api/vdc/{vdc}") for vdc in vdcs]
        return element("VApp", *up, running, children, name=self.vapps[vapp_id], href=href, status=4)

    @route("GET", "/api/vAppTemplate/vappTemplate-{template_id}")
    def get_template(self, request: Request, template_id: str) -> Response:
        if template_id not in self.templates:
            return self._no_access(request, template_id)
        name, vms = self.templates[template_id]
        children = [
            element("Vm", name=self.vms[i].name, href=f"{self.url}/api/vAppTemplate/vm-{i}", status=8) for i in vms
        ]
        href = f"{self.url}/api/vAppTemplate/vappTemplate-{template_id}"
        return self._respond(request, element("VAppTemplate", element("Children", *children), name=name, href=href))

    @route("GET", "/api/network/{network_id}")
    def get_network(self, request: Request, network_id: str) -> Response:
        if network_id not in self.networks:
            return self._no_access(request, network_id)
        href = f"{self.url}/api/network/{network_id}"
        return self._respond(request, element("OrgVdcNetwork", name=self.networks[network_id][0], href=href))

    # -- actions and tasks --------------------------------------------------------------------------------------------

    def _task(self, name: str, finish: Any, vm: Vm | None = None, error: tuple[str, str] | None = None) -> Task:
        task = Task(
            uuid_of("task", next(self._ids)), name, finish, time.monotonic() + self.task_seconds, error=error, vm=vm
        )
        if vm is not None:
            vm.task = name
        self.tasks[task.id] = task
        self._settle()
        return task

    def _settle(self) -> None:
        with self.lock:
            for task in self.tasks.values():
                if task.status == "running" and time.monotonic() >= task.due:
                    task.status = "error" if task.error else "success"
                    if task.vm is not None:
                        task.vm.task = ""
                    if not task.error:
                        task.finish()

    def _task_element(self, task: Task) -> ET.Element:
        error = None
        if task.error and task.status == "error":
            error = element("Error", majorErrorCode=500, minorErrorCode=task.error[0], message=task.error[1])
        href = f"{self.url}/api/task/{task.id}"
        return element("Task", error, status=task.status, operationName=task.name, name="task", href=href)

    @route("GET", "/api/task/{task_id}")
    def get_task(self, request: Request, task_id: str) -> Response:
        return self._respond(request, self._task_element(self.tasks[task_id]))

    @route("POST", "/api/vApp/vm-{vm_id}/power/action/{action}")
    def power(self, request: Request, vm_id: str, action: str) -> Response:
        vm = self.vms.get(vm_id)
        if vm is None or action not in _ACTIONS:
            return self._no_access(request, vm_id)
        name, allowed, status, deployed = _ACTIONS[action]
        if vm.status not in allowed:
            words = (
                f'The requested operation could not be executed since VM "{vm.name}" is not in a state for it: power.'
            )
            return self._problem(request, 400, "BAD_REQUEST", words)
        error = None
        if action in ("shutdown", "reboot") and not vm.tools:
            error = ("INTERNAL_SERVER_ERROR", "VMware Tools is not running in this virtual machine.")

        def finish() -> None:
            vm.status, vm.deployed = status, deployed

        return self._respond(request, self._task_element(self._task(name, finish, vm, error)), 202)

    @route("POST", "/api/vApp/vm-{entity_id}/action/undeploy")
    @route("POST", "/api/vApp/vapp-{entity_id}/action/undeploy")
    def undeploy(self, request: Request, entity_id: str) -> Response:
        root = self._body(request, "UndeployVAppParams", "undeployVAppParams")
        if isinstance(root, Response):
            return root
        vms = [vm for vm in self.vms.values() if entity_id in (vm.id, vm.vapp)]
        if not vms:
            return self._no_access(request, entity_id)
        if not any(vm.deployed for vm in vms):
            return self._problem(request, 400, "BAD_REQUEST", f'"{vms[0].name}" is not running.')

        def finish() -> None:
            for vm in vms:
                vm.status, vm.deployed = "POWERED_OFF", False

        return self._respond(request, self._task_element(self._task("vappUndeployPowerOff", finish, vms[0])), 202)

    @route("POST", "/api/vApp/vm-{vm_id}/action/reconfigureVm")
    def reconfigure(self, request: Request, vm_id: str) -> Response:
        root = self._body(request, "Vm", "vm")
        if isinstance(root, Response):
            return root
        vm = self.vms.get(vm_id)
        if vm is None:
            return self._no_access(request, vm_id)

        def finish() -> None:
            vm.name = root.get("name", "")

        return self._respond(request, self._task_element(self._task("vappUpdateVm", finish, vm)), 202)

    @route("DELETE", "/api/vApp/vm-{entity_id}")
    @route("DELETE", "/api/vApp/vapp-{entity_id}")
    def delete(self, request: Request, entity_id: str) -> Response:
        vms = [vm for vm in self.vms.values() if entity_id in (vm.id, vm.vapp)]
        if not vms:
            return self._no_access(request, entity_id)
        if any(vm.deployed for vm in vms):
            return self._problem(request, 400, "BAD_REQUEST", "It must be undeployed before it can be deleted.")

        def finish() -> None:
            for vm in vms:
                del self.vms[vm.id]
            self.vapps.pop(entity_id, None)

        return self._respond(request, self._task_element(self._task("vdcDeleteVapp", finish)), 202)

    @route("POST", "/api/vdc/{vdc_id}/action/instantiateVAppTemplate")
    def instantiate(self, request: Request, vdc_id: str) -> Response:
        root = self._body(request, "InstantiateVAppTemplateParams", "instantiateVAppTemplateParams")
        if isinstance(root, Response):
            return root
        name = root.get("name", "")
        source = (root.find(f"{{{NS}}}Source").get("href") or "").rpartition("vappTemplate-")[2]  # type: ignore[union-attr]
        if vdc_id not in self.vdcs or source not in self.templates:
            return self._no_access(request, source)
        if name in self.vapps.values():
            return self._problem(request, 400, "DUPLICATE_NAME", f'The vApp "{name}" already exists.')
        on = root.get("powerOn") == "true"
        given = None
        item = root.find(f"{{{NS}}}SourcedItem")
        vm = self.add_vm(self.vms[self.templates[source][1][0]].name, vapp=name, vdc=vdc_id, status="UNRESOLVED")
        if item is not None:
            vm.name = item.findtext(f"{{{NS}}}VmGeneralParams/{{{NS}}}Name") or vm.name
            vm.script = item.findtext(f".//{{{NS}}}CustomizationScript") or ""
            vm.computer_name = item.findtext(f".//{{{NS}}}ComputerName") or ""
            connection = item.find(f".//{{{NS}}}NetworkConnection")
            if connection is not None:
                vm.network = connection.get("network", "")
                mode = connection.findtext(f"{{{NS}}}IpAddressAllocationMode")
                fixed = connection.findtext(f"{{{NS}}}IpAddress")
                given = fixed if mode == "MANUAL" else {"POOL": "10.1.0.50", "DHCP": "10.1.0.77"}[str(mode)]
            policy = item.find(f"{{{NS}}}ComputePolicy/{{{NS}}}VmSizingPolicy")
            if policy is not None:
                vm.policy = policy.get("id", "")
                _, vm.cpus, vm.memory = self.policies[vm.policy]

        def finish() -> None:
            vm.status, vm.deployed = ("POWERED_ON", True) if on else ("POWERED_OFF", False)
            vm.ips = [str(given)] if given else []

        task = self._task("vdcInstantiateVapp", finish, vm)
        return self._respond(request, self._vapp_element(vm.vapp, self._task_element(task)), 201)

    def _body(self, request: Request, tag: str, kind: str) -> ET.Element | Response:
        if request.headers.get("Content-Type") != f"application/vnd.vmware.vcloud.{kind}+xml":
            return self._problem(request, 415, "BAD_REQUEST", "The media type of the body is not supported.")
        root = ET.fromstring(request.body)
        if root.tag != f"{{{NS}}}{tag}":
            return self._problem(request, 400, "BAD_REQUEST", f"The body is no {tag}.")
        return root
