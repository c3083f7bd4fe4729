"""A good provider whose protocol is lines of text, and providers with one fault each, for the suite to find."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from typing import Any

from mistcore import Account, AuthenticationFailed, Machine, Provider, ProviderError, Unreachable, credential, secret
from mistcore.testing.wire import Line

PASSWORD = "good-password-4711"
_GREETING = "LINES 1"


def proof_of(password: str, nonce: str) -> str:
    return hashlib.sha256(f"{nonce} {password}".encode()).hexdigest()


def service(line: Line) -> None:
    """What a server of the protocol says: it lists its machines to whoever knows the password."""
    line.send(f"{_GREETING} {line.number}\n".encode())
    known = proof_of(PASSWORD, str(line.number)).encode()
    line.send(b"web-1 running\ndb stopped\nbye\n" if known in line.read(b"\n") else b"no\n")


class Lines(Provider):
    """Machines of a service that speaks in lines."""

    title = "Lines"
    password: str = secret("Password", help="Whoever runs the service knows it.")
    host: str = credential("Host", default="127.0.0.1", address=True)
    port: int = credential("Port", default=4711)

    def check(self) -> Account:
        list(self.list_machines())
        return Account("42")

    def list_machines(self) -> Iterator[Machine]:
        for row in self.ask():
            name, state = row.split()
            yield Machine(name, name, state)

    def ask(self) -> list[str]:
        with socket.create_connection((self.host, self.port), self.timeout) as connection:
            self.first_words(connection)
            greeting = self.line(connection)
            if not greeting.startswith(_GREETING):
                raise self.odd(greeting)
            connection.sendall(f"{proof_of(self.password, greeting.rpartition(' ')[2])}\n".encode())
            rows = [self.line(connection)]
            while rows[-1] not in ("bye", "no"):
                rows.append(self.line(connection))
        if rows.pop() == "no":
            raise AuthenticationFailed("that is not the password")
        return rows

    def line(self, connection: socket.socket) -> str:
        """Read a line, byte by byte, for what comes after it is not its business."""
        read = b""
        while not read.endswith(b"\n"):
            connection.settimeout(self.patience())
            part = connection.recv(1)
            if not part or len(read) > 80:
                raise self.odd("")
            read += part
        return read.decode().strip()

    def first_words(self, connection: socket.socket) -> None:
        """Say nothing before the service has."""

    def odd(self, said: str) -> Exception:
        return ProviderError("what listens there does not speak in lines")

    def patience(self) -> float | None:
        return self.timeout

    def translate_error(self, error: Exception) -> Any:
        if isinstance(error, OSError):
            reason = {TimeoutError: "timeout", ConnectionRefusedError: "refused"}.get(type(error), "network")
            return Unreachable("the service does not answer", reason=reason)
        return ProviderError("the answer cannot be read") if isinstance(error, ValueError) else None


class TellsWhoeverListens(Lines):
    """It says the password before it knows to whom."""

    def first_words(self, connection: socket.socket) -> None:
        connection.sendall(self.password.encode())


class BlamesThePassword(Lines):
    """Whatever it does not understand is a refusal."""

    def odd(self, said: str) -> Exception:
        return AuthenticationFailed("that is not the password")


class WaitsForTheRest(Lines):
    """It has no timeout once the connection stands."""

    def patience(self) -> None:
        return None


class TakesAllThatComes(Lines):
    """It has room for whatever it may be sent."""

    def first_words(self, connection: socket.socket) -> None:
        connection.recv(200 << 20, socket.MSG_PEEK)


class HidesThatNobodyIsThere(Lines):
    """Every failure is the same to it."""

    def translate_error(self, error: Exception) -> Any:
        return Unreachable("the service does not answer", reason="network")
