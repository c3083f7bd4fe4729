"""Holds requests and answers against a vendor's OpenAPI document: what no test of ours could make up.

Beyond the schemas it refuses parameters and properties that the document does not know, which catches typing errors.
"""

from __future__ import annotations

import functools
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml
from fakes.openapi_schema import (
    ANSWER,
    BODY,
    CHOICE,
    PARAMETER,
    given_to,
    mismatch,
    needed_scopes,
    read_as,
    unknown_properties,
)

from mistcore.testing.server import Request, Response

#: Tells whether the token of a request has a scope.
Granted = Callable[[str], bool]
#: Changes a document, when it is loaded, where it contradicts itself; raises LookupError where it does so no more.
Correction = Callable[[Any], None]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads true and false only as booleans, as YAML 1.2 has it: a state called `off` is a word."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:bool"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|false)\Z"), list("tf"))


class OpenApi:
    """An OpenAPI 3.0 document, in one file or spread over many."""

    def __init__(self, root: Path, *, corrections: tuple[Correction, ...] = ()) -> None:
        self._files: dict[Path, Any] = {}
        self._resolved: dict[tuple[Path, str], Any] = {}
        self._lock = threading.RLock()
        self._root = root.resolve()
        whole = self._load(self._root)
        for correct in corrections:
            correct(whole)
        self._paths = [
            (re.compile(re.sub(r"\\\{([^/]+?)\\\}", r"(?P<\1>[^/]+)", re.escape(template)) + r"\Z"), template)
            for template in sorted(whole["paths"], key=lambda path: path.count("{"))
        ]

    def problems(self, request: Request, response: Response, granted: Granted | None = None) -> list[str]:
        """Return in what ways a request or its answer is not as the document says.

        Args:
            request: what was asked. response: what was answered, whatever its status.
            granted: tells which scopes the request's token has; without it no scope is looked at.

        """
        where = f"{request.method} {request.path}"
        return [
            f"{where}: {problem}"
            for problem in (*self.request_problems(request), *self.answer_problems(request, response, granted))
        ]

    def request_problems(self, request: Request) -> list[str]:
        """Return in what ways a request is not as the document says: path, query, headers, token, body."""
        found = self._operation(request.method, request.path)
        if found is None:
            return ["the document has no such operation"]
        operation, in_path = found
        return [
            *self._parameter_problems(operation, in_path, request),
            *self._security_problems(operation, request),
            *_body_problems(operation, request),
        ]

    def answer_problems(self, request: Request, response: Response, granted: Granted | None = None) -> list[str]:
        """Return in what ways an answer is not one that the document has for the request."""
        found = self._operation(request.method, request.path)
        if found is None:
            return []
        operation, _ = found
        named = f"the answer {response.status}"
        answer = _answer(operation, response.status)
        if answer is None:
            return [f"the status {response.status} is not among its answers"]
        problems = [f"{named}: {problem}" for problem in _header_problems(answer, response.headers)]
        if granted is not None and response.status < 400:
            problems += [
                f"{named} was given to a token without the scope {scope}"
                for scope in sorted(self._scopes(operation) | _scopes_of_body(operation, request))
                if not granted(scope)
            ]
        content = answer.get("content") or {}
        if not response.body:
            return problems + ([f"{named} has no body"] if content else [])
        kind = _media_type(response.headers)
        if kind not in content:
            return [*problems, f"{named} has a body of the type {kind or 'that it does not tell'}"]
        try:
            value = json.loads(response.body)
        except ValueError:
            return [*problems, f"{named} is not JSON"]
        schema, validator = content[kind].get("schema") or {}, ANSWER if granted is None else given_to(granted)
        return problems + [f"{named}: {problem}" for problem in mismatch(value, schema, validator)]

    # -- requests -----------------------------------------------------------------------------------------------------

    def _parameter_problems(self, operation: Any, in_path: Mapping[str, str], request: Request) -> Iterator[str]:
        declared = {(entry["in"], entry["name"]): entry for entry in operation["parameters"]}
        query = {name: request.query_lists.get(name) or [value] for name, value in request.query.items()}
        headers = {name.lower(): value for name, value in request.headers.items()}
        for name in query:
            if ("query", name) not in declared:
                yield f"the parameter {name!r} is not known"
        known = {name.lower() for place, name in declared if place == "header"}
        for name in headers:
            if name.startswith("x-") and name not in known:
                yield f"the header {name!r} is not known"
        for (place, name), parameter in declared.items():
            if place == "query":
                values = query.get(name, [])
            elif place == "path":
                values = [unquote(in_path[name])] if name in in_path else []
            else:
                values = [headers[name.lower()]] if name.lower() in headers else []
            if values:
                for problem in _value_problems(parameter, values):
                    yield f"the parameter {name!r}: {problem}"
            elif parameter.get("required"):
                yield f"the parameter {name!r} is missing"

    def _security_problems(self, operation: Any, request: Request) -> list[str]:
        alternatives = self._alternatives(operation)
        schemes = (self._load(self._root).get("components") or {}).get("securitySchemes") or {}
        if not alternatives or {} in alternatives:
            return []
        headers = {name.lower(): value for name, value in request.headers.items()}
        for name in {name for alternative in alternatives for name in alternative}:
            scheme = schemes[name]
            bearer = scheme["type"] == "oauth2" or (scheme["type"], scheme.get("scheme", "").lower()) == (
                "http",
                "bearer",
            )
            if bearer and re.fullmatch(r"(?i:bearer) [\w.~+/=-]+", headers.get("authorization", "")):
                return []
        return ["there is no token, or not in the way that the document says"]

    def _alternatives(self, operation: Any) -> list[dict[str, list[str]]]:
        found: list[dict[str, list[str]]] = operation.get("security", self._load(self._root).get("security")) or []
        return found

    def _scopes(self, operation: Any) -> set[str]:
        alternatives = self._alternatives(operation)
        return {scope for alternative in alternatives for scopes in alternative.values() for scope in scopes}

    # -- the document -------------------------------------------------------------------------------------------------

    @functools.cache  # noqa: B019 - one document lives as long as the tests do
    def _operation(self, method: str, path: str) -> tuple[Any, dict[str, str]] | None:
        with self._lock:  # what another thread has yet to resolve is empty
            for pattern, template in self._paths:
                item = self._load(self._root)["paths"][template]
                match = pattern.match(path)
                if match and method.lower() in item:
                    shared = self._resolve(item.get("parameters") or [], self._root)
                    operation = dict(self._resolve(item[method.lower()], self._root))
                    operation["parameters"] = [*shared, *operation.get("parameters", ())]
                    return operation, match.groupdict()
        return None

    def _load(self, path: Path) -> Any:
        if path not in self._files:
            text = path.read_text(encoding="utf-8")
            self._files[path] = json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=_Loader)
        return self._files[path]

    def _resolve(self, node: Any, base: Path) -> Any:
        """Return the node with every reference replaced by what it refers to; a circle stays a circle."""
        if isinstance(node, list):
            return [self._resolve(item, base) for item in node]
        if not isinstance(node, dict):
            return node
        if isinstance(node.get("$ref"), str):
            return self._refer(node["$ref"], base)
        resolved = {key: self._resolve(value, base) for key, value in node.items() if not _is_hint(key, value)}
        hint = node.get("discriminator")
        if isinstance(hint, dict) and isinstance(hint.get("mapping"), dict):
            choices = {value: self._refer(reference, base) for value, reference in hint["mapping"].items()}
            resolved[CHOICE] = {"by": hint["propertyName"], "among": choices}
        return resolved

    def _refer(self, reference: str, base: Path) -> Any:
        file, _, pointer = reference.partition("#")
        path = (base.parent / file).resolve() if file else base
        key = path, pointer
        if key not in self._resolved:
            node = self._load(path)
            for part in filter(None, pointer.split("/")):
                node = node[part.replace("~1", "/").replace("~0", "~")]
            holder: dict[str, Any] = {}
            self._resolved[key] = holder
            resolved = self._resolve(node, path)
            if not isinstance(resolved, dict):
                self._resolved[key] = resolved
            else:
                holder.update(resolved)
        return self._resolved[key]


@functools.cache
def document(name: str, corrections: tuple[Correction, ...] = ()) -> OpenApi | None:
    """Return a vendor's document by its path below the folder MISTCORE_API_SPECS; None where that names none."""
    folder = os.environ.get("MISTCORE_API_SPECS")
    return OpenApi(Path(folder) / name, corrections=corrections) if folder else None


def _is_hint(key: Any, value: Any) -> bool:
    """Tell whether an entry only helps programs that read the document, or is read elsewhere."""
    return str(key).startswith("x-") or (key == "discriminator" and isinstance(value, dict) and "propertyName" in value)


def _value_problems(parameter: Any, values: list[str]) -> list[str]:
    schema = parameter.get("schema") or {}
    if schema.get("type") == "array":
        if parameter["in"] == "path" or not parameter.get("explode", parameter["in"] == "query"):
            values = [part for value in values for part in value.split(",")]
        return mismatch([read_as(schema.get("items") or {}, value) for value in values], schema, PARAMETER)
    if len(values) > 1:
        return ["it is given more than once"]
    return mismatch(read_as(schema, values[0]), schema, PARAMETER)


def _body_problems(operation: Any, request: Request) -> list[str]:
    declared = operation.get("requestBody")
    if not request.body:
        return ["the body is missing"] if (declared or {}).get("required") else []
    if declared is None:
        return ["there is a body where none belongs"]
    kind = _media_type(request.headers)
    if kind not in declared["content"]:
        return [f"the body is of the type {kind or 'that it does not tell'}"]
    try:
        body = request.json()
    except ValueError:
        return ["the body is not JSON"]
    schema = declared["content"][kind].get("schema") or {}
    return [
        *(f"the property {name!r} is not known" for name in unknown_properties(body, schema)),
        *mismatch(body, schema, BODY),
    ]


def _scopes_of_body(operation: Any, request: Request) -> set[str]:
    """Return the scopes that what a request's body holds requires."""
    schema = (operation.get("requestBody") or {}).get("content", {}).get("application/json", {}).get("schema") or {}
    try:
        return needed_scopes(request.json(), schema)
    except ValueError:
        return set()


def _answer(operation: Any, status: int) -> Any:
    answers = {str(known): answer for known, answer in operation["responses"].items()}
    return answers.get(str(status)) or answers.get(f"{status // 100}XX") or answers.get("default")


def _header_problems(answer: Any, headers: Mapping[str, str]) -> Iterator[str]:
    given = {name.lower(): value for name, value in headers.items()}
    for name, header in (answer.get("headers") or {}).items():
        if name.lower() in given:
            schema = header.get("schema") or {}
            for problem in mismatch(read_as(schema, given[name.lower()]), schema, PARAMETER):
                yield f"the header {name!r}: {problem}"
        elif header.get("required"):
            yield f"the header {name!r} is missing"


def _media_type(headers: Mapping[str, str]) -> str:
    for name, value in headers.items():
        if name.lower() == "content-type":
            return value.partition(";")[0].strip().lower()
    return ""
