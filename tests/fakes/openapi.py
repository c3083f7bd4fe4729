"""Holds requests and answers against a vendor's OpenAPI document: what no test of ours could make up.

Beyond the schemas it refuses parameters and properties that the document does not know, which catches typing errors.
"""

from __future__ import annotations

import functools
import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml
from openapi_schema_validator import OAS30Validator, oas30_format_checker

from mistcore.testing.server import Request, Response


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads true and false only as booleans, as YAML 1.2 has it: a state called `off` is a word."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:bool"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|false)\Z"), list("tf"))


class OpenApi:
    """An OpenAPI 3.0 document, in one file or spread over many."""

    def __init__(self, root: Path, *, prefix: str = "") -> None:
        self._prefix = prefix
        self._files: dict[Path, Any] = {}
        self._resolved: dict[tuple[Path, str], Any] = {}
        self._root = root.resolve()
        self._paths = [
            (re.compile(re.sub(r"\\\{[^/]+?\\\}", "[^/]+", re.escape(template)) + r"\Z"), template)
            for template in sorted(self._load(self._root)["paths"], key=lambda path: path.count("{"))
        ]
        self.covered: set[str] = set()

    def problems(self, request: Request, response: Response) -> list[str]:
        """Return in what ways a request or its answer is not as the document says."""
        found = self._operation(request.method, request.path)
        where = f"{request.method} {request.path}"
        if found is None:
            return [f"{where}: the document has no such operation"]
        operation, template = found
        self.covered.add(f"{request.method} {template}")
        problems = [] if response.status >= 400 else self._request_problems(operation, template, request)
        return [f"{where}: {problem}" for problem in problems + self._answer_problems(operation, response)]

    def _request_problems(self, operation: Any, template: str, request: Request) -> list[str]:
        problems = []
        declared = {(p["in"], p["name"]): p for p in operation["parameters"]}
        for name, value in request.query.items():
            if ("query", name) not in declared:
                problems.append(f"the parameter {name!r} is not known")
            else:
                problems += _mismatch(
                    _read_as(declared["query", name]["schema"], value), declared["query", name]["schema"]
                )
        pattern = re.sub(r"\{([^/]+?)\}", r"(?P<\1>[^/]+)", template)
        match = re.fullmatch(pattern, request.path.removeprefix(self._prefix))
        for name, value in (match.groupdict() if match else {}).items():
            schema = declared["path", name]["schema"] if ("path", name) in declared else {}
            problems += _mismatch(_read_as(schema, unquote(value)), schema)
        body = request.json()
        declared_body = operation.get("requestBody")
        if body is None:
            return problems + (["the body is missing"] if (declared_body or {}).get("required") else [])
        if declared_body is None:
            return [*problems, "there is a body where none belongs"]
        schema = declared_body["content"]["application/json"]["schema"]
        unknown = set(body) - _properties(schema)
        return problems + [f"the property {name!r} is not known" for name in sorted(unknown)] + _mismatch(body, schema)

    def _answer_problems(self, operation: Any, response: Response) -> list[str]:
        responses = {str(status): answer for status, answer in operation["responses"].items()}
        answer = responses.get(str(response.status)) or responses.get("default")
        if answer is None:
            return [f"the status {response.status} is not among its answers"]
        content = answer.get("content") or {}
        if not response.body:
            return [f"the answer {response.status} has no body"] if content else []
        if "application/json" not in content:
            return [f"the answer {response.status} has a body"]
        return _mismatch(json.loads(response.body), content["application/json"].get("schema") or {})

    @functools.cache  # noqa: B019 - one document lives as long as the tests do
    def _operation(self, method: str, path: str) -> tuple[Any, str] | None:
        path = path.removeprefix(self._prefix)
        for pattern, template in self._paths:
            item = self._load(self._root)["paths"][template]
            if pattern.match(path) and method.lower() in item:
                shared = self._resolve(item.get("parameters") or [], self._root)
                operation = dict(self._resolve(item[method.lower()], self._root))
                operation["parameters"] = [*shared, *operation.get("parameters", ())]
                return operation, template
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
        return {key: self._resolve(value, base) for key, value in node.items() if not _is_hint(key, value)}

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
def document(name: str) -> OpenApi | None:
    """Return a vendor's document by its path below the folder MISTCORE_API_SPECS; None where there is none."""
    path = Path(os.environ.get("MISTCORE_API_SPECS") or "/nonexistent") / name
    return OpenApi(path) if path.is_file() else None


def _is_hint(key: Any, value: Any) -> bool:
    """Tell whether an entry only helps programs that read the document; a discriminator refers to what anyOf lists."""
    return str(key).startswith("x-") or (key == "discriminator" and isinstance(value, dict) and "propertyName" in value)


def _mismatch(value: Any, schema: Any) -> list[str]:
    checker = OAS30Validator(schema, format_checker=oas30_format_checker)
    return [
        f"{'.'.join(map(str, error.absolute_path)) or 'value'}: {error.message[:300]}"
        for error in checker.iter_errors(value)
    ]


def _read_as(schema: Any, value: str) -> Any:
    """Return a parameter's text as the type that its schema speaks of."""
    kinds = {schema.get("type"), *(one.get("type") for key in ("anyOf", "oneOf") for one in schema.get(key, ()))}
    if "integer" in kinds and re.fullmatch(r"-?\d+", value):
        return int(value)
    if "boolean" in kinds and value in {"true", "false"}:
        return value == "true"
    return value


def _properties(schema: Any) -> set[str]:
    found = set(schema.get("properties") or ())
    for key in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(key) or ():
            found |= _properties(part)
    return found
