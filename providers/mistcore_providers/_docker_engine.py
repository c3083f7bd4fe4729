"""The SDK's client, made safe: it connects when asked and not before, keeps to deadlines, and verifies as it was told.

What the SDK does by itself, and what must not happen here: its constructor asks the daemon and loses the kind of error;
the environment's REQUESTS_CA_BUNDLE replaces the CA that was given; a redirect is followed to wherever it leads; with
version "auto" it speaks versions that it has never heard of; what an engine tells while it works is kept until a line
ends, if ever.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import docker
from docker.constants import DEFAULT_DOCKER_API_VERSION, MINIMUM_DOCKER_API_VERSION
from docker.errors import NotFound
from docker.transport import unixconn
from requests import PreparedRequest, Response
from requests.auth import HTTPBasicAuth

from mistcore.deadline import remaining
from mistcore.errors import ProviderError
from mistcore.http.timed import TimedResponse
from mistcore.http.transport import Transport, clean_answer, environ_proxies, read_body
from mistcore_providers._docker_address import Address

_APIClient: Any = docker.APIClient  # the SDK has no types, and those that can be inferred do not fit its own use
_Unix: Any = unixconn
_CONNECT = 10.0  # seconds that a connection may take
_LONGEST = 64 * 2**20  # bytes that an answer may have: what sends more is no engine
_LONGEST_LINE = 2**20  # bytes that one event may have
_CHUNK = 2**16
_STREAM = 900.0  # seconds that fetching an image may take as a whole


class Engine(_APIClient):  # type: ignore[misc]
    """A connection to one engine, to be used by several threads at once.

    Attributes:
        daemon: what the engine says of itself (`GET /version`), once `negotiate` has asked it.

    """

    def __init__(
        self,
        address: Address,
        limit: Callable[[], float],
        *,
        context: ssl.SSLContext | None = None,
        auth: tuple[str, str] | None = None,
        ssh_key: str = "",
    ) -> None:
        """Prepare the connection; nothing is sent yet, except that ssh:// logs in.

        Args:
            limit: gives the seconds that the next request may take.
            context: what TLS is done with, where the address says TLS.
            auth: user and password of a reverse proxy.
            ssh_key: path or text of the key to log in with over SSH; "" for those that SSH finds itself.

        """
        self._limit = limit
        self.daemon: dict[str, Any] = {}
        # A version is given, so that the constructor asks nobody; `negotiate` settles it.
        base = "http://localhost:1" if address.scheme == "ssh" else address.url
        super().__init__(base, version=MINIMUM_DOCKER_API_VERSION)
        if address.scheme == "ssh":
            from mistcore_providers._docker_ssh import SshAdapter

            self._unmount("http://", "https://")
            self.base_url = "http+docker://ssh"
            self._mount(SshAdapter(address, limit, ssh_key))
        if address.scheme == "unix":
            self._mount(_UnixAdapter(address.path))
        elif address.scheme in ("http", "https"):
            self.verify = context is None or context.verify_mode is not ssl.CERT_NONE
            transport = Transport(verify=self.verify, context=context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
            self.mount("http://", transport)
            self.mount("https://", transport)
            self.proxies = environ_proxies(self.base_url)
        self.trust_env = False
        if auth is not None:
            self.auth = HTTPBasicAuth(auth[0].encode(), auth[1].encode())

    @property
    def timeout(self) -> float:
        """Seconds that the next request may take."""
        return self._limit()

    @timeout.setter
    def timeout(self, seconds: float) -> None:
        """Ignore what the SDK's constructor would fix for good."""

    def negotiate(self) -> None:
        """Ask the engine which API versions it speaks, and settle on the newest that the SDK knows too.

        Raises:
            ProviderError: no version in common (reason "version"), or this is no Docker Engine ("not_docker").

        """
        try:
            answer = self.version(api_version=False)
            newest, oldest = _version(answer["ApiVersion"]), _version(answer.get("MinAPIVersion") or "0.0")
        except (NotFound, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ProviderError(
                "what answers there is not a Docker Engine",
                remedy="Compare docker_host and docker_port with what `dockerd --host` listens on.",
                reason="not_docker",
            ) from error
        ours = min(newest, _version(DEFAULT_DOCKER_API_VERSION))
        engine = f"Docker Engine {answer.get('Version', '')}".strip()
        if newest < _version(MINIMUM_DOCKER_API_VERSION):
            raise ProviderError(
                f"{engine} speaks API {answer['ApiVersion']} at the most; "
                f"at least {MINIMUM_DOCKER_API_VERSION} is needed",
                remedy="Upgrade the engine.",
                reason="version",
            )
        if ours < oldest:
            raise ProviderError(
                f"{engine} wants API {answer['MinAPIVersion']} or later; the installed Docker SDK knows versions up to "
                f"{DEFAULT_DOCKER_API_VERSION}",
                remedy="Upgrade the SDK: pip install -U docker",
                reason="version",
            )
        self._version = ".".join(map(str, ours))
        self.daemon = answer

    def request(self, method: str, url: str, **options: Any) -> Response:
        """Send a request, and take a redirect for an answer: the next host must not see what was meant for this one."""
        response: Response = super().request(method, url, **{**options, "allow_redirects": False})
        if response.is_redirect:
            target = response.headers["Location"].partition("?")[0]
            response.close()
            raise ProviderError(
                f"what answers there sends everybody on to {_without_user(target)}",
                remedy="Give that address if it is where the engine is.",
                reason="redirect",
            )
        if method.upper() != "GET" and response.ok and not options.get("stream"):
            _check_done(response)
        return response

    def send(self, request: PreparedRequest, **options: Any) -> Response:
        """Send a prepared request and read the answer within the time allowed, or the deadline in force."""
        stream = options.get("stream")
        seconds = remaining(_STREAM) if stream else remaining(options.get("timeout") or self.timeout)
        timeout = (min(seconds, _CONNECT), seconds)
        response: Response = super().send(request, **{**options, "timeout": timeout, "stream": True})
        if not stream or not response.ok:
            body = read_body(response.raw, _LONGEST)
            response._content = clean_answer(request, response, body, self.proxies)
            response._content_consumed = True  # type: ignore[attr-defined]
        return response

    def _stream_helper(self, response: Response, decode: bool = False) -> Iterator[Any]:
        """Yield the events of a stream, each a line; `decode` for what they say."""
        try:
            for line in _lines(response.raw):
                yield _event(line) if decode else line
        finally:
            response.close()

    def _mount(self, adapter: Any) -> None:
        self._custom_adapter = adapter
        self.mount("http+docker://", adapter)


class _UnixConnection(_Unix.UnixHTTPConnection):  # type: ignore[misc]
    response_class = TimedResponse

    def connect(self) -> None:
        """Connect; the SDK would leave the socket open when that fails."""
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(self.timeout)
            sock.connect(self.unix_socket)
        except BaseException:
            sock.close()
            raise
        self.sock = sock


class _UnixPool(_Unix.UnixHTTPConnectionPool):  # type: ignore[misc]
    def _new_conn(self) -> Any:
        return _UnixConnection(self.base_url, self.socket_path, self.timeout)


class _UnixAdapter(_Unix.UnixHTTPAdapter):  # type: ignore[misc]
    """The SDK's way to a socket, with timed reading."""

    def __init__(self, path: str) -> None:
        super().__init__(f"http+unix://{path}")

    def get_connection(self, url: Any, proxies: Any = None) -> Any:
        """Return the pool; there is one socket only."""
        with self.pools.lock:
            pool = self.pools.get("")
            if pool is None:
                pool = self.pools[""] = _UnixPool(url, self.socket_path)
            return pool


def _check_done(response: Response) -> None:
    """Raise where something else than the engine says that a change was made: a login page, say.

    The SDK looks at the status alone. Engines say nothing more, or JSON.
    """
    try:
        if response.content.strip():
            response.json()
    except (ValueError, RecursionError) as error:
        raise ProviderError(
            "what answers there is not a Docker Engine, so nobody knows what was done",
            status=response.status_code,
            reason="not_docker",
            remedy="Is a proxy or a login page in between? Look at the container before you try again.",
        ) from error


def _lines(raw: Any) -> Iterator[bytes]:
    rest = b""
    for part in raw.stream(_CHUNK, decode_content=False):
        *lines, rest = (rest + part).split(b"\n")
        yield from filter(bytes.strip, lines)
        if len(rest) > _LONGEST_LINE:
            raise ProviderError(f"a line of the answer is longer than {_LONGEST_LINE // 2**20} MiB", reason="too_long")
    if rest.strip():
        yield rest


def _event(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProviderError("the engine's answer is not JSON", reason="nonsense") from error
    if not isinstance(event, dict):
        raise ProviderError("the engine's answer is not an event", reason="nonsense")
    return event


def _version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    return int(major), int(minor)


def _without_user(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)
