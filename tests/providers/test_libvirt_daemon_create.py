"""libvirt against a real daemon with QEMU: images, and machines made from them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from peers import libvirt_accounts

from mistcore import InvalidFields, Rejected
from mistcore_providers.libvirt import Libvirt

provider = libvirt_accounts.provider
guests = libvirt_accounts.guests
define = libvirt_accounts.define
pool = libvirt_accounts.pool

EMULATED = {"domain_type": "qemu", "network": "none", "machine_type": "pc"}


def test_images_are_the_volumes_of_the_pools(provider: Libvirt, pool: Any) -> None:
    images = {image.id: image for image in provider.list_images()}
    path = pool.storageVolLookupByName("guest.img").path()
    assert images[path].name == "guest.img"
    assert images[path].extra == {"pool": pool.name()}
    assert not [image for image in provider.list_images(search="nothing") if image.extra["pool"] == pool.name()]
    assert path in {image.id for image in provider.list_images(search="GUEST")}


def test_create_from_an_image(provider: Libvirt, pool: Any, tmp_path: Path) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMq me@here"
    data = "#cloud-config\nhostname: made\n"
    machine = provider.create_machine(
        "made",
        image=f"{pool.name()}/guest.img",
        size="2x24",
        key=key,
        user_data=data,
        tags={"role": "web & <db>", "empty": ""},
        disk=1,
        **EMULATED,
    )
    assert (machine.name, machine.state, machine.size) == ("made", "running", "2x24")
    assert machine.tags == {"role": "web & <db>", "empty": ""}
    disk, medium = machine.extra["disks"]
    assert disk["size"] == 1.0
    assert Path(disk["path"]).read_bytes()[510:512] == b"\x55\xaa"
    assert medium["device"] == "cdrom"
    seed = Path(medium["path"]).read_bytes()
    assert seed[0x8028:0x8048].strip() == b"cidata"
    assert data.encode() in seed
    assert key.encode() in seed
    assert b'"local-hostname": "made"' in seed
    provider.destroy_machine(machine.id, force=True, storage=True)
    pool.refresh()
    assert pool.listVolumes() == ["guest.img"]


def test_create_linked_keeps_the_differences_only(provider: Libvirt, pool: Any) -> None:
    image = pool.storageVolLookupByName("guest.img").path()
    machine = provider.create_machine("linked", image=image, size="1x16", linked=True, start=False, **EMULATED)
    assert machine.state == "stopped"
    disk = machine.extra["disks"][0]
    assert disk["format"] == "qcow2"
    info = subprocess.run(["od", "-An", "-c", "-N4", disk["path"]], capture_output=True, text=True, check=True).stdout
    assert "Q   F   I" in info
    assert image.encode() in Path(disk["path"]).read_bytes()


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"image": "nothing.img"}, "image"),
        ({"size": "big"}, "size"),
        ({"size": "0x16"}, "size"),
        ({"network": "nowhere"}, "network"),
        ({"pool": "nowhere"}, "pool"),
        ({"domain_type": "nonsense"}, "domain_type"),
        ({"firmware": "odd"}, "firmware"),
    ],
)
def test_create_refuses_what_is_not_there(provider: Libvirt, pool: Any, options: dict[str, str], field: str) -> None:
    given = {"image": f"{pool.name()}/guest.img", "size": "1x16", **EMULATED, **options}
    with pytest.raises(InvalidFields) as caught:
        provider.create_machine("refused", **given)  # type: ignore[arg-type]
    assert list(caught.value.problems) == [field]
    pool.refresh()
    assert pool.listVolumes() == ["guest.img"]


def test_create_that_fails_leaves_nothing(provider: Libvirt, pool: Any) -> None:
    given: dict[str, Any] = {"image": f"{pool.name()}/guest.img", "size": "1x16", "key": "ssh-ed25519 AAAA", **EMULATED}
    with pytest.raises(Rejected):
        provider.create_machine("fails", **{**given, "machine_type": "no-such-machine"})
    pool.refresh()
    assert pool.listVolumes() == ["guest.img"]
    assert "fails" not in {machine.name for machine in provider.list_machines()}


def test_create_refuses_a_name_that_is_taken(provider: Libvirt, define: Callable[..., str], pool: Any) -> None:
    define("taken-name")
    with pytest.raises(Rejected) as caught:
        provider.create_machine("taken-name", image="guest.img", size="1x16", **EMULATED)
    assert caught.value.reason == "exists"
