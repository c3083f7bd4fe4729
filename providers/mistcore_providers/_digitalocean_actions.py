"""DigitalOcean's actions: what was asked for is accepted at once and done later; this waits until it is."""

from __future__ import annotations

import time
from typing import Any

from mistcore import PermissionDenied, ProviderError, Rejected, Unreachable
from mistcore.deadline import sleep
from mistcore.http import RestSession

#: Seconds after which an action is left to itself. A shutdown takes the service up to about two minutes to give up on.
PATIENCE = 180.0
_FIRST_LOOK = 0.25
_SLOWEST_LOOKS = 5.0

_FAILED = {
    "shutdown": "Its operating system did not shut down: force=True cuts the power.",
    "reboot": "Its operating system did not reboot: force=True resets it.",
}


def wait_for_action(session: RestSession, path: str, action: dict[str, Any]) -> None:
    """Wait until an action has been completed.

    Args:
        session: the provider's. path: of the actions of the droplet concerned. action: as the service answered it.

    Raises:
        Rejected: (reason "action_failed") the service gave up on it.
        ProviderError: (reason "timeout") it is still under way after `PATIENCE` seconds.
        Unreachable: (reason "timeout") the deadline passed meanwhile.

    """
    end = time.monotonic() + PATIENCE
    pause = _FIRST_LOOK
    while action.get("status") == "in-progress":
        if time.monotonic() >= end:
            raise ProviderError(
                f"the {_words(action)} was accepted but is not done after {PATIENCE:.0f} seconds",
                reason="timeout",
                remedy="It goes on by itself: look at the machine's state later.",
            )
        try:
            sleep(pause)
            action = session.get(f"{path}/{action['id']}")["action"]
        except PermissionDenied:
            return  # a token without droplet:read may act but not look
        except Unreachable as error:
            error.remedy = f"The {_words(action)} was accepted and goes on by itself. {error.remedy}"
            raise
        pause = min(pause * 2, _SLOWEST_LOOKS)
    if action.get("status") == "errored":
        raise Rejected(
            f"DigitalOcean could not do the {_words(action)}",
            reason="action_failed",
            remedy=_FAILED.get(str(action.get("type")), "Look at the machine in the control panel."),
        )


def _words(action: dict[str, Any]) -> str:
    return str(action.get("type") or "action").replace("_", " ")
