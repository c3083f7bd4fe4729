"""docker at the socket of a real engine: what a check tells, who may not use it, and no SDK before it is needed."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from peers import docker_accounts
from peers.docker_engine import DockerEngine

from mistcore import MissingDependency, Unreachable
from mistcore_providers.docker import Docker

docker = docker_accounts.docker


def test_importing_the_provider_imports_no_sdk() -> None:
    sdks = "('docker', 'requests', 'paramiko')"
    code = f"import sys, mistcore_providers.docker; print([m for m in {sdks} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_check_says_which_engine_it_is(docker: Docker, clean_engine: DockerEngine) -> None:
    clean_engine.run("web")
    account = docker.check()
    api = clean_engine.api()
    info, version = api.info(), api.version()
    api.close()
    assert (account.id, account.name) == (info["ID"], info["Name"])
    assert account.details["engine_version"] == version["Version"]
    assert account.details["api_version"] == version["ApiVersion"]
    assert (account.details["containers"], account.details["running"], account.details["cpus"]) == (1, 1, info["NCPU"])
    assert account.details["memory"] == info["MemTotal"] // 2**20
    assert account.warnings == ()
    assert account.permissions is None
    json.dumps(account.to_dict())


def test_several_threads_share_one_instance(docker: Docker, clean_engine: DockerEngine) -> None:
    for name in ("aa", "bb", "cc"):
        clean_engine.run(name)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: {machine.name for machine in docker.list_machines()}, range(40)))
    assert answers == [{"aa", "bb", "cc"}] * 40


def test_it_can_be_used_again_after_it_was_closed(docker: Docker) -> None:
    docker.check()
    docker.close()
    docker.close()
    assert docker.check().name


def test_the_socket_that_is_not_there(tmp_path: Any) -> None:
    with pytest.raises(Unreachable, match="there is no socket") as caught:
        Docker(docker_host=f"unix://{tmp_path}/docker.sock").check()
    assert caught.value.reason == "refused"


def test_a_socket_that_nobody_listens_on(tmp_path: Any) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(f"{tmp_path}/s")
    with pytest.raises(Unreachable, match="nothing listens") as caught:
        Docker(docker_host=f"{tmp_path}/s").check()
    assert caught.value.reason == "refused"


def test_a_user_who_may_not_use_the_socket(clean_engine: DockerEngine) -> None:
    code = """
import os, sys
from mistcore import MistError
from mistcore_providers.docker import Docker
for host in (sys.argv[1], "unix:///nowhere"):  # as root: what it imports may be where the other user may not read
    try:
        Docker(docker_host=host).check()
    except MistError:
        pass
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    print(Docker(docker_host=sys.argv[1]).check())
except MistError as error:
    print(type(error).__name__, error.reason, error)
"""
    command = [sys.executable, "-c", code, str(clean_engine.socket)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith("PermissionDenied socket docker: this user may not use the socket")
    assert "usermod -aG docker" in said


def test_a_missing_sdk_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("docker.", "mistcore_providers._docker_"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "docker", None)
    with pytest.raises(MissingDependency, match=r"pip install ('mistcore\[docker\]'|docker)"):
        Docker().check()
