"""What `ps` shows, of `mist` and of the programs that it starts: no mark but where the user put one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from leaks import services
from leaks.marks import accounts, looker, mark, pem
from leaks.shown import Logged, of_error

from mistcore import BackendManager, MistError

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked at in /proc")

#: A program that writes down what can be seen of itself and of those that started it.
SPY = """#!{python}
import os, sys
with open({seen!r}, "ab") as seen:
    one = os.getpid()
    while one > 1:
        for name in ("cmdline", "environ"):
            try:
                with open(f"/proc/{{one}}/{{name}}", "rb") as file:
                    seen.write(name.encode() + b" " + file.read() + b"\\n")
            except OSError:
                pass
        if one == {top}:
            break
        with open(f"/proc/{{one}}/stat") as file:
            one = int(file.read().rpartition(")")[2].split()[1])
    for word in sys.argv:
        if os.path.isfile(word):
            seen.write(f"mode {{os.stat(word).st_mode & 0o777:o}} {{word}}\\n".encode())
print({printed!r}, end="")
sys.exit({status})
"""


@pytest.fixture
def spy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Put a program of a name on the path, and return where it writes down what it saw."""

    def make(name: str, printed: str = "", status: int = 0) -> Path:
        folder, seen = tmp_path / "bin", tmp_path / f"seen-{name}"
        folder.mkdir(exist_ok=True)
        program = folder / name
        text = SPY.format(python=sys.executable, seen=str(seen), top=os.getpid(), printed=printed, status=status)
        program.write_text(text)
        program.chmod(0o700)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return seen

    return make


def seen_in(path: Path) -> bytes:
    """Return what a spy saw; the test's own process, which is not looked at, was above."""
    data = path.read_bytes()
    assert data.count(b"cmdline ") >= 1
    return data


def test_a_command_for_a_secret_sees_none(
    tmp_path: Path, spy: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`mist` itself in a process of its own, with secrets in its store, from files and on standard input."""
    seen = spy("password-manager", mark("printed"))
    path = tmp_path / "secret"
    path.write_text(mark("in.a.file"))
    store = tmp_path / "backends.json"
    with services.Echo("401", "none") as service:
        mist = [sys.executable, "-m", "mistcore.cli", "--store", str(store)]
        commands = (
            ["add", "linode", "--api-key", "cmd:password-manager get linode", "--endpoint", service.url],
            ["add", "softlayer", "--username", "u", "--api-key", f"@{path}", "--no-check", "--endpoint", service.url],
            ["add", "softlayer", "--username", "u", "--api-key", "-", "--no-check", "--title", "two"],
            ["add", "linode", "--api-key", "cmd:password-manager", "--title", "three", "--no-check"],
            ["check"],
        )
        shown = []
        for words in commands:
            done = subprocess.run([*mist, *words], input=mark("typed").encode(), capture_output=True, check=False)
            shown += [done.stdout, done.stderr]
        assert any(looker().forms(services.said(request)) for request in service.requests)
    assert [looker().forms(text) for text in shown] == [[]] * len(shown)
    assert looker().forms(seen_in(seen)) == []
    assert b"mistcore.cli" in seen_in(seen)
    assert looker().forms(store.read_bytes())


def test_ssh_of_libvirt_sees_a_key_only_in_a_file_of_its_own(
    tmp_path: Path, spy: Callable[..., Path], nothing_leaks: Any, logged: Logged
) -> None:
    pytest.importorskip("libvirt", reason="libvirt's Python binding is not installed")
    seen = spy("ssh", status=255)
    account = next(each for each in accounts(services.nobody()) if each.title == "libvirt-ssh")
    with BackendManager(tmp_path / "store") as manager:
        backend = manager.add_backend("libvirt", check=False, **account.fields)
        with pytest.raises(MistError) as caught:
            backend.check()
    nothing_leaks([*of_error(caught.value), *logged.take(), ("ps", seen_in(seen))])
    modes = {line.split(b" ")[1] for line in seen_in(seen).splitlines() if line.startswith(b"mode ")}
    assert modes <= {b"600", b"700"}
    assert b"mode 600" in seen_in(seen), "the key, in a file"


@pytest.mark.parametrize(
    "printed",
    ['{"accessToken": "%s", "expires_on": "never"}', '["%s"]', "%s", '{"accessToken": "%s", "expires_on": 4000000000}'],
)
def test_the_token_of_az_is_not_shown(
    printed: str,
    tmp_path: Path,
    spy: Callable[..., Path],
    nothing_leaks: Any,
    logged: Logged,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", services.nobody())  # for a machine that is not Azure's
    seen = spy("az", printed % mark("of.az").replace('"', ""))
    id = "01234567-89ab-cdef-0123-456789abcdef"
    with BackendManager(tmp_path / "store") as manager:
        place = services.nobody().replace("http:", "https:")
        backend = manager.add_backend("azure", check=False, subscription_id=id, tenant_id=id, endpoint=place)
        with pytest.raises(MistError) as caught:
            backend.check()
    nothing_leaks([*of_error(caught.value), *logged.take(), ("ps", seen_in(seen))])


def test_the_twin_a_secret_on_a_command_line_is_seen(spy: Callable[..., Path]) -> None:
    seen = spy("leaky")
    subprocess.run(["leaky", mark("on.a.command.line"), pem()], check=True)
    assert looker().forms(seen_in(seen))
