"""Certificates made on the fly, good and bad."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from functools import cache

import attrs
import trustme

__all__ = ["BAD", "context_with", "trusted_pem"]

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
