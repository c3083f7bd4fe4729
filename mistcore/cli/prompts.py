"""Prompts that Ctrl-C ends whenever it comes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: How long a Ctrl-C that came too early goes unnoticed, in seconds.
_LOOK = 0.2


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end what reads from the terminal in here, also one that comes just before the reading begins.

    Python only notes a signal, and acts on it between two steps of its own: one that comes after the prompt was written
    and before the system was asked for the answer would wait for that answer. So the reading is disturbed now and then.
    """
    free = (
        hasattr(signal, "setitimer")
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL  # else the alarm clock is somebody's
    )
    if not free:
        yield
        return
    signal.signal(signal.SIGALRM, lambda number, frame: None)
    signal.setitimer(signal.ITIMER_REAL, _LOOK, _LOOK)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
