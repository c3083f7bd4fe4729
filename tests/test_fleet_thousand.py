"""A thousand backends on loopback servers, some of which refuse, hang or answer garbage: the rest arrives whole."""

from __future__ import annotations

import gc
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fakes.plain import Plain, PlainCloud
from peers.ports import deaf_port

from mistcore import BackendManager, MachineState, ProviderError, Registry, Unreachable
from mistcore.pool import ProviderPool
from mistcore.stores.base import Record
from mistcore.stores.memory import MemoryStore

BACKENDS = 1000
MACHINES = 10
#: Of every two hundred: ten of each of these, but five that hang, and two that have an odd row.
BAD = ("refuses", "hangs", "garbage")


def kind(number: int) -> str:
    spot = number % 20
    if spot < len(BAD) and number % 40 != 21:  # fewer that hang than there are workers: their time passes but once
        return BAD[spot]
    return "odd" if number % 100 == 50 else "good"


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address that refuses connections, and stays so."""
    with deaf_port() as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def clouds() -> Iterator[list[PlainCloud]]:
    servers = [PlainCloud(MACHINES).start() for _ in range(4)]
    yield servers
    for server in servers:
        server.stop()


@pytest.fixture
def client(clouds: list[PlainCloud], nobody: str) -> Iterator[BackendManager]:
    records = []
    for number in range(BACKENDS):
        account, cloud = f"{kind(number)}-{number}", clouds[number % len(clouds)]
        if kind(number) == "odd":
            cloud.odd.add(account)
        endpoint = nobody if kind(number) == "refuses" else cloud.url
        records.append(Record(f"id-{number}", account, "plain", credentials={"token": account, "endpoint": endpoint}))
    with BackendManager(MemoryStore(records), registry=Registry([Plain])) as manager:
        yield manager


def in_use() -> Counter[str]:
    """How many threads run, and how many files and sockets are open, in this process."""
    kinds = Counter({"threads": threading.active_count()})
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:  # the folder itself, which is closed by now
            continue
        kinds["sockets" if target.startswith("socket:") else "files"] += 1
    return kinds


def left_over(before: Counter[str], clouds: list[PlainCloud]) -> Counter[str]:
    """What is in use beside what was before, and what the servers hold of what hangs; nothing, or after a long time."""
    end = time.monotonic() + 60
    while True:
        # Looked at again each time: a request that was on its way when all was left hangs a moment later.
        theirs = sum(cloud.hanging for cloud in clouds)
        # There may be less than before: what earlier tests left to end by itself ends now.
        left = in_use() - (before + Counter(threads=theirs, sockets=theirs))
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.05)


def settled_but_for_those_that_hang(before: Counter[str], clouds: list[PlainCloud]) -> bool:
    """Whether our side of everything is gone while the servers still hold theirs of what hangs; then theirs, too."""
    assert not left_over(before, clouds)
    for cloud in clouds:
        cloud.release.set()
    assert not left_over(before, clouds)
    return True


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="there is no /proc to count open files in")


@needs_proc
@pytest.mark.timeout(300)
def test_a_thousand_of_which_some_fail_in_every_way(client: BackendManager, clouds: list[PlainCloud]) -> None:
    gc.collect()
    before = in_use()
    walk = client.machines(partial=True, timeout=12, deadline=200, workers=32)
    arrived: dict[str, list[str]] = {}
    states = Counter()
    for machine in walk:
        assert machine.backend is not None
        arrived.setdefault(machine.backend.title, []).append(machine.id)
        states[machine.state] += 1
    titles = {title: kind(number) for number in range(BACKENDS) for title in [f"{kind(number)}-{number}"]}
    # Whole: each of the good ones with every machine, in its order, once.
    assert arrived == {
        title: [f"{title}/{number}" for number in range(MACHINES)]
        for title, how in titles.items()
        if how in ("good", "odd")
    }
    assert states[MachineState.UNKNOWN] == BACKENDS // 100
    # And each of the others with its own failure.
    failures = {backend.title: error for backend, error in walk.failures.items()}
    assert set(failures) == {title for title, how in titles.items() if how in BAD}
    reasons = Counter((titles[title], type(error), error.reason) for title, error in failures.items())
    assert reasons == {
        ("refuses", Unreachable, "refused"): 50,
        ("hangs", Unreachable, "timeout"): 25,
        ("garbage", ProviderError, "garbled"): 50,
    }
    assert len(walk.seconds) == BACKENDS
    del walk
    client.close()
    assert settled_but_for_those_that_hang(before, clouds)


@needs_proc
@pytest.mark.timeout(300)
def test_leaving_a_thousand_early_leaves_nothing_running(client: BackendManager, clouds: list[PlainCloud]) -> None:
    gc.collect()
    before = in_use()
    with client.machines(partial=True, workers=32) as walk:
        for machine in walk:
            assert machine.backend is not None
            if len(walk.seconds) >= 100:
                break
    client.close()
    assert settled_but_for_those_that_hang(before, clouds)
    asked = sum(len(cloud.requests) for cloud in clouds)
    assert asked < BACKENDS


@needs_proc
@pytest.mark.timeout(300)
def test_the_deadline_over_all_ends_those_that_hang_and_those_that_never_had_their_turn(
    client: BackendManager, clouds: list[PlainCloud]
) -> None:
    gc.collect()
    before = in_use()
    hanging = [backend for backend in client.backends() if backend.title.startswith("hangs")]
    walk = client.machines(partial=True, backends=hanging, deadline=6, workers=8)
    assert list(walk) == []
    assert set(walk.failures) == set(hanging)
    assert {error.reason for error in walk.failures.values()} == {"timeout"}
    assert not any(cloud.release.is_set() for cloud in clouds)
    assert sum(len(cloud.requests) for cloud in clouds) == 8
    client.close()
    assert settled_but_for_those_that_hang(before, clouds)


def test_connections_of_few_are_kept_open_and_only_what_is_too_many_is_closed() -> None:
    closed: list[str] = []

    class Counted(Plain):
        id = "counted"

        def close(self) -> None:
            closed.append(self.token)

    pool = ProviderPool(Registry([Counted]), size=4)
    records = [
        Record(str(number), "", "counted", credentials={"token": str(number), "endpoint": "http://127.0.0.1:1"})
        for number in range(6)
    ]
    for record in records[:4]:
        with pool.use(record):
            assert closed == []  # four are no more than may be kept
    with pool.use(records[4]):
        assert closed == ["0"]  # the one that was not used for longest
    with ExitStack() as all_in_use:
        for number in (4, 3, 2, 1, 0, 5):
            all_in_use.enter_context(pool.use(records[number]))
        assert closed == ["0"]
    assert len(closed) == 3  # two of six were too many
    pool.close()
    assert len(closed) == 7
