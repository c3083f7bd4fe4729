"""A provider's declaration as JSON Schema (draft 2020-12), from which a form can be made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mistcore.credentials import CredentialField
    from mistcore.provider import Provider

__all__ = ["json_schema"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


def json_schema(cls: type[Provider]) -> dict[str, Any]:
    """Return the schema of the object of field values that `BackendManager.add_backend` takes for this provider.

    Secrets are `writeOnly` with the format "password"; regions are an enumeration, with their places, wherever the
    provider takes no others. Values may also be references (`env:NAME`, `file:PATH`), so strings have no pattern.
    """
    fields = cls.fields()
    return {
        "$schema": _DIALECT,
        "title": cls.title,
        "description": " ".join((cls.__doc__ or "").strip().partition("\n\n")[0].split()),
        "type": "object",
        "properties": {field.name: _property(cls, field) for field in fields},
        "required": [field.name for field in fields if field.required],
        "additionalProperties": False,
    }


def _property(cls: type[Provider], field: CredentialField) -> dict[str, Any]:
    schema: dict[str, Any] = {"title": field.label, "type": _TYPES[field.type]}
    if field.help:
        schema["description"] = field.help
    if field.secret:
        schema |= {"writeOnly": True, "format": "password"}
    elif field.default not in (None, ""):
        schema["default"] = field.default
    if field.example:
        schema["examples"] = [field.example]
    if field.choices:
        schema["enum"] = list(field.choices)
    elif field.name == "region" and cls.regions and cls.knows_all_regions():
        schema["oneOf"] = [{"const": region.id, "title": region.location or region.id} for region in cls.regions]
    if field.required and field.type == "str":
        schema["minLength"] = 1
    return schema
