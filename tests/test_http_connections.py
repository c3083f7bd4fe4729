"""The connections that sessions share: as long as one of them is open, and never wider than what they trust."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from mistcore import ProviderError, Unreachable
from mistcore.http import RestSession
from mistcore.http.connections import Lease
from mistcore.testing.server import FakeService


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.client_address[1], self.headers.get("Authorization", "")))
        if self.path == "/silent":
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def finish(self) -> None:
        super().finish()
        self.server.hung_up.release()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Keeps connections alive, and notes over which one each request came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[int, str]] = []
        self.hung_up = threading.Semaphore(0)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def connections(self) -> int:
        return len({port for port, _ in self.asked})


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield made
        made.shutdown()


def session(server: Server, token: str, **options: Any) -> RestSession:
    return RestSession(server.url, headers={"Authorization": token}, **options)


def test_sessions_of_one_service_share_connections_but_no_credentials(server: Server) -> None:
    one, two = session(server, "one"), session(server, "two")
    for each in (one, two, one):
        each.get("/x")
    assert server.connections() == 1
    assert [token for _, token in server.asked] == ["one", "two", "one"]
    one.close()
    assert not server.hung_up.acquire(blocking=False)  # the other one has them still
    two.get("/x")
    assert server.connections() == 1
    two.close()
    assert server.hung_up.acquire(timeout=30)


def test_a_session_may_be_used_again_when_it_was_closed(server: Server) -> None:
    one = session(server, "one")
    for _ in range(2):
        one.get("/x")
        one.close()
        one.close()
        assert server.hung_up.acquire(timeout=30)
    assert server.connections() == 2


def test_an_error_that_is_kept_keeps_no_connection(server: Server) -> None:
    one = session(server, "one", retries=0)
    one.get("/x")
    with pytest.raises(Unreachable) as caught:
        one.get("/silent")
    one.get("/x")
    assert server.hung_up.acquire(timeout=30)  # the one that nothing came over
    one.close()
    assert server.hung_up.acquire(timeout=30)
    assert caught.value.__traceback__ is not None


def test_what_is_never_closed_is_given_back_when_it_is_gone(server: Server) -> None:
    session(server, "one").get("/x")
    gc.collect()
    assert server.hung_up.acquire(timeout=30)


def test_services_do_not_share() -> None:
    with Server() as one, Server() as two:
        leases = [Lease(each.url, verify=True, ca_cert="") for each in (one, two, one)]
        assert leases[0].transport is leases[2].transport is not leases[1].transport
        for lease in leases:
            lease.close()


def test_those_who_trust_differently_do_not_share(tmp_path: Path) -> None:
    ca, other = trustme.CA(), trustme.CA()
    texts = [each.cert_pem.bytes().decode() for each in (ca, other)]
    choices: list[tuple[bool, str]] = [(True, texts[0]), (True, texts[1]), (True, ""), (False, "")]
    leases = [Lease("https://localhost:1", verify=verify, ca_cert=text) for verify, text in choices]
    assert len({id(lease.transport) for lease in leases}) == len(choices)
    for lease in leases:
        lease.close()


def test_a_changed_proxy_is_noticed_by_the_next_request(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeService() as proxy:
        one = session(server, "one")
        one.get("/x")
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with pytest.raises(ProviderError, match="404"):
            one.get("/x")
        assert proxy.requests
        one.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_closes_nothing_of_its_parent(server: Server) -> None:
    one = session(server, "one")
    one.get("/x")
    pid = os.fork()
    if pid == 0:
        try:
            session(server, "child").get("/x")
            one.close()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    one.get("/x")
    parents = {port for port, token in server.asked if token == "one"}
    assert len(parents) == 1
    assert server.connections() == 2
    one.close()
