"""What a machine says about itself: one POSIX shell script for near and far, and the reading of what it prints.

The scripts are constants: nothing that a user typed ever becomes part of one. They run with `sh` reading them from its
standard input, so the login shell of the far user does not matter, and they need no more than a small busybox has.
"""

from __future__ import annotations

import ipaddress
import os
import platform
import re
import shlex
import shutil
import socket
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import attrs

from mistcore.addresses import split_addresses

__all__ = ["COLLECT", "REBOOT", "STOP", "Facts", "begun", "outcome", "parse", "plain_facts"]

_HEAD = "exec 2>&1\nLC_ALL=C; PATH=$PATH:/usr/sbin:/sbin; export LC_ALL PATH\n"

# Every line is `key=text`, whatever it is taken from; whatever else a login prints is left out by that.
COLLECT = (
    _HEAD
    + r"""{
say() { sed "s/^/mist-$1=/"; }
[ -r /etc/os-release ] && release=/etc/os-release || release=/usr/lib/os-release
{ hostname || uname -n; } 2>/dev/null | say hostname
uname -s | say kernel
uname -r | say kernel-release
uname -m | say architecture
id -u | say uid
cat $release 2>/dev/null | say os
{ sw_vers -productName; sw_vers -productVersion; } 2>/dev/null | say mac
{ getconf _NPROCESSORS_ONLN || nproc || sysctl -n hw.ncpu || grep -c ^processor /proc/cpuinfo; } 2>/dev/null | say cpus
grep ^MemTotal: /proc/meminfo 2>/dev/null | say memory
{ sysctl -n hw.memsize || sysctl -n hw.physmem; } 2>/dev/null | say memory-bytes
df -Pk / 2>/dev/null | say disk
grep ^btime /proc/stat 2>/dev/null | say boot
sysctl -n kern.boottime 2>/dev/null | say boot
{ cat /etc/machine-id || cat /var/lib/dbus/machine-id; } 2>/dev/null | say machine-id
cat /sys/class/dmi/id/sys_vendor /sys/class/dmi/id/product_name 2>/dev/null | say model
if command -v ip >/dev/null; then ip -o addr show 2>/dev/null | say address
elif command -v ifconfig >/dev/null; then ifconfig -a 2>/dev/null | say address
else
  grep -B 1 '/32 host LOCAL' /proc/net/fib_trie 2>/dev/null | say route
  cat /proc/net/if_inet6 2>/dev/null | say inet6
fi
echo mist-end=1
} </dev/null
"""
)

_POWER = (
    _HEAD
    + r"""{
as=
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo mist-sudo=missing; exit 0; }
  as='sudo -n'
fi
echo mist-asked=1
if command -v shutdown >/dev/null; then $as shutdown WHEN now; else $as OTHERWISE; fi
echo mist-status=$?
} </dev/null
"""
)
REBOOT = _POWER.replace("WHEN", "-r").replace("OTHERWISE", "reboot")
STOP = _POWER.replace("WHEN", "-h").replace("OTHERWISE", "poweroff")


#: More than any number that a machine has to tell; Python refuses to read thousands.
_DIGITS = 30


@attrs.frozen
class Facts:
    """What a machine is. Memory is MiB, disk (the root file system) GiB, the boot time UTC; None or "": not known."""

    hostname: str = ""
    os: str = ""
    os_id: str = ""
    kernel: str = ""
    architecture: str = ""
    cpus: int | None = None
    memory: int | None = None
    disk: int | None = None
    boot_time: datetime | None = None
    machine_id: str = ""
    model: str = ""
    root: bool | None = None
    addresses: tuple[str, ...] = ()

    def sorted_addresses(self, also: Iterable[str] = ()) -> tuple[list[str], list[str]]:
        """Return the public and the private addresses; `also` names more. Loopback and link-local ones are left out."""
        return split_addresses((*also, *self.addresses))

    def size(self) -> str:
        """Return processors and memory as a person would say them ("4 CPUs, 15.6 GiB")."""
        parts = []
        if self.cpus:
            parts.append(f"{self.cpus} CPU{'' if self.cpus == 1 else 's'}")
        if self.memory:
            parts.append(f"{self.memory / 1024:.1f} GiB")
        return ", ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return all but the addresses as plain values, leaving out what is not known."""
        known = {
            "hostname": self.hostname,
            "os": self.os,
            "os_id": self.os_id,
            "kernel": self.kernel,
            "architecture": self.architecture,
            "cpus": self.cpus,
            "memory": self.memory,
            "disk": self.disk,
            "boot_time": self.boot_time and self.boot_time.isoformat().replace("+00:00", "Z"),
            "machine_id": self.machine_id,
            "model": self.model,
        }
        return {key: value for key, value in known.items() if value not in (None, "")}


def parse(output: str) -> Facts | None:
    """Return the facts in what `COLLECT` printed, or None when the script did not run to its end."""
    said = _lines(output)
    if "end" not in said:
        return None
    release = _os_release(said.get("os", []))
    mac = " ".join(said.get("mac", []))
    kernel, version = _first(said, "kernel"), _first(said, "kernel-release")
    return Facts(
        hostname=_first(said, "hostname"),
        os=release.get("PRETTY_NAME") or release.get("NAME") or mac or f"{kernel} {version}".strip(),
        os_id=release.get("ID", "").lower() or kernel.lower(),
        kernel=f"{kernel} {version}".strip(),
        architecture=_first(said, "architecture"),
        cpus=_number(r"^\s*(\d+)\s*$", said.get("cpus")),
        memory=_memory(said),
        disk=_disk(said.get("disk", [])),
        boot_time=_boot_time(said.get("boot")),
        machine_id=_first(said, "machine-id"),
        model=" ".join(dict.fromkeys(line.strip() for line in said.get("model", []) if line.strip())),
        root={"": None, "0": True}.get(_first(said, "uid"), False),
        addresses=_addresses(said),
    )


def begun(output: str) -> bool:
    """Tell whether `COLLECT` printed anything of its own."""
    return bool(_lines(output))


def plain_facts() -> Facts:
    """Return what Python itself knows of this machine: for systems that have no `sh`."""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None)}
    except OSError:
        found = set()
    return Facts(
        hostname=platform.node(),
        os=platform.platform(terse=True),
        os_id=platform.system().lower(),
        kernel=f"{platform.system()} {platform.release()}".strip(),
        architecture=platform.machine(),
        cpus=os.cpu_count(),
        disk=shutil.disk_usage("/").total >> 30,
        addresses=tuple(sorted(found)),
    )


def outcome(output: str) -> tuple[str, str]:
    """Return how `REBOOT` or `STOP` ended, and what was printed meanwhile.

    "done": accepted, or the connection went down with the machine; "no sudo": the user is not root and there is no
    sudo; "sudo": sudo refused; "failed": the command itself did; "not run": nothing of the script ran.
    """
    said = _lines(output)
    words = " ".join(line.strip() for line in output.splitlines() if not line.startswith("mist-")).strip()[:300]
    if "sudo" in said:
        return "no sudo", words
    if "asked" not in said:
        return "not run", words
    if _first(said, "status") in ("", "0"):
        return "done", words
    return ("sudo" if re.search(r"(^|\s)(sudo: |Sorry, user )", words) else "failed"), words


def _lines(output: str) -> dict[str, list[str]]:
    said: dict[str, list[str]] = {}
    for line in output.splitlines():
        key, found, value = line.partition("=")
        if found and key.startswith("mist-"):
            said.setdefault(key.removeprefix("mist-"), []).append(value)
    return said


def _first(said: dict[str, list[str]], key: str) -> str:
    return next((line.strip() for line in said.get(key, []) if line.strip()), "")


def _number(pattern: str, lines: list[str] | None) -> int | None:
    found = (re.search(pattern, line) for line in lines or [])
    return next((int(match[1][:_DIGITS]) for match in found if match), None)


def _os_release(lines: list[str]) -> dict[str, str]:
    """Read os-release(5): shell assignments of plain or quoted words."""
    values = {}
    for line in lines:
        key, found, value = line.partition("=")
        if found:
            try:
                values[key.strip()] = " ".join(shlex.split(value))
            except ValueError:
                values[key.strip()] = value.strip("\"' ")
    return values


def _memory(said: dict[str, list[str]]) -> int | None:
    kibibytes = _number(r"^MemTotal:\s*(\d+)\s*kB", said.get("memory"))
    if kibibytes is not None:
        return kibibytes >> 10
    size = _number(r"^\s*(\d+)\s*$", said.get("memory-bytes"))
    return None if size is None else size >> 20


def _disk(lines: list[str]) -> int | None:
    """The size of the file system in `df -Pk`'s second line; its name may hold spaces, so count from the right."""
    match = re.search(r"\s(\d+)\s+\d+\s+-?\d+\s+\S+\s+/$", lines[-1]) if lines else None
    return int(match[1][:_DIGITS]) >> 20 if match else None


def _boot_time(lines: list[str] | None) -> datetime | None:
    seconds = _number(r"^(?:btime |\{ sec = )(\d+)", lines)
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def _addresses(said: dict[str, list[str]]) -> tuple[str, ...]:
    found = []
    for line in said.get("address", []):
        found += re.findall(r"\binet6? (?:addr: ?)?([0-9A-Fa-f:.]+)", line)
    for line in said.get("route", []):
        found += re.findall(r"\|-- ([0-9.]+)", line)
    for line in said.get("inet6", []):
        if re.match(r"[0-9a-f]{32}\s", line):
            found.append(str(ipaddress.IPv6Address(int(line[:32], 16))))
    return tuple(dict.fromkeys(found))
