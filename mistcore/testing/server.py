"""A loopback HTTP(S) server to write stand-ins of services with: routes, pages, faults, latency, recorded requests.

    class FakeAcme(FakeService):
        def authorize(self, request):
            if request.headers.get("Authorization") != "Bearer good":
                return json_response({"message": "bad token"}, status=401)

        @route("GET", "/v1/machines")
        def machines(self, request):
            page = page_of([{"id": number} for number in range(250)], request)
            return json_response({"machines": page.rows, "total": page.total})

        @route("GET", "/v1/machines/{machine_id}")
        def machine(self, request, machine_id):
            return json_response({"id": machine_id})

    with FakeAcme() as acme:
        requests.get(f"{acme.url}/v1/machines/7")
        assert acme.requests[0].path == "/v1/machines/7"

Requests are handled in threads, one connection each, kept alive; state is changed under `self.lock`.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import attrs

__all__ = ["FakeService", "Page", "Request", "Response", "json_response", "page_of", "route"]


@attrs.frozen
class Request:
    """What a client sent.

    Attributes:
        method: the HTTP method, in capitals.
        path: without the query.
        query: the query, with each key's last value.
        query_lists: the query, with all values of each key.
        headers: those of the request; names are case-insensitive in `headers.get()`.
        body: the body as it came.

    """

    method: str
    path: str
    query: Mapping[str, str]
    query_lists: Mapping[str, list[str]]
    headers: Any
    body: bytes

    def json(self) -> Any:
        """Return the body read as JSON, or None when it is empty."""
        return json.loads(self.body) if self.body else None

    def form(self) -> dict[str, str]:
        """Return the body read as a form."""
        return {key: values[-1] for key, values in parse_qs(self.body.decode(), keep_blank_values=True).items()}


@attrs.define
class Response:
    """What to answer.

    Attributes:
        status: the HTTP status.
        body: the body; its length is sent as Content-Length.
        headers: beside Server, Date and Content-Length.
        delay: seconds to wait before the first byte.
        header_delay: seconds to wait between two bytes of what comes before the body: a server that trickles.
        chunk_delay: the same for the body.
        cut: send only so many bytes of the body and close, although Content-Length promised all of it.
        stream: makes the body, part by part while it is sent, instead of `body`; in chunks, if no Content-Length is
            among the headers.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = attrs.field(factory=dict)
    delay: float = 0.0
    chunk_delay: float = 0.0
    cut: int | None = None
    header_delay: float = 0.0
    stream: Callable[[], Iterable[bytes]] | None = None


def json_response(
    value: Any, status: int = 200, headers: Mapping[str, str] | None = None, content_type: str = "application/json"
) -> Response:
    """Return a JSON answer."""
    return Response(status, json.dumps(value).encode(), {"Content-Type": content_type, **(headers or {})})


@attrs.frozen
class Page:
    """A page of a list whose pages are numbered.

    Attributes:
        rows: what is on it.
        number: which page it is; the first is 1.
        size: how many rows a full one has.
        total: how many rows there are on all of them.

    """

    rows: list[Any]
    number: int
    size: int
    total: int

    @property
    def last(self) -> int:
        """The number of the last page; there is always a first one."""
        return max(1, -(-self.total // self.size))


def page_of(
    rows: Iterable[Any],
    request: Request,
    *,
    number: str = "page",
    size: str = "per_page",
    usual: int = 20,
    most: int = 1000,
) -> Page:
    """Return the page of a list that a request asks for.

    Args:
        rows: the whole list.
        request: the request.
        number: what its query calls the page's number.
        size: what its query calls the rows of a page.
        usual: how many rows a page has if the query does not say so.
        most: how many it has at the most.

    """
    rows = list(rows)
    page, each = int(request.query.get(number, 1)), min(int(request.query.get(size, usual)), most)
    return Page(rows[(page - 1) * each : page * each], page, each, len(rows))


def route(method: str, pattern: str) -> Callable[[Any], Any]:
    """Mark a method of a `FakeService` as answering to this method and path; `{name}` matches one path segment.

    `{name...}` matches the rest of the path. May be given several times.
    """
    regex = re.sub(r"\\\{(\w+)\\\.\\\.\\\.\\\}", r"(?P<\1>.+)", re.escape(pattern))
    regex = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", regex)

    def mark(function: Any) -> Any:
        function.__dict__.setdefault("routes", []).append((method, re.compile(regex + r"\Z")))
        return function

    return mark


class FakeService:
    """A server on a free loopback port, from `with` to the end of the block (or `start()` to `stop()`).

    Attributes:
        url: its address, without a slash at the end.
        requests: all `Request`s so far, in the order of arrival.
        latency: seconds before each answer.
        lock: for the service's state.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, latency: float = 0.0, host: str = "127.0.0.1") -> None:
        self.requests: list[Request] = []
        self.latency = latency
        self.lock = threading.RLock()
        self._faults: deque[tuple[Callable[[Request], bool], Response]] = deque()
        self._routes: list[tuple[str, re.Pattern[str], Any]] = []
        for name in dir(type(self)):
            function = getattr(type(self), name, None)
            for method, pattern in getattr(function, "routes", ()):
                self._routes.append((method, pattern, getattr(self, name)))
        self._tls = tls
        self._host = host
        self._server: ThreadingHTTPServer | None = None
        self._deaf: socket.socket | None = None
        self.url = ""

    def authorize(self, request: Request) -> Response | None:
        """Return the refusal of a request, or None to let it in. Override it."""
        return None

    def not_found(self, request: Request) -> Response:
        """Return the answer to a path that no route knows."""
        return json_response({"message": f"no route for {request.method} {request.path}"}, status=404)

    def link(self, request: Request, **changes: Any) -> str:
        """Return the address of a request with other values in its query, as that of the next page."""
        return f"{self.url}{request.path}?{urlencode({**request.query, **changes})}"

    def fault(
        self, response: Response, *, times: int = 1, where: Callable[[Request], bool] = lambda request: True
    ) -> None:
        """Answer the next `times` requests that fit `where` with this instead."""
        for _ in range(times):
            self._faults.append((where, response))

    def clear_faults(self) -> None:
        """Forget the faults that have not been used up."""
        self._faults.clear()

    def handle(self, request: Request) -> Response:
        """Return the answer to a request: a fault, a refusal, or what its route says."""
        with self.lock:
            for fault in list(self._faults):
                if fault[0](request):
                    self._faults.remove(fault)
                    return fault[1]
        refusal = self.authorize(request)
        if refusal is not None:
            return refusal
        for method, pattern, function in self._routes:
            match = pattern.match(request.path)
            if method == request.method and match:
                answer: Response = function(request, **{k: unquote(v) for k, v in match.groupdict().items()})
                return answer
        return self.not_found(request)

    def start(self) -> Self:
        """Start to serve."""
        service = self

        class Handler(_Handler):
            def respond(self, request: Request) -> Response:
                service.requests.append(request)
                if service.latency:
                    time.sleep(service.latency)
                return service.handle(request)

        self._server = _Server((self._host, 0), Handler)
        self._server.tls = self._tls
        scheme = "https" if self._tls is not None else "http"
        name = "localhost" if self._tls is not None else self._host
        self.url = f"{scheme}://{name}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop to serve and close the port. If nobody is connected, nobody else gets it until the block has ended."""
        if self._server is not None:
            port = self._server.server_port
            with contextlib.suppress(OSError):
                self._server.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for connections
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            self._deaf = socket.socket()
            weakref.finalize(self, self._deaf.close)
            with contextlib.suppress(OSError):  # a connection still stands
                self._deaf.bind((self._host, port))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()
        if self._deaf is not None:
            self._deaf.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    tls: ssl.SSLContext | None = None

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self.tls is None:
            return connection, address
        try:
            connection.getpeername()  # where a client has left already, ssl fails and leaves its socket open
        except OSError:
            connection.close()
            raise
        return self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet: clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def respond(self, request: Request) -> Response:
        raise NotImplementedError

    def _serve(self) -> None:
        split = urlsplit(self.path)
        lists = parse_qs(split.query, keep_blank_values=True)
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            self.command,
            split.path,
            {key: values[-1] for key, values in lists.items()},
            lists,
            self.headers,
            self.rfile.read(length) if length else b"",
        )
        response = self.respond(request)
        time.sleep(response.delay)
        self.send_response_only(response.status)
        headers = {"Server": self.version_string(), "Date": self.date_time_string()}
        if response.stream is None:
            headers["Content-Length"] = str(len(response.body))
        elif "Content-Length" not in response.headers:
            headers["Transfer-Encoding"] = "chunked"
        for name, value in {**headers, **response.headers}.items():
            self.send_header(name, value)
        if response.cut is not None:
            self.close_connection = True
        if response.header_delay:
            buffered: list[bytes] = self._headers_buffer  # type: ignore[attr-defined]  # what end_headers would send
            self._trickle(b"".join(buffered), response.header_delay)
            buffered.clear()
        self.end_headers()
        if self.command == "HEAD":
            return
        if response.stream is not None:
            self._stream(response.stream(), chunked="Transfer-Encoding" in headers)
            return
        body = response.body if response.cut is None else response.body[: response.cut]
        if response.chunk_delay:
            self._trickle(body, response.chunk_delay)
        else:
            self.wfile.write(body)

    def _trickle(self, data: bytes, delay: float) -> None:
        for byte in data:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(delay)

    def _stream(self, parts: Iterable[bytes], *, chunked: bool) -> None:
        for part in parts:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _serve  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet."""
