"""What a new or changed backend record must be like: its id, its title, and which secrets it may keep."""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any

from mistcore.errors import InvalidFields
from mistcore.pool import stored_values
from mistcore.stores.base import Record, Store

if TYPE_CHECKING:
    from mistcore.provider import Provider

__all__ = ["TrialStore", "clean_title", "default_title", "new_id", "require_secrets_anew"]

_ALPHABET = "123456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"
_ID_LENGTH = 28
_TITLE_LENGTH = 255


def new_id(taken: Container[str]) -> str:
    """Return an id that is not taken: 28 base58 characters from a secure random source."""
    while True:
        new = "".join(secrets.choice(_ALPHABET) for _ in range(_ID_LENGTH))
        if new not in taken:
            return new


def default_title(cls: type[Provider], record: Record, records: Mapping[str, Record]) -> str:
    """Return a title made from the address or the provider that no other record has."""
    address = next((record.credentials[field.name] for field in cls.fields() if field.address and field.required), "")
    try:
        title = clean_title(address)
    except InvalidFields:  # there is none, or it is too long or holds what no title may
        title = f"{cls.title} {record.region}".strip()
    taken = {each.title for each in records.values()}
    number = 1
    while (title if number == 1 else f"{title} {number}") in taken:
        number += 1
    return title if number == 1 else f"{title} {number}"


def clean_title(title: str) -> str:
    """Return a title without white space around it. Raises `InvalidFields` when it cannot be one."""
    problem = ""
    if not isinstance(title, str):
        problem = f"must be text, not {type(title).__name__}"
    elif not title.strip():
        problem = "must not be empty"
    elif len(title.strip()) > _TITLE_LENGTH:
        problem = f"must be at most {_TITLE_LENGTH} characters long"
    elif any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in title.strip()):
        problem = "must not hold control characters or line breaks"
    if problem:
        raise InvalidFields({"title": problem})
    return title.strip()


def require_secrets_anew(
    cls: type[Provider], old: Record, cleaned: Mapping[str, Any], fields: Mapping[str, Any]
) -> None:
    """Raise `InvalidFields` where the service's address changes while stored secrets are not given again."""
    before = stored_values(old)
    moved = [f.name for f in cls.fields() if f.address and before.get(f.name) != cleaned.get(f.name)]
    if not moved:
        return
    kept = [f.name for f in cls.fields() if f.secret and f.name in cleaned and fields.get(f.name) is None]
    if kept:
        raise InvalidFields(
            {name: f"give it again: {' and '.join(moved)} changed, and it would go to another place" for name in kept},
            provider=old.provider,
        )


class TrialStore(Store):
    """A store of one record that is not kept anywhere yet."""

    location = "(not kept yet)"

    def __init__(self, record: Record) -> None:
        self._records = {record.id: record}

    def read(self) -> Mapping[str, Record]:
        """Return the one record."""
        return self._records

    def change(self) -> Any:
        """Refuse: nothing is kept here."""
        raise NotImplementedError
