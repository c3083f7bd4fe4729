"""The docker provider and engines of every age: versions, answers recorded and odd, and servers that misbehave."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from docker.constants import DEFAULT_DOCKER_API_VERSION
from fakes.docker import FakeDocker
from fakes.patience import HANGS, hold, patient
from peers import waiting
from peers.ports import deaf_port

from mistcore import Machine, MachineState, ProviderError, Rejected, Unreachable
from mistcore.deadline import Deadline, deadline
from mistcore.testing.server import Response, json_response
from mistcore.testing.wire import WireServer, after, saying, trickling
from mistcore_providers import _docker_records as records
from mistcore_providers.docker import Docker

ROW = {"Id": "a" * 64, "Names": ["/web"], "Image": "nginx", "Created": 1700000000, "State": "running", "Status": "Up"}


# -- versions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("newest", "oldest", "used"),
    [
        ("1.24", "", "1.24"),  # Docker 1.12: it does not tell its oldest
        ("1.24", "1.12", "1.24"),
        ("1.41", "1.12", "1.41"),
        (DEFAULT_DOCKER_API_VERSION, "1.24", DEFAULT_DOCKER_API_VERSION),
        ("1.52", "1.44", DEFAULT_DOCKER_API_VERSION),  # Engine 29
        ("2.0", "1.44", DEFAULT_DOCKER_API_VERSION),
    ],
)
def test_the_newest_version_that_both_know(newest: str, oldest: str, used: str) -> None:
    with FakeDocker(newest, oldest) as engine, Docker(docker_host=engine.url) as docker:
        engine.rows = [ROW]
        assert [machine.name for machine in docker.list_machines()] == ["web"]
        assert [request.path for request in engine.requests] == ["/version", f"/v{used}/containers/json"]
        assert docker.check().details["api_version"] == used


@pytest.mark.parametrize(
    ("newest", "oldest", "words"),
    [
        ("1.21", "", "speaks API 1.21 at the most; at least 1.24 is needed. Upgrade the engine"),
        ("9.9", "9.0", "wants API 9.0 or later; .* pip install -U docker"),
    ],
)
def test_no_version_that_both_know(newest: str, oldest: str, words: str) -> None:
    with FakeDocker(newest, oldest) as engine, Docker(docker_host=engine.url) as docker:
        with pytest.raises(ProviderError, match=words) as caught:
            docker.check()
        assert caught.value.reason == "version"
        assert [request.path for request in engine.requests] == ["/version"]


def test_an_engine_that_is_upgraded_meanwhile() -> None:
    with FakeDocker("1.41", "1.12") as engine, Docker(docker_host=engine.url) as docker:
        docker.check()
        engine.newest, engine.oldest = "1.52", "1.44"
        with pytest.raises(ProviderError, match="too old.*try again") as caught:
            docker.check()
        assert caught.value.reason == "version"
        assert docker.check().details["api_version"] == DEFAULT_DOCKER_API_VERSION


def test_the_version_is_settled_once() -> None:
    with FakeDocker() as engine, Docker(docker_host=engine.url) as docker:
        for _ in range(3):
            docker.check()
        assert [request.path for request in engine.requests].count("/version") == 1


# -- what is no engine -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        Response(200, b"<html>Welcome to nginx!</html>", {"Content-Type": "text/html"}),
        Response(404, b"<html>404 Not Found</html>", {"Content-Type": "text/html"}),
        json_response({"message": "page not found"}, 404),
        json_response({"version": "1.30.0", "major": "1"}),  # another kind of service
        json_response([]),
        json_response({"ApiVersion": "new"}),
        json_response({"ApiVersion": None}),
        Response(200, b""),
    ],
)
def test_what_is_no_docker_engine(answer: Response) -> None:
    with FakeDocker() as engine:
        engine.fault(answer)
        with pytest.raises(ProviderError, match="not a Docker Engine") as caught:
            Docker(docker_host=engine.url).check()
    assert caught.value.reason == "not_docker"


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", ProviderError, "not_docker"),
        (b"", Unreachable, "network"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", Unreachable, "network"),
    ],
)
def test_what_does_not_speak_http(text: bytes, error: type[Exception], reason: str) -> None:
    with WireServer(after(b"", saying(text))) as wire, pytest.raises(error) as caught:
        Docker(docker_host=f"http://127.0.0.1:{wire.port}").check()
    assert caught.value.reason == reason  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", [500, 502, 503])
def test_an_engine_that_fails(status: int) -> None:
    with FakeDocker() as engine, Docker(docker_host=engine.url) as docker:
        docker.check()
        engine.fault(Response(status, b"<html><h1>Bad Gateway</h1></html>", {"Content-Type": "text/html"}))
        with pytest.raises(ProviderError, match=f"HTTP status {status}") as caught:
            list(docker.list_machines())
        assert caught.value.status == status
        engine.fault(json_response({"message": "the disk is broken"}, status))
        with pytest.raises(ProviderError, match="the disk is broken"):
            list(docker.list_machines())
        assert list(docker.list_machines()) == []


def test_what_newer_engines_say_to_the_same() -> None:
    running = 'cannot remove container "/web": container is running: stop the container before removing or force remove'
    with FakeDocker() as engine, Docker(docker_host=engine.url) as docker:
        docker.check()
        engine.fault(json_response({"message": running}, 409))
        with pytest.raises(Rejected, match="force=True") as caught:
            docker.destroy_machine("web")
        assert caught.value.reason == "state"
        engine.fault(json_response({"message": "removal of container web is already in progress"}, 409))
        docker.destroy_machine("web")  # it is being destroyed, as was asked for
        taken = "driver failed programming external connectivity: Bind for 0.0.0.0:80: port is already allocated"
        engine.fault(json_response({"message": taken}, 500))
        with pytest.raises(Rejected, match="port is already allocated"):
            docker.start_machine("web")


def test_an_answer_that_is_no_json() -> None:
    with FakeDocker() as engine, Docker(docker_host=engine.url) as docker:
        docker.check()
        engine.fault(Response(200, b"<html>captive portal</html>", {"Content-Type": "text/html"}))
        with pytest.raises(ProviderError, match="not JSON"):
            list(docker.list_machines())


def test_an_answer_without_an_end() -> None:
    with FakeDocker() as engine, Docker(docker_host=engine.url) as docker:
        docker.check()
        engine.fault(Response(200, b"[]", {"Content-Length": "1000000000000"}))
        with pytest.raises(ProviderError, match="longer than") as caught:
            list(docker.list_machines())
        assert caught.value.reason == "too_long"


# -- slow ones ---------------------------------------------------------------------------------------------------------


def test_an_engine_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, deadline(0.5), pytest.raises(Unreachable) as caught:
        patient(Docker(docker_host=f"127.0.0.1:{silent.getsockname()[1]}")).check()
    assert caught.value.reason == "timeout"


def test_the_limit_without_a_deadline() -> None:
    class Quick(Docker):
        default_timeout = 0.4

    with FakeDocker(latency=HANGS) as engine:
        with pytest.raises(Unreachable) as caught:
            Quick(docker_host=engine.url).check()
        assert caught.value.reason == "timeout"


def test_an_engine_that_trickles() -> None:
    with FakeDocker() as engine, patient(Docker(docker_host=engine.url)) as docker:
        docker.check()
        body = json.dumps([ROW]).encode() + b" " * 10_000
        engine.fault(Response(200, body, {"Content-Type": "application/json"}, chunk_delay=0.1))
        with deadline(0.6), pytest.raises(Unreachable) as caught:
            list(docker.list_machines())
        assert caught.value.reason == "timeout"


def test_a_socket_that_trickles(tmp_path: Path) -> None:
    path = f"{tmp_path}/d.sock"
    talk = trickling(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n" + b" " * 10_000)
    with WireServer(talk, path=path), deadline(0.5), pytest.raises(Unreachable) as caught:
        patient(Docker(docker_host=path)).check()
    assert caught.value.reason == "timeout"


def test_a_stop_may_take_as_long_as_the_container_was_promised() -> None:
    with FakeDocker() as engine, Docker(docker_host=engine.url) as docker:
        for promised, asked in ((120, "120"), (None, "10")):
            engine.containers["web"] = {"Id": "a" * 64, "Config": {"StopTimeout": promised}}
            for action in (docker.stop_machine, docker.reboot_machine):
                engine.fault(Response(204), where=lambda request: request.method == "POST")
                action("web")
                assert engine.requests[-1].query["t"] == asked


def test_a_call_that_is_cancelled() -> None:
    with FakeDocker() as engine, patient(Docker(docker_host=engine.url)) as docker:
        docker.check()
        engine.latency = HANGS
        limit = Deadline(HANGS)
        threading.Timer(0.2, limit.cancel).start()
        with deadline(limit), pytest.raises(Unreachable):
            list(docker.list_machines())


def test_threads_do_not_wait_for_each_other_past_their_deadline() -> None:
    with FakeDocker() as engine, patient(Docker(docker_host=engine.url)) as docker:
        release = hold(engine)
        first = threading.Thread(target=docker.check, daemon=True)
        first.start()
        waiting.until(lambda: engine.requests, interval=0.02)
        with deadline(0.4), pytest.raises(Unreachable) as caught:
            docker.check()
        assert caught.value.reason == "timeout"
        assert first.is_alive()
        release.set()
        first.join()


def test_names_that_do_not_resolve_and_ports_that_are_closed() -> None:
    with pytest.raises(Unreachable, match="does not resolve") as caught:
        Docker(docker_host="docker.invalid").check()
    assert caught.value.reason == "dns"
    with deaf_port() as port:
        for scheme in ("http", "https", "ssh"):
            with pytest.raises(Unreachable) as caught:
                Docker(docker_host=f"{scheme}://127.0.0.1:{port}").check()
            assert caught.value.reason == "refused", scheme


# -- what engines answer -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("created", "stopped"),
        ("running", "running"),
        ("paused", "paused"),
        ("restarting", "rebooting"),
        ("removing", "terminated"),
        ("exited", "stopped"),
        ("dead", "error"),
        ("levitating", "unknown"),
        (None, "unknown"),
    ],
)
def test_states(word: str | None, state: str) -> None:
    row = {**ROW, "State": word, "Status": ""}
    raw = {"Id": "a" * 64, "State": {"Status": word}}
    with FakeDocker() as engine, Docker(docker_host=engine.url) as docker:
        engine.rows = [row]
        engine.containers["web"] = raw
        assert [machine.state for machine in docker.list_machines()] == [state]
        assert docker.get_machine("web").state == state


ODD: list[Any] = [
    None,
    7,
    "text",
    [],
    {},
    {"Id": None},
    {"Id": ""},
    {"Id": "b" * 64},
    {"Id": "c" * 64, "Names": None, "Labels": None, "Ports": None, "NetworkSettings": None, "HostConfig": None},
    {"Id": "d" * 64, "Names": [], "Labels": [], "Ports": {}, "NetworkSettings": [], "Created": "yesterday"},
    {"Id": "e" * 64, "Names": "web", "Labels": {"a": None, "b": 1}, "Created": 10**30, "State": {"Status": "running"}},
    {"Id": "f" * 64, "Names": [None, 7], "Ports": [None, {}], "NetworkSettings": {"Networks": {"x": None, "y": {}}}},
    {"Id": "9" * 64, "NetworkSettings": {"Networks": {"x": {"IPAddress": "nonsense", "GlobalIPv6Address": 6}}}},
    {"Id": "8" * 64, "Created": -1, "Image": None, "ImageID": 3, "Command": ["a"]},
]


def test_odd_rows_break_nothing() -> None:
    with FakeDocker() as engine, Docker(docker_host=engine.url) as docker:
        engine.rows, engine.images, engine.networks = [*ODD, ROW], [*ODD, {"Id": "sha256:1"}], [*ODD, {"Id": "n"}]
        machines = list(docker.list_machines())
        assert [machine.id[0] for machine in machines] == list("bcdef98a")
        assert all(isinstance(machine, Machine) and machine.name for machine in machines)
        json.dumps([machine.to_dict() for machine in machines])
        assert [image.id for image in docker.list_images()][-1] == "sha256:1"
        assert [network.id for network in docker.list_networks()][-1] == "n"
        for raw in ODD:
            engine.containers["odd"] = raw
            if isinstance(raw, dict) and raw.get("Id"):
                assert docker.get_machine("odd").id == raw["Id"]
            else:
                with pytest.raises(ProviderError, match="not a container"):
                    docker.get_machine("odd")


def test_a_listing_that_is_no_list() -> None:
    with FakeDocker() as engine, Docker(docker_host=engine.url) as docker:
        docker.check()
        for answer in ({"message": "odd"}, None, "text", 7):
            engine.fault(json_response(answer), times=3)
            for listing in (docker.list_machines, docker.list_images, docker.list_networks):
                with pytest.raises(ProviderError, match="not a list"):
                    list(listing())


def test_names_that_links_give() -> None:
    machine = records.listed_machine({**ROW, "Names": ["/db/web", "/web", "/api/web"]})
    assert machine is not None
    assert machine.name == "web"


def test_addresses_of_every_network_and_none_of_the_ports() -> None:
    networks = {
        "front": {"IPAddress": "10.0.0.2", "GlobalIPv6Address": "2606:4700::2"},
        "back": {"IPAddress": "8.8.4.4", "GlobalIPv6Address": ""},
    }
    ports = [
        {"IP": "203.0.113.9", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"PrivatePort": 443, "Type": "tcp"},
    ]
    machine = records.listed_machine({**ROW, "NetworkSettings": {"Networks": networks}, "Ports": ports})
    assert machine is not None
    assert machine.private_ips == ("10.0.0.2",)
    assert machine.public_ips == ("8.8.4.4", "2606:4700::2")
    assert machine.extra["networks"] == {"front": ["10.0.0.2", "2606:4700::2"], "back": ["8.8.4.4"]}
    assert machine.extra["ports"] == [
        {"port": 80, "protocol": "tcp", "host_ip": "203.0.113.9", "host_port": 8080},
        {"port": 443, "protocol": "tcp", "host_ip": "", "host_port": None},
    ]


# -- answers recorded from real engines --------------------------------------------------------------------------------


def recorded(api_specs: Path, name: str) -> Any:
    return json.loads((api_specs / "docker" / "libcloud" / name).read_text())


@pytest.mark.parametrize("name", ["linux_124/containers.json", "mac_124/containers.json"])
def test_recorded_listings(api_specs: Path, name: str) -> None:
    rows = recorded(api_specs, name)
    with FakeDocker("1.24", "") as engine, Docker(docker_host=engine.url) as docker:
        engine.rows = rows
        machines = list(docker.list_machines())
    assert [machine.id for machine in machines] == [row["Id"] for row in rows]
    for machine, row in zip(machines, rows, strict=True):
        assert f"/{machine.name}" in row["Names"]
        word = row["Status"].partition(" ")[0]
        assert machine.state == {"Up": "running", "Exited": "stopped", "Created": "stopped", "Dead": "error"}[word]
        assert machine.image == row["Image"]
        assert machine.created_at is not None
        assert int(machine.created_at.timestamp()) == row["Created"]
        assert len(machine.extra["ports"]) == len(row["Ports"])
        assert not {port.get("IP") for port in row["Ports"]} & {*machine.public_ips, *machine.private_ips}


def test_a_recorded_container(api_specs: Path) -> None:
    raw = recorded(api_specs, "linux_124/container_a68.json")
    machine = records.inspected_machine(raw)
    assert (machine.name, machine.state) == ("gigantic_goldberg", "running")
    assert machine.image == raw["Config"]["Image"]
    assert machine.extra["exit_code"] == 127
    assert str(machine.created_at) == "2015-12-23 01:05:40+00:00"


def test_recorded_images(api_specs: Path) -> None:
    rows = recorded(api_specs, "linux_124/images.json")
    images = [records.image(row) for row in rows]
    assert [image.name for image in images if image] == [row["RepoTags"][0] for row in rows]


@pytest.mark.parametrize("name", ["linux_124/version.json", "mac_124/version.json"])
def test_recorded_versions(api_specs: Path, name: str) -> None:
    answer = recorded(api_specs, name)
    with FakeDocker("1.24", "") as engine, Docker(docker_host=engine.url) as docker:
        engine.fault(json_response(answer))
        if answer["ApiVersion"] == "1.24":
            assert docker.check().details["engine_version"] == answer["Version"]
        else:
            with pytest.raises(ProviderError, match=f"Docker Engine {answer['Version']} speaks API 1.21"):
                docker.check()


def test_the_states_are_those_of_the_vendors_document(api_specs: Path) -> None:
    import yaml

    text = (api_specs / "docker" / "spec" / "swagger.yaml").read_text()
    states = yaml.safe_load(text)["definitions"]["ContainerState"]["properties"]["Status"]["enum"]
    for word in states:
        machine = records.listed_machine({**ROW, "State": word})
        assert machine is not None
        assert machine.state is not MachineState.UNKNOWN, word
