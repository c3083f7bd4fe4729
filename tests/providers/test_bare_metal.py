"""bare_metal against a real OpenSSH server: getting in, being kept out, and what comes back."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fakes.bare_metal import agent, server
from fakes.patience import deadline_once
from peers.sshd import Sshd, fingerprint

from mistcore import (
    AuthenticationFailed,
    InvalidFields,
    MachineNotFound,
    MachineState,
    NotSupported,
    PermissionDenied,
    ProviderError,
    Rejected,
    Unreachable,
)
from mistcore.deadline import deadline
from mistcore_providers.bare_metal import BareMetal


def test_the_right_key_is_let_in(sshd: Sshd) -> None:
    account = server(sshd).check()
    assert account.id == f"{sshd.user}@127.0.0.1"
    assert account.details["host_key"] == f"{sshd.fingerprint()} (ssh-ed25519)"
    assert account.details["ssh_server"].startswith("SSH-2.0-OpenSSH")
    assert account.details["kernel"] == f"Linux {Path('/proc/sys/kernel/osrelease').read_text().strip()}"
    assert account.permissions is None


def test_one_machine_with_what_it_is(sshd: Sshd) -> None:
    (machine,) = server(sshd).list_machines()
    assert (machine.id, machine.state) == ("127.0.0.1", MachineState.RUNNING)
    assert machine.name == Path("/proc/sys/kernel/hostname").read_text().strip()
    assert machine.extra["machine_id"] == Path("/etc/machine-id").read_text().strip()
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    assert memory is not None
    assert machine.extra["memory"] == int(memory[1]) // 1024
    assert not [address for address in (*machine.public_ips, *machine.private_ips) if address.startswith("127.")]
    assert server(sshd).get_machine("127.0.0.1") == machine


def test_another_machine_is_not_found_without_asking() -> None:
    with pytest.raises(MachineNotFound):
        BareMetal(machine_ip="name.invalid").get_machine("other")


def test_a_key_as_text(sshd: Sshd) -> None:
    assert server(sshd, machine_key=sshd.key.read_text()).check()
    assert server(sshd, machine_key=sshd.key.read_text().replace("\n", "\\n")).check()


def test_the_wrong_key_is_refused(sshd: Sshd) -> None:
    with pytest.raises(AuthenticationFailed) as raised:
        server(sshd, machine_key=str(sshd.other)).check()
    assert raised.value.reason == "key_refused"
    assert sshd.user in raised.value.message
    assert fingerprint(sshd.folder / "other.pub") in raised.value.message
    assert raised.value.message.endswith("it takes publickey")


def test_the_wrong_user_is_refused(sshd: Sshd) -> None:
    with pytest.raises(AuthenticationFailed, match="'nobody'"):
        server(sshd, machine_user="nobody").check()


def test_an_encrypted_key(sshd: Sshd) -> None:
    assert server(sshd, machine_key=str(sshd.encrypted), key_passphrase=sshd.passphrase).check()


@pytest.mark.parametrize("how", ["path", "text"])
def test_an_encrypted_key_without_or_with_a_wrong_passphrase(sshd: Sshd, how: str) -> None:
    key = str(sshd.encrypted) if how == "path" else sshd.encrypted.read_text()
    with pytest.raises(InvalidFields) as raised:
        server(sshd, machine_key=key).check()
    assert raised.value.problems["key_passphrase"].startswith("missing")
    with pytest.raises(InvalidFields) as raised:
        server(sshd, machine_key=key, key_passphrase="wrong one").check()
    assert raised.value.problems["key_passphrase"].startswith("does not open")
    assert "wrong one" not in str(raised.value)


def test_an_encrypted_key_in_the_old_format(sshd: Sshd) -> None:
    key = sshd.make_key("old", "rsa", "old passphrase", "-m", "PEM", "-b", "2048")
    with pytest.raises(InvalidFields) as raised:
        server(sshd, machine_key=str(key)).check()
    assert raised.value.problems["key_passphrase"].startswith("missing")
    with pytest.raises(InvalidFields) as raised:
        server(sshd, machine_key=str(key), key_passphrase="wrong one").check()
    assert raised.value.problems["key_passphrase"].startswith("does not open")
    with pytest.raises(AuthenticationFailed, match="with the key SHA256:"):
        server(sshd, machine_key=str(key), key_passphrase="old passphrase").check()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read .*: No such file"),
        ("", "there is no private key"),
        ("ssh-ed25519 AAAA user@host", "is a public key"),
        ("PuTTY-User-Key-File-3: ssh-ed25519\n", "is a PuTTY key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", "there is no private key"),
    ],
)
def test_a_key_file_that_is_none(sshd: Sshd, tmp_path: Path, content: str | None, words: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InvalidFields, match=words) as raised:
        server(sshd, machine_key=str(file)).check()
    assert list(raised.value.problems) == ["machine_key"]
    assert str(file) in raised.value.message


def test_a_public_key_as_text(sshd: Sshd) -> None:
    with pytest.raises(InvalidFields, match="public key"):
        server(sshd, machine_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA").check()


@pytest.mark.parametrize("text", ["hunter2", "b3BlbnNzaC1rZXktdjEAAAAA" * 40, "PuTTY-User-Key-File-3: x\nhunter2"])
def test_what_is_given_as_key_is_not_shown(sshd: Sshd, text: str) -> None:
    with pytest.raises(InvalidFields) as raised:
        server(sshd, machine_key=text).check()
    error: BaseException | None = raised.value
    while error is not None:
        assert "hunter2" not in str(error)
        assert "b3BlbnNz" not in str(error)
        error = error.__cause__ or error.__context__


def test_the_right_password_is_let_in(sshd: Sshd) -> None:
    assert server(sshd, machine_key=None, machine_port=sshd.password_port, password=sshd.password).check()


def test_the_wrong_password_is_refused(sshd: Sshd) -> None:
    with pytest.raises(AuthenticationFailed) as raised:
        server(sshd, machine_key=None, machine_port=sshd.password_port, password="not this one").check()
    assert raised.value.reason == "password_refused"
    assert "it takes publickey, password" in raised.value.message
    assert "not this one" not in str(raised.value)


def test_a_password_where_only_keys_are_taken(sshd: Sshd) -> None:
    with pytest.raises(AuthenticationFailed, match="takes no password") as raised:
        server(sshd, machine_key=None, password=sshd.password).check()
    assert raised.value.remedy == "Give machine_key."


def test_a_wrong_key_and_the_right_password(sshd: Sshd) -> None:
    fields = {"machine_key": str(sshd.other), "machine_port": sshd.password_port}
    assert server(sshd, password=sshd.password, **fields).check()
    with pytest.raises(AuthenticationFailed, match="with the key SHA256:.* or with this password"):
        server(sshd, password="not this one", **fields).check()


def test_a_server_that_wants_key_and_password(sshd: Sshd) -> None:
    assert server(sshd, machine_port=sshd.both_port, password=sshd.password).check()
    with pytest.raises(AuthenticationFailed) as raised:
        server(sshd, machine_port=sshd.both_port).check()
    assert raised.value.remedy.endswith("Give password too, if the server wants both.")


def test_a_server_that_runs_no_command(sshd: Sshd) -> None:
    with pytest.raises(ProviderError, match="runs no command"):
        server(sshd, machine_port=sshd.mute_port).check()


def test_the_agent_and_its_absence(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    with agent(sshd.key) as path:
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        assert server(sshd, machine_key=None).check()
        with pytest.raises(AuthenticationFailed, match="with nothing"):
            server(sshd, machine_key=None, use_agent=False).check()
        with pytest.raises(AuthenticationFailed) as raised:
            server(sshd, machine_key=str(sshd.other)).check()
        assert raised.value.reason == "key_refused"
    monkeypatch.delenv("SSH_AUTH_SOCK")
    with pytest.raises(AuthenticationFailed) as raised:
        server(sshd, machine_key=None).check()
    assert raised.value.reason == "no_key"


def test_an_agent_with_too_many_keys(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [sshd.make_key(f"surplus{number}", "ed25519", "") for number in range(5)]
    with agent(*keys) as path:
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        with pytest.raises(AuthenticationFailed) as raised:
            server(sshd, machine_key=None).check()
    assert raised.value.reason == "too_many_keys"


def test_the_usual_key_of_the_user(sshd: Sshd) -> None:
    folder = Path.home() / ".ssh"
    folder.mkdir()
    (folder / "id_ed25519").write_bytes(sshd.key.read_bytes())
    assert server(sshd, machine_key=None).check()


def test_reboot_and_stop_through_sudo(sshd: Sshd) -> None:
    provider = server(sshd)
    provider.reboot_machine("127.0.0.1")
    assert sshd.calls() == ["sudo -n shutdown -r now", f"shutdown -r now as {sshd.user}"]
    sshd.mood("")
    provider.stop_machine("127.0.0.1")
    assert sshd.calls() == ["sudo -n shutdown -h now", f"shutdown -h now as {sshd.user}"]


def test_no_other_machine_is_rebooted(sshd: Sshd) -> None:
    with pytest.raises(MachineNotFound):
        server(sshd).reboot_machine("127.0.0.2")
    assert sshd.calls() == []


def test_sudo_that_wants_a_password(sshd: Sshd) -> None:
    sshd.mood("password")
    with pytest.raises(PermissionDenied, match="a password is required") as raised:
        server(sshd).reboot_machine("127.0.0.1")
    assert raised.value.reason == "sudo"
    assert f"{sshd.user} ALL=(root) NOPASSWD: /sbin/shutdown" in raised.value.remedy
    assert sshd.calls() == ["sudo -n shutdown -r now"]


def test_a_shutdown_that_fails(sshd: Sshd) -> None:
    sshd.mood("fail")
    with pytest.raises(Rejected, match="no bus"):
        server(sshd).stop_machine("127.0.0.1")


def test_a_connection_that_goes_down_with_the_machine(sshd: Sshd) -> None:
    sshd.mood("hangup")
    server(sshd).reboot_machine("127.0.0.1")
    assert sshd.calls() == ["sudo -n shutdown -r now"]


def test_starting_is_not_supported(sshd: Sshd) -> None:
    assert not BareMetal.supports("start_machine")
    with pytest.raises(NotSupported):
        server(sshd).start_machine("127.0.0.1")


def test_a_login_shell_that_runs_nothing(sshd: Sshd) -> None:
    with sshd.shell("/bin/false"):
        (machine,) = server(sshd).list_machines()
        assert (machine.name, machine.state, machine.size) == ("127.0.0.1", "running", "")
        with pytest.raises(NotSupported, match="does not run POSIX shell commands"):
            server(sshd).reboot_machine("127.0.0.1")


def test_two_threads_share_an_instance(sshd: Sshd) -> None:
    good = server(sshd)
    bad = server(sshd, machine_key=str(sshd.other))

    def ask(number: int) -> str:
        try:
            return (good if number % 2 else bad).check().id
        except AuthenticationFailed as error:
            return error.reason

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(8))) == ["key_refused", f"{sshd.user}@127.0.0.1"] * 4


def test_in_a_thread_whose_event_loop_is_running(sshd: Sshd) -> None:
    import asyncio

    async def inside() -> str:
        return server(sshd).check().id

    assert asyncio.run(inside()) == f"{sshd.user}@127.0.0.1"


def test_a_command_that_does_not_end_in_time(sshd: Sshd) -> None:
    sshd.begun.unlink(missing_ok=True)
    with (
        sshd.shell(sshd.folder / "bin" / "slow"),
        deadline_once(sshd.begun.exists),
        pytest.raises(Unreachable) as raised,
    ):
        server(sshd).check()
    assert raised.value.reason == "timeout"
    assert "running a script" in raised.value.message


def test_output_that_never_ends(sshd: Sshd) -> None:
    with sshd.shell(sshd.folder / "bin" / "endless"), deadline(100), pytest.raises(Exception, match="without end"):
        server(sshd).check()
