"""The docker provider on a real engine: the whole life of a container, and everything that it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fakes.docker import DockerProxy, FakeRegistry
from peers.docker_engine import DockerEngine
from peers.waiting import until

from mistcore import (
    BackendManager,
    InvalidFields,
    Machine,
    MachineNotFound,
    MachineState,
    MissingDependency,
    NotSupported,
    Rejected,
    Unreachable,
)
from mistcore.deadline import deadline
from mistcore.testing.server import Response
from mistcore_providers.docker import Docker


@pytest.fixture
def docker(clean_engine: DockerEngine) -> Any:
    with Docker(docker_host=f"unix://{clean_engine.socket}") as provider:
        yield provider


def only(provider: Docker) -> Machine:
    (machine,) = provider.list_machines()
    return machine


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


def test_the_whole_life_of_a_container(docker: Docker) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    made = docker.create_machine(
        "web-1", image="mistcore/busybox:1", command="sleep 1000", network="none", tags={"tier": "front", "flag": ""}
    )
    assert (made.name, made.state, made.image) == ("web-1", "running", "mistcore/busybox:1")
    assert len(made.id) == 64
    assert made.tags == {"tier": "front", "flag": ""}
    assert made.created_at is not None
    assert before <= made.created_at <= datetime.now(UTC) + timedelta(seconds=1)
    assert made.created_at.tzinfo is UTC
    assert made.extra["command"] == "sleep 1000"

    docker.pause_machine(made.id)
    assert only(docker).state is MachineState.PAUSED
    docker.resume_machine(made.id)
    assert only(docker).state is MachineState.RUNNING

    docker.rename_machine(made.id, "web-2")
    assert only(docker).name == "web-2"

    started = docker.get_machine(made.id).extra["started_at"]
    docker.reboot_machine(made.id, force=True)
    again = docker.get_machine(made.id)
    assert again.state is MachineState.RUNNING
    assert again.extra["started_at"] > started

    docker.stop_machine(made.id, force=True)
    stopped = only(docker)
    assert (stopped.state, stopped.extra["status"]) == ("stopped", "exited")
    docker.stop_machine(made.id)  # a second time does nothing

    docker.start_machine(made.id)
    assert only(docker).state is MachineState.RUNNING
    docker.start_machine(made.id)

    docker.stop_machine(made.id, force=True)
    docker.destroy_machine(made.id)
    assert list(docker.list_machines()) == []
    with pytest.raises(MachineNotFound):
        docker.get_machine(made.id)


def test_one_container_reads_as_it_does_in_the_listing(docker: Docker, clean_engine: DockerEngine) -> None:
    clean_engine.run("web", labels={"a": "b"})
    listed = only(docker)
    for name in (listed.id, listed.id[:12], "web", "/web"):
        one = docker.get_machine(name)
        assert {**one.to_dict(), "extra": None} == {**listed.to_dict(), "extra": None}
        assert listed.extra.items() <= one.extra.items()


def test_a_container_that_never_ran_is_stopped_and_can_be_started(docker: Docker) -> None:
    made = docker.create_machine("idle", image="mistcore/busybox:1", command="sleep 99", network="none", start=False)
    assert (made.state, made.extra["status"]) == ("stopped", "created")
    docker.start_machine("idle")
    assert only(docker).state is MachineState.RUNNING


def test_behind_a_manager(clean_engine: DockerEngine) -> None:
    client = BackendManager()
    backend = client.add_backend(provider="docker", title="Docker", docker_host=f"unix://{clean_engine.socket}")
    assert (backend.provider, backend.info["credentials"]) == (
        "docker",
        {"docker_host": f"unix://{clean_engine.socket}"},
    )
    made = backend.create_machine(  # options as the command line hands them on
        "web", image=clean_engine.image, command="sleep 1000", network="none", start="no", pull="false"
    )
    assert made.actions == ("start", "rename", "destroy")
    made.start()
    assert made.wait_for("running", timeout=100).actions == ("stop", "reboot", "pause", "rename", "destroy")
    (found,) = client.machines(search="WEB")
    found.pause()
    assert found.refresh().actions == ("stop", "resume", "rename", "destroy")
    with pytest.raises(InvalidFields, match="start: must be true or false"):
        backend.create_machine("other", image=clean_engine.image, start="perhaps")
    with pytest.raises(NotSupported):
        backend.sizes()
    found.destroy(force=True)
    assert backend.machines() == []


def test_addresses_and_ports(docker: Docker, clean_engine: DockerEngine) -> None:
    from docker.types import IPAMConfig, IPAMPool

    api = clean_engine.api()
    pools = IPAMConfig(pool_configs=[IPAMPool(subnet="10.213.77.0/24"), IPAMPool(subnet="fd13:77::/64")])
    made = api.create_network("mistcore-test", driver="bridge", enable_ipv6=True, ipam=pools, labels={"for": "test"})
    try:
        machine = docker.create_machine(
            "web",
            image="mistcore/busybox:1",
            command=["sleep", "1000"],
            network="mistcore-test",
            ports=["127.0.0.1::80", "127.0.0.1::53/udp"],
        )
        assert machine.private_ips == ("10.213.77.2", "fd13:77::2")
        assert machine.public_ips == ()
        ports = {(port["port"], port["protocol"], port["host_ip"]) for port in machine.extra["ports"]}
        assert ports == {(80, "tcp", "127.0.0.1"), (53, "udp", "127.0.0.1")}
        assert all(port["host_port"] > 1024 for port in machine.extra["ports"])
        listed = only(docker)
        assert listed.private_ips == machine.private_ips
        assert sorted(map(str, listed.extra["ports"])) == sorted(map(str, machine.extra["ports"]))

        docker.stop_machine("web", force=True)
        assert only(docker).private_ips == ()

        networks = {network.name: network for network in docker.list_networks()}
        assert networks["mistcore-test"].id == made["Id"]
        assert networks["mistcore-test"].cidr == "10.213.77.0/24"
        assert networks["mistcore-test"].extra["cidrs"] == ["10.213.77.0/24", "fd13:77::/64"]
        assert networks["mistcore-test"].extra["labels"] == {"for": "test"}
        assert networks["none"].cidr == ""
    finally:
        clean_engine.remove_all()
        api.remove_network(made["Id"])
        api.close()


def test_what_a_container_is_created_with(docker: Docker, clean_engine: DockerEngine) -> None:
    made = docker.create_machine(
        "all",
        image="mistcore/busybox:1",
        command="sh -c 'sleep 1000 # \"quoted\"'",
        network="none",
        environment=["A=1", "B=x=y"],
        ports="8080:80,127.0.0.1:53:53/udp",
        volumes=["/etc:/host-etc:ro"],
        restart="on-failure:3",
        start=False,
    )
    api = clean_engine.api()
    raw = api.inspect_container(made.id)
    api.close()
    assert raw["Config"]["Cmd"] == ["sh", "-c", 'sleep 1000 # "quoted"']
    assert {"A=1", "B=x=y"} <= set(raw["Config"]["Env"])
    assert raw["HostConfig"]["PortBindings"]["80/tcp"] == [{"HostIp": "", "HostPort": "8080"}]
    assert raw["HostConfig"]["PortBindings"]["53/udp"] == [{"HostIp": "127.0.0.1", "HostPort": "53"}]
    assert set(raw["Config"]["ExposedPorts"]) == {"80/tcp", "53/udp"}
    assert raw["HostConfig"]["Binds"] == ["/etc:/host-etc:ro"]
    assert raw["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert raw["State"]["Status"] == "created"


def test_every_option_that_cannot_be_read_is_named(docker: Docker) -> None:
    with pytest.raises(InvalidFields) as caught:
        docker.create_machine("x", image="x", command="'", ports="a:b", environment=["A"], restart="sometimes")
    assert set(caught.value.problems) == {"command", "ports", "environment", "restart"}


def test_a_missing_image_says_how_to_get_it(docker: Docker) -> None:
    with pytest.raises(Rejected, match="does not have the image nowhere/nothing:7.*pull=True") as caught:
        docker.create_machine("x", image="nowhere/nothing:7")
    assert caught.value.reason == "no_image"
    assert list(docker.list_machines()) == []


def test_a_missing_image_is_fetched_when_asked(docker: Docker, clean_engine: DockerEngine) -> None:
    with FakeRegistry() as registry:
        try:
            made = docker.create_machine("tiny", image=registry.image, pull=True, start=False, network="none")
            assert made.image == registry.image
            assert registry.image in [image.name for image in docker.list_images()]
            with pytest.raises(Rejected, match="manifest unknown") as caught:
                docker.create_machine("other", image=registry.image.replace("tiny:1", "tiny:2"), pull=True)
            assert caught.value.reason == "pull"
        finally:
            clean_engine.remove_all()
            api = clean_engine.api()
            api.remove_image(registry.image, force=True)
            api.close()


def test_fetching_may_take_longer_than_a_call(clean_engine: DockerEngine) -> None:
    class Quick(Docker):
        default_timeout = 5.0

    longer = [5.5]
    with FakeRegistry() as registry, Quick(docker_host=f"unix://{clean_engine.socket}") as docker:
        registry.fault(Response(), where=lambda request: bool(longer and time.sleep(longer.pop())))
        try:
            docker.create_machine("tiny", image=registry.image, pull=True, start=False, network="none")
            assert registry.requests
        finally:
            clean_engine.remove_all()
            api = clean_engine.api()
            api.remove_image(registry.image, force=True)
            api.close()


def test_images(docker: Docker) -> None:
    (image,) = docker.list_images()
    assert image.name == "mistcore/busybox:1"
    assert image.id.startswith("sha256:")
    assert image.extra["names"] == ["mistcore/busybox:1"]
    assert image.extra["bytes"] > 100_000
    assert image.created_at is not None
    assert image.created_at.tzinfo is UTC
    assert docker.create_machine("by-id", image=image.id, start=False).name == "by-id"


def test_a_hundred_containers_come_with_one_request(clean_engine: DockerEngine) -> None:
    api = clean_engine.api()
    host_config = api.create_host_config(network_mode="none")
    for number in range(100):
        api.create_container(clean_engine.image, ["true"], name=f"many-{number}", host_config=host_config)
    api.close()
    with DockerProxy(clean_engine.socket) as proxy, Docker(docker_host=proxy.url) as docker:
        machines = list(docker.list_machines())
        assert {machine.name for machine in machines} == {f"many-{number}" for number in range(100)}
        assert len({machine.id for machine in machines}) == 100
        assert [request.path for request in proxy.requests] == ["/version", "/v1.41/containers/json"]
        list(docker.list_machines())
        assert len(proxy.requests) == 3


def test_names_with_odd_characters(docker: Docker, clean_engine: DockerEngine) -> None:
    for name in ("a.b-c_d", "UPPER", "00", "x" * 200):
        clean_engine.run(name)
    assert {machine.name for machine in docker.list_machines()} == {"a.b-c_d", "UPPER", "00", "x" * 200}
    for name in ("bad name", "ünïcode", "-dash", "a/b", "a?force=1", "x\n"):
        with pytest.raises(Rejected):
            docker.rename_machine("UPPER", name)
    docker.rename_machine("UPPER", "Z.9")
    assert docker.get_machine("Z.9").name == "Z.9"


@pytest.mark.parametrize("machine_id", ["", "nothing", "../version", "a/../b", "a?all=1", "a b", "a\r\nX: y", ".", "é"])
def test_a_machine_that_is_not_there(docker: Docker, machine_id: str) -> None:
    actions = [docker.get_machine, docker.start_machine, docker.stop_machine, docker.reboot_machine]
    for action in [*actions, docker.pause_machine, docker.resume_machine, docker.destroy_machine]:
        with pytest.raises(MachineNotFound):
            action(machine_id)
    with pytest.raises(MachineNotFound):
        docker.rename_machine(machine_id, "other")


def test_what_the_state_forbids(docker: Docker, clean_engine: DockerEngine) -> None:
    clean_engine.run("web")
    with pytest.raises(Rejected, match="running.*force=True") as caught:
        docker.destroy_machine("web")
    assert caught.value.reason == "state"
    with pytest.raises(Rejected, match="is not paused"):
        docker.resume_machine("web")
    docker.pause_machine("web")
    with pytest.raises(Rejected, match="already paused"):
        docker.pause_machine("web")
    with pytest.raises(Rejected, match="paused container"):
        docker.start_machine("web")
    docker.destroy_machine("web", force=True)
    assert list(docker.list_machines()) == []


def test_a_name_that_is_taken(docker: Docker, clean_engine: DockerEngine) -> None:
    clean_engine.run("web")
    clean_engine.run("db")
    with pytest.raises(Rejected, match="container named 'db' already") as caught:
        docker.rename_machine("web", "db")
    assert caught.value.reason == "name_taken"
    with pytest.raises(Rejected, match="container named 'db' already"):
        docker.create_machine("db", image="mistcore/busybox:1")


def test_an_id_that_several_begin_with(docker: Docker, clean_engine: DockerEngine) -> None:
    api = clean_engine.api()
    ids = [api.create_container(clean_engine.image)["Id"] for _ in range(17)]
    api.close()
    (first, *_) = [one for one in (each[0] for each in ids) if sum(each.startswith(one) for each in ids) > 1]
    with pytest.raises(Rejected, match="Use more of the id") as caught:
        docker.get_machine(first)
    assert caught.value.reason == "ambiguous"


def test_nothing_is_left_of_a_container_that_cannot_be_started(docker: Docker) -> None:
    with pytest.raises(Rejected, match="no such file"):
        docker.create_machine("xx", image="mistcore/busybox:1", command="/not/there", network="none")
    with pytest.raises(Rejected, match="nonet"):
        docker.create_machine("xx", image="mistcore/busybox:1", command="sleep 9", network="nonet")
    assert list(docker.list_machines()) == []


def test_storage_goes_with_the_container_when_asked(docker: Docker, clean_engine: DockerEngine) -> None:
    api = clean_engine.api()
    try:
        for storage in (False, True):
            api.create_container(clean_engine.image, name="disk", volumes=["/data"])
            docker.destroy_machine("disk", storage=storage)
            left = api.volumes()["Volumes"] or []
            assert len(left) == (0 if storage else 1)
            for volume in left:
                api.remove_volume(volume["Name"])
    finally:
        api.close()


def is_ready(engine: DockerEngine, name: str) -> bool:
    """Whether the container listens to signals by now: it has made a file."""
    api = engine.api()
    try:
        return any(change["Path"] == "/ready" for change in api.diff(name) or ())
    finally:
        api.close()


def test_stopping_waits_as_long_as_the_container_was_promised(docker: Docker, clean_engine: DockerEngine) -> None:
    stubborn = "trap '' TERM; touch /ready; while true; do sleep 0.1; done"
    clean_engine.run("slow", "sh", "-c", stubborn, stop_timeout=3)
    until(lambda: is_ready(clean_engine, "slow"), 100, 0.05)
    with deadline(1), pytest.raises(Unreachable) as caught:
        docker.stop_machine("slow")
    assert caught.value.reason == "timeout"
    clean_engine.remove_all()
    tidy = "trap 'sleep 1; exit 7' TERM; touch /ready; while true; do sleep 0.1; done"
    clean_engine.run("slow", "sh", "-c", tidy, stop_timeout=100)
    until(lambda: is_ready(clean_engine, "slow"), 100, 0.05)
    docker.stop_machine("slow")
    assert only(docker).state is MachineState.STOPPED
    assert clean_engine.api().inspect_container("slow")["State"]["ExitCode"] == 7  # it came to its own end


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
