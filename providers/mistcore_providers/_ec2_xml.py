"""EC2's XML, read safely: a document type is refused, and with it every entity that it might declare.

There are two ways to read it. `parse` builds a tree. `Flat` builds nothing: expat has made sure that the document is
well-formed, and in a well-formed document without comments, CDATA sections and attributes (EC2 sends none of them) a
tag, and the text up to the next one, are exactly what a search for them finds. For a thousand instances that takes
half of the time, and none of the 30 MB of a tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import groupby, pairwise
from typing import Any
from xml.etree.ElementTree import TreeBuilder
from xml.parsers import expat

__all__ = ["Flat", "Malformed", "error_in", "items", "local", "parse", "text"]


class Malformed(ValueError):
    """What came is not XML, or not the XML that was asked for."""


def local(element: Any) -> str:
    """Return an element's tag without its namespace's prefix."""
    tag: str = element.tag
    return tag.rpartition(":")[2]


def parse(body: bytes, expected: str = "") -> Any:
    """Return the root element of a document; tags are as written, see `local`.

    Args:
        body: the document.
        expected: what the root's tag begins with.

    Raises:
        Malformed: it is empty, cut off, not XML, not what was expected, or has a document type.

    """
    tree = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.data
    _run(parser, body)
    root = tree.close()
    _expect(local(root), expected)
    return root


class Flat:
    """A document of which only the texts of some elements are wanted. Raises as `parse` does."""

    def __init__(self, body: bytes, expected: str) -> None:
        root, plain = _survey(body)
        prefix, colon, name = root.rpartition(":")
        self._namespace = prefix + colon
        _expect(name, expected)
        self._text = ""
        if plain:
            try:
                self._text = body.decode()
            except UnicodeDecodeError:
                plain = False
        plain = plain and not _has_attributes(self._text, self._text.find(">", self._text.find(f"<{root}")))
        self._tree = None if plain else parse(body)

    def only(self, tag: str) -> str:
        """Return the text of the only element with this tag, or "" where there is none."""
        if self._tree is not None:
            return next((element.text or "" for element in self._tree.iter() if local(element) == tag), "")
        start = self._text.rfind(f"<{self._namespace}{tag}>")
        if start < 0:
            return ""
        return _unescaped(self._text[self._text.find(">", start) + 1 : self._text.find("<", start + 1)])

    def entries(self, name: str, mark: str, wanted: frozenset[str]) -> Iterator[list[tuple[str, str]]]:
        """Yield, for each entry of each list called `name`, tag and text of its wanted elements, however deep.

        Args:
            name: the lists; they do not nest.
            mark: an element that each entry has once, and nothing else in it has.
            wanted: the tags of the elements, `mark` among them.

        """
        if self._tree is not None:
            for element in self._tree.iter():
                if local(element) == name:
                    yield from _entries_in(element, wanted)
            return
        document, namespace = self._text, self._namespace
        pattern = _pattern(namespace, wanted)
        opening, closing, marked = f"<{namespace}{name}>", f"</{namespace}{name}>", f"<{namespace}{mark}>"
        begins = re.compile(rf"<{re.escape(namespace)}item>\s*{re.escape(marked)}")
        end = 0
        while (start := document.find(opening, end)) >= 0:
            end = document.find(closing, start)
            bounds = [start, end]
            several = document.count(marked, start, end)
            if several > 1:
                bounds = [*(found.start() for found in begins.finditer(document, start, end)), end]
                if len(bounds) != several + 1:  # the mark does not come first in each, so where one ends is not seen
                    yield from _entries_in(parse(f"{document[start:end]}{closing}".encode()), wanted)
                    continue
            for first, last in pairwise(bounds):
                leaves = pattern.findall(document, first, last)
                if document.find("&", first, last) >= 0:
                    leaves = [(tag, _unescaped(value)) for tag, value in leaves]
                if leaves:
                    yield leaves


def _has_attributes(document: str, start: int) -> bool:
    """Tell whether a tag after the root's has an attribute; the dear search comes only after the cheap ones."""
    if document.find("=", start) < 0 or not re.compile(r"=\s*[\"']").search(document, start):
        return False
    return re.compile(r"<[^<>]*=\s*[\"']").search(document, start) is not None


def _entries_in(element: Any, wanted: frozenset[str]) -> Iterator[list[tuple[str, str]]]:
    for entry in element:
        leaves = ((local(leaf), leaf.text or "") for leaf in entry.iter())
        yield [(tag, value) for tag, value in leaves if tag in wanted]


def _unescaped(value: str) -> str:
    return parse(f"<v>{value}</v>".encode()).text or "" if "&" in value else value


def _survey(body: bytes) -> tuple[str, bool]:
    """Return the root's tag, and whether the document has nothing but elements and text, in UTF-8."""
    found: list[str] = []
    odd: list[object] = []
    parser = expat.ParserCreate()

    def first(tag: str, _attributes: object) -> None:
        found.append(tag)
        parser.StartElementHandler = None

    def declaration(_version: str, encoding: str | None, _standalone: int) -> None:
        if (encoding or "utf-8").lower() != "utf-8":
            odd.append(encoding)

    def unusual(*seen: object) -> None:
        odd.append(seen)

    parser.StartElementHandler = first
    parser.XmlDeclHandler = declaration
    parser.CommentHandler = parser.StartCdataSectionHandler = parser.ProcessingInstructionHandler = unusual
    _run(parser, body)
    return found[0], not odd


def _run(parser: expat.XMLParserType, body: bytes) -> None:
    def refuse(*_about: object) -> None:
        raise Malformed("it has a document type, which EC2's answers never have")

    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise Malformed(str(error)) from None
    except (LookupError, ValueError) as error:
        raise error if isinstance(error, Malformed) else Malformed(str(error)) from None


def _expect(tag: str, expected: str) -> None:
    if not tag.startswith(expected):
        raise Malformed(f"it is a {tag[:40]!r}")


@cache
def _pattern(namespace: str, wanted: frozenset[str]) -> re.Pattern[str]:
    by_letter = [(letter, list(tags)) for letter, tags in groupby(sorted(wanted), key=lambda tag: tag[0])]
    names = "|".join(f"{letter}(?:{'|'.join(tag[1:] for tag in tags)})" for letter, tags in by_letter)
    # The text of an element that has children is the white space before the first of them.
    return re.compile(rf"<{re.escape(namespace)}({names})>([^<]*)")


def items(element: Any, name: str) -> Any:
    """Return the child called `name`, whose children are the entries of a list; nothing where there is none."""
    for child in element:
        if local(child) == name:
            return child
    return ()


def text(element: Any, *path: str) -> str:
    """Return the text at a path of tags below an element, or ""."""
    for name in path:
        element = items(element, name)
    return (getattr(element, "text", None) or "").strip()


def error_in(body: bytes) -> tuple[str, str]:
    """Return code and message of a refusal, each "" where it holds none.

    EC2 wraps them as Response/Errors/Error, the other services as ErrorResponse/Error.
    """
    try:
        root = parse(body)
    except Malformed:
        return "", ""
    for element in root.iter():
        if local(element) == "Error":
            return text(element, "Code"), text(element, "Message")
    return "", ""
