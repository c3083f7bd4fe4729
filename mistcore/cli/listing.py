"""The listing of providers, remembered: `mist providers` answers without loading them while nothing has changed.

What was listed is kept in the cache folder, with the times of everything it came from: the folders that packages are
installed in, and the files of the provider modules. When one of them differs, the providers are loaded again. Nothing
is remembered while a plugin is broken or a hook may supply providers, so those are always asked.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mistcore.provider import Provider

__all__ = ["forget", "recall", "remember"]

Rows = list[dict[str, Any]]


def recall() -> Rows | None:
    """Return the rows of the last listing, or None when they may be out of date."""
    try:
        kept = json.loads(_file().read_bytes())
        if kept["about"] == _about() and all(_time(path) == time for path, time in kept["files"].items()):
            rows: Rows = kept["rows"]
            return rows
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass
    return None


def remember(rows: Rows, classes: Iterable[type[Provider]]) -> None:
    """Keep the rows, which were made from these classes. A folder that cannot be written is no error."""
    names = {base.__module__ for cls in classes for base in cls.__mro__}
    packages = {name.rpartition(".")[0] for name in names} - {""}
    files = {
        str(module.__file__): _time(str(module.__file__))
        for name, module in list(sys.modules.items())
        if (name in names or name.rpartition(".")[0] in packages) and getattr(module, "__file__", None)
    }
    text = json.dumps({"about": _about(), "files": files, "rows": rows})
    with suppress(OSError):
        path = _file()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        sibling = path.with_name(f"{path.name}.{os.getpid()}")
        sibling.write_text(text, encoding="utf-8")
        sibling.replace(path)


def forget() -> None:
    """Drop what was kept."""
    with suppress(OSError):
        _file().unlink()


def _file() -> Path:
    home = os.environ.get("MISTCORE_HOME")
    if not home:
        from platformdirs import user_cache_dir

        home = user_cache_dir("mistcore", appauthor=False)
    return Path(home) / "listing.json"


def _about() -> list[Any]:
    # A folder's time changes when a package in it is installed, updated or removed: its metadata folder is new then.
    return [sys.version, [[path, _time(path)] for path in sys.path]]


def _time(path: str) -> int | None:
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return None
