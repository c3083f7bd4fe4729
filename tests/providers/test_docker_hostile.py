"""docker before what means no good, over TCP, TLS and a unix socket, beside what TestDocker of the suite has."""

from __future__ import annotations

import gzip
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from fakes.docker_life import PASSWORD, USER, LivingDocker
from fakes.memory import peak
from fakes.patience import deadline_once, patient

from mistcore import (
    AuthenticationFailed,
    MachineNotFound,
    MistError,
    PermissionDenied,
    ProviderError,
    RateLimited,
    Rejected,
    Unreachable,
)
from mistcore.deadline import deadline
from mistcore.testing.certificates import context_with, trusted_pem
from mistcore.testing.judge import leaks, secrets_of, shown_by
from mistcore.testing.server import Request, Response, json_response, route
from mistcore.testing.wire import MISCHIEF, Talk, WireServer, after, pouring, saying, silent, trickling
from mistcore_providers.docker import Docker

#: The deadline over what would last for ever, and over what ends by itself.
SHORT, LONG = 0.4, 100
#: MiB that a call may need at most: an answer of 64 is still read, and the servers send 200.
MOST = 150
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


def answering(talk: Talk) -> Talk:
    return after(b"\r\n\r\n", talk)


def page(status: bytes, body: bytes, headers: bytes = b"") -> Talk:
    return answering(saying(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), headers, body)))


#: What each ends with; more of what is said in time is in test_docker_versions.py.
WIRES: dict[str, tuple[Talk, type[MistError], str]] = {
    "says nothing": (silent, Unreachable, "timeout"),
    "hangs up at once": (MISCHIEF["hangs up at once"], Unreachable, "network"),
    "hangs up on the first words": (MISCHIEF["hangs up on the first words"], Unreachable, "network"),
    "says garbage": (MISCHIEF["says garbage"], ProviderError, "not_docker"),
    "says garbage and hangs up": (MISCHIEF["says garbage and hangs up"], ProviderError, "not_docker"),
    "trickles garbage": (MISCHIEF["trickles garbage"], Unreachable, "timeout"),
    "pours garbage": (MISCHIEF["pours garbage"], ProviderError, "not_docker"),
    "is a web server": (MISCHIEF["is a web server"], Rejected, ""),
    "announces 200 MB": (answering(pouring(OK + b"Content-Length: 209715200\r\n\r\n")), ProviderError, "too_long"),
    "announces nothing": (answering(pouring(OK + b"Connection: close\r\n\r\n")), ProviderError, "too_long"),
    "one chunk of 64 GB": (answering(pouring(OK + CHUNKED + b"fffffffff\r\n")), ProviderError, "too_long"),
    "chunks without end": (
        answering(pouring(OK + CHUNKED, filler=b"ea60\r\n" + b" " * 60_000 + b"\r\n")),
        ProviderError,
        "too_long",
    ),
    "a bomb": (
        page(b"200 OK", gzip.compress(bytes(200 << 20), 1), b"Content-Encoding: gzip\r\n"),
        ProviderError,
        "too_long",
    ),
    "a refusal of 200 MB": (
        answering(pouring(b"HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n")),
        ProviderError,
        "too_long",
    ),
    "a status without end": (answering(pouring(b"HTTP/1.1 200 ", filler=b"x" * 65536)), ProviderError, "not_docker"),
    "headers without end": (
        answering(pouring(b"HTTP/1.1 200 OK\r\n", filler=b"X-A: bbbbbbbb\r\n" * 4096)),
        ProviderError,
        "not_docker",
    ),
    "wait, says it for ever": (
        answering(pouring(filler=b"HTTP/1.1 100 Continue\r\n\r\n" * 2000)),
        Unreachable,
        "timeout",
    ),
    "trickles headers": (
        answering(saying(b"HTTP/1.1 200 OK\r\n", then=trickling(b"X-A: b\r\n", 0.02))),
        Unreachable,
        "timeout",
    ),
    "trickles chunks": (
        answering(saying(OK + CHUNKED, then=trickling(b"1\r\n \r\n", 0.02))),
        Unreachable,
        "timeout",
    ),
    "stops in the middle": (
        answering(saying(OK + b"Content-Length: 99\r\n\r\n{", then=silent)),
        Unreachable,
        "timeout",
    ),
    "is cut off": (answering(saying(OK + b"Content-Length: 99\r\n\r\n{")), Unreachable, "network"),
    "two lengths": (page(b"200 OK", b"{}", b"Content-Length: 7\r\n"), ProviderError, "not_docker"),
    "no gzip": (page(b"200 OK", b"{}", b"Content-Encoding: gzip\r\n"), ProviderError, "garbled"),
    "a deep refusal": (
        page(b"500 Oops", b"[" * 100_000, b"Content-Type: application/json\r\n"),
        ProviderError,
        "garbled",
    ),
    "another protocol from here": (
        answering(saying(b"HTTP/1.1 101 UPGRADED\r\n\r\n", then=silent)),
        ProviderError,
        "not_docker",
    ),
    "no status known": (page(b"999 Odd", b""), ProviderError, "not_docker"),
}


def fails(
    docker: Docker,
    seconds: float = LONG,
    call: Callable[[], Any] | None = None,
    *,
    once: Callable[[], object] | None = None,
) -> MistError:
    """The error that a call ends with: within the deadline, of little memory, and showing no secret."""
    end = deadline(seconds) if once is None else deadline_once(once)
    with peak() as memory, end, pytest.raises(MistError) as raised:
        (call or docker.check)()
    assert memory.grown < MOST
    assert leaks(secrets_of(docker), shown_by(raised.value)) == []
    docker.close()
    return raised.value


@pytest.mark.parametrize("name", WIRES)
def test_over_tcp_and_a_unix_socket(name: str, tmp_path: Path) -> None:
    talk, kind, reason = WIRES[name]
    seconds = SHORT if reason == "timeout" else LONG
    with WireServer(talk) as wire:
        login = {"auth_user": USER, "auth_password": PASSWORD}
        error = fails(patient(Docker(docker_host=f"tcp://127.0.0.1:{wire.port}", **login)), seconds)
    assert (type(error), error.reason) == (kind, reason)
    if reason == "timeout" and name != "says nothing":
        return  # the same clock ends both
    with WireServer(talk, path=tmp_path / "s"):
        error = fails(patient(Docker(docker_host=f"unix://{tmp_path}/s")), seconds)
    assert (type(error), error.reason) == (kind, reason)


@pytest.mark.parametrize("name", ["says nothing", "hangs up at once", "trickles garbage", "pours garbage"])
def test_inside_of_tls(name: str, tmp_path: Path) -> None:
    talk, kind, reason = WIRES[name]
    seconds = SHORT if reason == "timeout" else LONG
    authority = tmp_path / "ca.pem"
    authority.write_bytes(trusted_pem())
    with WireServer(talk, tls=context_with()) as wire:
        error = fails(
            patient(Docker(docker_host=f"https://localhost:{wire.port}", ca_cert_file=str(authority))), seconds
        )
    assert (type(error), error.reason) == (kind, reason)


@pytest.mark.parametrize("name", ["says nothing", "hangs up on the first words", "trickles garbage", "pours garbage"])
def test_instead_of_a_handshake(name: str, tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_bytes(trusted_pem())
    login = {"auth_user": USER, "auth_password": PASSWORD}
    with WireServer(MISCHIEF[name]) as wire:
        url = f"https://localhost:{wire.port}"
        docker = patient(Docker(docker_host=url, ca_cert_file=str(authority), **login))
        error = fails(docker, SHORT if name == "says nothing" else LONG)
    assert isinstance(error, Unreachable)
    assert error.reason in {"says nothing": ("timeout",), "hangs up on the first words": ("network", "tls")}.get(
        name, ("tls",)
    )
    assert b"HTTP" not in wire.received  # nothing was asked before it was known who is asked


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_that_is_wanted(version: ssl.TLSVersion, tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    authority.issue_cert("localhost").configure_cert(context)
    ca = authority.cert_pem.bytes().decode()
    mine = stranger.issue_cert("captain@ship.example")
    files = {"cert_file": mine.cert_chain_pems[0].bytes().decode(), "key_file": mine.private_key_pem.bytes().decode()}
    with WireServer(silent, tls=context) as wire:
        url = f"https://localhost:{wire.port}"
        without = fails(Docker(docker_host=url, ca_cert_file=ca))
        error = fails(Docker(docker_host=url, ca_cert_file=ca, **files))
    assert (type(error), error.reason) == (AuthenticationFailed, "client_certificate")
    assert "does not accept the client certificate" in error.message
    if version is ssl.TLSVersion.TLSv1_3:
        assert (type(without), without.reason) == (AuthenticationFailed, "client_certificate")
        assert "asks for a client certificate" in without.message
    else:  # it has no words for that
        assert (type(without), without.reason) == (Unreachable, "tls")
        assert "may want a client certificate" in without.remedy
    assert wire.received == b""


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "invalid filter", Rejected),
        (401, "authorization denied by plugin", AuthenticationFailed),
        (403, "authorization denied by plugin authz: not you", PermissionDenied),
        (404, "No such container: web", MachineNotFound),
        (404, "network n not found", Rejected),
        (409, "Container web is paused. Unpause the container before stopping", Rejected),
        (429, "toomanyrequests: slow down", RateLimited),
        (500, "the disk is full", ProviderError),
        (503, "This node is not a swarm manager", ProviderError),
        (500, {"odd": [1]}, ProviderError),
        (500, None, ProviderError),
        (500, "\x1b]0;gotcha\x07" + "long " * 1_000_000, ProviderError),
    ],
)
def test_what_the_engine_says_of_it(status: int, message: Any, kind: type[MistError]) -> None:
    with LivingDocker() as engine, Docker(docker_host=engine.url, auth_user=USER, auth_password=PASSWORD) as docker:
        docker.check()
        engine.fault(json_response({"message": message}, status), times=5)
        error = fails(docker, LONG, lambda: docker.stop_machine("web"))
        assert type(error) is kind
        assert len(str(error)) < 1000
        assert status in (401, 404) or not isinstance(message, str) or message[6:20].strip() in error.message


class Pulling(LivingDocker):
    """An engine without the image that is asked for; `said` is what it tells while it fetches it."""

    said = Response()

    @route("POST", "/v{version}/{rest...}")
    def versioned(self, request: Request, version: str, rest: str) -> Response:
        if rest == "containers/create":
            return json_response({"message": "No such image: tiny:1"}, 404)
        return self.said if rest == "images/create" else super().versioned(request, version, rest)


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (Response(200, b'{"status":"' + b"x" * (100 << 20)), ProviderError, "longer than 1 MiB"),
        (Response(500, b" " * (100 << 20)), ProviderError, "longer than 64 MiB"),
        (Response(200, b"[" * 100_000 + b"\n"), ProviderError, "not JSON"),
        (Response(200, b"<html>"), ProviderError, "not JSON"),
        (Response(200, b"[1]\r\n"), ProviderError, "not an event"),
        (Response(200, b'{"status":"so far"}\r\n' * 3 + b'{"error":"no more"}'), Rejected, "no more"),
        (Response(200, b'{"status":"done"}\r\n' * 3), Rejected, "does not have the image tiny:1"),
        (Response(200, b'{"status":"half"}\r\n', {"Content-Length": "999"}, cut=19), Unreachable, "closed"),
    ],
)
def test_what_is_told_while_an_image_is_fetched(said: Response, kind: type[MistError], words: str) -> None:
    with Pulling() as engine:
        engine.said = said
        docker = Docker(docker_host=engine.url, auth_user=USER, auth_password=PASSWORD)
        with docker:
            error = fails(docker, LONG, lambda: docker.create_machine("x", image="tiny:1", pull=True))
    assert type(error) is kind
    assert words in error.message


def test_an_image_whose_fetching_never_ends() -> None:
    event = json.dumps({"status": "Downloading"}).encode() + b"\r\n"
    told = saying(OK + CHUNKED, then=trickling(b"%x\r\n%b\r\n" % (len(event), event), 0.005))
    answers = {
        b"/version": json_response({"ApiVersion": "1.41", "MinAPIVersion": "1.24"}).body,
        b"/containers/create": None,
    }

    def engine(line: Any) -> None:
        asked = line.read(b"\r\n\r\n")
        for path, body in answers.items():
            if path in asked.split(b"\r\n")[0]:
                missing = json_response({"message": "No such image: tiny:1"}).body
                status, body = (b"200 OK", body) if body else (b"404 Not Found", missing)
                line.send(
                    b"HTTP/1.1 %b\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)
                )
                return
        told(line)

    with WireServer(engine) as wire:
        docker = patient(Docker(docker_host=f"tcp://127.0.0.1:{wire.port}"))
        error = fails(
            docker,
            call=lambda: docker.create_machine("x", image="tiny:1", pull=True),
            once=lambda: b"/images/create" in wire.received,
        )
    assert (type(error), error.reason) == (Unreachable, "timeout")
    assert b"/images/create" in wire.received
