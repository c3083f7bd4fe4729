"""A real Docker Engine of our own: `dockerd` on a private socket, and over TLS on a loopback port.

Nothing of the machine's own Docker is touched: data, sockets and pid file lie in a folder of our own, there is no
bridge (`--bridge=none`: containers get the network "none" or "host") and no firewall rule. The one image,
`mistcore/busybox:1`, is made here from Debian's static busybox, so no registry is needed.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
from peers.ports import free_ports
from peers.require import missing

IMAGE = "mistcore/busybox:1"
_BUSYBOX = Path("/bin/busybox")


@attrs.frozen
class Certificate:
    """A certificate and its key: where they lie, and as text."""

    cert_file: Path
    key_file: Path

    @property
    def cert(self) -> str:
        return self.cert_file.read_text()

    @property
    def key(self) -> str:
        return self.key_file.read_text()


@attrs.frozen
class DockerEngine:
    """Where the engine listens, and what it takes to be let in.

    `client` is signed by the engine's authority, `rogue` by another one, whose certificate is `rogue_ca_file`.
    """

    folder: Path
    pid: int
    tls_port: int
    ca_file: Path
    rogue_ca_file: Path
    client: Certificate
    rogue: Certificate
    server: Certificate
    image: str = IMAGE

    @property
    def socket(self) -> Path:
        return self.folder / "docker.sock"

    def api(self, **options: Any) -> Any:
        """Return the SDK's own client on the socket: an independent look at the engine."""
        import docker

        return docker.APIClient(f"unix://{self.socket}", version="auto", **options)

    def run(self, name: str, *command: str, **options: Any) -> str:
        """Start a container with the SDK itself and return its id."""
        api = self.api()
        try:
            host_config = api.create_host_config(network_mode=options.pop("network", "none"), **options.pop("host", {}))
            made = api.create_container(
                self.image, list(command) or ["sleep", "1000"], name=name, host_config=host_config, **options
            )
            api.start(made["Id"])
        finally:
            api.close()
        return str(made["Id"])

    def remove_all(self) -> None:
        """Remove every container."""
        from docker.errors import APIError

        api = self.api()
        try:
            for row in api.containers(all=True):
                with suppress(APIError):  # it went by itself
                    api.remove_container(row["Id"], force=True, v=True)
        finally:
            api.close()


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[DockerEngine]:
    """A running engine, the same for the whole run; a test removes what it makes."""
    with running_engine() as engine:
        yield engine


@contextmanager
def running_engine() -> Iterator[DockerEngine]:
    """Run an engine for the block."""
    if os.geteuid() != 0:
        missing("dockerd needs root")
    dockerd = shutil.which("dockerd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin")
    if dockerd is None or not _BUSYBOX.exists():
        missing("needs the packages docker.io and busybox-static")
    folder = Path(tempfile.mkdtemp(prefix="md-"))  # short: socket paths are limited to 107 characters
    folder.chmod(0o755)  # whether somebody may use the socket is for the socket to say
    process = None
    try:
        engine, options = _prepare(folder)
        with (folder / "dockerd.log").open("wb") as log:
            process = subprocess.Popen(
                [dockerd, *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        engine = attrs.evolve(engine, pid=process.pid)
        _wait_until_ready(engine, process)
        _import_image(engine)
        yield engine
        engine.remove_all()
    finally:
        if process is not None:
            _stop(process)
        shutil.rmtree(folder, ignore_errors=True)
        _remove_empty_groups()


@pytest.fixture
def clean_engine(docker_engine: DockerEngine) -> Iterator[DockerEngine]:
    """The engine without a container, before and after the test."""
    docker_engine.remove_all()
    yield docker_engine
    docker_engine.remove_all()


def _prepare(folder: Path) -> tuple[DockerEngine, list[str]]:
    import trustme

    tls = folder / "tls"
    tls.mkdir()
    authority, rogue_authority = trustme.CA(organization_name="engine"), trustme.CA(organization_name="rogue")
    authority.cert_pem.write_to_path(str(tls / "ca.pem"))
    rogue_authority.cert_pem.write_to_path(str(tls / "rogue-ca.pem"))

    def issue(ca: trustme.CA, name: str, *identities: str) -> Certificate:
        made = ca.issue_cert(*identities, common_name=name)
        certificate = Certificate(tls / f"{name}.pem", tls / f"{name}-key.pem")
        made.cert_chain_pems[0].write_to_path(str(certificate.cert_file))
        made.private_key_pem.write_to_path(str(certificate.key_file))
        certificate.key_file.chmod(0o600)
        return certificate

    server = issue(authority, "server", "localhost", "127.0.0.1")
    (port,) = free_ports(1)
    engine = DockerEngine(
        folder=folder,
        pid=0,
        tls_port=port,
        ca_file=tls / "ca.pem",
        rogue_ca_file=tls / "rogue-ca.pem",
        client=issue(authority, "client", "client.test"),
        rogue=issue(rogue_authority, "rogue", "client.test"),
        server=server,
    )
    options = [
        f"--data-root={folder / 'data'}",
        f"--exec-root={folder / 'exec'}",
        f"--pidfile={folder / 'dockerd.pid'}",
        "--shutdown-timeout=2",
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-forward=false",
        "--ip-masq=false",
        f"--host=unix://{engine.socket}",
        f"--host=tcp://127.0.0.1:{port}",
        "--tlsverify",
        f"--tlscacert={engine.ca_file}",
        f"--tlscert={server.cert_file}",
        f"--tlskey={server.key_file}",
    ]
    return engine, options


def _wait_until_ready(engine: DockerEngine, process: subprocess.Popen[bytes], seconds: float = 150) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(5)
            probe.connect(str(engine.socket))
            probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            if probe.recv(64).startswith(b"HTTP/1.0 200"):
                return
        time.sleep(0.05)
    log = (engine.folder / "dockerd.log").read_text(errors="replace")[-1500:]
    missing(f"dockerd does not start here:\n{log}")


def _import_image(engine: DockerEngine) -> None:
    applets = subprocess.run([_BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for folder in ("bin", "etc", "proc", "sys", "dev", "tmp", "root"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        archive.add(_BUSYBOX, "bin/busybox")
        for applet in applets:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            if applet != "busybox":
                archive.addfile(entry)
    repository, _, tag = engine.image.partition(":")
    api = engine.api()
    try:
        api.import_image_from_data(buffer.getvalue(), repository=repository, tag=tag, changes=['CMD ["/bin/sh"]'])
    finally:
        api.close()


def _remove_empty_groups() -> None:
    """Remove the control groups that the engine leaves; those of other engines come and go meanwhile."""
    for parent, folders, _ in os.walk("/sys/fs/cgroup"):
        if "docker" in folders:
            with suppress(OSError):  # only empty ones go
                Path(parent, "docker").rmdir()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
