"""Rows of vendors turned into records: odd ones, times, and tags that are plain words."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from sys import intern
from typing import Any, TypeVar

from mistcore.errors import ProviderError
from mistcore.models import Machine

__all__ = ["garbled", "lenient", "parse_time", "read_row", "readable", "seconds_until", "tags_of", "words_of"]

T = TypeVar("T")

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
            made = build(row)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            known_id = row.get(id) if isinstance(row, dict) else None
            log.warning("a machine's record cannot be read (id %s): %s", known_id, type(error).__name__)
            if not isinstance(known_id, (str, int)) or known_id == "":
                return None
            name = row.get("name") or row.get("label") or ""
            return Machine(id=known_id, name=str(name), extra={"unreadable": True})
        return made if made.id else None

    return each


def read_row(build: Callable[[Any], T], row: Any) -> T | None:
    """Return what is made of a row of a listing, or None with a warning in the log where it cannot be read.

    One without an id counts as none, since nobody could do anything with it.
    """
    try:
        made = build(row)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        log.warning("a row of a listing cannot be read: %s", type(error).__name__)
        return None
    return None if getattr(made, "id", None) == "" else made


def readable(build: Callable[[Any], T | None], rows: Iterable[Any]) -> Iterator[T]:
    """Yield what is made of each row of a listing, leaving out those that cannot be read."""
    for row in rows:
        made = read_row(build, row)
        if made is not None:
            yield made


def garbled(error: Exception) -> ProviderError | None:
    """Return our error for what Python raises where an answer is not built as it should be; None for anything else."""
    if not isinstance(error, (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)):
        return None
    return ProviderError(
        f"the service's answer is not what it should be ({type(error).__name__}: {error})",
        reason="garbled",
        remedy="Is the address of the service right?",
    )


def parse_time(value: Any) -> datetime | None:
    """Return an ISO 8601 time as aware UTC, or None for what is none; one without a zone is taken as UTC."""
    try:
        if len(value) == 19 and value[13] == value[16] == ":":  # to the second, without a zone
            value += "Z"
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is UTC:
            return moment
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (OverflowError, TypeError, ValueError):
        return None


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
