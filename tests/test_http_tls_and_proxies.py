"""The REST toolkit's encrypted connections: which certificates are trusted; and the ways through a proxy."""

from __future__ import annotations

import gc
import os
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
import trustme
from fakes.patience import outcome, timed_out
from fakes.raw import OK, RawServer, endless
from fakes.relay import connect
from peers.ports import deaf_port

from mistcore import InvalidFields, Unreachable
from mistcore.http import RestSession
from mistcore.testing.server import FakeService, Request, Response, json_response
from mistcore.testing.wire import Line, WireServer


class Service(FakeService):
    def not_found(self, request: Request) -> Response:
        return json_response({"path": request.path, "authorization": request.headers.get("Authorization")})


# -- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture(scope="module")
def secure(ca: trustme.CA) -> Iterator[Service]:
    with Service(tls=serving(ca.issue_cert("localhost"))) as fake:
        yield fake


@pytest.fixture
def pem(ca: trustme.CA, tmp_path: Path) -> Path:
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return tmp_path / "ca.pem"


def test_a_private_ca_by_path_and_by_text(secure: Service, pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for ca_cert in (str(pem), pem.read_text()):
        assert RestSession(secure.url, ca_cert=ca_cert).get("/x")["path"] == "/x"
    monkeypatch.setenv("HOME", str(pem.parent))
    assert RestSession(secure.url, ca_cert="~/ca.pem").get("/x")["path"] == "/x"


def test_verification_may_be_left_out(secure: Service) -> None:
    assert RestSession(secure.url, verify=False).get("/x")["path"] == "/x"


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_environment_may_name_the_bundle(
    secure: Service, pem: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for other in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(other, raising=False)
    with pytest.raises(Unreachable):
        RestSession(secure.url).get("/")
    monkeypatch.setenv(name, str(pem))
    assert RestSession(secure.url).get("/x")["path"] == "/x"
    monkeypatch.setenv(name, "/nonexistent.pem")
    with pytest.raises(Unreachable, match=f"/nonexistent.pem.*unset {name}") as caught:
        RestSession(secure.url).get("/")
    assert caught.value.reason == "tls"


def test_ca_cert_and_verify_win_over_the_environment(
    secure: Service, pem: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    with pytest.raises(Unreachable):
        RestSession(secure.url).get("/")
    assert RestSession(secure.url, ca_cert=str(pem)).get("/x")["path"] == "/x"
    assert RestSession(secure.url, verify=False).get("/x")["path"] == "/x"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
    with pytest.raises(Unreachable):
        RestSession(secure.url, ca_cert=str(other)).get("/")


def test_an_unknown_ca_says_how_to_trust_it(secure: Service) -> None:
    with pytest.raises(
        Unreachable, match=r"no secure connection to localhost.*give it \(or its CA\) as ca_cert"
    ) as caught:
        RestSession(secure.url).post("/")
    assert caught.value.reason == "tls"
    assert "may have been done" not in str(caught.value)


def test_a_self_signed_certificate_may_be_trusted_by_itself(tmp_path: Path) -> None:
    """Also one that is no CA: whoever names it means just that server."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "appliance")])

    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert_file, key_file)
    with Service(tls=context) as fake:
        with pytest.raises(Unreachable, match="self-signed certificate.*as ca_cert"):
            RestSession(fake.url).get("/")
        assert RestSession(fake.url, ca_cert=str(cert_file)).get("/x")["path"] == "/x"


def test_a_certificate_for_another_name(ca: trustme.CA, pem: Path) -> None:
    with (
        Service(tls=serving(ca.issue_cert("other.example"))) as fake,
        pytest.raises(Unreachable, match="[Hh]ostname mismatch.*Use the name that the certificate is for") as caught,
    ):
        RestSession(fake.url, ca_cert=str(pem)).get("/")
    assert caught.value.reason == "tls"


def test_a_certificate_that_has_expired(ca: trustme.CA, pem: Path) -> None:

    old = ca.issue_cert(
        "localhost", not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=datetime(2020, 1, 2, tzinfo=UTC)
    )
    with (
        Service(tls=serving(old)) as fake,
        pytest.raises(Unreachable, match="expired.*Renew its certificate, or set this machine's clock"),
    ):
        RestSession(fake.url, ca_cert=str(pem)).get("/")


def test_https_to_a_port_that_speaks_http() -> None:
    with Service() as fake, pytest.raises(Unreachable, match="may speak plain HTTP") as caught:
        RestSession(fake.url.replace("http:", "https:")).get("/")
    assert caught.value.reason == "tls"


def test_http_to_a_port_that_speaks_https(secure: Service) -> None:
    with pytest.raises(Unreachable) as caught:
        RestSession(secure.url.replace("https:", "http:"), retries=0).get("/")
    assert caught.value.reason == "network"


@pytest.mark.parametrize(("text", "words"), [("/nonexistent.pem", "No such file"), ("-----BEGIN JUNK", "not PEM")])
def test_a_ca_cert_that_is_none(text: str, words: str) -> None:
    with pytest.raises(InvalidFields, match=words) as caught:
        RestSession("https://localhost:1", ca_cert=text).get("/")
    assert list(caught.value.problems) == ["ca_cert"]


def test_one_context_for_all_sessions_of_a_kind(pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mistcore.http.transport import tls_context

    assert tls_context(True, str(pem)) is tls_context(True, str(pem))
    assert tls_context(True, "") is tls_context(True, "")
    assert tls_context(False, "") is tls_context(False, str(pem))
    assert tls_context(True, "") is not tls_context(False, "")
    before = tls_context(True, str(pem))
    trustme.CA().cert_pem.write_to_path(str(pem))
    os.utime(pem, ns=(1, 1))
    assert tls_context(True, str(pem)) is not before


def test_no_connection_loads_the_bundle_again(ca: trustme.CA, pem: Path) -> None:
    with Service(tls=serving(ca.issue_cert("localhost"))) as fake:
        session = RestSession(fake.url, ca_cert=str(pem))
        session.get("/x")
        pem.unlink()
        fake.latency = 0.2
        with ThreadPoolExecutor(4) as pool:
            assert len(list(pool.map(session.get, ["/1", "/2", "/3", "/4"]))) == 4
        session.close()


@pytest.mark.parametrize("own", [False, True])
def test_what_a_context_offers_is_not_changed_while_others_connect(ca: trustme.CA, pem: Path, own: bool) -> None:
    from mistcore.http.transport import Transport, tls_context

    server = serving(ca.issue_cert("localhost"))
    server.set_alpn_protocols(["other", "http/1.1"])
    context = tls_context(True, str(pem))
    if own:  # one that a provider made for itself
        context = ssl.create_default_context(cafile=str(pem))
        Transport(verify=True, context=context)
    context.set_alpn_protocols(
        ["other"]
    )  # what urllib3 does for each connection, OpenSSL does not bear from two threads
    with Service(tls=server) as fake:
        address = urlsplit(fake.url)
        with (
            socket.create_connection((address.hostname, address.port)) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            assert connection.selected_alpn_protocol() == "http/1.1"


def test_certificates_are_not_looked_at_before_they_are_needed(secure: Service, tmp_path: Path, pem: Path) -> None:
    from mistcore.http.transport import Broken, Transport

    def status(transport: Transport, url: str) -> int:
        request = requests.Request("GET", f"{url}/x").prepare()
        return transport.exchange(request, origin=url, seconds=5, max_body=1000)[0].status_code

    with Service() as fake:
        missing = Transport(verify=True, ca_cert=str(tmp_path / "missing.pem"))
        assert status(missing, fake.url) == 200
        before = len(secure.requests)
        with pytest.raises(Broken) as caught:
            status(missing, secure.url)
        assert isinstance(caught.value.error, InvalidFields)
        assert len(secure.requests) == before
        both = Transport(verify=True, ca_cert=str(pem))
        assert [status(both, url) for url in (fake.url, secure.url, fake.url)] == [200] * 3
    missing.close()
    both.close()


def test_only_what_is_named_is_trusted(secure: Service, pem: Path) -> None:
    from mistcore.http.transport import tls_context

    RestSession(secure.url, ca_cert=str(pem)).get("/x")
    assert tls_context(True, str(pem)).cert_store_stats()["x509"] == 1


def test_a_certificate_may_be_trusted_without_its_ca(ca: trustme.CA) -> None:
    certificate = ca.issue_cert("localhost")
    with Service(tls=serving(certificate)) as fake:
        pinned = certificate.cert_chain_pems[0].bytes().decode()
        assert RestSession(fake.url, ca_cert=pinned).get("/x")["path"] == "/x"
    with Service(tls=serving(ca.issue_cert("localhost"))) as other, pytest.raises(Unreachable):
        RestSession(other.url, ca_cert=pinned).get("/x")


def test_no_session_leaves_sockets_behind(secure: Service, pem: Path, recwarn: pytest.WarningsRecorder) -> None:
    gc.collect()  # what the tests before have left
    recwarn.clear()
    for _ in range(3):
        RestSession(secure.url, ca_cert=str(pem)).get("/x")
    gc.collect()
    assert not recwarn.list


# -- proxies ----------------------------------------------------------------------------------------------------------


class Proxy(RawServer):
    """A proxy that tunnels to wherever it is told, or answers plain requests itself."""

    def __init__(self, refuse: bytes = b"") -> None:
        super().__init__(self._answer)
        self._refuse = refuse

    def _answer(self, line: Line) -> None:
        if self._refuse:
            line.send(self._refuse)
            return
        method, target, _ = line.received.split(b" ", 2)
        if method != b"CONNECT":
            line.send(OK + b'Content-Length: 15\r\n\r\n{"proxy": "me"}')
            return
        host, port = target.decode().rsplit(":", 1)
        with socket.create_connection((host, int(port))) as upstream:
            line.socket.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")  # what comes now is not for the proxy
            connect(line, upstream)


def through(proxy: RawServer, monkeypatch: pytest.MonkeyPatch, no_proxy: str = "") -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    url = proxy.url.replace("http://", "http://user:geheim@")
    monkeypatch.setenv("HTTPS_PROXY", url)
    monkeypatch.setenv("http_proxy", url)
    monkeypatch.setenv("NO_PROXY", no_proxy)


def test_https_goes_through_the_proxy_of_the_environment(
    secure: Service, pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy() as proxy:
        through(proxy, monkeypatch)
        session = RestSession(secure.url, ca_cert=str(pem), headers={"Authorization": "Bearer mine"})
        said = session.get("/x")
        session.close()
    assert said == {"path": "/x", "authorization": "Bearer mine"}
    assert proxy.requests[0].startswith(b"CONNECT localhost:")
    assert b"Proxy-Authorization: Basic dXNlcjpnZWhlaW0=" in proxy.requests[0]
    assert b"mine" not in proxy.requests[0]


def test_http_goes_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with Proxy() as proxy:
        through(proxy, monkeypatch)
        session = RestSession("http://far.example")
        assert session.get("/x") == {"proxy": "me"}
        session.close()
    assert proxy.requests[0].startswith(b"GET http://far.example/x HTTP/1.1")


def test_no_proxy_is_respected(secure: Service, pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Proxy() as proxy:
        through(proxy, monkeypatch, no_proxy="localhost")
        assert RestSession(secure.url, ca_cert=str(pem)).get("/x")["path"] == "/x"
    assert proxy.requests == []


def test_a_proxy_that_wants_credentials(secure: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    with Proxy(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as proxy:
        through(proxy, monkeypatch)
        with pytest.raises(Unreachable, match="through the proxy.*407") as caught:
            RestSession(secure.url, retries=0).get("/x")
    assert caught.value.reason == "network"
    assert "geheim" not in str(caught.value)


def test_a_proxy_that_is_not_there(secure: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    with deaf_port() as port:
        proxy = Proxy()
        proxy.port = port
        through(proxy, monkeypatch)
        with pytest.raises(Unreachable, match="through the proxy") as caught:
            RestSession(secure.url, retries=0).get("/x")
    assert caught.value.reason == "refused"


def test_a_proxy_that_trickles(secure: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(endless(b"HTTP/1.1 200 OK\r\n", b"X")) as proxy:
        through(proxy, monkeypatch)
        result = outcome(lambda: RestSession(secure.url, timeout=0.6).get("/x"))
    assert isinstance(result, Unreachable)


def test_a_socks_proxy_that_trickles(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("socks")

    def answer(line: Line) -> None:
        line.read(b"\x05")
        line.send(b"\x05\x00")
        line.read(b"far.example")
        line.send(b"\x05\x00\x00\x01\0\0\0\0\0\0")
        line.read(b"\r\n\r\n")
        endless(OK + b"Content-Length: 1000000\r\n\r\n", b"x")(line)

    with WireServer(answer) as proxy:
        monkeypatch.setenv("http_proxy", f"socks5h://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("NO_PROXY", "")
        session = RestSession("http://far.example", timeout=0.6, retries=0)
        result = outcome(lambda: session.get("/x"))
        session.close()
    assert timed_out(result), result
