"""Everything that an error, or an object that people hold, shows of itself."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from leaks.marks import looker

import mistcore
import mistcore_providers

_OURS = tuple(str(Path(folder)) for package in (mistcore, mistcore_providers) for folder in package.__path__)


def of_error(error: BaseException) -> Iterator[tuple[str, object]]:
    """Yield what an error and its causes show, each with a word for where: text, attributes, pickle, our frames."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        name = type(each).__name__
        yield f"str of {name}", str(each)
        yield f"repr of {name}", repr(each)
        yield f"args of {name}", repr(each.args)
        for key, value in vars(each).items():
            yield f"{name}.{key}", repr(value)
        yield f"notes of {name}", repr(getattr(each, "__notes__", ""))
        if isinstance(each, mistcore.MistError):
            with suppress(mistcore.NotSupported):  # where it names backends that only this process has
                yield f"pickle of {name}", pickle.dumps(each)
        yield from of_frames(each)
        waiting += [link for link in (each.__cause__, each.__context__) if link is not None]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions
    yield "traceback", "".join(traceback.format_exception(error))


def of_frames(error: BaseException) -> Iterator[tuple[str, object]]:
    """Yield the local variables of our functions that an error went through, as debuggers and reports show them."""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if not frame.f_code.co_filename.startswith(_OURS):
            continue
        for name, value in list(frame.f_locals.items()):
            place = f"{Path(frame.f_code.co_filename).name}:{line} {frame.f_code.co_name}"
            try:
                yield f"local {name} of {place}", repr(value)
            except Exception as problem:
                yield f"local {name} of {place}", repr(problem)


def of_object(thing: Any) -> Iterator[tuple[str, object]]:
    """Yield what an object shows: `repr`, `str`, what it offers as data, its pickle and its copies."""
    name = type(thing).__name__
    yield f"repr of {name}", repr(thing)
    yield f"str of {name}", str(thing)
    yield f"format of {name}", f"{thing}"
    for offered in ("to_dict", "info", "json_schema"):
        if hasattr(thing, offered):
            value = getattr(thing, offered)
            value = value() if callable(value) else value
            yield f"{offered} of {name}", repr(value)
            yield f"JSON of {offered} of {name}", json.dumps(value, default=str)
    for how in (pickle.dumps, copy.copy, copy.deepcopy):
        try:
            made = how(thing)
        except (TypeError, AttributeError, pickle.PicklingError, mistcore.MistError) as problem:
            yield f"{how.__name__} refused of {name}", repr(problem)
        else:
            yield f"{how.__name__} of {name}", made if isinstance(made, bytes) else repr(made)


def with_marks(folder: Path) -> list[str]:
    """Return the files below a folder that hold a mark, or have one in their name."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return sorted(
        str(path.relative_to(folder))
        for path in files
        if looker().forms(path.read_bytes()) or looker().forms(path.name)
    )


class Logged(logging.Handler):
    """Keeps what every logger says, down to the last detail."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.setFormatter(logging.Formatter("%(name)s %(threadName)s: %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record, its arguments as they are included."""
        self.lines.append(f"{self.format(record)} {record.args!r}")

    def take(self) -> list[tuple[str, object]]:
        """Return what was said since the last time, each with who said it."""
        lines, self.lines = self.lines, []
        return [(f"log of {line.partition(' ')[0]}", line) for line in lines]
