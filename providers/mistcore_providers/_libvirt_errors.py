"""What libvirt's errors mean. The codes are those of libvirt.org/html/libvirt-virterror.html."""

from __future__ import annotations

from typing import Any

from mistcore import (
    AuthenticationFailed,
    CheckFailed,
    MachineNotFound,
    MissingDependency,
    MistError,
    NotSupported,
    PermissionDenied,
    ProviderError,
    Rejected,
    Unreachable,
)

__all__ = ["error_of", "is_broken", "is_denied", "missing_binding"]

_NO_SUPPORT, _INVALID_CONN, _OPERATION_FAILED = 3, 6, 9
_OPERATION_DENIED, _ACCESS_DENIED = 29, 88
_AUTH_FAILED, _AUTH_CANCELLED, _AUTH_UNAVAILABLE = 45, 79, 94
_NO_DOMAIN, _OPERATION_INVALID, _NO_CLIENT_DRIVER = 42, 55, 5
_RPC_DOMAINS = (7, 13, 50, 66)
_SSH_LIBRARIES = ("libssh", "libssh2")
#: Codes with which libvirt refuses what was asked, as opposed to failing at it, and our word for some of them.
_REFUSALS = {8, 9, 16, 19, 20, 21, 27, 28, 35, 37, 43, 47, 49, 50, 55, 67, 68, 74, 84, 86, 87, 90, 91, 92, 97, 99}
_REASONS = {
    28: "exists",
    _OPERATION_INVALID: "state",
    68: "busy",
    86: "agent",
    87: "busy",
    90: "exists",
    97: "agent",
}

_CHANGED_KEY = (
    "The SSH host key is not the one that is known. If the host was set up anew, replace its key in known_hosts."
)
_UNKNOWN_KEY = (
    "The SSH host key is not known. Compare it with the host's own, then add it to ~/.ssh/known_hosts, or give it as "
    "known_hosts."
)
_REFUSED_KEY = (
    "See that machine_user exists there and that its ~/.ssh/authorized_keys holds the public half of machine_key (a "
    "key with a passphrase works only through an SSH agent)."
)
_TLS = (
    "See that ca_cert is the authority that signed the server's certificate, that this names the host as given, and "
    "that cert_file and key_file are ones that the server accepts."
)
_NO_DAEMON = (
    "Start the libvirt daemon there (libvirtd, or virtqemud and its like), or see that the socket is the right one."
)
_NOTHING = "Nothing listens there: see that host and port are right and that the service runs."

_HANDSHAKE = ("tls handshake", "verify peer's certificate")
#: What the text of a failed connection says, in the order in which it is looked for: the first that fits counts.
_TEXTS: tuple[tuple[tuple[str, ...], type[CheckFailed], str, str], ...] = (
    (
        ("remote host identification has changed", "differs from stored identity"),
        Unreachable,
        "host_key",
        _CHANGED_KEY,
    ),
    (("host key", "known hosts", "known_hosts"), Unreachable, "host_key", _UNKNOWN_KEY),
    (
        ("permission denied (", "failed to authenticate", "username/publickey combination", "private key", "load key "),
        AuthenticationFailed,
        "ssh_key",
        _REFUSED_KEY,
    ),
    (
        ("could not resolve hostname", "unable to resolve address", "name or service not known", "name resolution"),
        Unreachable,
        "dns",
        "See that the host's name is right.",
    ),
    (
        ("certificate", "tls handshake", "gnutls", "tls session", "tls confirmation", "x509"),
        Unreachable,
        "tls",
        _TLS,
    ),
    (("failed to connect socket", "no such file or directory"), Unreachable, "refused", _NO_DAEMON),
    (("timed out", "timeout"), Unreachable, "timeout", "See that the host is up and that no firewall drops this."),
    (("connection refused",), Unreachable, "refused", _NOTHING),
)


def _text(error: Any) -> str:
    return " ".join(str(error.get_error_message() or error).split())


def _is_libvirt(error: Exception) -> bool:
    return type(error).__name__ == "libvirtError" and hasattr(error, "get_error_code")


def _is_socket_permission(text: str) -> bool:
    low = text.lower()
    return "permission denied" in low and "socket" in low


def _is_state(text: str) -> bool:
    """Tell whether this is about a domain's state; some drivers call that an internal error."""
    return text.endswith((" not running", " is not running", " already running"))


def is_denied(error: Any) -> bool:
    """Tell whether the daemon is there and does not let this user manage it: by its socket's mode, or by polkit."""
    code = error.get_error_code()
    if _is_socket_permission(_text(error)) or code in (_OPERATION_DENIED, _ACCESS_DENIED):
        return True
    return code in (_AUTH_FAILED, _AUTH_CANCELLED, _AUTH_UNAVAILABLE) and "polkit" in _text(error).lower()


def is_broken(error: Exception, connection: Any) -> bool:
    """Tell whether the connection is not usable any more after this error."""
    if not _is_libvirt(error):
        return False
    if error.get_error_code() == _INVALID_CONN:  # type: ignore[attr-defined]
        return True
    try:
        return not connection.isAlive()
    except Exception as other:  # noqa: BLE001 - whatever it is, this connection answers nothing
        return _is_libvirt(other)


def missing_binding(error: ImportError) -> MissingDependency:
    """Return the error that says which distribution packages bring libvirt's Python binding."""
    return MissingDependency(
        f"the provider needs libvirt's Python binding, which is not installed ({error})",
        remedy=(
            "It is built against the distribution's libvirt: apt install libvirt-dev pkg-config gcc python3-dev "
            "(Fedora: libvirt-devel pkgconf gcc python3-devel), then pip install 'mistcore[libvirt]'; or install the "
            "distribution's own python3-libvirt and use its Python."
        ),
        reason="libvirt",
    )


def error_of(error: Exception, transport: str) -> MistError | None:
    """Return our error for one of libvirt's, or None where it is nobody's here."""
    if isinstance(error, ImportError) and "libvirt" in str(getattr(error, "name", "") or error):
        return missing_binding(error)
    if not _is_libvirt(error):
        return None
    code: int = error.get_error_code()  # type: ignore[attr-defined]
    text = _text(error)
    if code == _NO_DOMAIN:
        return MachineNotFound(f"there is no such machine: {text}")
    if is_denied(error):
        return _denied(code, text)
    # For libvirt, a handshake of TLS that fails is a failed authentication as well.
    about_tls = any(words in text.lower() for words in _HANDSHAKE)
    if code in (_AUTH_FAILED, _AUTH_CANCELLED, _AUTH_UNAVAILABLE) and transport not in _SSH_LIBRARIES and not about_tls:
        return AuthenticationFailed(
            f"libvirt does not accept the user name and password: {text}",
            remedy="Give auth_user and auth_password of a SASL user of the daemon (saslpasswd2), not of a system user.",
        )
    if code == _NO_SUPPORT:
        return NotSupported(f"libvirt cannot do that there: {text}")
    if code == _NO_CLIENT_DRIVER:
        return Rejected(f"libvirt has no driver for this URI: {text}", reason="uri", remedy="See libvirt.org/uri.html.")
    if code in _REFUSALS or _is_state(text):
        return _refused(code, text)
    for words, cls, reason, remedy in _TEXTS:
        if any(word in text.lower() for word in words):
            return cls(f"cannot connect to libvirt: {text}", reason=reason, remedy=remedy)
    if error.get_error_domain() in _RPC_DOMAINS and code in (1, 38, 39):  # type: ignore[attr-defined]
        return Unreachable(f"the connection to libvirt failed: {text}", reason="network")
    return ProviderError(f"libvirt failed: {text}", reason=f"libvirt_{code}")


def _denied(code: int, text: str) -> PermissionDenied:
    if code in (_OPERATION_DENIED, _ACCESS_DENIED):
        return PermissionDenied(
            f"libvirt does not allow that: {text}",
            reason="read_only",
            remedy="The connection may only read. Use a user who may manage libvirt (in the group libvirt, say).",
        )
    return PermissionDenied(
        f"the libvirt daemon does not let this user in: {text}",
        reason="socket",
        remedy="Add the user to the group libvirt on that host (and log in again), or use another user.",
    )


def _refused(code: int, text: str) -> Rejected:
    reason = _REASONS.get(code, "")
    remedy = ""
    if code in (_OPERATION_FAILED, _OPERATION_INVALID) and "already exists" in text:
        reason, remedy = "exists", "Choose another name."
    elif code == _OPERATION_INVALID or _is_state(text):
        reason, remedy = "state", "Look at the machine's state."
    return Rejected(f"libvirt refused: {text}", reason=reason, remedy=remedy)
