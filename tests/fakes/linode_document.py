"""Where Linode's OpenAPI document contradicts itself, and what is read there instead.

All the rest of the document is held to as it stands. Each correction raises LookupError as soon as the vendor's
document has no such contradiction any more: then it is to be deleted here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_LOCAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\Z")
_INSTANCES, _VPCS = "/{apiVersion}/linode/instances", "/{apiVersion}/vpcs"


def times_without_a_zone(document: Any) -> None:
    """Read a time as one without a zone where the schema's own example is one.

    `format: date-time` is RFC 3339, which always has a zone; 394 of the examples beside it have none, and neither have
    the recorded answers. Without this, no answer with a time in it could be right.
    """
    found = [
        schema
        for schema in _dicts(document)
        if schema.get("format") == "date-time" and _LOCAL.match(str(schema.get("example")))
    ]
    if not found:
        raise LookupError("no example of a date-time lacks its zone")
    for schema in found:
        schema["format"] = "date-time-without-zone"


def the_body_of_a_new_linode(document: Any) -> None:
    """Read the two parts of the body as one whole that allows the properties of both.

    The first part allows nothing but its own properties, and the whole requires `type` and `region`, which only the
    second part has: no body at all would be right.
    """
    media = document["paths"][_INSTANCES]["post"]["requestBody"]["content"]["application/json"]
    media["schema"] = _whole(media["schema"], "type", "region")


def a_page_of_vpcs(document: Any) -> None:
    """Read the two parts of the page as one whole that allows the properties of both.

    The first part allows nothing but `page`, `pages` and `results`, the second describes `data`; the document's example
    beside them has all four.
    """
    media = document["paths"][_VPCS]["get"]["responses"]["200"]["content"]["application/json"]
    if "data" not in media["example"]:
        raise LookupError("the example has no data")
    media["schema"] = _whole(media["schema"], "data")


CORRECTIONS = (times_without_a_zone, the_body_of_a_new_linode, a_page_of_vpcs)


def _whole(schema: Any, *shut_out: str) -> dict[str, Any]:
    """Return as one closed schema what is composed of two, of which the first is closed and shuts these names out."""
    parts = schema.get("allOf") or ()
    if len(parts) != 2 or parts[0].get("additionalProperties") is not False or set(shut_out) & set(_names(parts[0])):
        raise LookupError(f"no part of the schema shuts out {', '.join(shut_out)}")
    known = {"additionalProperties", "allOf", "description", "properties", "required", "type"}
    if unknown := {key for part in (schema, *parts) for key in part if not key.startswith("x-")} - known:
        raise LookupError(f"the schema has what would be lost: {', '.join(sorted(unknown))}")
    first, second = parts
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": first["properties"] | second["properties"],
        "required": [name for part in (schema, *parts) for name in part.get("required", ())],
    }


def _names(schema: Any) -> list[str]:
    return list(schema.get("properties") or ())


def _dicts(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _dicts(inner)
