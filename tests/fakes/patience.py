"""Services that hang for longer than a test may last, and accounts that would wait for them even longer.

What ends although it meets both has ended by the deadline in force, for nothing else ends it before pytest does.
"""

from __future__ import annotations

import threading
from typing import TypeVar

from mistcore import Provider
from mistcore.testing.server import FakeService, Response

P = TypeVar("P", bound=Provider)

#: Seconds; pytest ends a test after 280.
HANGS = 300.0
PATIENCE = 600.0


def patient(provider: P) -> P:
    """Let an account wait for each answer as long as no test lasts, unless a deadline ends that."""
    vars(provider)["default_timeout"] = PATIENCE
    return provider


def hold(service: FakeService) -> threading.Event:
    """Let a service answer nothing until the event that comes back is set."""
    release = threading.Event()
    service.fault(Response(), where=lambda request: not release.wait(HANGS))
    return release
