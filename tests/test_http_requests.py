"""The REST toolkit's requests: what is sent, where redirects and links lead them, and that threads share a session."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from importlib.metadata import version
from typing import Any

import pytest
from fakes import echo
from fakes.echo import Service

from mistcore import InvalidFields, ProviderError
from mistcore.http import RestSession, get_json, segment
from mistcore.testing.server import Response, json_response

service = echo.service
session = echo.session


# -- what is sent -----------------------------------------------------------------------------------------------------


def test_nothing_imports_requests_before_it_is_needed() -> None:
    code = "import sys, mistcore.http; mistcore.http.RestSession('a.example'); sys.exit('requests' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_a_request_carries(session: RestSession) -> None:
    said = session.get("/v1/things", params={"a": [1, 2], "b": "ü&", "none": None}, headers={"X-Filter": "{}"})
    assert (said["method"], said["path"]) == ("GET", "/v1/things")
    assert said["query"] == {"a": ["1", "2"], "b": ["ü&"]}
    assert said["headers"]["user-agent"] == f"mistcore/{version('mistcore')}"
    assert said["headers"]["authorization"] == "Bearer t0p-secret"
    assert said["headers"]["accept"] == "application/json"
    assert said["headers"]["x-filter"] == "{}"


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_bodies(session: RestSession, method: str) -> None:
    said = getattr(session, method)("things", json={"name": "ü"})
    assert (said["method"], said["path"]) == (method.upper(), "/things")
    assert json.loads(said["body"]) == {"name": "ü"}
    assert said["headers"]["content-type"] == "application/json"
    assert getattr(session, method)("things", data={"a": "b c"})["body"] == "a=b+c"
    assert getattr(session, method)("things", data=b"raw")["body"] == "raw"
    assert session.get("/nothing") is None


def test_a_base_address_may_have_a_path_and_credentials(service: Service) -> None:
    address = service.url.replace("http://", "http://me:s%C3%A9cret@") + "/v4/"
    session = RestSession(address)
    assert session.base_url == f"{service.url}/v4"
    assert "cret" not in repr(session)
    said = session.get("/profile")
    assert said["path"] == "/v4/profile"
    assert said["headers"]["authorization"] == "Basic bWU6c8OpY3JldA=="
    assert session.get(f"{service.url}/v4/other")["path"] == "/v4/other"
    assert RestSession(service.url, auth=("me", "sécret")).get("/")["headers"]["authorization"].endswith("OpY3JldA==")


def test_https_may_be_left_out() -> None:
    assert RestSession("api.example/v1/").base_url == "https://api.example/v1"


@pytest.mark.parametrize(
    "address",
    ["", "http://", "ftp://a.example", "http://a b", "http://a.example:port", "https://a.example\\@b.example"],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        RestSession(address)
    assert list(caught.value.problems) == ["endpoint"]


def test_what_is_unsafe_is_said() -> None:
    assert RestSession("https://a.example").warnings == ()
    assert RestSession("http://127.0.0.1:8").warnings == ()
    assert "Plain HTTP" in RestSession("http://a.example").warnings[0]
    assert "not verified" in RestSession("https://a.example", verify=False).warnings[0]


def test_get_json_is_one_line(service: Service) -> None:
    said = get_json(f"{service.url}/v1/machines", token="abc", params={"page": 2})
    assert (said["path"], said["query"]) == ("/v1/machines", {"page": ["2"]})
    assert said["headers"]["authorization"] == "Bearer abc"
    assert "authorization" not in get_json(service.url)["headers"]


def test_segments_reach_no_other_path(session: RestSession) -> None:
    for odd in ("../account", "a/b", "7?x=1", "7#", "ü", "..", "."):
        assert session.get(f"/machines/{segment(odd)}/end")["path"].startswith("/machines/"), odd
        assert "?" not in segment(odd)
    assert segment(7) == "7"
    assert segment("10.0.0.1") == "10.0.0.1"


def test_netrc_never_adds_or_replaces_credentials(service: Service, tmp_path: Any, monkeypatch: Any) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login thief password stolen\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert "authorization" not in RestSession(service.url).get("/")["headers"]
    mine = RestSession(service.url, headers={"Authorization": "Bearer mine"})
    assert mine.get("/")["headers"]["authorization"] == "Bearer mine"


def test_cookies_are_not_kept(service: Service, session: RestSession) -> None:
    service.fault(json_response({}, headers={"Set-Cookie": "id=1"}))
    session.get("/")
    assert "cookie" not in session.get("/")["headers"]


def test_threads_share_a_session_and_its_connections(service: Service, session: RestSession) -> None:
    service.latency = 0.02
    answers: list[str] = []

    def ask(number: int) -> None:
        answers.extend(session.get(f"/{number}/{turn}")["path"] for turn in range(10))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted(f"/{number}/{turn}" for number in range(8) for turn in range(10))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_shares_no_connection() -> None:
    with Service() as fake:
        session = RestSession(fake.url)
        session.get("/parent")
        pid = os.fork()
        if pid == 0:
            try:
                assert session.get("/child")["path"] == "/child"
                os._exit(0)
            finally:
                os._exit(1)
        assert session.get("/parent")["path"] == "/parent"
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_closed_session_works_again(session: RestSession) -> None:
    session.get("/")
    session.close()
    session.close()
    assert session.get("/")["path"] == "/"


# -- redirects and links ----------------------------------------------------------------------------------------------


def test_redirects_within_the_service_are_followed(service: Service, session: RestSession) -> None:
    service.fault(Response(302, b"", {"Location": "/v2/x?page=2"}))
    said = session.get("/v1/x", params={"a": 1})
    assert (said["path"], said["query"]) == ("/v2/x", {"page": ["2"]})
    assert said["headers"]["authorization"] == "Bearer t0p-secret"
    service.fault(Response(307, b"", {"Location": "/v2/x/"}))
    assert session.post("/v2/x", json={"a": 1})["body"] == '{"a": 1}'


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_never_carry_credentials_to_another_host(service: Service, status: int) -> None:
    secret = {"Authorization": "Bearer s", "X-Auth-Token": "t", "X-Api-Key": "k", "Cookie": "c=1", "X-Odd": "o"}
    with Service() as thief:
        for session in (RestSession(service.url, headers=secret), RestSession(service.url, auth=("me", "s"))):
            service.fault(Response(status, b"", {"Location": f"{thief.url}/steal"}))
            said = session.get("/x", headers={"X-Filter": "f"})
            assert set(said["headers"]) == {"host", "accept", "accept-encoding", "user-agent"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_changes_are_not_sent_to_another_host(service: Service, session: RestSession, status: int) -> None:
    with Service() as thief:
        service.fault(Response(status, b"", {"Location": f"{thief.url}/steal"}))
        with pytest.raises(ProviderError, match="redirects POST.*not followed") as caught:
            session.post("/x", json={"password": "p"})
        assert thief.requests == []
    assert caught.value.reason == "redirect"


@pytest.mark.parametrize("target", ["ftp://a.example/", "http://a.example:port/", "http://a.example\\@b/", "file:///x"])
def test_odd_redirects_are_refused(service: Service, session: RestSession, target: str) -> None:
    service.fault(Response(302, b"", {"Location": target}))
    with pytest.raises(ProviderError, match="not followed"):
        session.get("/x")


def test_redirects_without_end(service: Service, session: RestSession) -> None:
    service.fault(Response(302, b"", {"Location": "/again"}), times=99)
    with pytest.raises(ProviderError, match="without end"):
        session.get("/x")
    assert len(service.requests) < 10


@pytest.mark.parametrize(
    "link",
    [
        "http://evil.example/v1/x?page=2",
        "https://127.0.0.1/v1",
        "http://127.0.0.1:1/v1",
        "http://127.0.0.1@evil.example/",
        "http://evil.example\\@127.0.0.1/",
        "HTTP://EVIL.EXAMPLE/",
        "http://[::1/",
    ],
)
def test_links_to_elsewhere_are_refused(session: RestSession, link: str) -> None:
    with pytest.raises(ProviderError, match="elsewhere; nothing was sent") as caught:
        session.get(link)
    assert caught.value.reason == "foreign_link"


def test_links_that_forget_that_the_way_is_encrypted_are_mended() -> None:
    session = RestSession("https://a.example:8443/v1")
    assert session._url("http://a.example:8443/v1/x?page=2") == "https://a.example:8443/v1/x?page=2"
    with pytest.raises(ProviderError):
        session._url("http://a.example:8080/v1/x")
