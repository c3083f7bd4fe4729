"""The bare_metal provider against a real OpenSSH server."""

from __future__ import annotations

from peers.sshd import Sshd

from mistcore_providers.bare_metal import BareMetal


def server(sshd: Sshd, **fields: object) -> BareMetal:
    """An account on the server that would be let in; fields that are None are left out."""
    usual = {
        "machine_ip": sshd.host,
        "machine_port": sshd.port,
        "machine_user": sshd.user,
        "machine_key": str(sshd.key),
        "host_key": sshd.fingerprint(),
    }
    return BareMetal(**{name: value for name, value in (usual | fields).items() if value is not None})


def test_the_right_key_is_let_in(sshd: Sshd) -> None:
    account = server(sshd).check()
    assert account.id == f"{sshd.user}@127.0.0.1"
