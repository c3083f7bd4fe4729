"""A real OpenSSH server on free ports of the loopback; its keys, user and commands are thrown away afterwards."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from peers import require
from peers.ports import free_ports

_SSHD = "/usr/sbin/sshd"
_PASSWORD = "correct horse battery"

# Stand in for what must not really happen. They write down how they were called.
_SHUTDOWN = """#!/bin/sh
echo "shutdown $* as $(id -un)" >>"CALLS"
"""
_SUDO = """#!/bin/sh
echo "sudo $*" >>"CALLS"
case $(cat "MOOD" 2>/dev/null) in
password) echo 'sudo: a password is required' >&2; exit 1;;
fail) echo 'Failed to set wall message: no bus' >&2; exit 3;;
hangup)
  # the machine goes down before sudo is back: end the session's own sshd, which belongs to this user
  process=$$
  while [ "$process" -gt 1 ]; do
    process=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$process/status")
    case $(cat "/proc/$process/comm") in sshd*) kill -9 "$process"; exit 0;; esac
  done;;
esac
[ "$1" = -n ] && shift
exec "$@"
"""
# The user's login shell, and two that it can be told to be and that answer badly.
_LOGIN = """#!/bin/sh
exec "$(cat "SHELL")" "$@"
"""
_SLOW = "#!/bin/sh\n: >BEGUN\nexec sleep 30\n"
_ENDLESS = "#!/bin/sh\nexec yes 0123456789012345678901234567890123456789\n"


class Sshd:
    """The server. `port` takes keys only, `password_port` passwords too.

    At `certified_port` its key has a certificate, `both_port` wants a key and a password, `mute_port` runs no command.

    `key` lets `user` in, `other` does not, `encrypted` does with `passphrase`; `calls()` is what was called with sudo.
    """

    host = "127.0.0.1"
    password = _PASSWORD
    passphrase = "open sesame"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user = f"mist-{os.getpid()}-{secrets.token_hex(2)}"  # a run that was killed may have left one behind
        self.key, self.other, self.encrypted = folder / "user", folder / "other", folder / "encrypted"
        self.home = folder / "home"
        self._calls, self._mood, self._shell = self.home / "calls", folder / "mood", folder / "shell"
        self.begun = self.home / "begun"
        self._processes: list[subprocess.Popen[bytes]] = []
        self.port, self.password_port, self.certified_port, self.both_port, self.mute_port = free_ports(5)

    def start(self) -> None:
        self.folder.chmod(0o755)
        for name, kind, passphrase in (
            ("host_ed25519", "ed25519", ""),
            ("host_rsa", "rsa", ""),
            ("user", "ed25519", ""),
            ("other", "ed25519", ""),
            ("encrypted", "ed25519", self.passphrase),
        ):
            self.make_key(name, kind, passphrase)
        self.home.mkdir()
        commands = self.folder / "bin"
        commands.mkdir()
        for name, text in (
            ("shutdown", _SHUTDOWN),
            ("sudo", _SUDO),
            ("slow", _SLOW),
            ("endless", _ENDLESS),
            ("login", _LOGIN),
        ):
            for word, path in (
                ("CALLS", self._calls),
                ("MOOD", self._mood),
                ("SHELL", self._shell),
                ("BEGUN", self.begun),
            ):
                text = text.replace(word, str(path))
            (commands / name).write_text(text)
            (commands / name).chmod(0o755)
        keys = [(self.folder / f"{name}.pub").read_text() for name in ("user", "encrypted")]
        (self.folder / "authorized_keys").write_text("".join(keys))
        self.log_in_to("/bin/sh")
        _account("useradd", "-M", "-d", str(self.home), "-s", str(commands / "login"), self.user)
        _account("chpasswd", text=f"{self.user}:{_PASSWORD}")
        shutil.chown(self.home, self.user)
        Path("/run/sshd").mkdir(exist_ok=True)
        self.make_key("authority", "ed25519", "")
        shutil.copy(self.folder / "host_ed25519", self.folder / "host_certified")
        shutil.copy(self.folder / "host_ed25519.pub", self.folder / "host_certified.pub")
        _run(
            *("ssh-keygen", "-q", "-s", f"{self.folder}/authority", "-I", "host", "-h", "-n", "127.0.0.1"),
            f"{self.folder}/host_certified.pub",
        )
        self._serve(
            "sshd",
            f"""Port {self.port}
Port {self.password_port}
Port {self.both_port}
Port {self.mute_port}
HostKey {self.folder}/host_ed25519
HostKey {self.folder}/host_rsa
""",
            f"""Match LocalPort {self.password_port}
    PasswordAuthentication yes
Match LocalPort {self.both_port}
    PasswordAuthentication yes
    AuthenticationMethods publickey,password
Match LocalPort {self.mute_port}
    MaxSessions 0
""",
        )
        self._serve(
            "certified",
            f"""Port {self.certified_port}
HostKey {self.folder}/host_certified
HostCertificate {self.folder}/host_certified-cert.pub
""",
        )
        for port in (self.port, self.password_port, self.both_port, self.mute_port, self.certified_port):
            _wait_for_port(port)

    def _serve(self, name: str, first: str, last: str = "") -> None:
        config = self.folder / f"{name}_config"
        config.write_text(
            f"""{first}ListenAddress 127.0.0.1
ListenAddress ::1
PidFile none
AuthorizedKeysFile {self.folder}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowUsers {self.user}
MaxAuthTries 4
MaxStartups 200
SetEnv PATH={self.folder}/bin:/usr/bin:/bin
{last}"""
        )
        with (self.folder / "log").open("ab") as log:
            self._processes.append(subprocess.Popen([_SSHD, "-D", "-e", "-f", str(config)], stdout=log, stderr=log))

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
            process.wait(60)
        with contextlib.suppress(subprocess.CalledProcessError):
            _account("userdel", "-f", self.user)

    def make_key(self, name: str, kind: str, passphrase: str, *options: str) -> Path:
        """Make a pair of keys in the folder, unless it is there, and return the private one's path."""
        path = self.folder / name
        if not path.exists():
            _run("ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", name, *options, "-f", str(path))
        return path

    @contextlib.contextmanager
    def shell(self, path: str | Path) -> Iterator[None]:
        """Give the user another login shell for a while."""
        self.log_in_to(path)
        try:
            yield
        finally:
            self.log_in_to("/bin/sh")

    def log_in_to(self, path: str | Path) -> None:
        """Give the user another login shell, until the end of the test; `slow` in the folder `bin` never answers."""
        self._shell.write_text(str(path))

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def host_key(self, kind: str = "ed25519") -> str:
        """The public key line of the server ("ssh-ed25519 AAAA…")."""
        return self._public(f"host_{kind}")

    def other_key(self, kind: str = "ed25519") -> str:
        """The line of a public key that is not the server's."""
        return self._public(self.make_key(f"other_{kind}", kind, "").name)

    def authority_key(self) -> str:
        """The public key of the authority that certified the key at `certified_port`."""
        return self._public("authority")

    def _public(self, name: str) -> str:
        return " ".join((self.folder / f"{name}.pub").read_text().split()[:2])

    def fingerprint(self, kind: str = "ed25519") -> str:
        """What `ssh-keygen -l` says of the server's key ("SHA256:…")."""
        return fingerprint(self.folder / f"host_{kind}.pub")

    def listed(self, kind: str = "ed25519") -> str:
        """The whole line that `ssh-keygen -l` prints of the server's key."""
        return _run("ssh-keygen", "-l", "-f", str(self.folder / f"host_{kind}.pub"))

    def known_host(self, kind: str = "ed25519", *, port: int | None = None, host: str = "127.0.0.1") -> str:
        """The line of known_hosts for this server."""
        return f"[{host}]:{port or self.port} {self.host_key(kind)}\n"

    def mood(self, word: str) -> None:
        """Make sudo want a "password", "fail", or "hangup" the connection; "" for its normal work."""
        self._mood.write_text(word)
        self._calls.unlink(missing_ok=True)

    def calls(self) -> list[str]:
        return self._calls.read_text().splitlines() if self._calls.exists() else []


def fingerprint(public_key: Path) -> str:
    """What OpenSSH says that the fingerprint of a public key is."""
    return _run("ssh-keygen", "-l", "-f", str(public_key)).split()[1]


def _run(*command: str, text: str = "") -> str:
    environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True, env=environment).stdout


def _account(*command: str, text: str = "") -> None:
    """Change the machine's accounts; somebody else may be doing so just now, and hold their lock."""
    for again in range(100):
        try:
            _run(*command, text=text)
        except subprocess.CalledProcessError as error:
            if "lock" not in error.stderr or again == 99:
                raise
            time.sleep(0.5)
        else:
            return


def _wait_for_port(port: int) -> None:
    end = time.monotonic() + 100
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


@pytest.fixture(scope="session")
def sshd_server() -> Iterator[Sshd]:
    """One OpenSSH server for the whole session."""
    if not Path(_SSHD).exists() or shutil.which("ssh-keygen") is None:
        require.missing("OpenSSH's server and client are not installed (openssh-server, openssh-client)")
    if os.geteuid() != 0 or shutil.which("chpasswd", path="/usr/sbin:/sbin") is None:
        require.missing("only root can start an sshd with a user of its own")
    folder = Path(tempfile.mkdtemp(prefix="mistcore-sshd-"))
    server = Sshd(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def sshd(sshd_server: Sshd) -> Iterator[Sshd]:
    """The OpenSSH server, with nothing called yet."""
    server = sshd_server
    server.mood("")
    yield server
    server.log_in_to("/bin/sh")
