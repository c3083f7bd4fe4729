"""Deadlines: how long a wait may last, and that it ends when the deadline passes or is cancelled."""

from __future__ import annotations

import threading
import time

import pytest

from mistcore import Unreachable
from mistcore.deadline import Deadline, current_deadline, deadline, remaining, sleep


def test_the_nearer_of_two_deadlines_is_in_force() -> None:
    assert current_deadline() is None
    assert remaining(30) == 30
    with deadline(10) as outer, deadline(60) as inner:
        assert inner is outer
        assert 9 < remaining(30) <= 10
        assert remaining(5) == 5
        with deadline(1):
            assert remaining(30) <= 1
        assert remaining(30) > 9
    assert remaining(30) == 30


def test_a_deadline_that_has_passed() -> None:
    with deadline(0), pytest.raises(Unreachable) as caught:
        remaining(30)
    assert caught.value.reason == "timeout"


def test_sleep_is_as_long_as_asked() -> None:
    started = time.monotonic()
    sleep(0.2)
    sleep(0)
    sleep(-1)
    assert 0.2 <= time.monotonic() - started < 0.5


def test_sleep_ends_with_the_deadline() -> None:
    started = time.monotonic()
    with deadline(0.2), pytest.raises(Unreachable):
        sleep(30)
    assert time.monotonic() - started < 1


def test_sleep_ends_soon_after_the_deadline_was_cancelled() -> None:
    whole = Deadline(60)
    threading.Timer(0.2, whole.cancel).start()
    started = time.monotonic()
    with deadline(whole), pytest.raises(Unreachable):
        sleep(30)
    assert time.monotonic() - started < 1.5
