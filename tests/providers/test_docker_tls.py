"""The docker provider over TCP: with TLS, without it, and through a reverse proxy with a password."""

from __future__ import annotations

import gc
import os
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from fakes.docker import DockerProxy, FakeDocker
from peers.docker_engine import Certificate, DockerEngine

from mistcore import AuthenticationFailed, InvalidFields, PermissionDenied, ProviderError, RateLimited, Unreachable
from mistcore.testing.server import Response, json_response
from mistcore_providers._docker_tls import as_file
from mistcore_providers.docker import Docker


def over_tls(engine: DockerEngine, certificate: Certificate | None, **fields: Any) -> Docker:
    if certificate is not None:
        fields = {"cert_file": str(certificate.cert_file), "key_file": str(certificate.key_file)} | fields
    fields = {"ca_cert_file": str(engine.ca_file)} | fields
    return Docker(docker_host="localhost", docker_port=engine.tls_port, **fields)


@pytest.fixture(params=["bundle set", "bundle unset"])
def bundle(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, docker_engine: DockerEngine) -> None:
    """Run with an environment that names other authorities, which requests would obey, and with a clean one."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    if request.param == "bundle set":
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(docker_engine.rogue_ca_file))
        monkeypatch.setenv("CURL_CA_BUNDLE", str(docker_engine.rogue_ca_file))


def context_for(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture
def impostor() -> Iterator[FakeDocker]:
    """A server that says it is a Docker Engine, with a certificate that nobody vouches for."""
    with FakeDocker(tls=context_for(trustme.CA(), "localhost")) as server:
        yield server


# -- client certificates -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("bundle")
def test_the_right_certificates(docker_engine: DockerEngine) -> None:
    with over_tls(docker_engine, docker_engine.client) as docker:
        account = docker.check()
        assert account.details["engine_version"]
        assert account.warnings == ()


@pytest.mark.usefixtures("bundle")
def test_certificates_as_text(docker_engine: DockerEngine) -> None:
    client = docker_engine.client
    text = {"cert_file": client.cert, "key_file": client.key, "ca_cert_file": docker_engine.ca_file.read_text()}
    for folded in (False, True):  # JSON tools and environment files fold the lines
        fields = {name: value.replace("\n", "\\n") if folded else value for name, value in text.items()}
        with over_tls(docker_engine, None, **fields) as docker:
            assert docker.check().name


def test_a_certificate_that_brings_its_key_along(docker_engine: DockerEngine, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_text(docker_engine.client.cert + docker_engine.client.key)
    with over_tls(docker_engine, None, cert_file=str(both)) as docker:
        assert docker.check().name


def test_the_whole_life_of_a_container_over_tls(clean_engine: DockerEngine) -> None:
    with over_tls(clean_engine, clean_engine.client) as docker:
        made = docker.create_machine("web", image=clean_engine.image, command="sleep 1000", network="none")
        assert made.state == "running"
        docker.reboot_machine(made.id, force=True)
        docker.stop_machine(made.id, force=True)
        assert [machine.state for machine in docker.list_machines()] == ["stopped"]
        docker.destroy_machine(made.id)
        assert list(docker.list_machines()) == []


@pytest.mark.usefixtures("bundle")
def test_a_missing_client_certificate(docker_engine: DockerEngine) -> None:
    with pytest.raises(AuthenticationFailed, match="asks for a client certificate.*cert_file and key_file") as caught:
        over_tls(docker_engine, None).check()
    assert caught.value.reason == "client_certificate"


@pytest.mark.usefixtures("bundle")
def test_a_client_certificate_of_another_authority(docker_engine: DockerEngine) -> None:
    with pytest.raises(AuthenticationFailed, match="does not accept the client certificate") as caught:
        over_tls(docker_engine, docker_engine.rogue).check()
    assert caught.value.reason == "client_certificate"


def test_private_keys_do_not_stay_in_files(
    docker_engine: DockerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    client = docker_engine.client
    with over_tls(docker_engine, None, cert_file=client.cert, key_file=client.key) as docker:
        docker.check()
        assert list((tmp_path / "temporary").iterdir()) == []
    with as_file(client.key) as name:
        path = Path(name)
        assert path.is_relative_to(tmp_path)
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        assert path.read_text() == client.key
    assert not path.exists()


# -- whom to trust -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("bundle")
@pytest.mark.parametrize("certificates", [True, False])
def test_an_impostor_is_refused(docker_engine: DockerEngine, impostor: FakeDocker, certificates: bool) -> None:
    fields: dict[str, Any] = {"auth_user": "admin", "auth_password": "hush"}
    if certificates:
        client = docker_engine.client
        fields |= {"cert_file": str(client.cert_file), "key_file": str(client.key_file)}
        fields |= {"ca_cert_file": str(docker_engine.ca_file)}
    with pytest.raises(Unreachable, match="is not trusted.*ca_cert_file") as caught:
        Docker(docker_host=impostor.url, **fields).check()
    assert caught.value.reason == "tls"
    assert impostor.requests == []


def test_the_well_known_authorities_do_not_vouch_beside_a_given_one(
    impostor: FakeDocker, docker_engine: DockerEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = trustme.CA()
    bundle = tmp_path / "bundle.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with FakeDocker(tls=context_for(authority, "localhost")) as server:
        with Docker(docker_host=server.url) as docker:  # the environment's bundle counts when no other is given
            assert docker.check().id == "FAKE"
        with pytest.raises(Unreachable, match="is not trusted"):
            Docker(docker_host=server.url, ca_cert_file=str(docker_engine.ca_file)).check()


def test_a_certificate_for_another_name(tmp_path: Path) -> None:
    authority = trustme.CA()
    with (
        FakeDocker(tls=context_for(authority, "other.example.com")) as server,
        pytest.raises(Unreachable, match="mismatch.*Use a name in docker_host") as caught,
    ):
        Docker(docker_host=server.url, ca_cert_file=authority.cert_pem.bytes().decode()).check()
    assert caught.value.reason == "tls"


def test_the_engines_own_certificate_can_be_pinned() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued = authority.issue_cert("localhost")
    issued.configure_cert(context)
    with FakeDocker(tls=context) as server:
        pinned = Docker(docker_host=server.url, ca_cert_file=issued.cert_chain_pems[0].bytes().decode())
        with pinned as docker:
            assert docker.check().id == "FAKE"


def test_without_verification_the_check_says_so(docker_engine: DockerEngine, impostor: FakeDocker) -> None:
    with over_tls(docker_engine, docker_engine.client, ca_cert_file="", verify=False) as docker:
        assert [warning.partition(":")[0] for warning in docker.check().warnings] == ["Verification is off"]
    with Docker(docker_host=impostor.url, verify=False) as docker:
        warnings = docker.check().warnings
        assert len(warnings) == 2
        assert "No client certificate is asked for" in warnings[1]


# -- without TLS, and TLS where there is none --------------------------------------------------------------------------


def test_plain_tcp_works_and_the_check_warns(clean_engine: DockerEngine) -> None:
    clean_engine.run("web")
    with DockerProxy(clean_engine.socket) as plain:
        for address in (plain.url, plain.url.replace("http", "tcp", 1), plain.url.removeprefix("http://")):
            with Docker(docker_host=address) as docker:
                assert [machine.name for machine in docker.list_machines()] == ["web"]
                (warning,) = docker.check().warnings
                assert "without TLS" in warning
                assert "root" in warning


def test_plain_http_spoken_to_a_tls_port(docker_engine: DockerEngine) -> None:
    with pytest.raises(Unreachable, match="wants TLS") as caught:
        Docker(docker_host=f"tcp://localhost:{docker_engine.tls_port}").check()
    assert caught.value.reason == "tls"


def test_tls_spoken_to_a_plain_port(docker_engine: DockerEngine) -> None:
    with (
        DockerProxy(docker_engine.socket) as plain,
        pytest.raises(Unreachable, match="does not speak TLS.*http://") as caught,
    ):
        Docker(docker_host=plain.url.replace("http", "https", 1)).check()
    assert caught.value.reason == "tls"


# -- a reverse proxy ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("password", ["hush", "grüße€:x"])
def test_a_proxy_with_a_password(clean_engine: DockerEngine, password: str) -> None:
    clean_engine.run("web")
    with (
        DockerProxy(clean_engine.socket, "admin", password) as proxy,
        Docker(docker_host=proxy.url, auth_user="admin", auth_password=password) as docker,
    ):
        assert [machine.name for machine in docker.list_machines()] == ["web"]
        (warning,) = docker.check().warnings
        assert "password" in warning
        docker.destroy_machine("web", force=True)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"auth_user": "admin", "auth_password": "wrong"}, "does not accept auth_user and auth_password"),
        ({"auth_user": "Admin", "auth_password": "hush"}, "does not accept auth_user and auth_password"),
        ({}, "asks for a user name and password.*Give auth_user"),
    ],
)
def test_a_proxy_with_another_password(docker_engine: DockerEngine, fields: Any, words: str) -> None:
    with (
        DockerProxy(docker_engine.socket, "admin", "hush") as proxy,
        pytest.raises(AuthenticationFailed, match=words) as caught,
    ):
        Docker(docker_host=proxy.url, **fields).check()
    assert "wrong" not in str(caught.value)


def test_a_proxy_with_tls_and_a_password(clean_engine: DockerEngine) -> None:
    authority = trustme.CA()
    with DockerProxy(clean_engine.socket, "admin", "hush", tls=context_for(authority, "localhost")) as proxy:
        fields = {"docker_host": proxy.url, "ca_cert_file": authority.cert_pem.bytes().decode()}
        with Docker(**fields, auth_user="admin", auth_password="hush") as docker:
            assert docker.check().warnings == ()
        with pytest.raises(AuthenticationFailed):
            Docker(**fields, auth_user="admin", auth_password="other").check()


def test_a_password_never_follows_a_redirect(docker_engine: DockerEngine) -> None:
    with FakeDocker() as elsewhere, DockerProxy(docker_engine.socket, "admin", "hush") as proxy:
        moved = Response(302, b"", {"Location": f"http://user:pw@{elsewhere.url[7:]}/version?token=t"})
        proxy.fault(moved)
        with pytest.raises(ProviderError, match="sends everybody on to http://127") as caught:
            Docker(docker_host=proxy.url, auth_user="admin", auth_password="hush").check()
        assert caught.value.reason == "redirect"
        assert "pw" not in str(caught.value)
        assert "token" not in str(caught.value)
        assert elsewhere.requests == []


def test_a_netrc_file_is_not_asked_for_passwords(docker_engine: DockerEngine) -> None:
    Path(os.environ["HOME"], ".netrc").write_text("machine 127.0.0.1 login admin password hush\n")
    with DockerProxy(docker_engine.socket, "admin", "hush") as proxy, pytest.raises(AuthenticationFailed):
        Docker(docker_host=proxy.url).check()
    assert all("Authorization" not in request.headers for request in proxy.requests)


def test_what_a_guarding_proxy_refuses(clean_engine: DockerEngine) -> None:
    page = Response(403, b"<html><body><h1>403 Forbidden</h1></body></html>", {"Content-Type": "text/html"})
    with DockerProxy(clean_engine.socket) as guard, Docker(docker_host=guard.url) as docker:
        guard.fault(page, where=lambda request: request.path.endswith("/info"))
        account = docker.check()  # /info is more than a check needs
        assert account.id == guard.url
        assert account.details["engine_version"]
        guard.fault(page, where=lambda request: request.method == "POST")
        with pytest.raises(PermissionDenied, match="not allowed here: HTTP status 403"):
            docker.create_machine("web", image=clean_engine.image)


def test_a_path_before_the_engines_own(docker_engine: DockerEngine) -> None:
    class Below(DockerProxy):
        def not_found(self, request: Any) -> Response:
            if not request.path.startswith("/docker/"):
                return json_response({"message": "page not found"}, status=404)
            object.__setattr__(request, "path", request.path.removeprefix("/docker"))
            return super().not_found(request)

    with Below(docker_engine.socket) as proxy:
        with Docker(docker_host=f"{proxy.url}/docker/") as docker:
            assert docker.check().name
        with pytest.raises(ProviderError, match="not a Docker Engine") as caught:
            Docker(docker_host=proxy.url).check()
        assert caught.value.reason == "not_docker"


def test_too_many_requests(docker_engine: DockerEngine) -> None:
    with DockerProxy(docker_engine.socket) as proxy, Docker(docker_host=proxy.url) as docker:
        proxy.fault(json_response({"message": "slow down"}, 429, {"Retry-After": "7"}))
        with pytest.raises(RateLimited, match="slow down") as caught:
            docker.check()
        assert caught.value.retry_after == 7


# -- files that cannot be used -----------------------------------------------------------------------------------------


def test_certificates_that_cannot_be_used_are_named(docker_engine: DockerEngine, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    text = tmp_path / "text"
    text.write_text("nothing of the kind")
    client, rogue = docker_engine.client, docker_engine.rogue
    locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n"
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"cert_file": str(client.cert_file), "key_file": str(tmp_path / "none")}, "key_file", "No such file"),
        ({"cert_file": str(client.cert_file), "key_file": str(rogue.key_file)}, "key_file", "does not belong"),
        ({"cert_file": str(client.cert_file), "key_file": locked}, "key_file", "passphrase"),
        ({"cert_file": str(client.cert_file)}, "key_file", "missing"),
        ({"key_file": str(client.key_file)}, "cert_file", "missing"),
        ({"cert_file": str(garbage), "key_file": str(client.key_file)}, "cert_file", "can be read"),
        ({"ca_cert_file": str(garbage)}, "ca_cert_file", "no certificate"),
        ({"ca_cert_file": str(text)}, "ca_cert_file", "not a PEM file"),
        ({"ca_cert_file": str(tmp_path)}, "ca_cert_file", "cannot read"),
        ({"ca_cert_file": str(tmp_path / "none")}, "ca_cert_file", "No such file"),
    ]
    for fields, field, words in cases:
        with pytest.raises(InvalidFields) as caught:
            Docker(docker_host="localhost", **fields)
        assert list(caught.value.problems) == [field], fields
        assert words in caught.value.problems[field], fields


def test_no_connection_is_left_open(docker_engine: DockerEngine) -> None:
    """Unclosed sockets are warnings, which the tests take for errors."""
    with pytest.raises(AuthenticationFailed):
        over_tls(docker_engine, None).check()
    with over_tls(docker_engine, docker_engine.client) as docker:
        docker.check()
    gc.collect()
