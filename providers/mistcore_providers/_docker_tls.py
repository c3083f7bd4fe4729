"""Certificates and keys, given as paths or as PEM text, made into a TLS context. Needs no SDK."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mistcore.errors import InvalidFields, Unreachable


def is_pem(value: str) -> bool:
    """Tell whether a value is PEM text rather than the path of a file with it."""
    return "-----BEGIN " in value


@contextmanager
def as_file(value: str) -> Iterator[str]:
    """Give the path of a file that holds this PEM text: only for the block, and readable by its owner only.

    A value that is a path already is given as it is. OpenSSL and paramiko read private keys from files only.
    """
    if not is_pem(value):
        yield str(Path(value).expanduser())
        return
    with tempfile.TemporaryDirectory(prefix="mistcore-") as folder:  # the folder's mode is 0700
        path = Path(folder) / "pem"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(_unfolded(value))
        yield str(path)


def read_pem(value: str, field: str) -> str:
    """Return the text behind a path-or-text value.

    Raises:
        InvalidFields: naming the field, when the file cannot be read or holds no PEM.

    """
    if is_pem(value):
        return _unfolded(value)
    path = Path(value).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidFields({field: f"{path} is not a PEM file"}) from None
    except OSError as error:
        raise InvalidFields({field: f"cannot read {path}: {error.strerror}"}) from error
    if not is_pem(text):
        raise InvalidFields({field: f"{path} is not a PEM file"})
    return text


def tls_context(*, ca: str, cert: str, key: str, verify: bool) -> ssl.SSLContext:
    """Return a context that trusts `ca` (or what requests would trust) and shows the client certificate, if any.

    A `ca` replaces the well-known authorities: nobody else can vouch for the engine then.

    Raises:
        InvalidFields: a file cannot be read, or certificate and key do not fit.

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the engine's own certificate may be pinned as `ca`
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca:
        _trust(context, read_pem(ca, "ca_cert_file"))
    else:
        _trust_bundle(context)
    if cert:
        _show(context, cert, key)
    return context


def check_key(key: str) -> None:
    """Raise `InvalidFields` for a private key that needs a passphrase: nobody is there to be asked for it."""
    if "ENCRYPTED" in read_pem(key, "key_file"):
        raise InvalidFields(
            {"key_file": "is protected by a passphrase"}, remedy="Take it off: openssl pkey -in key.pem -out plain.pem"
        )


def _trust(context: ssl.SSLContext, text: str) -> None:
    try:
        context.load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidFields({"ca_cert_file": "holds no certificate that can be read"}) from error


def _trust_bundle(context: ssl.SSLContext) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        bundle = os.environ.get(name)
        if bundle:
            break
    else:
        import certifi

        name, bundle = "certifi", certifi.where()
    try:
        if Path(bundle).is_dir():
            context.load_verify_locations(capath=bundle)
        else:
            context.load_verify_locations(cafile=bundle)
    except OSError as error:  # ssl.SSLError is one
        raise Unreachable(
            f"{bundle} holds no certificates that can be read", reason="tls", remedy=f"Correct or unset {name}."
        ) from error


def _show(context: ssl.SSLContext, cert: str, key: str) -> None:
    text = read_pem(cert, "cert_file")
    check_key(key or text)
    if not key and "PRIVATE KEY-----" not in text:
        raise InvalidFields({"key_file": "missing: the private key that belongs to cert_file"})
    try:
        with as_file(text) as cert_path, as_file(key or text) as key_path:
            context.load_cert_chain(cert_path, key_path, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise InvalidFields({"key_file": "does not belong to the certificate in cert_file"}) from error
        raise InvalidFields({"cert_file": "no certificate and key that can be read"}) from error


def _unfolded(text: str) -> str:
    """Undo what environment files and JSON tools do to line ends."""
    return text if "\n" in text else text.replace("\\n", "\n")
