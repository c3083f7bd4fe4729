"""A real keyring: gnome-keyring behind the Secret Service, on a message bus of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from peers import require
from peers.waiting import until


class SecretService:
    """The keyring. `environment` is what a program needs to find it, once it is started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._programs: list[subprocess.Popen[bytes]] = []
        self.environment: dict[str, str] = {}

    def start(self) -> None:
        # One of thirty comes up without its collection, or with a locked one, and stays so.
        for attempt in range(8):
            self._start(self._folder / str(attempt))
            with suppress(AssertionError):
                until(self._answers, 3 + 2 * attempt, 0.05)
                return
            self.stop()
        raise AssertionError("the keyring does not start")

    def _start(self, home: Path) -> None:
        home.mkdir(mode=0o700)
        address = f"unix:path={home}/bus"
        self.environment = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home), "DBUS_SESSION_BUS_ADDRESS": address}
        # Without a display, so that nobody is asked to unlock it.
        everything = {**os.environ, **self.environment}
        environment = {key: value for key, value in everything.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
        quiet: dict[str, Any] = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._programs.append(
            subprocess.Popen(["dbus-daemon", "--session", "--nofork", f"--address={address}"], **quiet)
        )
        until((home / "bus").exists, 30, 0.05)
        command = ["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"]
        daemon = subprocess.Popen(command, stdin=subprocess.PIPE, **quiet)
        self._programs.append(daemon)
        assert daemon.stdin is not None
        daemon.stdin.write(b"password of the keyring")
        daemon.stdin.close()

    def stop(self) -> None:
        while self._programs:
            program = self._programs.pop()
            program.terminate()
            program.wait(60)

    def _answers(self) -> bool:
        try:
            return not self._with_collection(lambda collection: collection.is_locked())
        except Exception:
            return False

    def lock(self) -> None:
        self._with_collection(lambda collection: collection.lock())

    def _with_collection(self, use: Callable[[Any], Any]) -> Any:
        import secretstorage
        from jeepney.io.blocking import open_dbus_connection

        with closing(open_dbus_connection(self.environment["DBUS_SESSION_BUS_ADDRESS"])) as connection:
            # Not `get_default_collection`, which would have one made, and ask a person for its password.
            return use(secretstorage.get_collection_by_alias(connection, "default"))


@pytest.fixture
def secret_service(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SecretService]:
    """A keyring that is unlocked, and that this process finds; skips where the extra `keyring` is not installed."""
    pytest.importorskip("keyring", reason="the extra keyring is not installed: the environment `bare` is without")
    for program in ("dbus-daemon", "gnome-keyring-daemon"):
        if shutil.which(program) is None:
            require.missing(f"{program} is not installed (apt packages dbus and gnome-keyring)")
    service = SecretService(tmp_path_factory.mktemp("keyring"))
    try:
        service.start()
        for name, value in service.environment.items():
            monkeypatch.setenv(name, value)
        import keyring
        import keyring.backends.SecretService

        before = keyring.get_keyring()
        keyring.set_keyring(keyring.backends.SecretService.Keyring())
        yield service
        keyring.set_keyring(before)
    finally:
        service.stop()
