"""The way to an engine through SSH: the SDK's, with timeouts, reconnection, and the other side's complaints."""

from __future__ import annotations

import io
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import paramiko
from docker.transport import sshconn
from paramiko.ssh_exception import NoValidConnectionsError

from mistcore.errors import AuthenticationFailed, MistError, PermissionDenied, ProviderError, Unreachable
from mistcore.http.timed import TimedResponse
from mistcore_providers._docker_address import Address
from mistcore_providers._docker_tls import as_file

_SDK: Any = sshconn  # it has no types, and those that can be inferred do not fit its own use
# What it logs of a login that fails reaches the caller as an error; without a handler, Python would print it as well.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
#: Seconds that the other side has to say how the command ended, once it has.
_STATUS = 5.0
_COMMAND = "docker system dial-stdio"  # what `docker -H ssh://…` runs there, too


class RemoteFailure(OSError):
    """The command on the other side failed; `said` is what it wrote about that."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


class LoginTooSlow(OSError):
    """The time for the login was over; whatever paramiko calls that."""


class SessionTooSlow(OSError):
    """The time for opening a session was over; whatever paramiko calls that."""


class SshAdapter(_SDK.SSHHTTPAdapter):  # type: ignore[misc]
    """Logs in when it is made, with the host keys of ~/.ssh/known_hosts and the settings of ~/.ssh/config.

    Of the latter the SDK heeds HostName, Port, User, IdentityFile and ProxyCommand; not ProxyJump.
    """

    def __init__(self, address: Address, limit: Callable[[], float], key: str) -> None:
        self._limit = limit
        self._key = key
        self._url = address.url
        super().__init__(self._url)

    def _create_paramiko_client(self, base_url: str) -> None:
        super()._create_paramiko_client(base_url)
        # The port comes as text from ~/.ssh/config, and paramiko looks for "[host]:22" in known_hosts then.
        self.ssh_params["port"] = int(self.ssh_params["port"] or 22)

    def _connect(self) -> None:
        limit = self._limit()
        end = time.monotonic() + limit
        with as_file(self._key) if self._key else nullcontext() as key:
            if key:
                self.ssh_params["key_filename"] = [key]
            try:
                self.ssh_client.connect(**self.ssh_params, timeout=limit, banner_timeout=limit, auth_timeout=limit)
            except BaseException as error:
                # A login that fails would leave its thread, its socket and its clock behind.
                transport = self.ssh_client.get_transport()
                self.ssh_client.close()
                if transport is not None:
                    transport.packetizer.complete_handshake()
                if time.monotonic() >= end - 0.05:
                    raise LoginTooSlow from error
                raise

    def get_connection(self, url: str, proxies: Any = None) -> Any:
        with self.pools.lock:
            transport = self.ssh_client.get_transport()
            if transport is None or not transport.is_active():
                self.pools.clear()
                self.ssh_client.close()
                self._create_paramiko_client(self._url)
                self._connect()
            pool = self.pools.get(url)
            if pool is None:
                pool = self.pools[url] = _Pool(self.ssh_client, self._limit)
            return pool


class _Pool(_SDK.SSHConnectionPool):  # type: ignore[misc]
    def __init__(self, ssh_client: Any, limit: Callable[[], float]) -> None:
        self._limit = limit
        super().__init__(ssh_client=ssh_client, timeout=limit())

    def _new_conn(self) -> Any:
        return _Connection(self.ssh_transport, self._limit())

    def _get_conn(self, timeout: Any = None) -> Any:
        connection = super()._get_conn(timeout)
        if connection.sock is not None and connection.sock.dropped:
            connection.close()  # it connects again when it is used
        return connection


class _Connection(_SDK.SSHConnection):  # type: ignore[misc]
    """A session that runs the command, and speaks HTTP with what that connects to."""

    response_class = TimedResponse

    def connect(self) -> None:
        # Opening a session waits for the other side's word without any limit; closing the transport ends that.
        watchdog = threading.Timer(self.timeout, self.ssh_transport.close)
        watchdog.daemon = True
        end = time.monotonic() + self.timeout
        watchdog.start()
        try:
            channel = self.ssh_transport.open_session(timeout=self.timeout)
            channel.settimeout(self.timeout)
            channel.exec_command(_COMMAND)
        except (OSError, EOFError, paramiko.SSHException) as error:
            if time.monotonic() >= end - 0.05:
                raise SessionTooSlow from error
            raise
        finally:
            watchdog.cancel()
        self.sock = _ChannelSocket(channel)


class _ChannelSocket(io.RawIOBase):
    """An SSH channel with the methods of a socket that `http.client` and the timed reading use."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._answered = False
        self._said = b""
        self.settimeout = channel.settimeout
        self.gettimeout = channel.gettimeout

    def sendall(self, data: Any) -> None:
        try:
            self._channel.sendall(data)
        except OSError as error:  # the command may have ended before the request was out
            if self._channel.recv_ready():
                raise BrokenPipeError from error  # after which urllib3 reads what was answered all the same
            self._complain()
            raise

    def recv_into(self, buffer: Any) -> int:
        data = self._channel.recv(len(buffer))
        if not data and not self._answered:
            self._complain()
        self._answered = True
        buffer[: len(data)] = data
        return len(data)

    def makefile(self, mode: str) -> Any:
        return io.BufferedReader(io.FileIO(os.devnull))  # a timed reader takes its place

    def close(self) -> None:
        super().close()
        self._channel.close()

    @property
    def dropped(self) -> bool:
        """Whether the command has ended meanwhile."""
        return bool(self._channel.closed or self._channel.eof_received)

    def _complain(self) -> None:
        """Raise what the command wrote to its standard error, if it has ended without an answer."""
        if not self._channel.status_event.wait(_STATUS):
            return
        # Kept, since what comes after a while is read by the next call: the status may be sent before all words are.
        while len(self._said) < 2000 and (piece := self._channel.recv_stderr(2000)):
            self._said += piece
        words = self._said.decode(errors="replace").strip()
        raise RemoteFailure(words or f"{_COMMAND} ended with status {self._channel.recv_exit_status()}")


def _remote_failure(error: RemoteFailure, address: Address, certificate: bool) -> MistError:
    said = error.said.splitlines()[-1]
    if "permission denied" in error.said.lower():
        return PermissionDenied(
            f"the user of {address} may not use Docker there: {said}",
            reason="socket",
            remedy="Have that user join the group that owns the socket: sudo usermod -aG docker USER",
        )
    if "not found" in error.said:
        return ProviderError(
            f"there is no docker command at {address}: {said}", reason="not_docker", remedy="Install Docker there."
        )
    return Unreachable(f"Docker cannot be reached on {address}: {said}", reason="refused", remedy="Start Docker there.")


def _changed_host_key(error: Any, address: Address, certificate: bool) -> MistError:
    return Unreachable(
        f"the host key of {address} is not the one in ~/.ssh/known_hosts",
        reason="host_key",
        remedy="If the host is new, forget the old one's (`ssh-keygen -R`); otherwise somebody may be in between.",
    )


def _locked_key(error: Any, address: Address, certificate: bool) -> MistError:
    return AuthenticationFailed(
        "the SSH key is protected by a passphrase", reason="passphrase", remedy="Load it into an agent: ssh-add."
    )


def _login_too_slow(error: Any, address: Address, certificate: bool) -> MistError:
    return Unreachable(
        f"the SSH login to {address} does not end in time",
        reason="timeout",
        remedy="See whether an SSH server is there.",
    )


def _hung_up(error: Any, address: Address, certificate: bool) -> MistError:
    return Unreachable(
        f"{address} closed the connection during the SSH login",
        reason="network",
        remedy="The server may be limiting logins, or was shown too many keys: give the right one as key_file.",
    )


def _session_too_slow(error: Any, address: Address, certificate: bool) -> MistError:
    return Unreachable(
        f"{address} takes too long to run a command over SSH",
        reason="timeout",
        remedy="See whether the host is well, or allow more time.",
    )


def _not_let_in(error: Any, address: Address, certificate: bool) -> MistError:
    if "saw EOF" in str(error):
        return _hung_up(error, address, certificate)
    return AuthenticationFailed(
        f"{address} does not let this user in with the keys tried",
        remedy="Give the key as key_file, or load it into an agent; authorized_keys there must hold its public half.",
    )


def _no_connection(error: Any, address: Address, certificate: bool) -> MistError:
    if any(isinstance(each, ConnectionRefusedError) for each in error.errors.values()):
        return Unreachable(f"no SSH server listens on {address}", reason="refused", remedy="Correct host and port.")
    return Unreachable(f"no way to {address}: {next(iter(error.errors.values()), error)}", reason="network")


def _ssh_failed(error: Any, address: Address, certificate: bool) -> MistError:
    text = str(error)
    if "not found in known_hosts" in text:
        return Unreachable(
            f"the host key of {address} is not known",
            reason="host_key",
            remedy="Log in once with ssh and compare the fingerprint it shows; that puts it into ~/.ssh/known_hosts.",
        )
    if "No authentication methods" in text:
        return _not_let_in(error, address, certificate)
    if "banner" in text:
        return Unreachable(f"no SSH server answers at {address}", reason="network", remedy="Correct host and port.")
    return Unreachable(f"SSH to {address} failed: {text}", reason="network")


#: Which exception means what; the first that fits decides.
SSH_KINDS = (
    (LoginTooSlow, _login_too_slow),
    (SessionTooSlow, _session_too_slow),
    (EOFError, _hung_up),
    (RemoteFailure, _remote_failure),
    (paramiko.BadHostKeyException, _changed_host_key),
    (paramiko.PasswordRequiredException, _locked_key),
    (paramiko.AuthenticationException, _not_let_in),
    (NoValidConnectionsError, _no_connection),
    (paramiko.SSHException, _ssh_failed),
)
