"""The machines that each backend had when it was last listed, kept on disk beside the store.

One file for each backend, for its owner alone to read, replaced whole or not at all. What providers put into `extra` is
left out: nobody can say what a vendor's record holds there. A file that is damaged, or was written by a newer version,
counts as none; it is written anew by the next listing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from mistcore.models import Machine
from mistcore.stores import atomic

if TYPE_CHECKING:
    from mistcore.stores.base import Store

__all__ = ["LastKnown", "LastListing"]

log = logging.getLogger(__name__)

_VERSION = 1
_NAME = re.compile(r"[0-9A-Za-z]{1,64}")
_LEFTOVER = re.compile(r"\.[0-9A-Za-z]+\.json\.[0-9a-f]{16}\.tmp")
#: Seconds after which a file that a writer was about to put in place belongs to one that was killed.
_OLD = 3600


@attrs.frozen
class LastListing:
    """The machines of a backend as they were when it was last listed.

    Attributes:
        machines: all of them, without what was in their `extra`.
        as_of: when that was, UTC.

    """

    machines: list[Machine]
    as_of: datetime


class LastKnown:
    """The last listing of each backend, in a folder. Safe to use from several threads and processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._swept = False

    @classmethod
    def beside(cls, store: Store) -> LastKnown | None:
        """Return that of a store: beside its file, else in the user's data folder. None for one that keeps nothing."""
        from mistcore.stores import data_folder
        from mistcore.stores.json_file import JsonStore

        if isinstance(store, JsonStore):
            return cls(Path(store.location).parent / "machines")
        # Nothing outlives a store in memory, whose location is no place: "(memory)".
        return None if store.location.startswith("(") else cls(data_folder() / "machines")

    def keep(self, backend_id: str, machines: Iterable[Machine]) -> None:
        """Keep a whole listing. A disk that cannot be written is no error: what was known before stays, or nothing."""
        as_of = datetime.now(UTC).replace(microsecond=0)
        rows = [{name: value for name, value in m.to_dict().items() if name != "extra"} for m in machines]
        text = json.dumps(
            {"version": _VERSION, "backend": backend_id, "as_of": as_of.isoformat(), "machines": rows},
            ensure_ascii=False,
            separators=(",", ":"),
        )
        path = self._path(backend_id)
        try:
            atomic.make_folder(self.folder)
            self._sweep()
            atomic.write(path, text.encode("utf-8", "surrogatepass"), None)
        except OSError as error:
            log.debug("the machines of %s could not be kept: %s", backend_id, error)

    def recall(self, backend_id: str) -> LastListing | None:
        """Return the last listing of a backend, or None where there is none that can be read."""
        kept = self._read(backend_id)
        try:
            return LastListing([_machine(row) for row in kept["machines"]], _time(kept["as_of"])) if kept else None
        except (ValueError, LookupError, TypeError, AttributeError):
            return None

    def names(self, backend_id: str) -> Iterator[tuple[str, str, str]]:
        """Yield name, id and state of each machine of the last listing: all that a shell needs to complete names."""
        kept = self._read(backend_id)
        with suppress(LookupError, TypeError, AttributeError):
            for row in kept["machines"] if kept else ():
                yield str(row["name"]), str(row["id"]), str(row["state"])

    def forget(self, backend_id: str) -> None:
        """Remove what is kept of a backend."""
        with suppress(OSError):
            self._path(backend_id).unlink()

    def _path(self, backend_id: str) -> Path:
        if not _NAME.fullmatch(backend_id):  # a store may hold ids that are no names for a file
            backend_id = hashlib.sha256(backend_id.encode("utf-8", "surrogatepass")).hexdigest()
        return self.folder / f"{backend_id}.json"

    def _read(self, backend_id: str) -> dict[str, Any] | None:
        try:
            kept = json.loads(self._path(backend_id).read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        good = isinstance(kept, dict) and kept.get("version") == _VERSION and kept.get("backend") == backend_id
        return kept if good else None

    def _sweep(self) -> None:
        """Remove, once, what writers that were killed left here."""
        if self._swept:
            return
        self._swept = True
        for path in self.folder.iterdir():
            if _LEFTOVER.fullmatch(path.name):
                with suppress(OSError):
                    if time.time() - path.lstat().st_mtime > _OLD:
                        path.unlink()


def _machine(row: dict[str, Any]) -> Machine:
    created = row["created_at"]
    return Machine(**{**row, "created_at": _time(created) if created else None})


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment
