"""Replacing a file whole or not at all, whatever happens meanwhile: a full disk, a kill, a power cut."""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import suppress
from pathlib import Path

__all__ = ["create", "hand_over", "make_folder", "remove_leftovers", "write"]

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def write(path: Path, data: bytes, before: os.stat_result | None) -> os.stat_result:
    """Put `data` in the place of the file at `path`, for its owner alone to read, and return the status of the new one.

    `before` is the status of the file that is replaced, if there is one. The new one has a later time of change even
    where the clock is coarse or went back, so that whoever compares the two sees that they differ.

    Raises:
        OSError: it was not possible. The old file is in its place, whole; unless only the last step failed, which is to
            make sure that the change outlives a power cut.

    """
    temporary = _beside(path)
    try:
        _fill(temporary, data, before or path.parent.stat())
        status = temporary.stat()
        if before is not None and status.st_mtime_ns <= before.st_mtime_ns:
            os.utime(temporary, ns=(status.st_atime_ns, before.st_mtime_ns + 1))
            status = temporary.stat()
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)
    return status


def create(path: Path, data: bytes) -> None:
    """Make a file at `path`, whole or not at all, for its owner alone to read.

    Raises:
        FileExistsError: there is one; it is left as it is.
        OSError: it was not possible.

    """
    temporary, like = _beside(path), path.parent.stat()
    try:
        _fill(temporary, data, like)
        try:
            os.link(temporary, path)  # unlike a renaming, it leaves alone what another was faster to make
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            _fill(path, data, like)
    finally:
        with suppress(OSError):
            temporary.unlink()
    _sync_folder(path.parent)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")


def _fill(path: Path, data: bytes, like: os.stat_result) -> None:
    """Make a new file that holds this, on the disk and not only in memory."""
    descriptor = os.open(path, _NEW, 0o600)
    try:
        hand_over(descriptor, like)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and those of its parents that are missing, for the user alone.

    Raises:
        OSError: it was not possible.

    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    try:
        folder.mkdir(0o700)
    except FileExistsError:
        if folder.is_dir():  # another process was faster
            return
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None
    hand_over(folder, folder.parent.stat())
    _sync_folder(folder.parent)


def remove_leftovers(path: Path) -> None:
    """Remove what writers that were killed left beside `path`. To be called only while no other writer is at work."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{16}}\.tmp").fullmatch
    with suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            if ours(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    Path(entry).unlink()


def hand_over(target: Path | int, like: os.stat_result) -> None:
    """Give what root makes in a user's place to that user, who could not read it otherwise (after `sudo mist …`)."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or like.st_uid == 0:
        return
    if isinstance(target, int):
        os.fchown(target, like.st_uid, like.st_gid)
        return
    descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        is_ours = stat.S_ISDIR(status.st_mode) or status.st_nlink == 1
        if is_ours and status.st_uid == 0:  # not another file of root's that the user put there under this name
            os.fchown(descriptor, like.st_uid, like.st_gid)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):  # Windows has no way to ask for it
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot, and need not
            raise
    finally:
        os.close(descriptor)
