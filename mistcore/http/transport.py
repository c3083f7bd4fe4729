"""One exchange over the wire, on top of `requests`: bounded in time and size, its failures told apart.

This module imports `requests`; the session imports it when it sends its first request.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.request import getproxies

import certifi
import requests
import requests.adapters
import requests.utils
import urllib3
import urllib3.connection
import urllib3.connectionpool
import urllib3.exceptions
from urllib3.util.ssl_ import create_urllib3_context

from mistcore.errors import AuthenticationFailed, InvalidFields, MistError, ProviderError, Unreachable
from mistcore.http.known_secrets import clean_answer
from mistcore.http.timed import TimedResponse
from mistcore.others_logs import silence, silent

__all__ = ["Broken", "Transport", "clean_answer", "environ_proxies", "read_body", "tls_context"]

_CHUNK = 64 * 1024
_PROXY_NAMES = [f"{kind}_proxy" for kind in ("http", "https", "all", "no")]
_PROXY_NAMES += [name.upper() for name in _PROXY_NAMES]


class Broken(Exception):
    """An exchange that ended without an answer. `error` is ours; `sent` tells whether the request may have arrived."""

    def __init__(self, error: MistError, *, sent: bool, passing: bool) -> None:
        super().__init__(str(error))
        self.error = error
        self.sent = sent
        #: Whether another attempt is likely to fare better.
        self.passing = passing


silence("urllib3.connectionpool")  # it shows the query; the session writes a line without it


# -- connections -------------------------------------------------------------------------------------------------------


class _Unwarned:
    """Lets an HTTPS pool connect without urllib3's warning where verification is off, since that was asked for."""

    def _validate_conn(self, conn: Any) -> None:
        if getattr(conn, "sock", None) is None:
            conn.connect()


@cache
def _timed(scheme: str, pool: type) -> type:
    """Return a kind of pool with every answer's end set; for those of a SOCKS proxy, too, which are classes apart."""
    kind: Any = pool
    connection = type("TimedConnection", (kind.ConnectionCls,), {"response_class": TimedResponse})
    bases = (_Unwarned, pool) if scheme == "https" else (pool,)
    return type("TimedPool", bases, {"ConnectionCls": connection})


def _set_pools(manager: Any) -> None:
    manager.pool_classes_by_scheme = {
        scheme: _timed(scheme, pool) for scheme, pool in manager.pool_classes_by_scheme.items()
    }


# -- trust ------------------------------------------------------------------------------------------------------------

_contexts: dict[tuple[Any, ...], ssl.SSLContext] = {}
_contexts_lock = threading.Lock()


def tls_context(verify: bool, ca_cert: str) -> ssl.SSLContext:
    """Return the TLS context for this choice: one for the whole process, since to load the CAs is the dear part.

    Args:
        verify: False accepts any certificate.
        ca_cert: the path or the PEM text of the only certificates to trust; by default those that
            `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE`, `SSL_CERT_FILE` or `SSL_CERT_DIR` name, or else certifi's.

    """
    source = _trusted(ca_cert) if verify else ("", "")
    key = (verify, *source, _stamp(source[1]) if source[0] != "text" else None)
    with _contexts_lock:
        context = _contexts.get(key)
        if context is None:
            context = _contexts[key] = settled(_make_context(verify, *source))
        return context


def _trusted(ca_cert: str) -> tuple[str, str]:
    if "-----BEGIN" in ca_cert:
        return "text", ca_cert
    if ca_cert:
        return "ca_cert", str(Path(ca_cert).expanduser())
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        if os.environ.get(name):
            return name, os.environ[name]
    return "certifi", certifi.where()


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size


class _SettledContext(ssl.SSLContext):
    """A context that several threads connect with: what it offers was settled before the first of them came.

    urllib3 sets the protocols to offer for each connection. OpenSSL then frees the list of before, perhaps while
    another thread, without the interpreter's lock, copies it into its own greeting: the server refuses it as malformed.
    """

    def set_alpn_protocols(self, alpn_protocols: Any) -> None:
        """Do nothing: they are set."""


def settled(context: ssl.SSLContext) -> ssl.SSLContext:
    """Make a context safe for connections from several threads at once, and return it."""
    if type(context) is ssl.SSLContext:
        context.set_alpn_protocols(["http/1.1"])
        context.__class__ = _SettledContext
    return context


def _make_context(verify: bool, kind: str, source: str) -> ssl.SSLContext:
    context = create_urllib3_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        if kind == "text":
            context.load_verify_locations(cadata=source)
        elif Path(source).is_dir():
            context.load_verify_locations(capath=source)
        else:
            context.load_verify_locations(cafile=source)
    except (OSError, ValueError) as error:
        what = "the text" if kind == "text" else source
        why = "not PEM" if isinstance(error, (ssl.SSLError, ValueError)) else error.strerror
        words = f"{what} holds no certificates that can be read ({why})"
        if kind in {"text", "ca_cert"}:
            raise InvalidFields({"ca_cert": words}) from error
        raise Unreachable(words, reason="tls", remedy=f"Correct or unset {kind}.") from error
    if kind in {"text", "ca_cert"}:
        # Whoever names certificates may name the server's own, which is no CA.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


# -- the exchange -----------------------------------------------------------------------------------------------------


class Transport(requests.adapters.HTTPAdapter):
    """The connections of one session. It trusts what it is told, whatever the environment says.

    `context` is for services that want more than that, a client certificate say; it is used instead of a shared one.
    """

    def __init__(self, *, verify: bool, ca_cert: str = "", context: ssl.SSLContext | None = None) -> None:
        self._verify = verify
        self._ca_cert = ca_cert
        self._context = settled(context) if context else None
        self._proxies: dict[tuple[str, int], dict[str, str]] = {}
        super().__init__(pool_connections=4, pool_maxsize=32, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        """Make the pools, of our connections and with the shared TLS context."""
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._context, **kwargs)
        _set_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        """Make the same for a proxy."""
        if proxy in self.proxy_manager:
            return self.proxy_manager[proxy]
        manager = super().proxy_manager_for(proxy, ssl_context=self._context, **kwargs)
        _set_pools(manager)
        return manager

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Send a request; the first that may take TLS makes the context, as to load the CAs is dear."""
        if self._context is None and (options.get("proxies") or not (request.url or "").startswith("http://")):
            context = tls_context(self._verify, self._ca_cert)
            self.poolmanager.connection_pool_kw["ssl_context"] = context
            self._context = context  # last, as other threads take it for a sign that the pools have it
        return super().send(request, *args, **options)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Keep the CA bundle from being loaded again for each connection: the context has it."""
        conn.cert_reqs = "CERT_REQUIRED" if self._verify else "CERT_NONE"
        conn.ca_certs = conn.ca_cert_dir = None

    def close(self) -> None:
        """Close what is idle now, and what is in use when it is given back.

        urllib3 would only forget its pools, and an error that somebody keeps may hold on to one, with its sockets.
        """
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in manager.pools.keys():  # noqa: SIM118 - to go through the mapping itself it refuses
                pool = manager.pools.get(key)
                if pool is not None:
                    pool.close()
        super().close()

    def exchange(
        self, request: requests.PreparedRequest, *, origin: str, seconds: float, max_body: int
    ) -> tuple[requests.Response, bytes]:
        """Send a request and return the answer with its body, within so many seconds. Raises `Broken`.

        What a refusal or a redirect repeats of the request's secrets is not in it any more.
        """
        settings = origin, _proxy_settings()
        if settings not in self._proxies:
            self._proxies[settings] = environ_proxies(origin)
        started = False
        try:
            with silent():
                response = self.send(
                    request,
                    stream=True,
                    timeout=(min(seconds, 10.0), seconds),
                    verify=self._verify,
                    proxies=self._proxies[settings],
                )
                started = True
                body = read_body(response.raw, max_body)
            return response, clean_answer(request, response, body, self._proxies[settings])
        except MistError as error:
            raise Broken(error, sent=True, passing=False) from None
        except (OSError, ValueError, urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
            raise _explain(error, origin, started) from _root(error)


def _proxy_settings() -> int:
    # A number, because the addresses may hold passwords. To ask `getproxies` each time would take ten times as long.
    return hash(tuple(map(os.environ.get, _PROXY_NAMES)))


def environ_proxies(origin: str) -> dict[str, str]:
    """Return the proxies by scheme that the environment names for an origin."""
    # Where no proxy is named at all, which is where most are, it is not worth while to look for exceptions.
    return requests.utils.get_environ_proxies(f"{origin}/", no_proxy=None) if getproxies() else {}


def read_body(raw: urllib3.HTTPResponse, limit: int) -> bytes:
    """Return the whole body, unpacked. Raises `ProviderError` when it, or what it unpacks to, passes the limit."""
    too_long = ProviderError(
        f"the answer is longer than {limit // 2**20} MiB", reason="too_long", remedy="Is the address right?"
    )
    done = False
    chunks: list[bytes] = []
    try:
        announced = raw.headers.get("Content-Length") or ""
        known = announced.isdecimal()
        if known and int(announced[:20]) > limit:
            raise too_long
        chunks, length = ([raw.read(decode_content=False)] if known else []), 0
        while chunk := raw.read(_CHUNK, decode_content=False):
            chunks.append(chunk)
            length += len(chunk)
            if length > limit:
                raise too_long
        done = True
    finally:
        if done:
            raw.release_conn()
        else:
            chunks.clear()  # an error's traceback would keep them as long as somebody keeps the error
            raw.close()
    body = b"".join(chunks)
    encoding = (raw.headers.get("Content-Encoding") or "identity").strip().lower()
    if encoding == "identity" or not body:
        return body
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        how = f" ({encoding})" if encoding in {"br", "zstd", "compress"} else ""
        del body, chunks, encoding  # which may repeat what was sent
        raise ProviderError(f"the answer is packed in a way that was not asked for{how}", reason="garbled")
    return _unpack(body, limit, too_long)


def _unpack(body: bytes, limit: int, too_long: ProviderError) -> bytes:
    cause: zlib.error | None = None
    for window in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):  # gzip or zlib; bare deflate, as some servers send it
        unpacker = zlib.decompressobj(window)
        parts, length = [], 0
        try:
            for part in _unpacked(body, unpacker):
                parts.append(part)
                length += len(part)
                if length > limit:
                    raise too_long
        except zlib.error as error:
            cause = error
            continue
        if unpacker.eof:
            return b"".join(parts)
    del body  # which may repeat what was sent
    parts, part = [], b""
    raise ProviderError("the answer is damaged or cut off: it cannot be unpacked", reason="garbled") from cause


def _unpacked(body: bytes, unpacker: Any) -> Iterator[bytes]:
    """Yield what a body unpacks to in small parts: at once, zlib would need twice the memory of what comes out."""
    view = memoryview(body)
    for start in range(0, len(body), _CHUNK):
        packed = view[start : start + _CHUNK]
        while packed and not unpacker.eof:
            yield unpacker.decompress(packed, 16 * _CHUNK)
            packed = unpacker.unconsumed_tail


# -- what went wrong --------------------------------------------------------------------------------------------------


def _chain(error: BaseException) -> list[BaseException]:
    """Return an exception and everything it wraps, outermost first."""
    found: list[BaseException] = []
    todo: list[Any] = [error]
    while todo and len(found) < 50:
        one = todo.pop(0)
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            todo += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
    return found


def _root(error: BaseException) -> BaseException | None:
    """Return the innermost exception that is the system's own.

    Unlike those of requests it holds no address, query or header, so no secret shows in a traceback.
    """
    systems = {"builtins", "socket", "ssl"}
    found = (one for one in reversed(_chain(error)) if isinstance(one, OSError) and type(one).__module__ in systems)
    return next(found, None)


def _explain(error: Exception, origin: str, started: bool) -> Broken:
    host = origin.partition("://")[2]
    chain = _chain(error)

    def has(*kinds: type[BaseException]) -> Any:
        return next((one for one in chain if isinstance(one, kinds)), None)

    def broken(words: str, reason: str, remedy: str = "", *, sent: bool = True, passing: bool = False) -> Broken:
        return Broken(Unreachable(words, reason=reason, remedy=remedy), sent=sent, passing=passing)

    via = " (through the proxy)" if has(urllib3.exceptions.ProxyError) else ""
    if not started and has(UnicodeEncodeError, requests.exceptions.InvalidHeader):
        refused = AuthenticationFailed(
            "the credentials hold characters that cannot be sent", reason="malformed", remedy="Copy them again."
        )
        return Broken(refused, sent=False, passing=False)
    if has(socket.gaierror):
        return broken(
            f"the name {_bare(host)!r} does not resolve{via}", "dns", "Check the address, and the network.", sent=False
        )
    if has(ConnectionRefusedError):
        return broken(
            f"nothing listens at {host}{via}",
            "refused",
            "Check the address and port; is it running?",
            sent=False,
            passing=True,
        )
    if tls := has(ssl.SSLError):
        return broken(f"no secure connection to {host}{via}: {_tls_words(tls)}", "tls", _tls_remedy(tls), sent=False)
    if any(type(one).__name__ == "CertificateError" for one in chain):  # urllib3 before 2 compares names by itself
        words = f"no secure connection to {host}{via}: hostname mismatch"
        return broken(words, "tls", "Use the name that the certificate is for.", sent=False)
    if has(urllib3.exceptions.ConnectTimeoutError):
        return broken(
            f"no connection to {host}{via} in time",
            "timeout",
            "Check the address, and firewalls on the way.",
            sent=False,
        )
    if has(TimeoutError, urllib3.exceptions.TimeoutError):
        return broken(f"no whole answer from {host}{via} in time", "timeout", "Try again later, or allow more time.")
    if has(urllib3.exceptions.NewConnectionError) or via:
        system = _root(error)
        detail = f": {getattr(system, 'strerror', None) or system}" if system else ""
        return broken(
            f"no connection to {host}{via}{detail}", "network", "Check the network.", sent=False, passing=True
        )
    if isinstance(error, (requests.exceptions.InvalidURL, urllib3.exceptions.LocationParseError)):
        return Broken(InvalidFields({"endpoint": f"{host!r} is not an address"}), sent=False, passing=False)
    words = "broke off within its answer" if started else "closed the connection without an answer"
    return broken(f"{host} {words}{via}", "network", "Try again.", passing=True)


def _bare(host: str) -> str:
    return host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and "]" not in host else host


def _tls_words(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(error.verify_message or "its certificate cannot be verified").rstrip(".")
    return (error.reason or "protocol error").replace("_", " ").lower()


def _tls_remedy(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in {18, 19, 20, 21}:  # self-signed, or its issuer is not known here
            return "If that is its own certificate, give it (or its CA) as ca_cert to trust it."
        if error.verify_code in {62, 63, 64}:
            return "Use the name that the certificate is for."
        if error.verify_code in {9, 10}:
            return "Renew its certificate, or set this machine's clock."
        return "Check its certificate."
    if error.reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"}:
        return "That port may speak plain HTTP: check the port, or write http://."
    return "Check the address and what the server offers."
