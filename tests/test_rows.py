"""Rows of vendors: odd ones break no listing, times are UTC, tags that are words become pairs and back."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from mistcore import Machine
from mistcore.rows import garbled, lenient, parse_time, read_row, readable, seconds_until, tags_of, words_of


def build(row: dict) -> Machine:
    return Machine(row["uid"], row["label"].strip(), row["state"][0])


def test_a_row_that_can_be_read_is_read() -> None:
    assert lenient(build)({"uid": 7, "label": " web ", "state": ["running"]}) == Machine("7", "web", "running")


@pytest.mark.parametrize("row", [{"uid": 7, "label": "web"}, {"uid": 7, "label": "web", "state": []},
                                 {"uid": 7, "name": "web", "label": None, "state": None}])  # fmt: skip
def test_an_odd_row_is_left_as_id_and_name_and_logged(row: dict, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "mistcore.rows"):
        assert lenient(build, id="uid")(row) == Machine("7", "web", extra={"unreadable": True})
    assert "id 7" in caplog.text


@pytest.mark.parametrize("row", [None, [], "text", 7, {}, {"uid": None}, {"uid": "", "label": "web"}])
def test_a_row_without_an_id_is_none(row: object) -> None:
    assert lenient(build, id="uid")(row) is None


def test_a_mistake_of_another_kind_is_not_hidden() -> None:
    def broken(row: dict) -> Machine:
        raise RuntimeError("ours")

    for reads in (lenient(broken), lambda row: read_row(broken, row)):
        with pytest.raises(RuntimeError, match="ours"):
            reads({"id": 1})


def test_odd_rows_of_a_listing_are_left_out_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"uid": 7, "label": "web", "state": ["running"]}, {"uid": 8}, None, {"uid": "", "label": "", "state": "x"}]
    with caplog.at_level(logging.WARNING, "mistcore.rows"):
        assert list(readable(build, rows)) == [Machine("7", "web", "running")]
    assert [record.getMessage() for record in caplog.records] == [
        "a row of a listing cannot be read: KeyError",
        "a row of a listing cannot be read: TypeError",
    ]


def test_what_python_raises_for_an_odd_answer_is_told_from_what_it_raises_for_our_mistakes() -> None:
    for error in (KeyError("items"), TypeError("None"), OverflowError("inf"), RecursionError("deep")):
        said = garbled(error)
        assert said is not None
        assert said.reason == "garbled"
    assert garbled(RuntimeError("ours")) is None
    assert garbled(AssertionError("ours")) is None


def test_times_are_utc_and_what_is_none_is_none() -> None:
    noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
    assert parse_time("2026-01-02T12:00:00Z") == noon
    assert parse_time("2026-01-02T12:00:00") == noon
    found = parse_time("2026-01-02T14:00:00+02:00")
    assert found == noon.astimezone(timezone(timedelta(hours=2)))
    assert found is not None
    assert found.tzinfo is UTC
    assert [parse_time(value) for value in (None, "", "soon", 7, [])] == [None] * 5


def test_seconds_until_a_time() -> None:
    wait = seconds_until(str(time.time() + 60))
    assert wait is not None
    assert 50 < wait <= 60
    assert seconds_until("1") == 0.0
    assert (seconds_until(None), seconds_until("soon")) == (None, None)


def test_tags_that_are_words() -> None:
    tags = tags_of(["web", "env:prod", "env:test", ":odd", "a:b:c"])
    assert tags == {"web": "", "env": "prod", "env:test": "", ":odd": "", "a": "b:c"}
    assert words_of({"web": "", "env": "prod"}) == ["web", "env:prod"]
