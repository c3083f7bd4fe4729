"""bare_metal and what can go wrong before the login: names, ports, greetings, host keys, ~/.ssh/config."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fakes.bare_metal import server
from fakes.patience import HANGS, deadline_once, patient
from peers.ports import deaf_port
from peers.sshd import Sshd

from mistcore import AuthenticationFailed, InvalidFields, MistError, Unreachable
from mistcore.deadline import deadline
from mistcore.testing.wire import MISCHIEF, Line, WireServer, after, pouring, saying, silent
from mistcore_providers.bare_metal import BareMetal


@contextmanager
def fails(
    seconds: float = 60, cls: type[MistError] = Unreachable, *, once: Callable[[], object] | None = None
) -> Iterator[pytest.ExceptionInfo[MistError]]:
    """Expect an error within the deadline, which may be over once something has happened."""
    with deadline(seconds) if once is None else deadline_once(once), pytest.raises(cls) as raised:
        yield raised
    assert raised.value.remedy or isinstance(raised.value, InvalidFields)


def known_hosts(text: str) -> None:
    """Write ~/.ssh/known_hosts."""
    folder = Path.home() / ".ssh"
    folder.mkdir(exist_ok=True)
    (folder / "known_hosts").write_text(text)


def config(text: str) -> None:
    """Write ~/.ssh/config."""
    folder = Path.home() / ".ssh"
    folder.mkdir(exist_ok=True)
    (folder / "config").write_text(text)


def test_a_name_that_does_not_resolve() -> None:
    with fails() as raised:
        BareMetal(machine_ip="no-such-host.invalid").check()
    assert raised.value.reason == "dns"
    assert "'no-such-host.invalid'" in raised.value.message


def test_a_lookup_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, free = threading.Event(), threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: asked.set() or (free.wait(HANGS) and []))
    with fails(once=asked.is_set) as raised:
        patient(BareMetal(machine_ip="slow.example")).check()
    free.set()
    assert raised.value.reason == "timeout"
    assert "looking up the name slow.example" in raised.value.message


def test_a_port_that_refuses() -> None:
    with deaf_port() as port, fails() as raised:
        BareMetal(machine_ip="127.0.0.1", machine_port=port).check()
    assert raised.value.reason == "refused"
    assert f"127.0.0.1:{port} refuses" in raised.value.message


def test_a_connection_that_nobody_takes() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        assert select.select([full], [], [], 60)[0]  # the first has arrived: there is no room for any more
        with fails(1) as raised:
            patient(BareMetal(machine_ip="127.0.0.1", machine_port=full.getsockname()[1])).check()
        for client in waiting:
            client.close()
    assert raised.value.reason == "timeout"
    assert raised.value.message.startswith("no answer from 127.0.0.1")


def at(wire: WireServer) -> BareMetal:
    return patient(BareMetal(machine_ip="127.0.0.1", machine_port=wire.port))


def test_a_listener_that_says_nothing() -> None:
    with WireServer(silent) as wire, fails(once=lambda: wire.received) as raised:
        at(wire).check()
    assert raised.value.reason == "timeout"
    assert "no SSH server greets" in raised.value.message


def test_a_greeting_that_never_ends() -> None:
    def drip(line: Line) -> None:
        while True:
            line.send(b"still booting\r\n", 0.02)

    with WireServer(drip) as wire, fails(once=lambda: wire.received) as raised:  # it has seen that, and greets in turn
        at(wire).check()
    assert raised.value.reason == "not_ssh"
    assert "it says 'still booting'" in raised.value.message


def test_a_greeting_that_is_one_endless_line() -> None:
    with WireServer(pouring(filler=b"x" * 4096)) as wire, fails() as raised:
        at(wire).check()
    assert raised.value.reason == "not_ssh"


def test_a_web_server_on_the_port() -> None:
    with WireServer(MISCHIEF["is a web server"]) as wire, fails() as raised:
        at(wire).check()
    assert raised.value.reason == "not_ssh"


def test_a_server_that_hangs_up_at_once() -> None:
    with WireServer(MISCHIEF["hangs up at once"]) as wire, fails() as raised:
        at(wire).check()
    assert raised.value.reason == "network"
    assert "before it said anything" in raised.value.message


def test_a_server_that_hangs_up_after_its_greeting() -> None:
    talk = saying(b"SSH-2.0-Rude\r\n", then=after(b"", lambda line: None))
    with WireServer(talk) as wire, fails() as raised:
        at(wire).check()
    assert raised.value.reason == "network"
    assert "during the login" in raised.value.message


def test_a_server_that_stops_after_its_greeting() -> None:
    talk = saying(b"SSH-2.0-Slow\r\n", then=silent)
    with WireServer(talk) as wire, fails(once=lambda: b"curve25519" in wire.received) as raised:
        at(wire).check()
    assert raised.value.reason == "timeout"
    assert "the login to" in raised.value.message


def test_a_cancelled_deadline_ends_it_at_once() -> None:
    with WireServer(silent) as wire, deadline(HANGS) as limit:
        threading.Timer(0.3, limit.cancel).start()
        with pytest.raises(Unreachable):
            at(wire).check()


def test_an_unknown_host_key_shows_what_to_do(sshd: Sshd) -> None:
    with fails() as raised:
        server(sshd, host_key=None).check()
    assert raised.value.reason == "host_key"
    assert sshd.fingerprint() in raised.value.message
    assert f"ssh-keyscan -p {sshd.port} 127.0.0.1 >> ~/.ssh/known_hosts" in raised.value.remedy
    assert not (Path.home() / ".ssh" / "known_hosts").exists()


def test_an_unknown_host_key_is_not_trusted_because_the_configuration_says_so(sshd: Sshd) -> None:
    config("Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile none\n")
    with fails() as raised:
        server(sshd, host_key=None).check()
    assert raised.value.reason == "host_key"


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_known_host_key(sshd: Sshd, kind: str) -> None:
    known_hosts(f"this line is damaged\n\n# comment\n|1|x|y ssh-rsa AAAA\n{sshd.known_host(kind)}")
    details = server(sshd, host_key=None).check().details
    assert details["host_key"].startswith(sshd.fingerprint(kind))


def test_a_hashed_entry(sshd: Sshd) -> None:
    known_hosts(sshd.known_host())
    subprocess.run(
        ["ssh-keygen", "-H", "-f", str(Path.home() / ".ssh" / "known_hosts")], check=True, capture_output=True
    )
    assert (Path.home() / ".ssh" / "known_hosts").read_text().startswith("|1|")
    assert server(sshd, host_key=None).check()


def test_a_key_known_without_its_port(sshd: Sshd) -> None:
    known_hosts(f"127.0.0.1 {sshd.host_key()}\n")
    assert server(sshd, host_key=None).check()


def test_a_key_known_for_another_port_only_is_not_a_change(sshd: Sshd) -> None:
    known_hosts(f"127.0.0.1 {sshd.other_key()}\n")
    with fails() as raised:
        server(sshd, host_key=None).check()
    assert raised.value.reason == "host_key"


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_a_changed_host_key(sshd: Sshd, kind: str) -> None:
    """Also where the known key is of a type that the server has no key of."""
    known_hosts(f"[127.0.0.1]:{sshd.port} {sshd.other_key(kind)}\n")
    with fails() as raised:
        server(sshd, host_key=None).check()
    assert raised.value.reason == "host_key_changed"
    assert "HAS CHANGED" in raised.value.message
    assert sshd.fingerprint() in raised.value.message
    assert f"ssh-keygen -R '[127.0.0.1]:{sshd.port}'" in raised.value.remedy


def test_a_revoked_host_key(sshd: Sshd) -> None:
    known_hosts(f"{sshd.known_host()}@revoked [127.0.0.1]:{sshd.port} {sshd.host_key()}\n")
    with fails() as raised:
        server(sshd, host_key=None).check()
    assert "revoked" in raised.value.message


def test_an_authority_of_host_keys(sshd: Sshd) -> None:
    known_hosts(f"@cert-authority 127.0.0.1,[127.0.0.1]:* {sshd.authority_key()}\n")
    assert server(sshd, host_key=None, machine_port=sshd.certified_port).check()
    known_hosts(f"@cert-authority 127.0.0.1,[127.0.0.1]:* {sshd.other_key()}\n")
    with fails() as raised:
        server(sshd, host_key=None, machine_port=sshd.certified_port).check()
    assert raised.value.reason == "host_key"


def test_a_file_of_known_hosts_that_is_given(sshd: Sshd, tmp_path: Path) -> None:
    file = tmp_path / "known"
    with fails(cls=InvalidFields) as raised:
        server(sshd, host_key=None, known_hosts=str(file)).check()
    file.write_text(sshd.known_host())
    assert server(sshd, host_key=None, known_hosts=str(file)).check()
    assert str(file) in raised.value.message


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_pinned_host_key(sshd: Sshd, kind: str) -> None:
    for pin in (sshd.fingerprint(kind), sshd.host_key(kind), sshd.known_host(kind), sshd.listed(kind)):
        account = server(sshd, host_key=pin).check()
        assert account.details["host_key"].startswith(sshd.fingerprint(kind))


def test_a_pinned_host_key_that_is_another(sshd: Sshd) -> None:
    known_hosts(sshd.known_host())
    for pin in ("SHA256:" + "A" * 43, sshd.other_key()):
        with fails() as raised:
            server(sshd, host_key=pin).check()
        assert raised.value.reason == "host_key_changed"
        assert sshd.fingerprint("ed25519") in raised.value.message
        assert sshd.fingerprint("rsa") in raised.value.message


def test_the_configuration_of_a_host(sshd: Sshd) -> None:
    known_hosts(sshd.known_host())
    config(
        f"Host web\n  HostName 127.0.0.1\n  Port {sshd.port}\n  User {sshd.user}\n"
        f"  IdentityFile ~/.ssh/none\n  IdentityFile {sshd.key}\n"
    )
    provider = BareMetal(machine_ip="web")
    assert provider.check().id == f"{sshd.user}@web"
    assert provider.get_machine("web").id == "web"
    with fails(20):
        BareMetal(machine_ip="web", ssh_config="none").check()


def test_what_is_given_wins_over_the_configuration(sshd: Sshd) -> None:
    known_hosts(sshd.known_host())
    config(f"Host *\n  Port {sshd.port + 1}\n  User nobody\n  IdentityFile {sshd.other}\n")
    assert server(sshd, host_key=None).check()
    config(f"Host *\n  Port {sshd.port}\n  User {sshd.user}\n  IdentityFile {sshd.key}\n")
    with fails(cls=AuthenticationFailed) as raised:
        BareMetal(machine_ip="127.0.0.1", machine_user="root").check()
    assert "'root'" in raised.value.message
    with fails(cls=Unreachable):
        BareMetal(machine_ip="127.0.0.1", machine_port=22).check()


def test_another_configuration_file(sshd: Sshd, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(f"Host web\n  HostName 127.0.0.1\n  HostKeyAlias web.example\n  Port {sshd.port}\n")
    known_hosts(f"[web.example]:{sshd.port} {sshd.host_key()}\n")
    fields = {"machine_ip": "web", "machine_port": None, "host_key": None}
    assert server(sshd, **fields, ssh_config=str(file)).check()
    with fails(cls=InvalidFields):
        server(sshd, **fields, ssh_config=str(tmp_path / "none")).check()


def test_through_a_jump_host(sshd: Sshd) -> None:
    known_hosts(sshd.known_host() + sshd.known_host(port=sshd.password_port))
    config(
        f"Host inner\n  HostName 127.0.0.1\n  Port {sshd.password_port}\n  ProxyJump {sshd.user}@jump\n"
        f"Host jump\n  HostName 127.0.0.1\n  Port {sshd.port}\n  IdentityFile {sshd.key}\n"
    )
    inner = {"machine_ip": "inner", "machine_port": None, "host_key": None}
    account = server(sshd, **inner, machine_key=None, password=sshd.password).check()
    assert account.id == f"{sshd.user}@inner"
    assert f"port {sshd.password_port}" in sshd.log()
    with fails(cls=AuthenticationFailed) as raised:
        server(sshd, **inner, machine_key=str(sshd.other)).check()
    assert raised.value.message.startswith(f"127.0.0.1:{sshd.password_port} does not let")


def test_a_jump_host_that_does_not_let_in(sshd: Sshd) -> None:
    known_hosts(sshd.known_host())
    config(f"Host inner\n  ProxyJump {sshd.user}@127.0.0.1:{sshd.port}\n")
    with fails(cls=AuthenticationFailed) as raised:
        server(sshd, machine_ip="inner", host_key=None).check()
    assert f"jump host 127.0.0.1:{sshd.port} does not let {sshd.user!r} in" in raised.value.message


def test_a_jump_host_that_is_not_known(sshd: Sshd) -> None:
    config(f"Host inner\n  ProxyJump 127.0.0.1:{sshd.port}\n")
    with fails() as raised:
        server(sshd, machine_ip="inner", host_key=sshd.fingerprint()).check()
    assert raised.value.reason == "host_key"
    assert "jump host" in raised.value.message


def test_a_jump_host_that_cannot_go_on(sshd: Sshd) -> None:
    known_hosts(sshd.known_host())
    with deaf_port() as port:
        config(
            f"Host inner\n  HostName 127.0.0.1\n  Port {port}\n  ProxyJump {sshd.user}@jump\n"
            f"Host jump\n  HostName 127.0.0.1\n  Port {sshd.port}\n  IdentityFile {sshd.key}\n"
        )
        with fails() as raised:
            server(sshd, machine_ip="inner", machine_port=None).check()
    assert raised.value.reason == "refused"
    assert "the jump host 127.0.0.1 does not connect" in raised.value.message


def test_through_a_command(sshd: Sshd, tmp_path: Path) -> None:
    known_hosts(sshd.known_host())
    (tmp_path / "proxy").write_text(
        f"""#!{sys.executable}
import shutil, socket, sys, threading
server = socket.create_connection((sys.argv[1], int(sys.argv[2])))
stream = server.makefile("rwb", buffering=0)
threading.Thread(target=shutil.copyfileobj, args=(stream, open(1, "wb", 0)), daemon=True).start()
shutil.copyfileobj(open(0, "rb", 0), stream)
"""
    )
    (tmp_path / "proxy").chmod(0o755)
    config(f"Host *\n  ProxyCommand {tmp_path}/proxy %h %p\n")
    assert server(sshd, host_key=None).check()
    config("Host *\n  ProxyCommand /bin/false\n")
    with fails() as raised:
        server(sshd, host_key=None).check()
    assert raised.value.reason == "network"


def test_jump_hosts_in_a_circle() -> None:
    config("Host *\n  ProxyJump jump\n")
    with deadline(60), pytest.raises(InvalidFields, match="circle"):
        BareMetal(machine_ip="127.0.0.1").check()


def test_a_configuration_that_is_damaged() -> None:
    config("Host *\n  Port many\n")
    with deadline(60), pytest.raises(InvalidFields) as raised:
        BareMetal(machine_ip="127.0.0.1").check()
    assert list(raised.value.problems) == ["ssh_config"]


def test_version_6_addresses(sshd: Sshd) -> None:
    try:
        socket.create_connection(("::1", sshd.port), 1).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    known_hosts(sshd.known_host(host="::1"))
    assert server(sshd, machine_ip="::1", host_key=None).check().id == f"{sshd.user}@::1"
    with fails() as raised:
        server(sshd, machine_ip="[::1]", machine_port=sshd.password_port, host_key=None, known_hosts=None).check()
    assert f"[::1]:{sshd.password_port}" in raised.value.message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("machine_ip", "-oProxyCommand=touch /tmp/x"),
        ("machine_ip", "two words"),
        ("machine_ip", "line\nbreak"),
        ("machine_ip", "bell\a"),
        ("machine_ip", "$(id)"),
        ("machine_ip", "root@203.0.113.5"),
        ("machine_ip", "ssh://203.0.113.5"),
        ("machine_ip", "203.0.113.5:22"),
        ("machine_user", "-l"),
        ("machine_user", "ro ot"),
        ("machine_user", "a;b"),
        ("machine_user", "tab\tbed"),
        ("machine_port", 0),
        ("machine_port", 65536),
        ("host_key", "SHA256:short"),
        ("host_key", "MD5:aa:bb"),
        ("host_key", "ssh-ed25519 not!base64"),
    ],
)
def test_what_is_refused_before_anything_is_sent(field: str, value: object) -> None:
    with pytest.raises(InvalidFields) as raised:
        BareMetal(**{"machine_ip": "203.0.113.5", field: value})
    assert list(raised.value.problems) == [field]
