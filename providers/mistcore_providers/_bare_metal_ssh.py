"""One SSH connection for one operation: reach the server, make sure that it is the right one, log in, run a script.

Every operation runs in a thread of its own with an event loop of its own: it can be called from any thread, also from
one in which a loop is running, and no two of them share anything. Imports asyncssh: to be imported in functions only.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from typing import Any

import asyncssh
import attrs

from mistcore import InvalidFields, MistError, ProviderError, Unreachable
from mistcore.deadline import current_deadline
from mistcore.others_logs import silence, silent
from mistcore_providers import _bare_metal_errors as errors
from mistcore_providers._bare_metal_config import FIXED_OPTIONS, Login, jump_login, options_for
from mistcore_providers._bare_metal_errors import Where
from mistcore_providers._bare_metal_trust import (
    Known,
    WayIn,
    algorithms_but,
    fingerprint,
    key_fingerprint,
    known_for,
)

__all__ = ["Answer", "Login", "WayIn", "run"]

_OUTPUT_LIMIT = 1 << 20
_POLL = 0.2
_GRACE = 0.5
_GREETING_WAIT = 1.0
_JUMPS = 8
_AUTHENTICATION = ("publickey", "keyboard-interactive", "password")
silence("asyncssh")  # it writes down what a server says, which may be the password that it was sent


@attrs.frozen
class Answer:
    """What the script printed, and what is known of the server.

    Attributes:
        whole: the connection stood until the script had ended.
        address: "" behind a jump host.

    """

    output: str
    whole: bool
    user: str
    server: str
    host_key: str
    address: str


def run(login: Login, script: str, seconds: float) -> Answer:
    """Log in, let `sh` run a script and return what it printed, all within that many seconds.

    A connection that breaks while the script prints ends the output without an error; it is not `whole` then.

    Raises:
        AuthenticationFailed, InvalidFields, Unreachable, ProviderError.

    """
    call = _Call(seconds)
    future: Future[Answer] = Future()

    def work() -> None:
        try:
            with silent():
                future.set_result(asyncio.run(call.perform(login, script)))
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            future.set_exception(error)

    limit = current_deadline()
    threading.Thread(target=work, name="mistcore-ssh", daemon=True).start()
    try:
        while not wait([future], _POLL).done:
            if call.left() < -_GRACE or (limit is not None and limit.remaining() < -_GRACE):
                raise call.timed_out()
        return future.result()
    finally:
        call.abandon()


class _Client(asyncssh.SSHClient):
    """Decides on the server's key, hands out the keys, and notes what an error will want to say."""

    def __init__(self, pin: str, pairs: list[asyncssh.SSHKeyPair]) -> None:
        self.pin = pin
        self.pairs = list(pairs)
        self.refused: asyncssh.SSHKey | None = None
        self.offered: list[str] = []
        self.expired = False
        self.connection: asyncssh.SSHClientConnection | None = None

    @property
    def greeted(self) -> bool:
        return bool(self.connection and self.connection.get_extra_info("server_version"))

    @property
    def without_host_key(self) -> bool:
        """The connection ended between the greeting and the server's key."""
        return self.greeted and self.connection is not None and self.connection.get_server_host_key() is None

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self.connection = conn

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        if self.pin and key.get_fingerprint() == self.pin:
            return True
        self.refused = key
        return False

    def public_key_auth_requested(self) -> asyncssh.SSHKeyPair | None:
        self._note("publickey")
        return self.pairs.pop(0) if self.pairs else None

    def password_auth_requested(self) -> str | None:
        self._note("password")
        return None

    def kbdint_auth_requested(self) -> Any:
        self._note("keyboard-interactive")
        return NotImplemented  # then asyncssh answers with the password, where there is one

    def password_change_requested(self, prompt: str, lang: str) -> Any:
        self.expired = True
        return NotImplemented

    def _note(self, method: str) -> None:
        if method not in self.offered:
            self.offered.append(method)


@attrs.define
class _Reached:
    """A login that succeeded."""

    connection: asyncssh.SSHClientConnection
    where: Where
    user: str
    address: str


class _Call:
    """One operation under way."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.abandoned = threading.Event()
        self._end = time.monotonic() + seconds
        self._doing = "starting"
        self._where: Where | None = None
        self._greeting = b""
        self._dialled: Where | None = None
        self._client: _Client | None = None
        self._sockets: list[socket.socket] = []
        self._programs: list[subprocess.Popen[bytes]] = []
        self._open: list[asyncssh.SSHClientConnection] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None

    def left(self) -> float:
        return self._end - time.monotonic()

    def abandon(self) -> None:
        """End what is still under way; nobody waits for it any more."""
        self.abandoned.set()
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def timed_out(self) -> Unreachable:
        client, where = self._client, self._where
        if where is not None and client is not None and client.connection is not None and not client.greeted:
            return errors.not_ssh(where, self._greeting) if self._greeting else errors.silent(where, self.seconds)
        return errors.timed_out(self._doing, self.seconds)

    def _step(self, doing: str) -> float:
        """Begin the next step and return the seconds left for it."""
        self._doing = doing
        if self.abandoned.is_set() or self.left() <= 0:
            raise self.timed_out()
        return self.left()

    async def perform(self, login: Login, script: str) -> Answer:
        self._task, self._loop = asyncio.current_task(), asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.left()):
                reached = await self._log_in(login)
                self._step(f"running a script on {reached.where}")
                output, whole = await _execute(reached, script)
        except TimeoutError as error:
            raise self.timed_out() from error
        finally:
            await self._leave()
        return Answer(
            output=output,
            whole=whole,
            user=reached.user,
            server=str(reached.connection.get_extra_info("server_version") or ""),
            host_key=fingerprint(reached.connection.get_server_host_key()),
            address=reached.address,
        )

    async def _leave(self) -> None:
        self._task = None  # this is not cancelled
        for connection in reversed(self._open):
            connection.close()
            with contextlib.suppress(Exception):
                await asyncio.wait_for(connection.wait_closed(), 0.5)
            connection.abort()  # which changes nothing where the goodbye was taken
        await asyncio.sleep(0)  # let the loop take its leave of the sockets
        for sock in self._sockets:
            sock.close()
        for program in self._programs:
            program.kill()
            program.wait()

    async def _log_in(self, login: Login, via: _Reached | None = None, depth: int = 0) -> _Reached:
        """Log in to one host, through the jump hosts that the configuration names, each logged in to alike."""
        options = options_for(login)
        where = Where(options.host, int(options.port), jump=login.jump)
        if via is None and options.tunnel:
            if depth == _JUMPS:
                raise InvalidFields({"ssh_config": f"ProxyJump of {login.host} leads round in a circle"})
            for hop in str(options.tunnel).split(","):
                via = await self._log_in(jump_login(hop, login), via, depth + 1)
        user = login.user or str(options.config.get("User", "") or login.default_user or options.username)
        pairs = login.way_in.pairs()
        seen: list[asyncssh.SSHKey] = []
        algorithms: list[str] | None = None
        while True:
            sock, address = None, ""
            command = options.proxy_command if via is None else None
            if via is None and not command:
                sock, address = self._dial(where)
            known = Known() if login.pin else known_for(where, address, options, login.known_hosts)
            if algorithms is None and not (known.keys or known.authorities):
                algorithms = algorithms_but(seen)
            client = self._client = _Client(login.pin, pairs)
            self._where = where
            self._step(f"the login to {where} as {user}")
            try:
                if command:
                    sock = self._start(command)
                connection = await asyncssh.connect(
                    login.host,
                    login.port or (),
                    config=[str(login.config)] if login.config else None,
                    tunnel=via.connection if via else None,
                    sock=sock,
                    client_factory=lambda client=client: client,
                    username=user,
                    known_hosts=(list(known.keys), list(known.authorities), list(known.revoked)),
                    server_host_key_algs=algorithms or (),
                    password=login.way_in.password or None,
                    passphrase=login.way_in.passphrase or None,
                    client_keys=login.way_in.identities(options) if login.way_in.like_ssh else None,
                    ignore_encrypted=True,
                    preferred_auth=_AUTHENTICATION,
                    **FIXED_OPTIONS,
                )
            except (asyncssh.Error, OSError, ValueError) as error:
                if isinstance(error, TimeoutError):
                    raise
                if client.refused is not None:
                    seen.append(client.refused)
                    algorithms = algorithms_but(seen)
                    if login.pin and algorithms:
                        continue  # the server may have a key of another type, and that one may be pinned
                if isinstance(error, asyncssh.HostKeyNotVerifiable) or (client.without_host_key and seen):
                    raise _wrong_host_key(login, where, known, seen, through=via is not None) from error
                if client.without_host_key and algorithms is None:
                    algorithms = algorithms_but(seen)
                    continue  # it has no key of a type that is known: look which it has
                if isinstance(error, asyncssh.ChannelOpenError) and via is not None:
                    raise errors.no_way_on(via.where.host, where, error) from error
                raise self._explain(error, login, where, user, key_fingerprint(pairs)) from error
            self._open.append(connection)
            return _Reached(connection, where, user, address)

    def _dial(self, where: Where) -> tuple[socket.socket, str]:
        """Connect, trying one address after the other, and look at what comes first without taking it."""
        self._client = None
        self._step(f"looking up the name {where.host}")
        try:
            found = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise errors.unresolved(where, error) from error
        failures: list[OSError] = []
        for number, (family, kind, protocol, _, address) in enumerate(found):
            left = self._step(f"connecting to {where}")
            sock = socket.socket(family, kind, protocol)
            self._sockets.append(sock)
            try:
                sock.settimeout(left / (len(found) - number))
                sock.connect(address)
                self._greeting = self._peek(sock, where)
            except OSError as error:
                failures.append(error)
            else:
                self._dialled = where
                sock.setblocking(False)
                return sock, str(address[0])
        raise errors.no_connection(where, failures, self.seconds) from failures[-1]

    def _start(self, command: Sequence[str]) -> socket.socket:
        """Start a ProxyCommand and return a socket that leads to it.

        asyncssh would start one by itself, and nobody could wait for its end before the loop has ended.
        """
        ours, theirs = socket.socketpair()
        self._sockets.append(ours)
        ours.setblocking(False)
        with theirs:
            self._programs.append(
                subprocess.Popen(  # noqa: S603 - no shell, and the user's own words
                    command,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )
        return ours

    def _peek(self, sock: socket.socket, where: Where) -> bytes:
        """Return the first bytes that are not an SSH greeting, or nothing: one may still come."""
        sock.settimeout(max(min(_GREETING_WAIT, self.left() / 2), 0.01))
        try:
            first = sock.recv(200, socket.MSG_PEEK)
        except TimeoutError:
            return b""
        except ConnectionError as error:
            raise errors.closed(where, error) from error
        if not first:
            raise errors.closed(where)
        return b"" if first.startswith(b"SSH-") else first

    def _explain(self, error: Exception, login: Login, where: Where, user: str, key: str) -> MistError:
        """Return our error for one that ended a login."""
        client = self._client
        greeted = client is not None and client.greeted
        if isinstance(error, asyncssh.PermissionDenied) and client is not None:
            if client.expired:
                return errors.password_expired(where, user)
            password, agent = bool(login.way_in.password), login.way_in.like_ssh
            return errors.not_let_in(where, user, client.offered, key=key, password=password, agent=agent)
        if isinstance(error, asyncssh.KeyExchangeFailed):
            return errors.algorithms(where, error)
        if isinstance(error, asyncssh.DisconnectError) and "authentication failures" in str(error):
            return errors.too_many_keys(where, user)
        if isinstance(error, (asyncssh.DisconnectError, OSError)):
            odd = isinstance(error, (asyncssh.ProtocolError, asyncssh.ProtocolNotSupported))
            if not greeted and (odd or self._dialled == where):
                return errors.not_ssh(where, self._greeting)
            return errors.closed(where, error, doing="the login" if greeted else "")
        if isinstance(error, ValueError) and client is not None and client.connection is not None:
            return errors.closed(where, error, doing="the login")  # it sent what cannot be read
        if isinstance(error, ValueError):
            return InvalidFields({"ssh_config": str(error)})
        return ProviderError(f"the SSH library failed at {where}: {error}")


def _wrong_host_key(
    login: Login, where: Where, known: Known, seen: list[asyncssh.SSHKey], *, through: bool
) -> Unreachable:
    shown = [fingerprint(key) for key in seen]
    if login.pin:
        return errors.pin_differs(where, shown, login.pin)
    if not seen and known.revoked:
        return errors.host_key_revoked(where)
    if known.keys and known.here:
        return errors.host_key_changed(where, ", ".join(shown), [fingerprint(key) for key in known.keys])
    return errors.host_key_unknown(
        where,
        ", ".join(shown) or "a certificate of an authority that is not known",
        login.known_hosts or "~/.ssh/known_hosts",
        through=through,
    )


async def _execute(reached: _Reached, script: str) -> tuple[str, bool]:
    """Let `sh` read a script from its standard input, and return what it prints until it or the connection ends.

    The connection stood all the time if the second is True.
    """
    chunks: list[str] = []
    size, whole = 0, True
    try:
        process = await reached.connection.create_process("sh", errors="replace", stderr=asyncssh.STDOUT)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(script)
            process.stdin.write_eof()
        while chunk := await process.stdout.read(65536):
            chunks.append(chunk)
            size += len(chunk)
            if size > _OUTPUT_LIMIT:
                raise ProviderError(f"{reached.where} answers without end")
    except asyncssh.ChannelOpenError as error:
        raise ProviderError(
            f"{reached.where} lets {reached.user!r} in, but runs no command: {error}",
            remedy="Check that the user has a shell, and that the server's MaxSessions is not 0.",
        ) from error
    except (asyncssh.DisconnectError, OSError, ValueError) as error:
        if not chunks:
            raise errors.closed(reached.where, error, doing="the script") from error
        whole = False
    return "".join(chunks), whole
