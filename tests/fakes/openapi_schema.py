"""Holds one value against one schema of an OpenAPI document: part of a request, or of an answer to some token."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from openapi_schema_validator import OAS30ReadValidator, OAS30Validator, OAS30WriteValidator, oas30_format_checker

#: The keyword that stands for a discriminator: the schema that one property's value leads to, beside what anyOf lists.
CHOICE = "x-choice"

#: What a vendor writes beside a property that only some tokens get to see.
_NEEDS = re.compile(r"Requires `(?P<scope>[\w:]+)` scope")


@oas30_format_checker.checks("date-time-without-zone", raises=ValueError)
def _is_local_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.strptime(value, "%Y-%m-%dT%H:%M:%S") is not None


def _choice(validator: Any, choice: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    value = instance.get(choice["by"]) if isinstance(instance, dict) else None
    if isinstance(value, str) and value in choice["among"]:
        yield from validator.descend(instance, choice["among"][value])


#: Kinds of validators: of what a request carries beside its body, of bodies, which may have nothing that is only read,
#: and of answers, which may have nothing that is only written.
PARAMETER = extend(OAS30Validator, {CHOICE: _choice})
BODY = extend(OAS30WriteValidator, {CHOICE: _choice})
ANSWER = extend(OAS30ReadValidator, {CHOICE: _choice})


def given_to(granted: Callable[[str], bool]) -> Any:
    """Return the kind of validator for an answer to a token with only these scopes.

    A property that the document says requires a scope to read something is required of an answer to a token with this
    scope only; to one without it, it must not be shown.
    """
    plain_required, plain_properties = ANSWER.VALIDATORS["required"], ANSWER.VALIDATORS["properties"]

    def lacking(name: str, schema: Any) -> str:
        scope = _scope((schema.get("properties") or {}).get(name) or {})
        return scope if scope.endswith(":read") and not granted(scope) else ""

    def required(validator: Any, names: list[str], instance: Any, schema: Any) -> Iterator[ValidationError]:
        yield from plain_required(validator, [name for name in names if not lacking(name, schema)], instance, schema)

    def properties(validator: Any, known: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        yield from plain_properties(validator, known, instance, schema)
        for name in known if isinstance(instance, dict) else ():
            if name in instance and (scope := lacking(name, schema)):
                yield ValidationError(f"{name!r} is shown to a token without the scope {scope}")

    return extend(ANSWER, {"required": required, "properties": properties})


def mismatch(value: Any, schema: Any, validator: Any) -> list[str]:
    """Return in what ways a value is not as a schema says, by one of the kinds of validators."""
    checker = validator(schema, format_checker=oas30_format_checker)
    return [
        f"{'.'.join(map(str, error.absolute_path)) or 'value'}: {error.message[:300]}"
        for error in checker.iter_errors(value)
    ]


def read_as(schema: Any, value: str) -> Any:
    """Return a parameter's text as the type that its schema speaks of."""
    kinds = {schema.get("type"), *(one.get("type") for key in ("anyOf", "oneOf") for one in schema.get(key, ()))}
    if "integer" in kinds and re.fullmatch(r"-?\d+", value):
        return int(value)
    if "boolean" in kinds and value in {"true", "false"}:
        return value == "true"
    if "object" in kinds and value.startswith("{"):
        return json.loads(value)
    return value


def unknown_properties(value: Any, schema: Any) -> list[str]:
    """Return the properties of a body, at whatever depth, that its schema does not name; dots lead to inner ones."""
    schemas = list(_parts(schema))
    found: list[str] = []
    if isinstance(value, list):
        inner = [part["items"] for part in schemas if isinstance(part.get("items"), dict)]
        for item in value:
            found += [name for name in unknown_properties(item, {"anyOf": inner}) if name not in found]
    elif isinstance(value, dict):
        known: dict[str, list[Any]] = {}
        for part in schemas:
            for name, about in (part.get("properties") or {}).items():
                known.setdefault(name, []).append(about)
        if not known or any(part.get("additionalProperties") for part in schemas):
            return []  # an object of which the document leaves open what is in it
        for name in sorted(value):
            if name in known:
                found += [f"{name}.{inner}" for inner in unknown_properties(value[name], {"anyOf": known[name]})]
            else:
                found.append(name)
    return found


def needed_scopes(value: Any, schema: Any) -> set[str]:
    """Return the scopes that a body's properties require, by their descriptions."""
    known = [part.get("properties") or {} for part in _parts(schema)]
    names = value if isinstance(value, dict) else ()
    return {scope for part in known for name in names if (scope := _scope(part.get(name) or {}))}


def _parts(schema: Any) -> Iterator[Any]:
    """Yield a schema, and those that it is composed of."""
    yield schema
    for key in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(key) or ():
            yield from _parts(part)


def _scope(schema: Any) -> str:
    """Return the scope that a property requires, by its description, or that of a part."""
    for part in _parts(schema):
        if needed := _NEEDS.search(str(part.get("description") or "")):
            return needed["scope"]
    return ""
