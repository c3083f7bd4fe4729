"""Where each value of a JSON store stands in its text. json reads the values; it does not tell their places."""

from __future__ import annotations

import json
import re
from functools import cached_property
from typing import Any

__all__ = ["BETWEEN", "Fault", "Pieces", "read_json", "scan"]

#: What stands between two backends in a file that was written here.
BETWEEN = ",\n    "

Row = tuple[Any, int, int]


class Fault(Exception):
    """What is wrong with a text, and where. The words never quote it."""

    def __init__(self, what: str, at: int) -> None:
        super().__init__(what)
        self.what = what
        self.at = at


class _Refused(ValueError):
    """Something that json would let pass."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _Refused("a key stands twice in one object")
    return result


def _no_constant(name: str) -> Any:
    raise _Refused(f"{name} is not JSON")


_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
#: Parse a whole text, and refuse what json would let pass. Raises `ValueError` and `RecursionError`.
read_json = _decoder.decode


def scan(text: str) -> tuple[dict[str, str], list[Row] | None]:
    """Return the texts of the top-level values, and each backend with where it starts and ends.

    The text of the backends is left empty; they are None if they are no list.

    Raises:
        Fault: the text is not JSON, or not an object.

    """
    return _Scanner(text).document()


class Pieces:
    """The texts in a text that is known to be good. It is cut to pieces when the first of them is asked for."""

    def __init__(self, text: str) -> None:
        self._text = text

    @property
    def top(self) -> dict[str, str]:
        """Each top-level value, in their order, that of the backends empty."""
        return self._cut[0]

    @property
    def backends(self) -> dict[str, str]:
        """Each backend, by id."""
        return self._cut[1]

    @cached_property
    def _cut(self) -> tuple[dict[str, str], dict[str, str]]:
        top, rows = scan(self._text)
        texts = {raw["id"]: self._text[start:end] for raw, start, end in rows or ()}
        self._text = ""
        return top, texts


class _Scanner:
    _space = re.compile(r"[ \t\n\r]*")
    _read = staticmethod(_decoder.raw_decode)

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def document(self) -> tuple[dict[str, str], list[Row] | None]:
        top: dict[str, str] = {}
        rows: list[Row] | None = None
        self._take("{")
        more = self._next() != "}"
        while more:
            if self._next() != '"':
                raise Fault("it is not JSON (a name in double quotes is missing)", self._at)
            key, start, _ = self._value()
            if key in top:
                raise Fault("a key stands twice in one object", start)
            self._take(":")
            if key == "backends" and self._next() == "[":
                rows = self._list()
                top[key] = ""
            else:
                _, start, end = self._value()
                top[key] = self._text[start:end]
            more = self._next() == ","
            if more:
                self._take(",")
        self._take("}")
        if self._next():
            raise Fault("it goes on after its end", self._at)
        return top, rows

    def _list(self) -> list[Row]:
        rows = []
        self._take("[")
        more = self._next() != "]"
        while more:
            rows.append(self._value())
            if self._text.startswith(BETWEEN, self._at):  # as this module writes it: no need to look closer
                self._at += len(BETWEEN)
                continue
            more = self._next() == ","
            if more:
                self._take(",")
        self._take("]")
        return rows

    def _next(self) -> str:
        """Return the next character that is no white space, or "" at the end."""
        match = self._space.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._text[self._at : self._at + 1]

    def _take(self, expected: str) -> None:
        if self._next() != expected:
            end = self._at == len(self._text)
            raise Fault("it ends too early" if end else f"it is not JSON ('{expected}' is expected)", self._at)
        self._at += 1

    def _value(self) -> Row:
        """Read one value; return it with where it starts and ends."""
        if not self._next():
            raise Fault("it ends too early", self._at)
        start = self._at
        try:
            value, self._at = self._read(self._text, start)
        except _Refused as error:
            raise Fault(str(error), start) from None
        except RecursionError:
            raise Fault("it is nested too deeply", start) from None
        except json.JSONDecodeError as error:
            words = error.msg.partition(":")[0]  # what follows a colon may quote the file
            raise Fault(f"it is not JSON ({words})", error.pos) from None
        except ValueError:  # the limit on the digits of a number
            raise Fault("a number is too long", start) from None
        return value, start, self._at
