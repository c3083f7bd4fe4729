"""Certificates made on the fly, good and bad, and a server that shows one and keeps what it hears."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime
from functools import cache
from typing import Self

import attrs
import trustme

__all__ = ["BAD", "Impostor", "context_with", "trusted_pem"]

_HOST = "localhost"
_LONG_AGO = datetime(2016, 1, 1, tzinfo=UTC)
#: What can be wrong with a certificate.
BAD = ("of another name", "expired", "self-signed", "of an unknown authority")


@attrs.frozen
class _Authorities:
    """One that the account is told to trust, and one that nobody knows."""

    trusted: trustme.CA = attrs.field(factory=trustme.CA)
    unknown: trustme.CA = attrs.field(factory=trustme.CA)


@cache
def _authorities() -> _Authorities:
    return _Authorities()


def trusted_pem() -> bytes:
    """Return the certificate of the authority that an account is to trust."""
    return _authorities().trusted.cert_pem.bytes()


@cache
def context_with(certificate: str = "") -> ssl.SSLContext:
    """Return what a server called localhost needs to show a certificate: the good one, or one of `BAD`."""
    trusted, unknown = _authorities().trusted, _authorities().unknown
    if certificate == "of another name":
        shown = trusted.issue_cert("elsewhere.example")
    elif certificate == "expired":
        shown = trusted.issue_cert(_HOST, not_after=_LONG_AGO)
    elif certificate == "of an unknown authority":
        shown = unknown.issue_cert(_HOST)
    else:
        shown = trusted.issue_cert(_HOST)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate == "self-signed":
        with unknown.private_key_pem.tempfile() as key, unknown.cert_pem.tempfile() as itself:
            context.load_cert_chain(itself, key)
    else:
        shown.configure_cert(context)
    return context


class Impostor:
    """A TLS server that answers nothing. `heard` is what it was told, in plain text or after a handshake."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://{_HOST}:{self._socket.getsockname()[1]}"
        self.heard: list[bytes] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._listen, args=(connection,), daemon=True).start()

    def _listen(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        try:
            with connection:
                if connection.recv(1, socket.MSG_PEEK) != b"\x16":  # a TLS handshake begins with this
                    self.heard.append(connection.recv(65536))
                    return
                with self._context.wrap_socket(connection, server_side=True) as safe:
                    self.heard.append(safe.recv(65536))
        except OSError:
            pass  # who will not talk to it is right
