"""What people write into `docker_host` and the fields beside it, read right or refused in words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mistcore import InvalidFields
from mistcore_providers._docker_address import BadAddress, other_sockets, read_address
from mistcore_providers.docker import Docker


@pytest.mark.parametrize(
    ("text", "port", "tls", "url"),
    [
        ("", None, False, "unix:///var/run/docker.sock"),
        ("unix://", None, False, "unix:///var/run/docker.sock"),
        ("unix:///run/docker.sock", None, False, "unix:///run/docker.sock"),
        ("unix://var/run/docker.sock", None, False, "unix:///var/run/docker.sock"),
        ("/srv/my docker/d.sock", None, False, "unix:///srv/my docker/d.sock"),
        ("docker.example.com", None, False, "http://docker.example.com:2375"),
        ("docker.example.com", None, True, "https://docker.example.com:2376"),
        ("docker.example.com", 4243, False, "http://docker.example.com:4243"),
        ("docker.example.com", 2376, False, "https://docker.example.com:2376"),
        ("docker.example.com:2376", None, False, "https://docker.example.com:2376"),
        ("docker.example.com:2375", None, True, "https://docker.example.com:2375"),
        ("tcp://docker.example.com", None, False, "http://docker.example.com:2375"),
        ("tcp://docker.example.com:2376", 2376, False, "https://docker.example.com:2376"),
        ("TCP://Docker.Example.com", None, True, "https://docker.example.com:2376"),
        ("http://docker.example.com:2376", None, False, "http://docker.example.com:2376"),
        ("https://docker.example.com", None, False, "https://docker.example.com:2376"),
        ("https://docker.example.com/", 443, False, "https://docker.example.com:443"),
        ("https://docker.example.com:443/docker/", None, False, "https://docker.example.com:443/docker"),
        # libcloud and mist strip the letters of "https://" off both ends, which leaves "est.example." of it
        ("https://pstest.example.ht", None, False, "https://pstest.example.ht:2376"),
        ("http://hpt.example.http", None, False, "http://hpt.example.http:2375"),
        ("tcp://tcp.example.tcp", None, False, "http://tcp.example.tcp:2375"),
        ("10.1.2.3", None, False, "http://10.1.2.3:2375"),
        ("2001:db8::7", None, True, "https://[2001:db8::7]:2376"),
        ("[2001:db8::7]:2399", None, False, "http://[2001:db8::7]:2399"),
        ("tcp://[::1]", None, False, "http://[::1]:2375"),
        ("büro.example", None, False, "http://büro.example:2375"),
        ("host_with_underscores", None, False, "http://host_with_underscores:2375"),
        ("ssh://docker.example.com", None, False, "ssh://docker.example.com"),
        ("ssh://root@docker.example.com:2222/", None, False, "ssh://root@docker.example.com:2222"),
        ("ssh://root@docker.example.com", 2222, False, "ssh://root@docker.example.com:2222"),
    ],
)
def test_addresses(text: str, port: int | None, tls: bool, url: str) -> None:
    assert read_address(text, port, tls=tls).url == url


def test_a_socket_below_the_home_folder() -> None:
    assert read_address("~/d.sock", None, tls=False).path == f"{os.environ['HOME']}/d.sock"
    assert read_address("unix://~/d.sock", None, tls=False).path == f"{os.environ['HOME']}/d.sock"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ftp://host", "must be a host name"),
        ("fd://", "must be a host name"),
        ("https://https://host", "twice"),
        ("tcp://", "names no host"),
        ("tcp://:2375", "names no host"),
        ("host:0", "port must be a number"),
        ("host:99999", "port must be a number"),
        ("host:abc", "port must be a number"),
        ("ho st", "spaces"),
        ("host\r\nX: y", "control characters"),
        ("unix:///a\nb", "control characters"),
        ("-oProxyCommand=x", "not a host name"),
        ("ssh://-oProxyCommand=x", "not a host name"),
        ("ssh://-l@host", "not a user name"),
        ("ssh://root:secret@host", "holds a password"),
        ("ssh://host/run/docker.sock", "has a path"),
        ("https://admin@host", "auth_user"),
        ("https://admin:secret@host", "holds a password"),
        ("admin@host", "auth_user"),
        ("host?x=1", "holds ?"),
        ("host/#top", "holds ?"),
        ("unix:///a?b", "holds ?"),
        ("[::1", "brackets"),
        ("$(reboot)", "not a host name"),
        ("npipe:////./pipe/docker_engine", "Windows"),
    ],
)
def test_addresses_that_cannot_be_used(text: str, words: str) -> None:
    with pytest.raises(InvalidFields, match=words.replace("?", r"\?")) as caught:
        Docker(docker_host=text)
    assert list(caught.value.problems) == ["docker_host"]
    assert "secret" not in str(caught.value)


def test_two_ports_that_differ() -> None:
    with pytest.raises(BadAddress, match="says 2375, but docker_host says 2376") as caught:
        read_address("host:2376", 2375, tls=False)
    assert caught.value.field == "docker_port"


@pytest.mark.parametrize(
    ("fields", "problems"),
    [
        ({"docker_port": 2376}, {"docker_port"}),
        ({"docker_port": 0, "docker_host": "host"}, {"docker_port"}),
        ({"docker_port": "x", "docker_host": "host"}, {"docker_port"}),
        ({"docker_host": "host", "auth_user": "a"}, {"auth_password"}),
        ({"docker_host": "host", "auth_password": "a"}, {"auth_user"}),
        ({"docker_host": "host", "auth_password": "a", "auth_user": "a:b"}, {"auth_user"}),
        ({"docker_host": "ssh://host", "auth_password": "a", "auth_user": "a"}, {"auth_user"}),
        ({"docker_host": "ssh://host", "ca_cert_file": "/ca.pem", "cert_file": "/c"}, {"ca_cert_file", "cert_file"}),
        ({"ca_cert_file": "/ca.pem"}, {"ca_cert_file"}),
        ({"docker_host": "http://host", "cert_file": "/c", "key_file": "/k"}, {"cert_file", "key_file"}),
        ({"docker_host": "host", "key_file": "/k"}, {"cert_file"}),
        ({"docker_hots": "host"}, {"docker_hots"}),
    ],
)
def test_fields_that_do_not_go_together(fields: dict[str, Any], problems: set[str]) -> None:
    with pytest.raises(InvalidFields) as caught:
        Docker(**fields)
    assert set(caught.value.problems) == problems


def test_no_secret_shows() -> None:
    docker = Docker(docker_host="host", auth_user="admin", auth_password="hush-hush")
    assert "hush-hush" not in repr(docker)
    assert "hush-hush" not in str(vars(docker.__class__))
    assert "auth_password" not in docker.__getstate__()


def test_other_sockets_are_pointed_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert other_sockets() == []
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "docker.sock").touch()
    desktop = Path(os.environ["HOME"]) / ".docker/desktop/docker.sock"
    desktop.parent.mkdir(parents=True)
    desktop.touch()
    assert other_sockets() == [str(tmp_path / "docker.sock"), str(desktop)]
