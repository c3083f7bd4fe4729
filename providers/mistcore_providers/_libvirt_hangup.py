"""Hanging up on a peer for which a call is waiting that cannot be interrupted. Needs no libvirt."""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import stat
import struct
from pathlib import Path

__all__ = ["hang_up"]

#: By machine, the numbers of poll and ppoll, and of connect.
_CALLS = {"x86_64": ({7, 271}, {42}), "aarch64": ({73}, {203})}
_POLLFD = struct.Struct("ihh")
_MOST = 16


def hang_up(thread: int) -> bool:
    """Shut down the sockets that this thread (of this process, by its native id) waits for; tell whether there are any.

    libvirt has no timeout and no way to cancel a call, but it takes well that the other side hangs up, and that is how
    this looks to it. What a thread waits for is known on Linux only; elsewhere nothing is done.
    """
    done = False
    for descriptor in _waiting_for(thread):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                with socket.socket(fileno=os.dup(descriptor)) as same:
                    if descriptor in _waiting_for(thread):  # still, so the number was not given to another meanwhile
                        same.shutdown(socket.SHUT_RDWR)
                        done = True
    return done


def _waiting_for(thread: int) -> list[int]:
    """Return the descriptors in the system call that a thread is in, as proc_pid_syscall(5) tells it."""
    polls, connects = _CALLS.get(platform.machine(), (set(), set()))
    try:
        words = Path(f"/proc/self/task/{thread}/syscall").read_text(encoding="ascii").split()
        number, first, second = int(words[0]), int(words[1], 16), int(words[2], 16)
    except (OSError, ValueError, IndexError):
        return []  # no Linux, gone, or running at this moment
    if number in connects:
        return [first]
    if number in polls and 0 < second <= _MOST:
        return [descriptor for descriptor, _, _ in _POLLFD.iter_unpack(_memory(first, second * _POLLFD.size))]
    return []


def _memory(address: int, size: int) -> bytes:
    """Return what stands at an address, or nothing: the thread may have gone on, and given its memory back."""
    try:
        with Path("/proc/self/mem").open("rb", buffering=0) as memory:
            found = os.pread(memory.fileno(), size, address)
    except (OSError, OverflowError):
        return b""
    return found if len(found) == size else b""
