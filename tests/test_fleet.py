import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fakes.acme import GOOD, Acme

from mistcore import (
    AuthenticationFailed,
    BackendManager,
    BackendsFailed,
    InvalidFields,
    ProviderError,
    Registry,
    Unreachable,
)
from mistcore.asking import Asking, Limits
from mistcore.stores.memory import MemoryStore


def fleet_threads() -> int:
    return sum(thread.name == "mistcore-fleet" for thread in threading.enumerate())


def settle(count: int) -> None:
    end = time.monotonic() + 60
    while fleet_threads() > count and time.monotonic() < end:
        time.sleep(0.02)
    assert fleet_threads() == count


@pytest.fixture
def client():
    Acme.release = threading.Event()
    Acme.waited = 0
    yield BackendManager(MemoryStore(), registry=Registry([Acme]))
    Acme.release.set()
    settle(0)  # one that gets to Acme only now would wait for the next test's


def add(client: BackendManager, *tokens: str) -> list:
    return [
        client.add_backend("acme", f"{token}-{n}", "fra", token=token, check=False) for n, token in enumerate(tokens)
    ]


def test_machines_of_all_are_yielded_side_by_side_as_each_answers(client) -> None:
    """The three that wait for each other all answer; the one that waits for them to be seen holds nobody up."""
    Acme.meeting = threading.Barrier(3, timeout=30)
    last, *_ = add(client, "hangs", "meets", "meets", "meets")
    walk = client.machines()
    machines = [next(walk) for _ in range(9)]
    assert {machine.backend.title for machine in machines} == {"meets-1", "meets-2", "meets-3"}
    Acme.release.set()
    machines += walk
    assert len(machines) == 12
    assert machines[-1].backend == last
    assert walk.failures == {}
    assert walk.seconds[last] >= max(walk.seconds.values())


def test_a_failure_is_never_hidden_and_costs_only_its_own_row(client) -> None:
    good, bug, garbage = add(client, GOOD, "bug-token", "garbage")
    arrived = []
    with pytest.raises(BackendsFailed) as caught:
        for machine in client.machines():
            arrived.append(machine.id)
    assert len(arrived) == 3
    assert [machine.id for machine in caught.value.machines] == arrived
    assert set(caught.value.failures) == {bug, garbage}
    assert all(isinstance(error, ProviderError) for error in caught.value.exceptions)
    walk = client.machines(partial=True)
    assert len(list(walk)) == 3
    assert set(walk.failures) == {bug, garbage}
    assert walk.failures[bug].backend == bug.title
    assert set(walk.seconds) == {good, bug, garbage}


def test_one_that_hangs_is_given_up_and_does_not_hold_up_the_rest(client) -> None:
    hangs, *_ = add(client, "hangs", GOOD, GOOD)
    walk = client.machines(partial=True, timeout=1.5, workers=1)
    assert len(list(walk)) == 6
    assert not Acme.release.is_set()  # it hangs to this moment
    assert isinstance(walk.failures[hangs], Unreachable)
    assert walk.failures[hangs].reason == "timeout"


def test_a_deadline_over_the_whole(client) -> None:
    backends = add(client, *["hangs"] * 5, GOOD)
    walk = client.machines(partial=True, deadline=2, workers=6)
    assert len(list(walk)) == 3
    assert not Acme.release.is_set()
    assert len(walk.failures) == 5
    walk = client.machines(partial=True, deadline=0.3, workers=1, backends=backends[:4])
    assert list(walk) == []
    assert all(error.reason == "timeout" for error in walk.failures.values())


@pytest.mark.parametrize("way", ["break", "with", "error"])
def test_leaving_early_cancels_what_is_under_way(client, way: str) -> None:
    """Those waiting are never asked, and those being asked find their time over."""
    settle(0)
    add(client, GOOD, *["waits"] * 20)
    if way == "break":
        for _ in client.machines(workers=2):
            break
    elif way == "with":
        with client.machines(workers=2) as walk:
            next(walk)
        assert list(walk) == []
    else:
        with pytest.raises(KeyboardInterrupt):
            for _ in client.machines(workers=2):
                raise KeyboardInterrupt
    settle(0)
    assert Acme.waited <= 2


@pytest.mark.parametrize("tokens", [["hangs"], ["waits"], [GOOD, "hangs"], ["waits"] * 20])
def test_another_thread_may_end_the_iteration(client, tokens: list[str]) -> None:
    """Even where what is asked hangs and never answers; an asyncio program ends its walks so."""
    add(client, *tokens)
    walk = client.machines(workers=2)
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.extend(machine.id for machine in walk))
    reader.start()
    while not walk.waiting_for or len(found) < 3 * tokens.count(GOOD):
        time.sleep(0.01)
    walk.close()
    reader.join(60)
    assert not reader.is_alive()
    assert list(walk) == []


def test_nobody_waits_for_an_answer_that_cannot_come(client) -> None:
    """Cancelled by another thread just before it begins, when nothing is under way that could answer."""
    asking = Asking(add(client, "waits"), lambda backend, seconds: backend.machines(), Limits())
    asking.cancel()
    asking.start()
    answers: list[object] = []
    waiting = threading.Thread(target=lambda: answers.append(asking.next_answer()), daemon=True)
    waiting.start()
    waiting.join(60)
    assert answers == [None]
    assert Acme.waited == 0


def test_checks_say_for_each_backend_how_it_ended(client) -> None:
    good, bad = add(client, GOOD, "wrong")
    results = {result.backend: result for result in client.check()}
    assert results[good].account.name == "me@acme.example"
    assert isinstance(results[bad].error, AuthenticationFailed)
    assert results[bad].account is None
    assert results[good].seconds >= 0


def test_which_are_asked(client) -> None:
    first, second = add(client, GOOD, GOOD)
    second.disable()
    assert [r.backend for r in client.check()] == [first]
    assert [r.backend for r in client.check(backends=[second])] == [second]
    assert [r.backend for r in client.check(backends=[second.title, second, second.id])] == [second]
    assert [r.backend for r in client.check(search=first.title.upper())] == [first]
    assert list(client.check(provider="ec2")) == []
    assert [m.id for m in client.machines(search="WEB")] == ["m-1001"]
    assert [m.id for m in client.machines(name="db")] == ["m-1002", "m-2001"]
    assert [m.id for m in client.machines(id="m-2001")] == ["m-2001"]


def test_somebody_elses_pool_does_the_asking(client) -> None:
    bug = add(client, GOOD, "bug-token", GOOD)[1]
    with ThreadPoolExecutor(2) as pool:
        walk = client.machines(partial=True, executor=pool)
        assert len(list(walk)) == 6
    assert set(walk.failures) == {bug}


def test_limits_that_make_no_sense_are_named_at_once(client) -> None:
    with pytest.raises(InvalidFields) as caught:
        client.machines(timeout=0, deadline=-1, workers=0)
    assert set(caught.value.problems) == {"timeout", "deadline", "workers"}
