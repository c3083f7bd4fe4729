"""Linode's power actions: what was asked for is accepted at once and done later; this waits until it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from mistcore import MachineNotFound, PermissionDenied, ProviderError, Rejected, Unreachable
from mistcore.deadline import sleep

#: Seconds after which an action is left to itself. A shutdown is given about two minutes before the power is cut.
PATIENCE = 180.0
_FIRST_LOOK = 0.25
_SLOWEST_LOOKS = 5.0
#: Seconds for which a Linode that runs is not taken for one that has been rebooted, unless it was seen rebooting.
_GRACE = 2.0

#: The states that a Linode goes through while each action is under way.
_ON_THE_WAY = {"boot": "booting", "shutdown": "shutting_down", "reboot": "rebooting"}


def wait_until(action: str, ends: Sequence[str], look: Callable[[], str]) -> None:
    """Wait until an action has come to its end.

    Args:
        action: the API's word for it. ends: the states that mean that it is done. look: returns the state as it is now.

    Raises:
        Rejected: (reason "action_failed") it was under way and then ended elsewhere.
        ProviderError: (reason "timeout") it is still under way after `PATIENCE` seconds.
        Unreachable: (reason "timeout") the deadline passed meanwhile.

    """
    began = time.monotonic()
    pause = _FIRST_LOOK
    seen_under_way = False
    while True:
        try:
            state = look()
        except PermissionDenied:
            return  # a token may act but not look
        except MachineNotFound as error:
            raise Rejected(
                f"the Linode was deleted before the {action} was done",
                reason="action_failed",
                remedy="List the machines again.",
            ) from error
        except Unreachable as error:
            error.remedy = f"The {action} was accepted and goes on by itself. {error.remedy}"
            raise
        waited = time.monotonic() - began
        if state in ends and (action != "reboot" or seen_under_way or waited >= _GRACE):
            return
        if state in _ON_THE_WAY.values():
            seen_under_way = True
        elif seen_under_way and state in {"offline", "stopped", "running", "billing_suspension"}:
            raise Rejected(
                f"Linode could not do the {action}: the Linode is {state} again",
                reason="action_failed",
                remedy="Look at the Linode's events in Cloud Manager, or at its console (Lish).",
            )
        if waited >= PATIENCE:
            raise ProviderError(
                f"the {action} was accepted but is not done after {PATIENCE:.0f} seconds",
                reason="timeout",
                remedy="It goes on by itself: look at the machine's state later.",
            )
        try:
            sleep(pause)
        except Unreachable as error:
            error.remedy = f"The {action} was accepted and goes on by itself. {error.remedy}"
            raise
        pause = min(pause * 2, _SLOWEST_LOOKS)
