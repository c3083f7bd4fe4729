"""The REST toolkit's lists: every item once, none left out silently, and an end to everything."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fakes.patience import HANGS, PATIENCE

from mistcore import AuthenticationFailed, Machine, ProviderError, Unreachable
from mistcore.deadline import deadline
from mistcore.http import RestSession
from mistcore.testing.server import FakeService, Page, Request, Response, json_response, page_of, route


class Lists(FakeService):
    """Numbered pages, links, tokens and markers over the same rows."""

    def __init__(self, rows: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.rows: list[Any] = [{"id": number} for number in range(rows)]
        self.most = 1000
        self.at_once = self.most_at_once = 0
        self.meeting: threading.Barrier | None = None

    def cut(self, request: Request) -> Page:
        return page_of(self.rows, request, most=self.most)

    @route("GET", "/numbered")
    def numbered(self, request: Request) -> Response:
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        page = self.cut(request)
        if self.meeting is not None and 2 <= page.number < 2 + self.meeting.parties:
            self.meeting.wait()
        with self.lock:
            self.at_once -= 1
        return json_response(
            {"data": {"rows": page.rows}, "meta": {"total": page.total}, "pages": page.last},
            headers={"X-Total": str(page.total)},
        )

    @route("GET", "/bare")
    def bare(self, request: Request) -> Response:
        return json_response(self.cut(request).rows)

    @route("GET", "/links")
    def links(self, request: Request) -> Response:
        start = int(request.query.get("start", 0))
        following = f"{self.url}/links?start={start + 10}" if start + 10 < len(self.rows) else None
        if request.query.get("relative") or request.headers.get("X-Relative"):
            following = following and f"?start={start + 10}"
        return json_response({"rows": self.rows[start : start + 10], "links": {"next": following}})

    @route("GET", "/tokens")
    def tokens(self, request: Request) -> Response:
        start = int(request.query.get("token") or 0)
        body: dict[str, Any] = {"rows": self.rows[start : start + 10], "filter": request.query.get("filter")}
        if start + 10 < len(self.rows):
            body["nextToken"] = str(start + 10)
        return json_response(body)


@pytest.fixture
def lists() -> Iterator[Lists]:
    with Lists(95) as fake:
        yield fake


@pytest.fixture
def session(lists: Lists) -> Iterator[RestSession]:
    made = RestSession(lists.url)
    yield made
    made.close()


def ids(items: Any) -> list[int]:
    return [item["id"] for item in items]


WAYS = {
    "total": {"total": "meta.total"},
    "total by function": {"total": lambda body: body["meta"]["total"]},
    "total in a header": {"total": "header:X-Total"},
    "count": {"count": "pages"},
    "neither": {},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [7, 10, 19, 94, 95, 96, 1000])
def test_every_item_comes_once_and_in_order(lists: Lists, session: RestSession, way: str, size: int) -> None:
    assert ids(session.pages("/numbered", items="data.rows", size=size, **WAYS[way])) == list(range(95))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rows", [0, 1, 10, 20])
def test_short_lists(lists: Lists, session: RestSession, way: str, rows: int) -> None:
    lists.rows = lists.rows[:rows]
    assert ids(session.pages("/numbered", items="data.rows", size=10, **WAYS[way])) == list(range(rows))


@pytest.mark.parametrize("way", WAYS)
def test_a_service_that_gives_fewer_than_asked_for_truncates_nothing(
    lists: Lists, session: RestSession, way: str
) -> None:
    lists.most = 10
    assert ids(session.pages("/numbered", items="data.rows", size=50, **WAYS[way])) == list(range(95))


def test_pages_come_side_by_side_once_the_total_is_known(lists: Lists, session: RestSession) -> None:
    lists.meeting = threading.Barrier(4, timeout=60)
    list(session.pages("/numbered", items="data.rows", size=10, total="meta.total", workers=4))
    assert len(lists.requests) == 10
    assert lists.most_at_once == 4
    lists.meeting, lists.most_at_once = None, 0
    list(session.pages("/numbered", items="data.rows", size=10))
    assert lists.most_at_once == 1


def test_a_bare_list_and_other_names(lists: Lists, session: RestSession) -> None:
    assert ids(session.pages("/bare", items="", size=10)) == list(range(95))
    found = session.pages(
        "/bare", items=lambda body: body, page=lambda index, size: {"page": index + 1, "per_page": size}, size=10
    )
    assert ids(found) == list(range(95))


def test_items_are_made_where_they_arrive(lists: Lists, session: RestSession) -> None:
    threads = set()

    def machine(row: Any) -> Machine:
        threads.add(threading.current_thread().name)
        return Machine(id=row["id"])

    found = list(session.pages("/numbered", items="data.rows", size=10, total="meta.total", each=machine))
    assert [machine.id for machine in found] == [str(number) for number in range(95)]
    assert len(threads) > 1


def test_an_item_that_moves_to_the_next_page_comes_once(lists: Lists, session: RestSession) -> None:
    found = session.pages("/numbered", items="data.rows", size=10)
    first = [next(found) for _ in range(10)]
    lists.rows.insert(0, {"id": 1000})
    assert ids([*first, *found]) == list(range(95))


def test_a_list_that_grows_meanwhile_is_followed(lists: Lists, session: RestSession) -> None:
    found = session.pages("/numbered", items="data.rows", size=50, total="meta.total")
    first = [next(found) for _ in range(50)]
    lists.rows += [{"id": number} for number in range(95, 130)]
    assert ids([*first, *found]) == list(range(130))


class Odd(FakeService):
    """Answers one list after the other, the last one for ever."""

    def __init__(self, *bodies: Any) -> None:
        super().__init__()
        self.bodies = list(bodies)

    def not_found(self, request: Request) -> Response:
        body = self.bodies.pop(0) if len(self.bodies) > 1 else self.bodies[0]
        return json_response(body(len(self.requests)) if callable(body) else body)


def rows(*numbers: int, **more: Any) -> dict[str, Any]:
    return {"rows": [{"id": number} for number in numbers], **more}


def test_a_page_that_comes_again_and_again() -> None:
    with Odd(rows(1, 2)) as odd:
        with pytest.raises(ProviderError, match="same page again") as caught:
            list(RestSession(odd.url).pages("/x", items="rows", size=2))
        assert caught.value.reason == "paging"
        with pytest.raises(ProviderError, match="same page again"):
            list(RestSession(odd.url).pages("/x", items="rows", size=2, total=lambda body: 100))
    with Odd({"rows": [["a"], ["b"]]}) as odd, pytest.raises(ProviderError, match="same page again"):
        list(RestSession(odd.url).pages("/x", items="rows", size=2))


def test_fewer_items_than_announced_is_an_error() -> None:
    with Odd(rows(1, 2, total=5), rows(3, total=5), rows(total=5)) as odd:
        found = RestSession(odd.url).pages("/x", items="rows", size=2, total="total")
        got = []
        with pytest.raises(ProviderError, match="only 3 of 5 items came"):
            got.extend(found)


def test_a_list_that_shrinks_meanwhile_is_no_error() -> None:
    with Odd(rows(1, 2, total=4), rows(3, total=3)) as odd:
        assert ids(RestSession(odd.url).pages("/x", items="rows", size=2, total="total")) == [1, 2, 3]


@pytest.mark.parametrize("total", [10**9, 10**30])
def test_a_total_beyond_reason(total: int) -> None:
    with Odd(rows(1, 2, total=total)) as odd, pytest.raises(ProviderError) as caught:
        list(RestSession(odd.url).pages("/x", items="rows", size=2, total="total"))
    assert caught.value.reason == "paging"
    assert len(odd.requests) == 1


@pytest.mark.parametrize("total", [None, "many", -5, [], True])
def test_an_unreadable_total_counts_as_none(total: Any) -> None:
    with Odd(rows(1, 2, total=total), rows(3, total=total)) as odd:
        assert ids(RestSession(odd.url).pages("/x", items="rows", size=2, total="total")) == [1, 2, 3]


def test_pages_without_end() -> None:
    with Odd(lambda number: rows(number)) as odd, deadline(1), pytest.raises(Unreachable):
        list(RestSession(odd.url).pages("/x", items="rows", size=1))
    with Odd(lambda number: rows(number, next=str(number))) as odd, deadline(1), pytest.raises(Unreachable):
        list(RestSession(odd.url).follow("/x", items="rows", next="next", param="token"))
    with Odd(lambda number: rows(next=str(number))) as odd, pytest.raises(ProviderError, match="without end"):
        list(RestSession(odd.url).follow("/x", items="rows", next="next", param="token"))
    assert len(odd.requests) < 200


@pytest.mark.parametrize(
    "body", [{}, [], None, 7, {"rows": None}, {"rows": 7}, {"rows": "abc"}, {"rows": {"a": 1}}, {"other": []}]
)
def test_an_answer_without_a_list_is_not_an_empty_list(body: Any) -> None:
    with Odd(body) as odd:
        for found in (
            RestSession(odd.url).pages("/x", items="rows"),
            RestSession(odd.url).follow("/x", items="rows", next="next"),
        ):
            with pytest.raises(ProviderError, match="holds no 'rows'"):
                list(found)


def test_an_error_on_a_later_page_is_raised_after_what_came(lists: Lists, session: RestSession) -> None:
    lists.fault(json_response({}, status=401), where=lambda request: request.query["page"] == "4")
    got: list[Any] = []
    with pytest.raises(AuthenticationFailed):
        got.extend(session.pages("/numbered", items="data.rows", size=10, total="meta.total"))
    assert ids(got) == list(range(30))


def test_the_deadline_holds_in_every_thread(lists: Lists) -> None:
    def slow(request: Request) -> bool:
        return request.query["page"] == "9"

    lists.fault(Response(200, b"{}", delay=HANGS), where=slow)
    session = RestSession(lists.url, timeout=PATIENCE)
    with deadline(0.5), pytest.raises(Unreachable):
        list(session.pages("/numbered", items="data.rows", size=10, total="meta.total"))
    session.close()


# -- following --------------------------------------------------------------------------------------------------------


def test_links_are_followed(lists: Lists, session: RestSession) -> None:
    assert ids(session.follow("/links", items="rows", next="links.next")) == list(range(95))
    assert [request.query for request in lists.requests[:2]] == [{}, {"start": "10"}]
    relative = session.follow("/links", items="rows", next="links.next", headers={"X-Relative": "1"})
    assert ids(relative) == list(range(95))


def test_tokens_are_followed_and_parameters_kept(lists: Lists, session: RestSession) -> None:
    found = session.follow("/tokens", items="rows", next="nextToken", param="token", params={"filter": "a"})
    assert ids(found) == list(range(95))
    assert all(request.query["filter"] == "a" for request in lists.requests)


def test_markers_and_offsets_are_followed(lists: Lists, session: RestSession) -> None:
    def following(body: Any) -> dict[str, Any]:
        return {"token": body["rows"][-1]["id"] + 1} if len(body["rows"]) == 10 else {}

    assert ids(session.follow("/tokens", items="rows", next=following)) == list(range(95))


def test_a_circle_is_noticed() -> None:
    for after in ("/x?page=2", "/x?page=1"):
        with (
            Odd(rows(1, next="/x?page=2"), rows(2, next=after)) as odd,
            pytest.raises(ProviderError, match="has given already") as caught,
        ):
            list(RestSession(odd.url).follow("/x?page=1", items="rows", next="next"))
        assert caught.value.reason == "paging"
        assert len(odd.requests) == 2


def test_a_page_that_comes_again_under_another_name() -> None:
    with (
        Odd(rows(1, next="a"), rows(2, 3, next="b"), lambda number: rows(4, 5, next=str(number))) as odd,
        pytest.raises(ProviderError, match="the same page again and again") as caught,
    ):
        list(RestSession(odd.url).follow("/x", items="rows", next="next", param="token"))
    assert caught.value.reason == "paging"
    assert len(odd.requests) == 4


@pytest.mark.parametrize("link", ["http://evil.example/x", "//evil.example/x", "https://127.0.0.1/x"])
def test_links_to_elsewhere_are_not_followed(link: str) -> None:
    with Odd(rows(1, next=link)) as odd, pytest.raises(ProviderError, match="elsewhere"):
        list(RestSession(odd.url, headers={"X-Token": "t"}).follow("/x", items="rows", next="next"))


def test_a_next_that_is_no_link() -> None:
    with Odd(rows(1, next=7)) as odd, pytest.raises(ProviderError, match="not a link"):
        list(RestSession(odd.url).follow("/x", items="rows", next="next"))
