"""Ctrl-C at a prompt, at the worst moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mistcore.cli.prompts import interruptible

# Signal and reading in one step of Python's: as when the signal comes just before the system is asked to read.
TOO_EARLY = """
import ctypes, functools, operator, os
from mistcore.cli.prompts import interruptible
steps = [functools.partial(getattr(ctypes.CDLL(None), "raise"), 2), functools.partial(os.read, 0, 1)]
try:
    with interruptible():
        print("reads", flush=True)
        list(map(operator.call, steps))
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_signal_that_comes_just_before_the_reading_is_not_lost() -> None:
    folder = Path(sys.modules["mistcore"].__file__ or "").parents[1]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    reader, writer = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-c", TOO_EARLY], stdin=reader, capture_output=True, text=True, env=environment, timeout=60
        )
    finally:
        os.close(reader)
        os.close(writer)
    assert done.stdout.split() == ["reads", "interrupted"]


def test_somebody_elses_alarm_is_left_alone() -> None:
    def mine(number: int, frame: object) -> None: ...

    before = signal.signal(signal.SIGALRM, mine)
    timer = signal.setitimer(signal.ITIMER_REAL, 60)
    try:
        with interruptible():
            assert signal.getsignal(signal.SIGALRM) is mine
            assert signal.getitimer(signal.ITIMER_REAL)[0] > 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, before)


def test_the_alarm_is_off_again_after_the_prompt() -> None:
    before = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    timer = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        with pytest.raises(ValueError, match="no such answer"), interruptible():
            assert 0 < signal.getitimer(signal.ITIMER_REAL)[1] < 1
            raise ValueError("no such answer")
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
        assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *timer)


def test_a_thread_may_ask_too() -> None:
    asked = []

    def ask() -> None:
        with interruptible():
            asked.append("yes")

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert asked == ["yes"]
