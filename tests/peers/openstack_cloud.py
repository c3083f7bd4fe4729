"""A real OpenStack on loopback, without a hypervisor: `openstack/up.sh` says what it is made of.

It is started once per run, empty, and always where MISTCORE_REQUIRE_PEERS is set (CI); on somebody's own machine only
with MISTCORE_OPENSTACK=1, as the first start installs 600 MB. That stays, outside the tree, for the next run:
MISTCORE_OPENSTACK_DIR, by default ~/.cache/mistcore-tests.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from peers import require
from peers.installed import ENVIRONMENT, FOLDER, free_ports, one_run_at_a_time, wanted

_HERE = Path(__file__).parent / "openstack"
_LIMIT = 1800
_PORT, _KEYSTONE12_PORT = 15600, 17600
#: How many servers Nova puts into a page: few, so that the tests have pages to follow.
PAGE = 3


@attrs.frozen
class OpenStackCloud:
    """Where it is, and who may enter: users demo and admin by `password(name)`, reader for what may only be read."""

    auth_url: str
    auth_url_v2: str | None
    region: str
    compute_url: str
    users: dict[str, list[str]]

    def password(self, name: str) -> str:
        """Return a user's password."""
        return self.users[name][0]

    def login(self, name: str = "demo") -> dict[str, str]:
        """Return the fields of the provider `openstack` for a user."""
        password, project = self.users[name]
        return {"auth_url": self.auth_url, "username": name, "password": password, "tenant_name": project}

    def api(self, kind: str, name: str = "admin") -> Any:
        """Return keystoneauth's adapter for a service, to arrange things by."""
        from keystoneauth1 import adapter, session
        from keystoneauth1.identity import v3

        password, project = self.users[name]
        domains = {"user_domain_id": "default", "project_domain_id": "default"}
        login = v3.Password(self.auth_url, username=name, password=password, project_name=project, **domains)
        version = {"version": "3"} if kind == "identity" else {}
        return adapter.Adapter(session.Session(login), service_type=kind, interface="public", **version)

    def add_user(
        self, name: str, *, project: str, domain: str = "Default", roles: tuple[str, ...] = ("member", "reader")
    ) -> dict[str, str]:
        """Make a user, whose password is NAME-secret, with what is missing around it; return the ids of all."""
        keystone = self.api("identity")

        def ensure(path: str, kind: str, **body: Any) -> str:
            where = {key: value for key, value in body.items() if key in ("name", "domain_id")}
            found = keystone.get(f"/{path}", params=where).json()[path]
            return str((found or [keystone.post(f"/{path}", json={kind: body}).json()[kind]])[0]["id"])

        domain_id = ensure("domains", "domain", name=domain)
        project_id = ensure("projects", "project", name=project, domain_id=domain_id)
        user_id = ensure("users", "user", name=name, password=f"{name}-secret", domain_id=domain_id)
        for role in roles:
            keystone.put(f"/projects/{project_id}/users/{user_id}/roles/{ensure('roles', 'role', name=role)}")
        return {"user_id": user_id, "project_id": project_id, "domain_id": domain_id}

    def add_application_credential(self, name: str) -> dict[str, str]:
        """Make one for the user demo; return its id and secret."""
        keystone = self.api("identity", "demo")
        body = {"application_credential": {"name": name}}
        user = keystone.session.get_user_id()
        made: dict[str, str] = keystone.post(f"/users/{user}/application_credentials", json=body).json()[
            "application_credential"
        ]
        return made

    def unscoped_token(self, name: str) -> str:
        """Return a token that is for no project."""
        from keystoneauth1 import session
        from keystoneauth1.identity import v3

        login = v3.Password(
            self.auth_url, username=name, password=self.password(name), user_domain_id="default", unscoped=True
        )
        return str(session.Session(login).get_token())


@contextmanager
def running(folder: Path, port: int, **settings: str) -> Iterator[OpenStackCloud]:
    """Start an empty cloud with its state in `folder`, and stop it in the end."""
    environment = _settings(folder, **settings)
    with one_run_at_a_time(folder):
        down = ["bash", str(_HERE / "down.sh")]
        subprocess.run(down, env=environment, check=False, capture_output=True, timeout=60)
        environment["OSP_PORT"] = str(free_ports(port, 5))
        try:
            _up("--fresh", environment)
            told = json.loads((folder / "peer.json").read_text())
            yield OpenStackCloud(
                told["auth_url"], told["auth_url_v2"], told["region"], told["compute_url"], told["users"]
            )
        finally:
            subprocess.run(down, env=environment, check=False, capture_output=True, timeout=60)


@pytest.fixture(scope="session")
def openstack_cloud() -> Iterator[OpenStackCloud]:
    """A cloud of today: Keystone v3 alone."""
    wanted()
    with running(FOLDER / "openstack", _PORT, OSP_MAX_LIMIT=str(PAGE)) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def keystone12_cloud() -> Iterator[OpenStackCloud]:
    """The same Nova behind Keystone 12, the last one with the v2.0 API; skips where there is no Python 3.6 for it."""
    wanted()
    if _python36() is None:
        pytest.skip("Keystone v2.0 needs Python 3.6, which is no longer to be had from Debian or PyPI")
    with running(_keystone12_folder(), _KEYSTONE12_PORT, **_keystone12()) as cloud:
        yield cloud


def install(*, with_keystone12: bool) -> None:
    """Install the cloud of today, and the one with Keystone 12 where that is asked for and can be."""
    _installed()
    if with_keystone12 and _python36() is not None:
        folder = _keystone12_folder()
        with one_run_at_a_time(folder):
            ports = str(free_ports(_KEYSTONE12_PORT, 5))
            _up("--install", {**_settings(folder, **_keystone12()), "OSP_PORT": ports})


def _installed() -> Path:
    """Install the cloud of today if it has not been installed; return its folder."""
    folder = FOLDER / "openstack"
    if not (folder / "venv" / ".ok").exists():
        with one_run_at_a_time(folder):
            _up("--install", {**_settings(folder), "OSP_PORT": str(free_ports(_PORT, 5))})
    return folder


def _keystone12_folder() -> Path:
    """Return the other cloud's folder: it shares the services of the cloud of today."""
    folder = FOLDER / "openstack-keystone12"
    if not (folder / "venv").exists():
        shared = _installed() / "venv"
        with one_run_at_a_time(folder):
            if not (folder / "venv").exists():
                (folder / "venv").unlink(missing_ok=True)
                (folder / "venv").symlink_to(shared)
    return folder


def _keystone12() -> dict[str, str]:
    return {"OSP_KEYSTONE": "12", "OSP_PYTHON36": str(_python36())}


def _settings(folder: Path, **settings: str) -> dict[str, str]:
    return {**ENVIRONMENT, "OSP_DIR": str(folder), "OSP_LIMIT": str(_LIMIT), **settings}


def _up(option: str, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", str(_HERE / "up.sh"), option],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=_LIMIT + 120,
    )
    if done.returncode != 0:
        require.missing(f"OpenStack does not start: {done.stderr[-3000:]}")


def _python36() -> Path | None:
    home = Path(ENVIRONMENT.get("HOME", "/nonexistent"))
    found = sorted(home.glob(".pyenv/versions/3.6.*/bin/python"))
    on_path = shutil.which("python3.6")
    for python in (*found, *([Path(on_path)] if on_path else [])):
        if subprocess.run([python, "-c", "import venv, sqlite3"], check=False, capture_output=True).returncode == 0:
            return python
    return None
