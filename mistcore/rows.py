"""Rows of vendors turned into records: odd ones, times, and tags that are plain words."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from sys import intern
from typing import Any

from mistcore.models import Machine

__all__ = ["lenient", "parse_time", "seconds_until", "tags_of", "words_of"]

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())  # a program that handles no log is told nothing


def lenient(build: Callable[[Any], Machine], *, id: str = "id") -> Callable[[Any], Machine | None]:
    """Return the function so that a row it cannot read breaks no listing.

    Such a row becomes a machine of which only id and name are known, with `extra["unreadable"]` set, and a warning in
    the log; one without an id becomes None.

    Args:
        build: makes a machine of a row, and may raise whatever reading a dict of the wrong form raises.
        id: the row's key for the machine's id.

    """

    def each(row: Any) -> Machine | None:
        try:
            return build(row)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            known_id = row.get(id) if isinstance(row, dict) else None
            log.warning("a machine's record cannot be read (id %s): %s", known_id, type(error).__name__)
            if known_id in (None, ""):
                return None
            name = row.get("name") or row.get("label") or ""
            return Machine(id=known_id, name=str(name), extra={"unreadable": True})

    return each


def parse_time(value: Any) -> datetime | None:
    """Return an ISO 8601 time as aware UTC, or None for what is none; one without a zone is taken as UTC."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def seconds_until(epoch: str | None) -> float | None:
    """Return how many seconds it is until a time given as seconds since the epoch, or None for what is none."""
    try:
        return max(0.0, float(epoch or "") - time.time())
    except ValueError:
        return None


def tags_of(words: Iterable[str]) -> dict[str, str]:
    """Return tags as a mapping, where a service has plain words: `env:prod` is the usual way to write a pair."""
    tags: dict[str, str] = {}
    for word in words:
        name, _, value = word.partition(":")
        if name in tags or not name:
            name, value = word, ""
        tags[intern(name)] = intern(value)
    return tags


def words_of(tags: Mapping[str, str]) -> list[str]:
    """Return a mapping of tags as plain words: `{"web": "", "env": "prod"}` is `web` and `env:prod`."""
    return [f"{tag}:{value}" if value else tag for tag, value in tags.items()]
