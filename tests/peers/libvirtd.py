"""A real libvirt daemon with QEMU (software emulation), reachable over its socket, TCP, TLS and SSH.

It runs in a mount namespace of its own, where `/etc` is a copy and `/var/lib/libvirt` and the like are folders of ours:
nothing on the machine is changed, and a daemon that the machine runs already is not met.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from peers.ports import free_ports
from peers.require import missing
from peers.waiting import listens

#: A boot sector that waits for the ACPI power button and then powers off (machine "pc": PM1 registers at 0x600). It
#: enables the power-button event in PM1_EN, halts until PM1_STS shows it, and writes S5 to PM1_CNT.
_ACPI_GUEST = bytes.fromhex("ba0206ed80cc01effbf4ba0006edf6c40174f5ba0406b80020efebec").ljust(510, b"\0") + b"\x55\xaa"
_PROGRAMS = ("libvirtd", "qemu-system-x86_64", "unshare", "nsenter", "saslpasswd2", "ssh", "ssh-keygen", "sshd")
_SSH_USER = "mistcore"


@attrs.frozen
class LibvirtDaemon:
    """What a test needs to reach it.

    Attributes:
        folder: everything of it is here. socket: for `qemu+unix:///system?socket=…`. uri: that.
        tcp: `qemu+tcp` with SASL, user "alice", password "s3cret". tls: `qemu+tls` with client certificates.
        pki: folders "good", "rogue" (signed by another authority) with ca.pem, client.pem and client-key.pem.
        ssh_port: an SSH server that knows `ssh_key` for root and for `ssh_user`, who may not write to the socket.
        known_hosts: its host key, in the form of a known_hosts file.
        guest: a disk image of 1 MiB with a guest that powers off when asked. pool: a folder for storage pools.
    """

    folder: Path
    socket: Path
    uri: str
    tcp: str
    tls: str
    pki: Path
    ssh_port: int
    ssh_key: Path
    other_key: Path
    known_hosts: Path
    ssh_user: str
    guest: Path
    pool: Path
    pid: int


def binding() -> Any:
    """Return libvirt's Python binding, if it is installed."""
    try:
        import libvirt
    except ImportError:
        missing("libvirt's Python binding is not installed: tests/peers/install_libvirt.py installs it")
    return libvirt


@pytest.fixture(scope="session")
def libvirtd() -> Iterator[LibvirtDaemon]:
    """A running libvirt daemon and SSH server; see `LibvirtDaemon`."""
    _needed()
    folder = _short_folder()
    started: list[subprocess.Popen[bytes]] = []
    try:
        daemon = _start(folder, started)
        yield daemon
        _destroy_domains(daemon.uri)
    finally:
        _end(folder, started)


@pytest.fixture(scope="module")
def isolated_libvirtd() -> Iterator[tuple[str, Path]]:
    """A daemon in a network namespace of its own, where it may make networks: its URI and folder."""
    _needed()
    folder = _short_folder()
    started: list[subprocess.Popen[bytes]] = []
    try:
        _prepare(folder, 0, 0)
        started.append(_run_in_namespace(folder, network=True))
        sock = folder / "run/libvirt-sock"
        _wait(lambda: listens(sock), started[0], folder / "libvirtd.log")
        uri = f"qemu+unix:///system?socket={sock}"
        yield uri, folder
        _destroy_domains(uri)
    finally:
        _end(folder, started)


def _needed() -> None:
    absent = [name for name in _PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if absent:
        missing(f"a libvirt daemon needs {', '.join(absent)}; the packages are in tests/peers/apt.txt")
    binding()
    if os.geteuid() != 0:
        missing("a libvirt daemon of our own needs root, for a mount namespace")


def _end(folder: Path, started: list[subprocess.Popen[bytes]]) -> None:
    for process in reversed(started):
        _stop(process)
    shutil.rmtree(folder, ignore_errors=True)


def _short_folder() -> Path:
    """Return a folder whose path leaves room for the names of sockets (108 bytes)."""
    folder = Path(tempfile.mkdtemp(prefix="mist-lv-"))
    folder.chmod(0o755)
    return folder


def _start(folder: Path, started: list[subprocess.Popen[bytes]]) -> LibvirtDaemon:
    tcp, tls, ssh = free_ports(3)
    _prepare(folder, tcp, tls)
    started.append(_run_in_namespace(folder))
    sock = folder / "run/libvirt-sock"
    _wait(lambda: listens(sock) and _answers(tcp) and _answers(tls), started[0], folder / "libvirtd.log")
    started.append(_run_sshd(folder, ssh, started[0].pid))  # `unshare` and `sh` have become the daemon
    _wait(lambda: _answers(ssh), started[1], folder / "sshd.log")
    return LibvirtDaemon(
        folder=folder,
        socket=sock,
        uri=f"qemu+unix:///system?socket={sock}",
        tcp=f"qemu+tcp://127.0.0.1:{tcp}/system",
        tls=f"qemu+tls://localhost:{tls}/system",
        pki=folder / "pki",
        ssh_port=ssh,
        ssh_key=folder / "ssh/user",
        other_key=folder / "ssh/other",
        known_hosts=folder / "ssh/known_hosts",
        ssh_user=_SSH_USER,
        guest=folder / "acpi.img",
        pool=folder / "pool",
        pid=started[0].pid,
    )


def _prepare(folder: Path, tcp: int, tls: int) -> None:
    for name in ("lib", "run", "log", "pki", "ssh", "pool"):
        (folder / name).mkdir()
    (folder / "acpi.img").write_bytes(_ACPI_GUEST.ljust(1 << 20, b"\0"))
    _make_certificates(folder / "pki")
    _configure(folder, tcp, tls)


def _make_certificates(folder: Path) -> None:
    import trustme

    for name in ("good", "rogue"):
        (folder / name).mkdir()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / name / "ca.pem")
        for kind, identity in (("server", "localhost"), ("client", "client.example.org")):
            leaf = authority.issue_cert(identity)
            leaf.private_key_pem.write_to_path(folder / name / f"{kind}-key.pem")
            leaf.cert_chain_pems[0].write_to_path(folder / name / f"{kind}.pem")


def _configure(folder: Path, tcp: int, tls: int) -> None:
    etc, pki = folder / "etc", folder / "pki/good"
    # The whole of it: a mount over a single file goes away when another is renamed over it outside, as useradd does.
    shutil.copytree("/etc", etc, symlinks=True, ignore_dangling_symlinks=True, copy_function=_copy_if_there)
    for name in ("libvirt", "sasl2"):
        (etc / name).mkdir(exist_ok=True)
    # user=root: QEMU's capabilities are probed as root, and what another user sees of /dev/kvm may differ; then every
    # call probes again for seconds. stdio_handler=file: no virtlogd. No cgroups: no other daemon's are met.
    (etc / "libvirt/qemu.conf").write_text(
        'user = "root"\ngroup = "root"\nsecurity_driver = "none"\nstdio_handler = "file"\ncgroup_controllers = []\n'
    )
    (folder / "libvirtd.conf").write_text(
        f"""listen_addr = "127.0.0.1"
listen_tcp = 1
tcp_port = "{tcp}"
auth_tcp = "sasl"
listen_tls = 1
tls_port = "{tls}"
auth_tls = "none"
key_file = "{pki}/server-key.pem"
cert_file = "{pki}/server.pem"
ca_file = "{pki}/ca.pem"
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
log_outputs = "3:stderr"
"""
    )
    # Over plain TCP libvirt takes only mechanisms that encrypt what follows.
    (etc / "sasl2/libvirt.conf").write_text(f"mech_list: digest-md5\nsasldb_path: {folder}/sasl.db\n")
    subprocess.run(
        ["saslpasswd2", "-p", "-c", "-f", folder / "sasl.db", "-a", "libvirt", "alice"],
        input=b"s3cret",
        check=True,
        env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"},
    )
    for name, line in (("passwd", f"{_SSH_USER}:x:61234:61234::/:/bin/sh"), ("group", f"{_SSH_USER}:x:61234:")):
        (etc / name).write_text(f"{(etc / name).read_text().rstrip()}\n{line}\n")
    for name in ("host", "user", "other"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / "ssh" / name], check=True
        )
    shutil.copy(folder / "ssh/user.pub", folder / "ssh/authorized_keys")


def _copy_if_there(source: str, target: str) -> None:
    """Copy a file, unless it has gone: whoever changes the machine's accounts meanwhile has locks and drafts there."""
    with contextlib.suppress(FileNotFoundError):
        shutil.copy2(source, target)


def _run_in_namespace(folder: Path, *, network: bool = False) -> subprocess.Popen[bytes]:
    places = {
        "etc": "/etc",
        "lib": "/var/lib/libvirt",
        "run": "/run/libvirt",
        "log": "/var/log/libvirt",
    }
    lines = ["set -e"]
    for name, place in places.items():
        lines += [f"mkdir -p {place}", f"mount --bind {folder / name} {place}"]
    listen = "" if network else "--listen"
    lines.append(f"exec libvirtd {listen} -f {folder}/libvirtd.conf -p {folder}/libvirtd.pid")
    with (folder / "libvirtd.log").open("wb") as log:
        return subprocess.Popen(
            ["unshare", "--mount", *(["--net"] if network else []), "sh", "-c", "\n".join(lines)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"},
            start_new_session=True,
        )


def _run_sshd(folder: Path, port: int, pid: int) -> subprocess.Popen[bytes]:
    keys = folder / "ssh"
    Path("/run/sshd").mkdir(exist_ok=True)
    host_key = " ".join((keys / "host.pub").read_text().split()[:2])
    (keys / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    (keys / "sshd_config").write_text(
        f"""Port {port}
ListenAddress 127.0.0.1
HostKey {keys}/host
PidFile none
AuthorizedKeysFile {keys}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowUsers root {_SSH_USER}
MaxStartups 100
"""
    )
    with (folder / "sshd.log").open("wb") as log:
        return subprocess.Popen(
            ["nsenter", f"--mount=/proc/{pid}/ns/mnt", "/usr/sbin/sshd", "-D", "-e", "-f", keys / "sshd_config"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > end:
            text = log.read_text(errors="replace")[-2000:]
            if "unshare failed" in text or "mount" in text:
                missing(f"no mount namespace of our own is allowed here: {text}")
            pytest.fail(f"{process.args} is not ready:\n{text}", pytrace=False)
        time.sleep(0.05)


def _destroy_domains(uri: str) -> None:
    """End the guests: they would outlive the daemon."""
    libvirt = binding()
    connection = libvirt.open(uri)
    for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        domain.destroy()
    connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(60)
