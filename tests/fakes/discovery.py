"""Requests and answers held against one of Google's discovery documents: what is sent must be declared."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema

from mistcore.testing.server import Request, Response


class Document:
    """Every method of a document. `also`: parameters that are taken though they are only described."""

    def __init__(self, path: Path, *, also: frozenset[str] = frozenset()) -> None:
        self._document = json.loads(path.read_text())
        self._base = "/" + self._document["servicePath"]
        self._common = set(self._document["parameters"]) | also
        self._methods = list(self._methods_of(self._document))

    def problems(self, request: Request, response: Response) -> Iterator[str]:
        """Yield what is wrong with an exchange, in words; one that the document does not know is wrong."""
        where = f"{request.method} {request.path}"
        path = request.path.removeprefix(self._base)
        known = (each for each in self._methods if each["httpMethod"] == request.method and _fits(each, path))
        method = next(known, None)
        if method is None:
            yield f"{where}: the document does not know it"
            return
        parameters = method.get("parameters", {})
        declared = {name for name, each in parameters.items() if each["location"] == "query"} | self._common
        yield from (f"{where}: no parameter {name!r}" for name in request.query if name not in declared)
        for name, each in parameters.items():
            pattern = each.get("pattern")
            if each["location"] == "path" and pattern:
                value = _path_values(method, path)[name]
                if not re.fullmatch(pattern, value):
                    yield f"{where}: {name} is {value!r}"
        if ("request" in method) != bool(request.body):
            yield f"{where}: {'no body' if 'request' in method else 'a body that is not declared'}"
        elif request.body:
            yield from self._invalid(f"{where} sent", method["request"], request.json(), sent=True)
        if response.status < 400 and response.body and "response" in method:
            body = json.loads(response.body)
            yield from self._invalid(f"{where} answered", method["response"], body, sent=False)

    def _methods_of(self, resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from resource.get("methods", {}).values()
        for inner in resource.get("resources", {}).values():
            yield from self._methods_of(inner)

    def _invalid(self, where: str, schema: dict[str, Any], value: Any, *, sent: bool) -> Iterator[str]:
        definitions: dict[str, Any] = {}
        converted = self._convert(schema, definitions, sent=sent)
        validator = jsonschema.Draft202012Validator({**converted, "$defs": definitions})
        yield from (f"{where}: {error.json_path}: {error.message[:200]}" for error in validator.iter_errors(value))

    def _convert(self, schema: dict[str, Any], definitions: dict[str, Any], *, sent: bool) -> dict[str, Any]:
        if "$ref" in schema:
            name = schema["$ref"]
            if name not in definitions:
                definitions[name] = {}
                definitions[name] = self._convert(self._document["schemas"][name], definitions, sent=sent)
            return {"$ref": f"#/$defs/{name}"}
        converted: dict[str, Any] = {key: schema[key] for key in ("enum",) if key in schema}
        if schema.get("type", "any") != "any":
            converted["type"] = schema["type"]
        if "pattern" in schema:
            converted["pattern"] = f"^(?:{schema['pattern']})$"
        if "items" in schema:
            converted["items"] = self._convert(schema["items"], definitions, sent=sent)
        if "properties" in schema:
            converted["properties"] = {
                name: self._convert(each, definitions, sent=sent)
                for name, each in schema["properties"].items()
                if not (sent and each.get("readOnly"))
            }
            converted["additionalProperties"] = False
        elif "additionalProperties" in schema:
            converted["additionalProperties"] = self._convert(schema["additionalProperties"], definitions, sent=sent)
        return converted


def _fits(method: dict[str, Any], path: str) -> bool:
    return re.fullmatch(_pattern(method), path) is not None


def _path_values(method: dict[str, Any], path: str) -> dict[str, str]:
    found = re.fullmatch(_pattern(method), path)
    return found.groupdict() if found else {}


def _pattern(method: dict[str, Any]) -> str:
    template = method.get("flatPath") or method["path"]
    return re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/:]+)", re.escape(template))
