"""Containers of a real engine: their life, names, states, storage, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from fakes.docker import DockerProxy
from peers import docker_accounts
from peers.docker_accounts import only
from peers.docker_engine import DockerEngine
from peers.waiting import until

from mistcore import BackendManager, InvalidFields, MachineNotFound, MachineState, NotSupported, Rejected, Unreachable
from mistcore.deadline import deadline
from mistcore_providers.docker import Docker

docker = docker_accounts.docker


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
    clean_engine.run("slow", "sh", "-c", stubborn, stop_timeout=100)
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
    assert docker.get_machine("slow").extra["exit_code"] == 7  # it came to its own end
