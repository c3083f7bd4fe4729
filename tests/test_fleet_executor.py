"""The asking handed to somebody else's pool: threads, processes, and a real Dask cluster."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fakes.acme import GOOD, Acme
from fakes.digitalocean import FakeDigitalOcean, problem
from peers.dask_cluster import TOKEN, VARIABLE, DaskCluster
from peers.waiting import until

from mistcore import (
    AuthenticationFailed,
    Backend,
    BackendManager,
    BackendNotFound,
    InvalidFields,
    NotSupported,
    ProviderError,
    RateLimited,
    Registry,
    Unreachable,
)
from mistcore.testing.server import Request, Response

STORED = "dop_v1_" + "3c" * 32
LIMITED = "dop_v1_" + "9d" * 32
WRONG = "dop_v1_" + "4b" * 32


class Meeting(FakeDigitalOcean):
    """Once told to, answers a listing only when one of another account is under way, too."""

    meeting: threading.Barrier | None = None
    held: threading.Event | None = None

    def authorize(self, request: Request) -> Response | None:
        if "gpus" not in request.query.values():
            if self.meeting is not None:
                self.meeting.wait(60)
            if self.held is not None:
                self.held.wait(60)
        if LIMITED in str(request.headers.get("Authorization")):
            refusal = problem(429)
            refusal.headers["retry-after"] = "3600"
            return refusal
        return super().authorize(request)


@pytest.fixture
def service() -> Iterator[Meeting]:
    with Meeting() as fake:
        fake.tokens = {TOKEN: None, STORED: None, LIMITED: None}
        for number in range(3):
            fake.add_droplet(f"web-{number}")
        yield fake


@pytest.fixture
def client(service: Meeting, tmp_path: Path) -> Iterator[BackendManager]:
    with BackendManager(tmp_path / "backends.json", last_known=True) as manager:
        for title, token, endpoint in (
            ("by reference", f"env:{VARIABLE}", service.url),
            ("stored", STORED, service.url),
            ("wrong", WRONG, service.url),
            ("limited", LIMITED, service.url),
            ("no such variable", "env:MISTCORE_TEST_NO_SUCH_VARIABLE", service.url),
            ("refuses", STORED, "http://127.0.0.1:1"),
        ):
            manager.add_backend("digitalocean", title, token=token, endpoint=endpoint, check=False)
        yield manager


@pytest.fixture
def dask(dask_cluster: DaskCluster) -> Iterator[Any]:
    import distributed

    with distributed.Client(dask_cluster.address, set_as_default=False) as client:
        yield client


def of(client: BackendManager, *titles: str) -> list[Backend]:
    return [client.backend(title) for title in titles]


def expect_all(client: BackendManager, pool: Executor) -> None:
    """Every answer and every kind of error comes back whole, to the caller's own backends."""
    walk = client.machines(partial=True, executor=pool, deadline=90)
    found = list(walk)
    names = sorted((machine.backend.title, machine.name) for machine in found if machine.backend)
    assert names == [(title, f"web-{number}") for title in ("by reference", "stored") for number in range(3)]
    assert all(machine.backend is not None and machine.backend._manager is client for machine in found)
    direct = client.backend("stored").machines()
    assert [m.to_dict() for m in found if m.backend == client.backend("stored")] == [m.to_dict() for m in direct]
    errors = {backend.title: error for backend, error in walk.failures.items()}
    assert {title: type(error) for title, error in errors.items()} == {
        "wrong": AuthenticationFailed,
        "limited": RateLimited,
        "no such variable": InvalidFields,
        "refuses": Unreachable,
    }
    assert all((error.backend, error.provider) == (title, "digitalocean") for title, error in errors.items())
    assert errors["limited"].retry_after == 3600
    assert set(errors["no such variable"].problems) == {"token"}
    assert errors["refuses"].reason == "refused"
    assert errors["wrong"].remedy == "Make a new token: Control panel → API → Tokens."
    assert len(walk.seconds) == 6


@pytest.mark.timeout(300)
def test_a_dask_cluster_asks_and_resolves_credentials_itself(client, dask, service, dask_cluster) -> None:
    with pytest.raises(InvalidFields):  # this process could not ask it
        client.backend("by reference").machines()
    expect_all(client, dask.get_executor())
    service.meeting = threading.Barrier(2)  # each worker has one thread: only two processes can meet here
    walk = client.machines(backends=of(client, "by reference", "stored"), executor=dask.get_executor(), deadline=90)
    assert len(list(walk)) == 6
    service.meeting = None
    results = {
        result.backend.title: result
        for result in client.check(backends=of(client, "stored", "wrong"), executor=dask.get_executor(), deadline=90)
    }
    assert results["stored"].account is not None
    assert isinstance(results["wrong"].error, AuthenticationFailed)
    listing = client.backend("by reference").last_known()
    assert listing is not None
    assert [machine.name for machine in listing.machines] == ["web-0", "web-1", "web-2"]


def everything_about_tasks(dask_scheduler: Any = None) -> dict[str, Any]:
    """Runs in the scheduler: what it holds of every task, as text and as it would be pickled."""
    import pickle

    tasks = list(dask_scheduler.tasks.values())
    held = {
        str(task.key): repr([getattr(task, name, None) for name in ("run_spec", "annotations", "metadata", "prefix")])
        + repr(pickle.dumps(task.run_spec))
        for task in tasks
    }
    return {"tasks": held, "events": repr(dask_scheduler.transition_log), "port": dask_scheduler.http_server.port}


everything_about_tasks.__module__ = "__main__"  # sent whole: the scheduler cannot import this file


@pytest.mark.timeout(300)
def test_no_secret_is_in_a_task_a_log_or_the_dashboard(client, dask, service, dask_cluster) -> None:
    service.held = threading.Event()
    walk = client.machines(partial=True, executor=dask.get_executor(), deadline=90)
    rest: list[Any] = []
    reader = threading.Thread(target=lambda: rest.extend(walk))
    reader.start()
    try:
        until(lambda: any("gpus" not in r.query.values() for r in service.requests), 60)
        held = dask.run_on_scheduler(everything_about_tasks)
        pages = []
        for page in (
            "info/main/workers.html",
            "info/main/exceptions.html",
            "info/main/logs.html",
            *(f"info/task/{key}.html" for key in held["tasks"]),
        ):
            with urllib.request.urlopen(f"http://127.0.0.1:{held['port']}/{page}", timeout=60) as answer:
                pages.append(answer.read().decode())
    finally:
        service.held.set()
        reader.join(120)
    assert len(rest) == 6
    assert sum(key.startswith("ask_backend-") for key in held["tasks"]) >= 4
    assert any("ask_backend" in page for page in pages)
    logs = repr(dask.get_scheduler_logs()) + repr(dask.get_worker_logs()) + dask_cluster.said()
    text = "".join([json.dumps(held), *pages, logs])
    assert client.backend("stored").id in text  # what was searched is what is known of the tasks
    for secret in (TOKEN, STORED, WRONG, LIMITED):
        assert secret not in text


@pytest.mark.timeout(300)
def test_what_cannot_be_found_or_had_elsewhere_says_so(client, dask, tmp_path) -> None:
    gone = client.backend("stored")
    walk = client.machines(partial=True, backends=[gone], executor=dask.get_executor(), deadline=60)
    gone.delete()  # after it was chosen
    assert list(walk) == []
    assert isinstance(walk.failures[gone], BackendNotFound)
    assert "as a process of the pool on " in walk.failures[gone].message
    own = BackendManager(tmp_path / "own.json", registry=Registry([Acme]))
    backend = own.add_backend("acme", "a", "fra", token=GOOD)
    walk = own.machines(partial=True, executor=dask.get_executor(), deadline=60)
    assert list(walk) == []
    assert isinstance(walk.failures[backend], NotSupported)
    assert "a registry of its own" in walk.failures[backend].message


@pytest.mark.timeout(300)
def test_processes_of_the_standard_library_ask_too(client, monkeypatch, service) -> None:
    monkeypatch.setenv(VARIABLE, TOKEN)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        expect_all(client, pool)
        own = BackendManager(client.store.location, registry=Registry())
        walk = own.machines(partial=True, backends=["stored"], executor=pool, deadline=60)
        assert list(walk) == []
    assert isinstance(walk.failures[client.backend("stored")], NotSupported)


def test_a_pool_that_drops_what_it_was_handed_or_fails_costs_only_that_backend(client, service) -> None:
    class Odd(ThreadPoolExecutor):
        """Cancels the first, breaks at the second, and does the rest."""

        def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
            self.count = getattr(self, "count", 0) + 1
            if self.count > 2:
                return super().submit(*args, **kwargs)
            future: Future[Any] = Future()
            if self.count == 1:
                future.cancel()
                future.set_running_or_notify_cancel()
            else:
                future.set_exception(OSError("a worker died"))
            return future

    backends = [client.add_backend("digitalocean", t, token=STORED, endpoint=service.url, check=False) for t in "abc"]
    with Odd(1) as pool:
        walk = client.machines(partial=True, backends=backends, executor=pool)
        assert len(list(walk)) == 3
    assert walk.failures[backends[0]].reason == "cancelled"
    assert isinstance(walk.failures[backends[1]], ProviderError)
    assert "a worker died" in walk.failures[backends[1]].message


def test_what_is_handed_over_names_no_secret(client) -> None:
    from mistcore.errand import Parcel

    backend = client.backend("stored")
    pickled = pickle.dumps(Parcel(backend))
    assert STORED.encode() not in pickled
    far = pickle.loads(pickled)
    assert pickle.loads(pickle.dumps(far)).open() == backend
    assert STORED not in repr(far) + repr(Parcel(backend))


def test_an_error_comes_back_whole_whatever_is_behind_it() -> None:
    """Dask has the whole chain pickled, and many an error of other libraries cannot be read back."""
    import tblib.pickling_support

    from mistcore.errand import Outcome

    class Unreadable(Exception):
        def __init__(self, *, needed: str) -> None:
            super().__init__(needed)

    tblib.pickling_support.install()
    with pytest.raises(RateLimited) as caught:
        try:
            raise Unreadable(needed="x")
        except Unreadable as error:
            raise RateLimited("too fast", retry_after=7.0, provider="acme") from error
    with pytest.raises((TypeError, AttributeError)):  # so does the one that this is about
        pickle.loads(pickle.dumps(caught.value))
    came = pickle.loads(pickle.dumps(Outcome(None, caught.value, 1.5, True)))
    assert (type(came.error), str(came.error), came.error.retry_after) == (
        RateLimited,
        "acme: too fast. Try again in 7 seconds.",
        7.0,
    )
    assert (came.value, came.seconds, came.afar) == (None, 1.5, True)
