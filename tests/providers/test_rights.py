"""What a provider's declaration says of rights is what its code asks for, and enough to do what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fakes.patience import patient
from peers.moto_server import Moto

from mistcore import PermissionDenied
from mistcore_providers import (
    _azure_roles,
    _ec2_wire,
    _gce_roles,
    _linode_scopes,
    _softlayer_records,
    _vcloud_rights,
)
from mistcore_providers.azure import Azure
from mistcore_providers.digitalocean import DigitalOcean
from mistcore_providers.ec2 import Ec2
from mistcore_providers.gce import Gce
from mistcore_providers.linode import Linode
from mistcore_providers.softlayer import SoftLayer
from mistcore_providers.vcloud import Vcloud

IMAGE = "ami-12c6146b"


def policy() -> dict[str, Any]:
    """The policy that a person copies from the page."""
    found: dict[str, Any] = json.loads(Ec2.rights.partition("```json")[2].partition("```")[0])
    return found


def allowed(rights: str, *, beginning: str) -> set[str]:
    """The names in a text that begin so, those that are continued by `.more` among them."""
    names: set[str] = set()
    prefix = ""
    for name in re.findall(rf"`?({beginning}[\w./]+|(?<=`)\.\w+)(?=`|\n)", rights):
        prefix = name.rpartition(".")[0] if not name.startswith(".") else prefix
        names.add(prefix + name if name.startswith(".") else name)
    return names


def test_the_policy_for_ec2_is_what_is_asked_for() -> None:
    actions = [action for statement in policy()["Statement"] for action in statement["Action"]]
    assert sorted(actions) == sorted(f"ec2:{operation}" for operation in _ec2_wire._OPERATIONS["ec2"])


@pytest.mark.parametrize("statements", [1, 2])
def test_the_policy_for_ec2_is_enough(moto: Moto, statements: int) -> None:
    actions = [action for statement in policy()["Statement"][:statements] for action in statement["Action"]]
    key, secret = moto.user("copied", *actions)
    everything = patient(Ec2(region="us-east-1", endpoint=moto.url, api_key="testing", api_secret="testing"))
    old = everything.create_machine("old", image=IMAGE, size="t3.micro")
    with moto.enforcing():
        ec2 = patient(Ec2(region="us-east-1", endpoint=moto.url, api_key=key, api_secret=secret))
        ec2.check()
        assert [machine.id for machine in ec2.list_machines()] == [old.id]
        for listing in (ec2.list_sizes, ec2.list_images, ec2.list_locations, ec2.list_networks):
            list(listing())
        assert list(patient(Ec2(region="all", endpoint=moto.url, api_key=key, api_secret=secret)).list_machines())
        acts = (
            lambda: ec2.stop_machine(old.id),
            lambda: ec2.start_machine(old.id),
            lambda: ec2.reboot_machine(old.id),
            lambda: ec2.rename_machine(old.id, "new"),
            lambda: ec2.create_machine("more", image=IMAGE, size="t3.micro", tags={"env": "prod"}),
            lambda: ec2.destroy_machine(old.id),
        )
        for act in acts:
            if statements == 2:
                act()
            else:
                with pytest.raises(PermissionDenied):
                    act()


def test_the_actions_for_azure_are_what_is_asked_for() -> None:
    named = allowed(Azure.rights, beginning="Microsoft") | {
        f"Microsoft.Compute/virtualMachines/{verb}/action" for verb in re.findall(r"`(\w+)/action`", Azure.rights)
    }
    needed = {
        action
        for operation, actions in _azure_roles.NEEDED.items()
        if operation != "create_machine"
        for action in actions
    }
    assert needed <= named


def test_the_permissions_for_gce_are_what_is_asked_for() -> None:
    needed = {permission for permissions in _gce_roles.NEEDED.values() for permission in permissions}
    assert needed <= allowed(Gce.rights, beginning=r"compute\.")


def test_the_permissions_for_softlayer_are_what_is_asked_for() -> None:
    needed = {permission for permissions in _softlayer_records._NEEDS.values() for permission in permissions}
    assert set(re.findall(r"`([A-Z_]{8,})`", SoftLayer.rights)) == needed


def test_the_rights_for_vcloud_are_what_is_asked_for() -> None:
    assert set(re.findall(r"`(vApp: [^`]+)`", Vcloud.rights)) == set(_vcloud_rights.RIGHTS)


def test_the_scopes_for_linode_are_what_is_asked_for() -> None:
    needed = {f"{scope}:read_only" for scopes in _linode_scopes._READ.values() for scope in scopes}
    assert needed <= set(re.findall(r"`(\w+:read_\w+)`", Linode.rights))


def test_the_scopes_for_digitalocean_are_those_of_its_document(api_specs: Path) -> None:
    wanted = {
        "droplets/droplets_list": "To list machines",
        "account/account_get": "To list machines",
        "sizes/sizes_list": "Sizes",
        "images/images_list": "Sizes",
        "regions/regions_list": "Sizes",
        "vpcs/vpcs_list": "Sizes",
        "droplets/dropletActions_post": "To start",
        "droplets/droplets_destroy": "To destroy",
        "droplets/droplets_destroy_withAssociatedResourcesSelective": "To destroy",
        "droplets/droplets_create": "To create",
        "ssh_keys/sshKeys_list": "To create",
        "ssh_keys/sshKeys_create": "To create",
    }
    points = {line: set(re.findall(r"`(\w+:\w+)`", line)) for line in re.split(r"\n(?=- )", DigitalOcean.rights)}
    for operation, point in wanted.items():
        document = (api_specs / "digitalocean" / "spec" / "resources" / f"{operation}.yml").read_text()
        scopes = set(re.findall(r"[\w]+:(?:read|create|update|delete)\b", document.partition("security:")[2]))
        assert scopes
        assert any(scopes <= named for line, named in points.items() if line.startswith(f"- {point}")), operation
