"""What the parts of `TortureSuite` share: how a service is made to misbehave, and how an operation has to end then."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mistcore.deadline import deadline
from mistcore.errors import AuthenticationFailed, MistError, PermissionDenied, ProviderError, Rejected, Unreachable
from mistcore.provider import Provider
from mistcore.testing.certificates import trusted_pem
from mistcore.testing.judge import leaks, machine_problems, secrets_of
from mistcore.testing.server import FakeService, Response
from mistcore.testing.suite import ProviderSuite

__all__ = ["REFUSALS", "FaultSuite"]

REFUSALS = (AuthenticationFailed, PermissionDenied)


#: Whatever does TLS for a provider without a field `ca_cert` reads one of these.
_TRUSTED = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "AWS_CA_BUNDLE")


def _wait_for_threads() -> None:
    """Let those that `in_parallel` left behind end, for some seconds at the most.

    To start and to stop tracemalloc changes Python's allocators under whoever unpacks something just then, without the
    interpreter's lock, and that crashes (https://github.com/python/cpython/issues/128679).
    """
    end = time.monotonic() + 10
    for thread in threading.enumerate():
        if thread.name == "mistcore-parallel":
            thread.join(max(0.0, end - time.monotonic()))


class FaultSuite(ProviderSuite):
    """`ProviderSuite`, and the means to test what a service does on bad days; see `TortureSuite`."""

    most: float = 50.0
    most_memory: int = 100 * 10**6

    @pytest.fixture
    def ca_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        """Return the file of the authority that accounts are to trust, which the environment names as well."""
        path = tmp_path / "authority.pem"
        path.write_bytes(trusted_pem())
        for name in _TRUSTED:
            monkeypatch.setenv(name, str(path))
        return str(path)

    def account_at(self, service: FakeService, url: str, *, ca_cert: str = "") -> Provider:
        """Return the good account as it would be if the service were at this address, trusting this certificate."""
        was, service.url = service.url, url
        try:
            account = self.good(service)
        finally:
            service.url = was
        values = {field.name: getattr(account, field.name) for field in type(account).fields()}
        trust = {"ca_cert": ca_cert, "verify": True} if ca_cert else {}
        trust = {name: value for name, value in trust.items() if name in values}
        return type(account)(**{**values, **trust}) if trust else account

    def answer_all(self, service: FakeService, answer: Response) -> None:
        """Let the service answer everything with this, until `clear_faults`."""
        service.fault(answer, times=200)

    def fails(self, call: Callable[[], Any], account: Provider, *kinds: type[MistError]) -> MistError:
        """Return the error that a call ends with soon, judged as `refused` does."""
        began = time.monotonic()
        with deadline(self.most):
            error = self.refused(call, account, *kinds)
        assert time.monotonic() - began < self.most, "it went on trying until the deadline"
        return error

    @contextmanager
    def little_memory(self) -> Iterator[None]:
        """Assert that no more than `most_memory` is taken at any time within the block."""
        tracing = tracemalloc.is_tracing()
        if not tracing:
            _wait_for_threads()
            tracemalloc.start()
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        try:
            yield
            taken = tracemalloc.get_traced_memory()[1] - before
        finally:
            if not tracing:
                _wait_for_threads()
                tracemalloc.stop()
        assert taken <= self.most_memory, f"it took {taken // 10**6} MB of memory over one answer"

    def lists_or_fails(self, account: Provider) -> list[Any] | None:
        """Return the machines, well formed, or None when our own error was raised: nothing else may happen."""
        machines: list[Any] = []
        try:
            with deadline(self.most):
                machines = list(account.list_machines())
        except Exception:  # noqa: BLE001 - called once more, to be judged
            kinds = (ProviderError, Unreachable, Rejected, *REFUSALS)
            self.fails(lambda: list(account.list_machines()), account, *kinds)
            return None
        assert [problem for machine in machines for problem in machine_problems(machine)] == []
        return machines

    def learned_nothing(self, elsewhere: FakeService, account: Provider) -> None:
        """Assert that a server to which an account was led has seen no credential."""
        secrets = secrets_of(account)
        for request in elsewhere.requests:
            headers = {name.lower(): value for name, value in request.headers.items()}
            assert not {"authorization", "cookie"} & set(headers), "credentials went to another host"
            said = f"{request.path} {request.query} {headers} {request.body.decode('latin-1')}"
            assert leaks(secrets, said) == [], "a secret went to another host"
