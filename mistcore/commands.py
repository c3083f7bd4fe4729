"""`cmd:` references: a secret that a password manager prints when it is needed."""

from __future__ import annotations

import threading
import time
from typing import IO, TYPE_CHECKING

from mistcore.deadline import remaining
from mistcore.errors import Unreachable
from mistcore.stores.base import Store

if TYPE_CHECKING:
    import subprocess

__all__ = ["Commands"]

_SECONDS = 60.0
_LONGEST = 1024 * 1024
#: So many seconds a secret is remembered: nobody wants to touch a key for every request.
_FRESH = 300.0
#: A cancelled deadline is noticed within this many seconds.
_LOOK = 0.5
#: So many seconds a reader has to see that its process is gone; a child of that process may hold the pipe open.
_ENDING = 1.0


class Commands:
    """Runs the commands that stand in a store, if it is the user's own and the manager allows it; without a shell."""

    def __init__(self, store: Store, *, allowed: bool) -> None:
        self._store = store
        self._allowed = allowed
        self._known: dict[str, tuple[float, _Printed]] = {}
        self._lock = threading.Lock()

    def refusal(self) -> str:
        """Return why no command is run for this store; "" if it is."""
        if not self._allowed:
            return "cmd: is not allowed here: a program that trusts its store says BackendManager(…, commands=True)"
        return (
            self._store.strangers() and f"cmd: is only run from a store that is yours alone: {self._store.strangers()}"
        )

    def run(self, text: str) -> str:
        """Return what a command prints, without the line break at the end.

        It may take a minute, or as long as the deadline in force. Raises `ValueError` in words that never hold what it
        printed.
        """
        refusal = self.refusal()
        if refusal:
            raise ValueError(refusal)
        with self._lock:  # one at a time: it may ask a person for something
            at, printed = self._known.get(text, (0.0, None))
            if printed is None or time.monotonic() - at > _FRESH:
                printed = _run(text)
                self._known[text] = time.monotonic(), printed
        return printed.text

    def forget(self) -> None:
        """Forget what was printed before."""
        with self._lock:
            self._known.clear()


class _Printed:
    """What a command printed, which no traceback shows."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def _run(text: str) -> _Printed:
    import shlex
    import subprocess

    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"cmd: cannot be split into words ({error})") from None
    if not words:
        raise ValueError("cmd: names no command")
    try:
        seconds = remaining(_SECONDS)
    except Unreachable:
        raise ValueError(f"there was no time left to run {words[0]}") from None
    try:
        process = subprocess.Popen(  # noqa: S603 - no shell, and the user's own words
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError as error:
        raise ValueError(f"cannot run {words[0]}: {error.strerror}") from None
    except ValueError:
        raise ValueError(f"cannot run {words[0]}: a word of it holds a NUL character") from None
    printed = _output(process, seconds)
    if printed is None:
        raise ValueError(f"{words[0]} did not end within {seconds:.0f} seconds, or printed without an end")
    if process.returncode:
        raise ValueError(f"{words[0]} ended with status {process.returncode}: run it by itself to see why")
    if not printed.text:
        raise ValueError(f"{words[0]} printed nothing that is text")
    return printed


def _output(process: subprocess.Popen[bytes], seconds: float) -> _Printed | None:
    """Return what a process prints until it ends; None if it does not end in time."""
    data = bytearray()
    stream = process.stdout
    assert stream is not None  # noqa: S101 - it was asked for

    def read(stream: IO[bytes]) -> None:
        with stream:
            while len(data) < _LONGEST and (chunk := stream.read1(65536)):  # type: ignore[attr-defined]
                data.extend(chunk)

    reader = threading.Thread(target=read, args=[stream], daemon=True)
    limit = time.monotonic() + seconds
    reader.start()
    while reader.is_alive() and (left := _left(limit)) > 0:
        reader.join(min(left, _LOOK))
    if reader.is_alive() or len(data) >= _LONGEST or not _ends(process, _left(limit)):
        process.kill()
        process.wait()
        reader.join(_ENDING)
        return None
    try:
        return _Printed(data.decode().rstrip("\r\n"))
    except UnicodeDecodeError:
        return _Printed("")


def _left(limit: float) -> float:
    try:
        return remaining(limit - time.monotonic())
    except Unreachable:
        return 0.0


def _ends(process: subprocess.Popen[bytes], seconds: float) -> bool:
    from subprocess import TimeoutExpired

    try:
        process.wait(max(seconds, 0.1))
    except TimeoutExpired:
        return False
    return True
