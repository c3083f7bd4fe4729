"""bare_metal and the machine that it runs on, and the reading of what machines print."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fakes.bare_metal import harmless

from mistcore import NotSupported, PermissionDenied, Unreachable
from mistcore.deadline import deadline
from mistcore_providers import _bare_metal_facts as facts
from mistcore_providers.bare_metal import BareMetal


def local() -> BareMetal:
    return BareMetal(machine_ip="local")


def test_this_machine() -> None:
    (machine,) = local().list_machines()
    assert (machine.id, machine.name, machine.state) == ("local", socket.gethostname(), "running")
    assert machine.extra["cpus"] >= 1
    assert machine.extra["memory"] > 32
    assert machine.extra["disk"] >= 0
    assert machine.extra["kernel"]
    assert datetime.fromisoformat(machine.extra["boot_time"]) < datetime.now(UTC)
    assert machine.image == machine.extra["os"]
    account = local().check()
    assert account.id.endswith("@local")


def test_no_ssh_library_is_needed(tmp_path: Path) -> None:
    (tmp_path / "asyncssh.py").write_text("raise ModuleNotFoundError(\"No module named 'asyncssh'\", name='asyncssh')")
    code = (
        "from mistcore_providers.bare_metal import BareMetal\n"
        "print(*[m.state for m in BareMetal(machine_ip='local').list_machines()])\n"
        "try:\n    BareMetal(machine_ip='127.0.0.1').check()\n"
        "except Exception as error:\n    print(type(error).__name__, error.remedy)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["running", "MissingDependency Install it: pip install 'mistcore[bare-metal]'"]


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for `shutdown` and `sudo`, first in PATH; the file that says how they were called."""
    called = tmp_path / "calls"
    commands = harmless(tmp_path / "bin", called)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    return called


def test_reboot_and_stop_this_machine(calls: Path) -> None:
    local().reboot_machine("local")
    local().stop_machine("local")
    prefix = "" if os.geteuid() == 0 else "sudo -n "
    assert calls.read_text().splitlines() == [f"{prefix}shutdown -r now", f"{prefix}shutdown -h now"]


@pytest.mark.parametrize("words", ["sudo: a password is required", "Sorry, user x is not allowed to execute"])
def test_a_user_who_may_not(calls: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    commands = calls.parent / "bin"
    (commands / "id").write_text("#!/bin/sh\necho 1000\n")
    (commands / "id").chmod(0o755)
    (commands / "sudo").write_text(f"#!/bin/sh\necho '{words}' >&2\nexit 1\n")
    with pytest.raises(PermissionDenied, match=words):
        local().reboot_machine("local")
    assert not calls.exists()


def test_a_system_without_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_args: object, **_options: object) -> None:
        raise FileNotFoundError("sh")

    monkeypatch.setattr(subprocess, "run", missing)
    (machine,) = local().list_machines()
    assert machine.name == socket.gethostname()
    assert machine.extra["cpus"] >= 1
    with pytest.raises(NotSupported):
        local().stop_machine("local")


def test_a_shell_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "sed").write_text("#!/bin/sh\nexec sleep 30\n")
    (commands / "sed").chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    with deadline(0.5), pytest.raises(Unreachable) as raised:
        local().check()
    assert raised.value.reason == "timeout"


def collect(*shell: str, script: str = facts.COLLECT) -> facts.Facts:
    done = subprocess.run([*shell], input=script, capture_output=True, text=True, check=True)
    found = facts.parse(done.stdout)
    assert found is not None
    assert done.stderr == ""
    return found


def test_every_way_to_the_addresses_finds_the_same() -> None:
    """`ip`, `ifconfig` where they are installed, and the kernel's own tables."""
    bare = facts.COLLECT.replace("command -v ip ", "false ").replace("command -v ifconfig ", "false ")
    assert bare != facts.COLLECT
    assert set(collect("sh").addresses) == set(collect("sh", script=bare).addresses)
    assert "127.0.0.1" in collect("sh").addresses


def test_other_shells() -> None:
    wanted = collect("sh")
    for shell in (["bash"], ["busybox", "sh"], ["dash"]):
        try:
            assert collect(*shell) == wanted
        except FileNotFoundError:
            continue


def test_what_a_mac_prints() -> None:
    found = facts.parse(
        "Last login: Mon\nmist-hostname=mac.example\nmist-kernel=Darwin\nmist-kernel-release=23.1.0\n"
        "mist-architecture=arm64\nmist-uid=501\nmist-mac=macOS\nmist-mac=14.1\nmist-cpus=8\n"
        "mist-memory-bytes=17179869184\nmist-disk=Filesystem 1024-blocks Used Available Capacity Mounted on\n"
        "mist-disk=/dev/disk3s1s1 482797652 9000000 300000000 3% /\n"
        "mist-boot={ sec = 1700000000, usec = 5 } Tue Nov 14 22:13:20 2023\n"
        "mist-address=\tinet6 fe80::1%lo0 prefixlen 64 scopeid 0x1\nmist-address=\tinet 10.0.0.7 netmask 0xffffff00\n"
        "mist-address=\tinet6 2606:4700::7 prefixlen 64\nmist-end=1\n"
    )
    assert found is not None
    assert found.to_dict() == {
        "hostname": "mac.example",
        "os": "macOS 14.1",
        "os_id": "darwin",
        "kernel": "Darwin 23.1.0",
        "architecture": "arm64",
        "cpus": 8,
        "memory": 16384,
        "disk": 460,
        "boot_time": "2023-11-14T22:13:20Z",
    }
    assert found.sorted_addresses(["198.41.0.4"]) == (["198.41.0.4", "2606:4700::7"], ["10.0.0.7"])
    assert found.root is False


def test_what_an_old_busybox_prints() -> None:
    found = facts.parse(
        "mist-hostname=router\nmist-cpus=\nmist-cpus=nproc: not found\nmist-cpus=1\nmist-os=garbage\n"
        "mist-os=ID='unclosed\nmist-boot=btime 99999999999999999999\nmist-disk=df: odd\nmist-uid=0\n"
        "mist-address=          inet addr:192.168.1.1  Bcast:192.168.1.255\n"
        "mist-address=   inet6 addr: fd00::1/64 Scope:Site\n"
        "mist-address=inet 1.2.3.4.5\nmist-inet6=zz\nmist-end=1\n"
    )
    assert found is not None
    assert (found.hostname, found.cpus, found.memory, found.disk, found.boot_time) == ("router", 1, None, None, None)
    assert found.root is True
    assert found.sorted_addresses() == ([], ["192.168.1.1", "fd00::1"])


def test_what_is_no_answer() -> None:
    assert facts.parse("") is None
    assert facts.parse("mist-hostname=x\n") is None
    assert facts.outcome("% Unknown command") == ("not run", "% Unknown command")
