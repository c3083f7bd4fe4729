"""The twin of `shown`: something of ours that leaks in each of the ways that it looks at is caught there."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import attrs
import pytest
from leaks.marks import looker, mark
from leaks.shown import Logged, of_error, of_object

import mistcore
from mistcore import MistError

SECRET = mark("twin")


def leaking(shown: Any) -> set[str]:
    return {where.partition(":")[0] for where, thing in shown if looker().forms(thing)}


def test_what_a_leaky_error_shows() -> None:
    hidden = ValueError(SECRET)
    error = MistError("fine", remedy=SECRET)
    error.add_note(SECRET)
    error.__cause__ = hidden
    found = leaking(of_error(error))
    assert {"str of MistError", "MistError.remedy", "notes of MistError", "pickle of MistError"} <= found
    assert {"str of ValueError", "args of ValueError", "traceback"} <= found
    assert "str of ValueError" in leaking(of_error(ExceptionGroup("many", [hidden])))


@pytest.mark.parametrize(("where", "seen"), [(mistcore.__path__[0], True), ("/somewhere/else", False)])
def test_the_variables_of_our_functions_are_seen_and_those_of_others_are_not(where: str, seen: bool) -> None:
    names: dict[str, Any] = {}
    exec(compile("def work(given):\n    raise ValueError(1)", str(Path(where, "invented.py")), "exec"), names)
    with pytest.raises(ValueError, match="1") as caught:
        names["work"]({"deep": [SECRET]})
    assert leaking(of_error(caught.value)) == ({"local given of invented.py"} if seen else set())


def test_what_a_leaky_object_shows() -> None:
    @attrs.frozen
    class Open:
        token: str = SECRET

        def to_dict(self) -> dict[str, str]:
            return attrs.asdict(self)

    found = leaking(of_object(Open()))
    assert {"repr of Open", "str of Open", "format of Open", "to_dict of Open", "JSON of to_dict of Open"} <= found
    assert {"copy of Open", "deepcopy of Open"} <= found
    assert "dumps of dict" in leaking(of_object({"x": SECRET}))


def test_what_is_logged_is_heard(logged: Logged) -> None:
    logging.getLogger("some.library").debug("%r", {"token": SECRET})
    assert leaking(logged.take()) == {"log of some.library"}
    assert logged.take() == []
