"""Deadlines: how long a wait may last, and that it ends when the deadline passes or is cancelled."""

from __future__ import annotations

import threading

import pytest
from fakes.patience import HANGS

from mistcore import Unreachable
from mistcore.deadline import Deadline, current_deadline, deadline, remaining, sleep


def test_the_nearer_of_two_deadlines_is_in_force() -> None:
    assert current_deadline() is None
    assert remaining(30) == 30
    with deadline(1000) as outer, deadline(6000) as inner:
        assert inner is outer
        assert 900 < remaining(3000) <= 1000
        assert remaining(5) == 5
        with deadline(100):
            assert remaining(3000) <= 100
        assert remaining(3000) > 900
    assert remaining(30) == 30


def test_a_deadline_that_has_passed() -> None:
    with deadline(0), pytest.raises(Unreachable) as caught:
        remaining(30)
    assert caught.value.reason == "timeout"


def test_sleep_is_as_long_as_asked() -> None:
    before = Deadline(0.2)
    with deadline(60):
        sleep(0.2)
    assert before.remaining() <= 0  # it has outlasted what began before it and is as long
    sleep(0)
    sleep(-1)


def test_sleep_ends_with_the_deadline() -> None:
    with deadline(0.2), pytest.raises(Unreachable):
        sleep(HANGS)


def test_sleep_ends_soon_after_the_deadline_was_cancelled() -> None:
    whole = Deadline(HANGS)
    threading.Timer(0.2, whole.cancel).start()
    with deadline(whole), pytest.raises(Unreachable):
        sleep(HANGS)
