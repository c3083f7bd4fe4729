"""Requests and answers held against a vendor's Swagger 2 documents (OpenAPI 2.0): what is sent must be declared."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema

from mistcore.testing.server import Request, Response


class Documents:
    """Every operation of a folder of documents. `newer`: properties that came after the versions at hand."""

    def __init__(self, folder: Path, *, newer: frozenset[str] = frozenset()) -> None:
        paths = [path for path in sorted(folder.rglob("*.json")) if "examples" not in path.parts]
        self._documents = {path.relative_to(folder).as_posix(): json.loads(path.read_text()) for path in paths}
        self._newer = newer
        self._operations = []
        for name, document in self._documents.items():
            for template, methods in document.get("paths", {}).items():
                for method, operation in methods.items():
                    pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
                    found = (method.upper(), re.compile(pattern, re.IGNORECASE), template, name, operation)
                    self._operations.append(found)
        # Where two templates fit, the one with fewer parameters is meant.
        self._operations.sort(key=lambda found: found[2].count("{"))

    def problems(self, request: Request, response: Response) -> Iterator[str]:
        """Yield what is wrong with an exchange, in words; one that no document knows is wrong."""
        where = f"{request.method} {request.path}"
        path = unquote(request.path)
        known = (each for each in self._operations if each[0] == request.method and each[1].fullmatch(path))
        _, _, _, name, operation = next(known, (None, None, "", "", None))
        if operation is None:
            yield f"{where}: no document knows it"
            return
        parameters = [self._resolved(name, each) for each in operation.get("parameters", [])]
        declared = {each["name"].lower(): each for _, each in parameters if each["in"] == "query"}
        for word in request.query:
            if word.lower() not in declared and word.lower() != "$skiptoken":
                yield f"{where}: no parameter {word!r}"
        yield from (
            f"{where}: parameter {word!r} is missing"
            for word, each in declared.items()
            if each.get("required") and word not in {one.lower() for one in request.query}
        )
        body = next(((source, each) for source, each in parameters if each["in"] == "body"), None)
        if (body is None) != (not request.body):
            yield f"{where}: {'a body that is not declared' if body is None else 'no body'}"
        elif body is not None:
            yield from self._invalid(f"{where} sent", *self._schema(*body), request.json(), sent=True)
        answers = operation["responses"]
        if response.status >= 400:
            return
        answer = answers.get(str(response.status))
        if answer is None:
            yield f"{where}: answered {response.status}, which is not declared"
        elif "schema" in answer and response.body:
            yield from self._invalid(f"{where} answered", name, answer["schema"], json.loads(response.body), sent=False)

    def _schema(self, name: str, parameter: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return name, parameter["schema"]

    def _invalid(self, where: str, name: str, schema: dict[str, Any], value: Any, *, sent: bool) -> Iterator[str]:
        definitions: dict[str, Any] = {}
        converted = self._convert(name, schema, definitions, sent=sent)
        validator = jsonschema.Draft202012Validator({**converted, "$defs": definitions})
        for error in validator.iter_errors(value):
            yield f"{where}: {error.json_path}: {error.message[:200]}"

    def _resolved(self, name: str, value: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        while "$ref" in value:
            file, _, pointer = value["$ref"].partition("#")
            if file:
                name = posixpath.normpath(posixpath.join(posixpath.dirname(name), file))
                name = name if name in self._documents else self._common(name)
            found: Any = self._documents.get(name, {})
            for part in pointer.strip("/").split("/"):
                found = found.get(part, {})
            value = found
        return name, value

    def _common(self, name: str) -> str:
        """Return where a document is that has another place here than at its origin."""
        tail = posixpath.join(*name.split("/")[-2:])
        return next((known for known in self._documents if known.endswith(tail)), name)

    def _convert(self, name: str, schema: dict[str, Any], definitions: dict[str, Any], *, sent: bool) -> dict[str, Any]:
        if "$ref" in schema:
            key = f"{name}{schema['$ref']}".replace("/", "|").replace("#", "|")
            if key not in definitions:
                definitions[key] = {}
                source, found = self._resolved(name, schema)
                definitions[key] = self._convert(source, found, definitions, sent=sent)
            return {"$ref": f"#/$defs/{key}"}
        converted: dict[str, Any] = {key: schema[key] for key in ("type", "pattern") if key in schema}
        if schema.get("enum") and not schema.get("x-ms-enum", {}).get("modelAsString", False):
            converted["enum"] = schema["enum"]
        if "items" in schema:
            converted["items"] = self._convert(name, schema["items"], definitions, sent=sent)
        properties = dict(self._properties(name, schema))
        if properties:
            converted["properties"] = {
                key: self._convert(source, each, definitions, sent=sent)
                for key, (source, each) in properties.items()
                if not (sent and each.get("readOnly"))
            }
            if sent:
                converted["additionalProperties"] = False
                converted["properties"] |= {key: {} for key in self._newer}
                converted["required"] = schema.get("required", [])
        elif isinstance(schema.get("additionalProperties"), dict):
            converted["additionalProperties"] = self._convert(
                name, schema["additionalProperties"], definitions, sent=sent
            )
        return converted

    def _properties(self, name: str, schema: dict[str, Any]) -> Iterator[tuple[str, tuple[str, dict[str, Any]]]]:
        for part in schema.get("allOf", []):
            yield from self._properties(*self._resolved(name, part))
        yield from ((key, (name, each)) for key, each in schema.get("properties", {}).items())
