"""A real PostgreSQL on a free port of the loopback, made by initdb in a folder that is thrown away afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import require
from peers.ports import free_ports

PASSWORD = "s3cret/pass@word:%"  # all that a URL has to quote
QUOTED = "s3cret%2Fpass%40word%3A%25"


class Postgresql:
    """The server. `url()` lets its owner in, `execute()` asks it directly, `new_schema()` makes a place for a store."""

    host = "127.0.0.1"
    user = "owner"
    password = PASSWORD

    def __init__(self, programs: Path, folder: Path, account: pwd.struct_passwd) -> None:
        self._programs = programs
        self._folder = folder
        self._account = account
        self._process: subprocess.Popen[bytes] | None = None
        self._schemas = 0
        (self.port,) = free_ports(1)
        password = folder / "password"
        password.write_text(PASSWORD)
        for each in (folder, password):
            os.chown(each, account.pw_uid, account.pw_gid)
        options = ["-A", "scram-sha-256", "-U", self.user, "--pwfile", str(password), "-E", "UTF8", "--no-locale", "-N"]
        made = subprocess.run(
            [programs / "initdb", "-D", folder / "data", *options], **self._as_account(), stdout=subprocess.PIPE
        )
        assert made.returncode == 0, made.stdout.decode()

    def start(self) -> None:
        settings = {
            "fsync": "off",
            "listen_addresses": self.host,
            "max_connections": "60",
            "port": str(self.port),
            "unix_socket_directories": "",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._folder / "data", *options], **self._as_account(), stdout=log
            )
        until = time.monotonic() + 100
        while True:
            assert self._process.poll() is None, (self._folder / "log").read_text()
            try:
                self.execute("SELECT 1")
            except Exception:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End it at once, whoever is connected."""
        if self._process:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(100)
        self._process = None

    def url(self, schema: str = "", *, user: str = "owner", password: str = QUOTED, database: str = "postgres") -> str:
        options = f"?options=-csearch_path%3D{schema}" if schema else ""
        return f"postgresql://{user}:{password}@{self.host}:{self.port}/{database}{options}"

    def new_schema(self) -> str:
        self._schemas += 1
        name = f"store_{self._schemas}"
        self.execute(f"CREATE SCHEMA {name}")
        return name

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _as_account(self) -> dict[str, Any]:
        """How to run a program as somebody else than root, whom PostgreSQL refuses."""
        mine: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "cwd": "/"}
        mine["env"] = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
        if os.geteuid() == 0:
            mine |= {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}
        return mine


def _programs() -> Path | None:
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


def _account() -> pwd.struct_passwd:
    if os.geteuid():
        return pwd.getpwuid(os.geteuid())
    names = {each.pw_name for each in pwd.getpwall()}
    return pwd.getpwnam("postgres" if "postgres" in names else "nobody")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgresql]:
    """The server, running."""
    programs = _programs()
    if programs is None:
        require.missing("PostgreSQL is not installed (apt install postgresql)")
    pytest.importorskip("psycopg")
    folder = Path(tempfile.mkdtemp(prefix="mistcore-postgresql-"))
    try:
        server = Postgresql(programs, folder, _account())
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder)
