"""Containers made on a real engine: options, images and their fetching, addresses, ports and networks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC

import pytest
from fakes.docker import DockerProxy, FakeRegistry
from fakes.patience import patient
from peers import docker_accounts
from peers.docker_accounts import only
from peers.docker_engine import DockerEngine

from mistcore import InvalidFields, Rejected
from mistcore.testing.server import Request, Response
from mistcore_providers.docker import Docker

docker = docker_accounts.docker


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


@contextmanager
def removed(engine: DockerEngine, image: str) -> Iterator[None]:
    """Remove an image, and all containers, at the end."""
    try:
        yield
    finally:
        engine.remove_all()
        api = engine.api()
        api.remove_image(image, force=True)
        api.close()


def test_a_missing_image_is_fetched_when_asked(docker: Docker, clean_engine: DockerEngine) -> None:
    with FakeRegistry() as registry, removed(clean_engine, registry.image):
        made = docker.create_machine("tiny", image=registry.image, pull=True, start=False, network="none")
        assert made.image == registry.image
        assert registry.image in [image.name for image in docker.list_images()]
        with pytest.raises(Rejected, match="manifest unknown") as caught:
            docker.create_machine("other", image=registry.image.replace("tiny:1", "tiny:2"), pull=True)
        assert caught.value.reason == "pull"


def test_fetching_may_take_longer_than_a_call(clean_engine: DockerEngine) -> None:
    class Watched(DockerProxy):
        """Leaves calls little time from when the image is missing until it is asked for: all else may be slow."""

        def not_found(self, request: Request) -> Response:
            if request.path.endswith("/images/create"):
                patient(docker)
            answer = super().not_found(request)
            if answer.status == 404:
                vars(docker)["default_timeout"] = 0.5
            return answer

    longer = [1.5]
    with FakeRegistry() as registry, Watched(clean_engine.socket) as proxy, Docker(docker_host=proxy.url) as docker:
        registry.fault(Response(), where=lambda request: bool(longer and time.sleep(longer.pop())))
        with removed(clean_engine, registry.image):
            docker.create_machine("tiny", image=registry.image, pull=True, start=False, network="none")
            assert registry.requests
            assert not longer


def test_images(docker: Docker) -> None:
    (image,) = docker.list_images()
    assert image.name == "mistcore/busybox:1"
    assert image.id.startswith("sha256:")
    assert image.extra["names"] == ["mistcore/busybox:1"]
    assert image.extra["bytes"] > 100_000
    assert image.created_at is not None
    assert image.created_at.tzinfo is UTC
    assert docker.create_machine("by-id", image=image.id, start=False).name == "by-id"


def test_nothing_is_left_of_a_container_that_cannot_be_started(docker: Docker) -> None:
    with pytest.raises(Rejected, match="no such file"):
        docker.create_machine("xx", image="mistcore/busybox:1", command="/not/there", network="none")
    with pytest.raises(Rejected, match="nonet"):
        docker.create_machine("xx", image="mistcore/busybox:1", command="sleep 9", network="nonet")
    assert list(docker.list_machines()) == []
