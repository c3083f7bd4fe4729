"""Who can read and write a file besides its owner, as the mode of the file and of its folder say."""

from __future__ import annotations

import os
import stat
from pathlib import Path

__all__ = ["exposure", "repair", "strangers"]

_OTHERS_READ = stat.S_IRGRP | stat.S_IROTH
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def exposure(path: Path) -> list[str]:
    """Return in plain sentences what others can do to a file; empty where that is nothing, or where modes do not tell.

    Raises:
        OSError: its folder cannot be looked into.

    """
    if not hasattr(os, "geteuid"):
        return []
    found = []
    file = _status(path)
    if file is not None and file.st_mode & _OTHERS_READ:
        found.append(f"others can read {path} (mode {stat.S_IMODE(file.st_mode):04o})")
    if file is not None and file.st_mode & _OTHERS_WRITE:
        found.append(f"others can write {path} (mode {stat.S_IMODE(file.st_mode):04o})")
    folder = _status(path.parent)
    if folder is not None and _is_open(folder):
        found.append(
            f"others can put another file in its place: {path.parent} has the mode {folder.st_mode & 0o7777:04o}"
        )
    return found


def repair(path: Path) -> None:
    """Make a file, and the lock beside it, its owner's alone, and its folder one that only its owner can write.

    Raises:
        OSError: it was not possible; somebody else owns it, say.

    """
    for each in (path, path.with_name(f"{path.name}.lock")):
        if _status(each) is not None:
            each.chmod(0o600)
    folder = _status(path.parent)
    if folder is not None and _is_open(folder):
        path.parent.chmod(stat.S_IMODE(folder.st_mode) & ~_OTHERS_WRITE)


def strangers(path: Path) -> str:
    """Return why a file is not one that this user alone can write; "" if it is, or if there is none yet."""
    if not hasattr(os, "geteuid"):  # who may write it is not in its mode there
        return "" if path.resolve().is_relative_to(Path.home().resolve()) else f"{path} is not in your home folder"
    user = os.geteuid()
    file, folder = _status(path), _status(path.resolve().parent)
    if file is None:
        return ""
    if file.st_uid != user:
        return f"{path} belongs to another user"
    if file.st_mode & _OTHERS_WRITE:
        return f"others can write {path}"
    if folder is not None and (folder.st_uid not in (user, 0) or _is_open(folder)):
        return f"others can put another file in the place of {path}"
    return ""


def _is_open(folder: os.stat_result) -> bool:
    # Of a folder with the sticky bit, such as /tmp, others cannot replace what is not theirs.
    return bool(folder.st_mode & _OTHERS_WRITE) and not folder.st_mode & stat.S_ISVTX


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None
