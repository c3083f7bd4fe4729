"""Reading JSON by msgspec says what the standard library says, whatever comes; and lists are read row by row."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistcore import ProviderError
from mistcore.http import RestSession
from mistcore.http.read_json import read_json, rows_in
from mistcore.testing.server import FakeService, Request, Response, json_response

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
ODD = [b"", b" ", b"NaN", b"1e400", b'"\\ud800"', b"[1,]", b"01", b"-0", b'{"a":1,"a":2}', b"\xff", b"\xef\xbb\xbf1"]
ODD += ['{"ä": "\U0001f600"}'.encode("utf-16"), b"[" * 100_000, b'"\x01"', b"1 2", b"9" * 100, b'{"a":[1,{"b":nul}]}']


def outcome(read: Any, body: bytes) -> str:
    try:
        return repr(read(body))
    except (ValueError, RecursionError) as error:
        return type(error).__name__


@given(VALUES)
def test_values(value: Any) -> None:
    body = json.dumps(value).encode()
    assert repr(read_json(body)) == repr(json.loads(body))


@given(st.binary(max_size=200) | st.sampled_from(ODD))
def test_bytes(body: bytes) -> None:
    assert outcome(read_json, body) == outcome(json.loads, body)


ROW = {"id": "x", "text": "ü" * 300, "nested": {"list": [1, 2.5, None]}}


def body_of(count: int) -> bytes:
    return json.dumps({"a": {"rows": [{**ROW, "id": number} for number in range(count)], "total": count}}).encode()


def test_rows_come_one_by_one() -> None:
    pytest.importorskip("msgspec")
    found = rows_in(body_of(500), "a.rows", ["a.total", "a.missing"])
    assert found is not None
    assert found.others == {"a.total": 500, "a.missing": None}
    assert list(found.rows) == [{**ROW, "id": number} for number in range(500)]


@pytest.mark.parametrize("body", [b"[]", b"x", b'{"a": 1}', b'{"a": {"rows": {}}}', b'{"a": {"rows": null}}', b"{}"])
def test_what_is_no_such_list_is_left_to_those_who_read_it_whole(body: bytes) -> None:
    assert rows_in(body + b" " * 200_000, "a.rows", []) is None


class Paged(FakeService):
    """Pages of 200 large rows, the last of which has whatever `last` says."""

    last = json.dumps(ROW)

    def not_found(self, request: Request) -> Response:
        page = int(request.query["page"])
        rows = [{**ROW, "id": 200 * page + number} for number in range(200)]
        body = json.dumps({"rows": rows, "total": 600})
        if page == 3:
            body = body.replace(json.dumps(rows[-1]), self.last)
        return Response(200, body.encode(), {"Content-Type": "application/json"})


def ids(service: FakeService, **options: Any) -> list[Any]:
    session = RestSession(service.url)
    try:
        more = {"items": "rows", "total": "total", "size": 200, **options}
        return list(session.pages("/", each=lambda row: row["id"], **more))
    finally:
        session.close()


def test_large_pages() -> None:
    with Paged() as service:
        service.last = json.dumps({**ROW, "id": 799})
        assert ids(service) == list(range(200, 800))
        assert ids(service, items=lambda body: body["rows"]) == list(range(200, 800))
        assert ids(service, total=lambda body: body["total"]) == list(range(200, 800))


def test_rows_that_only_the_standard_library_reads() -> None:
    with Paged() as service:
        service.last = '{"id": 799, "load": NaN, "name": "\\ud800"}'
        assert ids(service) == list(range(200, 800))


def test_rows_that_are_none() -> None:
    with Paged() as service:
        service.last = '{"id": 799, "load": nought}'
        with pytest.raises(ProviderError) as caught:
            ids(service)
        assert caught.value.reason == "garbled"


def test_the_same_large_page_again_and_again() -> None:
    class Stuck(FakeService):
        def not_found(self, request: Request) -> Response:
            return json_response({"rows": [{**ROW, "id": None}] * 400, "total": 1600})

    with Stuck() as service, pytest.raises(ProviderError) as caught:
        ids(service)
    assert caught.value.reason == "paging"
