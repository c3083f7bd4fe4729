"""Lists that come in pages: every item, no page twice, and never fewer items than the service said there are."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import attrs

from mistcore.errors import ProviderError
from mistcore.http.read_json import rows_in
from mistcore.parallel import in_parallel
from mistcore.rows import read_row

if TYPE_CHECKING:
    from mistcore.http.exchange import Answer

__all__ = ["Numbered", "followed", "numbered"]

#: More pages than any real list has: the end for a service that invents ever new ones.
_MOST_PAGES = 10_000
_MOST_EMPTY_PAGES = 100

Where = str | Callable[[Any], Any]


@attrs.frozen
class Numbered:
    """How a service numbers its pages; see `RestSession.pages`."""

    items: Where
    page: str | Callable[[int, int], Mapping[str, Any]]
    per_page: str
    size: int
    first: int
    total: Where
    count: Where
    key: str

    def query(self, index: int) -> Mapping[str, Any]:
        """Return the parameters that ask for the page with this index, from 0."""
        if callable(self.page):
            return self.page(index, self.size)
        query: dict[str, Any] = {self.page: self.first + index}
        if self.per_page:
            query[self.per_page] = self.size
        return query


@attrs.frozen
class _Page:
    items: list[Any]
    keys: list[Any] | None
    mark: int
    total: int | None
    count: int | None


def numbered(
    fetch: Callable[[Mapping[str, Any]], Answer],
    plan: Numbered,
    each: Callable[[Any], Any] | None,
    workers: int,
) -> Iterator[Any]:
    """Yield the items of all pages in their order."""
    # One page is taken apart at a time: threads would not be faster at that, but all their pages would be in memory.
    one_at_a_time = threading.Lock()

    def load(index: int) -> _Page:
        answer = fetch(plan.query(index))
        with one_at_a_time:
            return _row_by_row(answer, plan, each) or _page(answer, plan, each)

    check = _Progress()

    def new_items(page: _Page) -> Iterable[Any]:
        new = check.new_items(page)
        return new if each is None else (item for item in new if item is not None)

    first = load(0)
    yield from new_items(first)
    known = _pages_in_all(first)
    index = 1
    if known is not None:
        if known > _MOST_PAGES:
            raise _paging_error(f"the service speaks of {known} pages")
        for page in in_parallel(load, range(1, known), workers=workers):
            yield from new_items(page)
        index = max(known, 1)
    while check.more_to_come(plan.size, known is not None):
        if index >= _MOST_PAGES:
            raise _paging_error(f"there are more than {_MOST_PAGES} pages")
        yield from new_items(load(index))
        index += 1
    check.complete()


def followed(
    fetch: Callable[[str, Mapping[str, Any]], Answer],
    url: str,
    query: dict[str, Any],
    *,
    items: Where,
    after: Where,
    param: str,
) -> Iterator[Any]:
    """Yield the items of all pages, each of which says where the next one is."""
    seen = {_asked(url, query)}
    empty = 0
    before: list[Any] = []
    while True:
        answer = fetch(url, query)
        body = answer.json()
        found = _list(_find(items, body, answer), items)
        if found and found == before:
            raise _paging_error("the service gives the same page again and again")
        yield from found
        before = found
        empty = 0 if found else empty + 1
        following = _find(after, body, answer)
        if following in (None, "", False) or following == {}:
            return
        if isinstance(following, Mapping):
            query = {**query, **following}
        elif param:
            query = {**query, param: following}
        elif isinstance(following, str):
            url, query = urljoin(url, following), {}
        else:
            raise _paging_error("the place of the next page is not a link")
        asked = _asked(url, query)
        if asked in seen:
            raise _paging_error("the service leads back to a page that it has given already")
        seen.add(asked)
        if len(seen) > _MOST_PAGES or empty > _MOST_EMPTY_PAGES:
            raise _paging_error("the service gives page after page without end")


class _Progress:
    """What has come so far, and whether that can be true."""

    def __init__(self) -> None:
        self._marks: set[int] = set()
        self._keys: set[Any] = set()
        self._pages = 0
        self._came = 0
        self._first_length = 0
        self._last_length = 0
        self._least_total: int | None = None
        self._last_total: int | None = None

    def new_items(self, page: _Page) -> list[Any]:
        """Take note of a page and return those of its items that have not come before."""
        length = len(page.items)
        if length and page.mark in self._marks:
            raise _paging_error("the service gives the same page again and again")
        self._marks.add(page.mark)
        self._pages += 1
        self._came += length
        self._last_length = length
        if self._pages == 1:
            self._first_length = length
        if page.total is not None:
            self._last_total = page.total
            self._least_total = page.total if self._least_total is None else min(self._least_total, page.total)
        if page.keys is None:
            return page.items
        new = []
        for key, item in zip(page.keys, page.items, strict=True):
            if key not in self._keys:
                self._keys.add(key)
                new.append(item)
        return new

    def more_to_come(self, size: int, counted: bool) -> bool:
        """Tell whether to ask for one more page.

        A page that is shorter than asked for may only mean that the service gives fewer at a time. So without a total
        the end is an empty page, or one that is shorter than the first.
        """
        if not self._last_length:
            return False
        if self._last_total is not None:
            return self._came < self._last_total
        return not counted and self._last_length >= min(self._first_length, size)

    def complete(self) -> None:
        """Raise if fewer items came than any page said there are."""
        if self._least_total is not None and self._came < self._least_total:
            raise _paging_error(f"only {self._came} of {self._least_total} items came")


def _row_by_row(answer: Answer, plan: Numbered, each: Callable[[Any], Any] | None) -> _Page | None:
    """Return the page, never having had more than one of its rows in memory; None where that cannot be done."""
    counts = [where for where in (plan.total, plan.count) if where]
    if each is None or not all(isinstance(where, str) for where in (plan.items, *counts)):
        return None
    inside = [str(where) for where in counts if not str(where).startswith("header:")]
    found = rows_in(answer.body, str(plan.items), inside)
    if found is None:
        return None
    items, keys = [], []
    try:
        for row in found.rows:
            keys.append(row.get(plan.key) if isinstance(row, dict) else None)
            items.append(read_row(each, row))
    except (ValueError, RecursionError):  # one of them is no JSON: that is said where all is read
        return None
    total, count = (
        _number(found.others[where] if where in found.others else _find(where, None, answer)) if where else None
        for where in map(str, (plan.total, plan.count))
    )
    known = _known(keys)
    return _Page(items, known, hash(tuple(keys)) if known is not None else hash(bytes(found.text)), total, count)


def _page(answer: Answer, plan: Numbered, each: Callable[[Any], Any] | None) -> _Page:
    body = answer.json()
    rows = _list(_find(plan.items, body, answer), plan.items)
    keys = _known([row.get(plan.key) if isinstance(row, dict) else None for row in rows])
    mark = hash(tuple(keys)) if keys is not None else hash(json.dumps(rows))
    total = _number(_find(plan.total, body, answer)) if plan.total else None
    count = _number(_find(plan.count, body, answer)) if plan.count else None
    if each is not None:
        for index, row in enumerate(rows):  # in its place: a row takes more memory than what is made of it
            rows[index] = read_row(each, row)
    return _Page(rows, keys, mark, total, count)


def _known(keys: list[Any]) -> list[Any] | None:
    """Return the keys, or None where they do not tell the items apart."""
    return keys if all(isinstance(key, (str, int)) for key in keys) else None


def _pages_in_all(first: _Page) -> int | None:
    if first.count is not None:
        return first.count
    if first.total is None:
        return None
    return -(-first.total // len(first.items)) if first.items else 1


def _find(where: Where, body: Any, answer: Answer) -> Any:
    if callable(where):
        return where(body)
    if where.startswith("header:"):
        return answer.headers.get(where.partition(":")[2])
    for name in filter(None, where.split(".")):
        body = body.get(name) if isinstance(body, dict) else None
    return body


def _list(found: Any, where: Where) -> list[Any]:
    """Return the items; an answer without them is not the same as an empty list."""
    if isinstance(found, list):
        return found
    if isinstance(found, Iterable) and not isinstance(found, (str, bytes, Mapping)):
        return list(found)
    name = repr(where) if isinstance(where, str) and where else "a list"
    raise ProviderError(f"the answer holds no {name} to read", reason="garbled", remedy="Is the address right?")


def _number(value: Any) -> int | None:
    """Return a count, also one written as text as headers have it; None for what cannot be one."""
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value[:40])
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _asked(url: str, query: Mapping[str, Any]) -> str:
    return f"{url}\n{json.dumps(query, sort_keys=True, default=str)}"


def _paging_error(words: str) -> ProviderError:
    return ProviderError(words, reason="paging", remedy="Nothing was left out silently; report this to the service.")
