"""The docker provider through a real SSH server, on whose side `docker system dial-stdio` reaches a real engine."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import paramiko
import pytest
from fakes.patience import HANGS, patient
from peers import require
from peers.docker_engine import DockerEngine
from peers.sshd import Sshd
from peers.waiting import until

from mistcore import AuthenticationFailed, InvalidFields, PermissionDenied, ProviderError, Unreachable
from mistcore.deadline import deadline
from mistcore_providers._docker_address import read_address
from mistcore_providers._docker_errors import translate
from mistcore_providers._docker_ssh import SessionTooSlow, SshAdapter, _Connection
from mistcore_providers.docker import Docker


@pytest.fixture
def remote(sshd: Sshd, clean_engine: DockerEngine) -> Iterator[Sshd]:
    """The SSH server with a docker command that goes to our engine, whose socket its user may use."""
    client = shutil.which("docker")
    if client is None:
        require.missing("there is no docker command (docker.io)")
    command = sshd.folder / "bin" / "docker"
    command.write_text(f'#!/bin/sh\nexport DOCKER_HOST=unix://{clean_engine.socket}\nexec {client} "$@"\n')
    command.chmod(0o755)
    clean_engine.socket.chmod(0o666)
    try:
        yield sshd
    finally:
        clean_engine.socket.chmod(0o660)
        command.unlink()


def know(line: str) -> None:
    folder = Path(os.environ["HOME"]) / ".ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "known_hosts").write_text(line)


def end_processes(sshd: Sshd, command: str) -> None:
    """End those of the processes of the server's user that run this command."""
    user = pwd.getpwnam(sshd.user).pw_uid
    cut = 0
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            if path.stat().st_uid == user and (path / "comm").read_text().startswith(command):
                os.kill(int(path.name), signal.SIGKILL)
                cut += 1
    assert cut
    until(lambda: not any(map(stands, paramiko_transports())), 60, 0.02)


def paramiko_transports() -> list[paramiko.Transport]:
    return [thread for thread in threading.enumerate() if isinstance(thread, paramiko.Transport)]


def stands(transport: paramiko.Transport) -> bool:
    """Whether a connection stands, with a session in which a command runs, as far as this side knows."""
    return transport.is_active() and any(
        not (channel.closed or channel.eof_received) for channel in transport._channels.values()
    )


def address(sshd: Sshd, **fields: Any) -> dict[str, Any]:
    return {"docker_host": f"ssh://{sshd.user}@127.0.0.1:{sshd.port}", "key_file": str(sshd.key)} | fields


def test_containers_behind_ssh(remote: Sshd, clean_engine: DockerEngine) -> None:
    know(remote.known_host())
    with Docker(**address(remote)) as docker:
        account = docker.check()
        assert account.details["engine_version"]
        assert account.warnings == ()
        made = docker.create_machine("web", image=clean_engine.image, command="sleep 1000", network="none")
        assert [machine.state for machine in docker.list_machines()] == ["running"]
        docker.stop_machine(made.id, force=True)
        docker.destroy_machine(made.id)
        assert list(docker.list_machines()) == []


def test_the_key_as_text_and_from_the_users_configuration(remote: Sshd) -> None:
    know(remote.known_host())
    with Docker(**address(remote, key_file=remote.key.read_text())) as docker:
        assert docker.check().name
    config = Path(os.environ["HOME"]) / ".ssh" / "config"
    config.write_text(
        f"Host box\n  HostName 127.0.0.1\n  Port {remote.port}\n  User {remote.user}\n  IdentityFile {remote.key}\n"
    )
    with Docker(docker_host="ssh://box") as docker:
        assert docker.check().name


def test_a_connection_that_was_cut_is_made_anew(remote: Sshd, clean_engine: DockerEngine) -> None:
    know(remote.known_host())
    clean_engine.run("web")
    with Docker(**address(remote)) as docker:
        assert [machine.name for machine in docker.list_machines()] == ["web"]
        end_processes(remote, "sshd")
        assert [machine.name for machine in docker.list_machines()] == ["web"]


def test_a_command_there_that_ended_is_started_anew(remote: Sshd, clean_engine: DockerEngine) -> None:
    know(remote.known_host())
    clean_engine.run("web")
    with Docker(**address(remote)) as docker:
        assert [machine.name for machine in docker.list_machines()] == ["web"]
        end_processes(remote, "docker")
        assert [machine.name for machine in docker.list_machines()] == ["web"]


def test_the_port_that_ssh_uses_by_itself() -> None:
    adapter = SshAdapter.__new__(SshAdapter)
    adapter._create_paramiko_client("ssh://box")
    assert adapter.ssh_params["port"] == 22
    config = Path(os.environ["HOME"]) / ".ssh" / "config"
    config.parent.mkdir()
    config.write_text("Host box\n  Port 2222\n")
    adapter._create_paramiko_client("ssh://box")
    assert adapter.ssh_params["port"] == 2222
    adapter._create_paramiko_client("ssh://box:2200")
    assert adapter.ssh_params["port"] == 2200


@pytest.mark.parametrize("words", ["Timeout opening channel.", "SSH session not active"])
def test_a_session_that_is_not_opened_in_time(words: str) -> None:
    """Whichever clock is the first to end that, paramiko's or ours."""

    class Transport:
        def __init__(self) -> None:
            self.closed = threading.Event()

        def open_session(self, timeout: float) -> None:
            self.closed.wait(HANGS)
            raise paramiko.SSHException(words)

        def close(self) -> None:
            self.closed.set()

    connection = _Connection(Transport(), 0.1)
    with pytest.raises(SessionTooSlow) as caught:
        connection.connect()
    error = translate(caught.value, read_address("ssh://box", None, tls=False), user=False, certificate=False)
    assert isinstance(error, Unreachable)
    assert error.reason == "timeout"


def test_a_host_key_that_is_not_known(remote: Sshd) -> None:
    with pytest.raises(Unreachable, match="host key .* is not known") as caught:
        Docker(**address(remote)).check()
    assert caught.value.reason == "host_key"
    assert not (Path(os.environ["HOME"]) / ".ssh" / "known_hosts").exists()


def test_a_host_key_that_has_changed(remote: Sshd) -> None:
    know(f"[127.0.0.1]:{remote.port} {' '.join((remote.folder / 'other.pub').read_text().split()[:2])}\n")
    with pytest.raises(Unreachable, match="not the one in") as caught:
        Docker(**address(remote)).check()
    assert caught.value.reason == "host_key"


def test_a_key_that_does_not_let_in(remote: Sshd) -> None:
    know(remote.known_host())
    for fields in (address(remote, key_file=str(remote.other)), address(remote, key_file="")):
        with pytest.raises(AuthenticationFailed, match="does not let this user in"):
            Docker(**fields).check()
    with pytest.raises(AuthenticationFailed):
        Docker(docker_host=f"ssh://nobody@127.0.0.1:{remote.port}", key_file=str(remote.key)).check()


def test_a_key_with_a_passphrase(remote: Sshd) -> None:
    know(remote.known_host())
    with pytest.raises(AuthenticationFailed, match="passphrase") as caught:
        Docker(**address(remote, key_file=str(remote.encrypted))).check()
    assert caught.value.reason == "passphrase"
    with pytest.raises(InvalidFields, match="cannot read"):
        Docker(**address(remote, key_file="/no/such/key"))


def test_a_user_who_may_not_use_docker_there(remote: Sshd, clean_engine: DockerEngine) -> None:
    know(remote.known_host())
    clean_engine.socket.chmod(0o600)
    with pytest.raises(PermissionDenied, match="may not use Docker there") as caught:
        Docker(**address(remote)).check()
    assert caught.value.reason == "socket"


def test_a_host_without_docker(remote: Sshd) -> None:
    know(remote.known_host())
    (remote.folder / "bin" / "docker").write_text("#!/bin/sh\necho 'sh: 1: docker: not found' >&2\nexit 127\n")
    with pytest.raises(ProviderError, match="no docker command") as caught:
        Docker(**address(remote)).check()
    assert caught.value.reason == "not_docker"


def test_a_host_whose_engine_is_down(remote: Sshd, tmp_path: Path) -> None:
    know(remote.known_host())
    command = remote.folder / "bin" / "docker"
    command.write_text(command.read_text().replace("unix:///", "unix:///nowhere/"))
    with pytest.raises(Unreachable, match="cannot be reached") as caught:
        Docker(**address(remote)).check()
    assert caught.value.reason == "refused"


def test_a_command_there_that_says_nothing(remote: Sshd) -> None:
    know(remote.known_host())
    (remote.folder / "bin" / "docker").write_text("#!/bin/sh\nexec cat >/dev/null\n")
    with deadline(2), pytest.raises(Unreachable) as caught:
        patient(Docker(**address(remote))).check()
    assert caught.value.reason == "timeout"


def test_a_port_where_no_ssh_server_speaks() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, deadline(1), pytest.raises(Unreachable):
        patient(Docker(docker_host=f"ssh://127.0.0.1:{silent.getsockname()[1]}")).check()
