"""Where backends are kept: a store is a JSON file unless its location is a URL that says otherwise."""

from __future__ import annotations

import os
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mistcore.errors import StoreError
from mistcore.redaction import Quiet

if TYPE_CHECKING:
    from mistcore.hooks import Hooks
    from mistcore.stores.base import Record as Record
    from mistcore.stores.base import Store as Store
    from mistcore.stores.base import Transaction as Transaction
    from mistcore.stores.copying import copy_store as copy_store
    from mistcore.stores.json_file import JsonStore as JsonStore
    from mistcore.stores.memory import MemoryStore as MemoryStore
    from mistcore.stores.postgresql import PostgresqlStore as PostgresqlStore

__all__ = [
    "JsonStore",
    "MemoryStore",
    "PostgresqlStore",
    "Record",
    "Store",
    "Transaction",
    "copy_store",
    "data_folder",
    "default_location",
    "open_store",
]

_HOME_OF = {
    "JsonStore": "json_file",
    "MemoryStore": "memory",
    "PostgresqlStore": "postgresql",
    "Record": "base",
    "Store": "base",
    "Transaction": "base",
    "copy_store": "copying",
}


def default_location() -> str:
    """Return where the user's own store is: a path, or a URL.

    That is MISTCORE_STORE if it is set, else `backends.json` in the data folder.
    """
    return os.environ.get("MISTCORE_STORE") or str(data_folder() / "backends.json")


def data_folder() -> Path:
    """Return MISTCORE_HOME if it is set, else the folder in which programs keep their data on this platform."""
    home = os.environ.get("MISTCORE_HOME")
    if not home:
        from platformdirs import user_data_dir

        home = user_data_dir("mistcore", appauthor=False)
    return Path(home)


def open_store(location: str | os.PathLike[str] | None = None) -> Store:
    """Open the store at a path or URL; without one, the user's own.

    URLs are `json:///path/to/backends.json` and `postgresql://user:password@host:port/database`.

    Nothing is read or made yet: that happens when the store is used.

    Raises:
        StoreError: nothing here knows the scheme of the URL, or the location cannot be one.

    """
    try:
        return _opened(default_location() if location is None else location)
    except StoreError as error:
        problem = error.with_traceback(None)  # whose frames hold the location, and so perhaps a password
    del location
    raise problem


def _opened(location: str | os.PathLike[str]) -> Store:
    match = re.match(r"([a-z][a-z0-9+.-]*)://", location, re.IGNORECASE) if isinstance(location, str) else None
    scheme = match[1].lower() if match else "json"
    if scheme in ("postgresql", "postgres"):
        from mistcore.stores.postgresql import PostgresqlStore

        return PostgresqlStore(str(location))
    if scheme != "json":
        raise StoreError(
            f"no kind of store is known for {scheme}://",
            reason="scheme",
            remedy="Give the path of a JSON file, or a URL of json:// or postgresql://; plugins may know further ones.",
        )
    from mistcore.stores.json_file import JsonStore

    return JsonStore(_path(str(location)) if match else location)


def open_with(hooks: Hooks, location: str | os.PathLike[str] | None) -> Store:
    """Open a store as `open_store` does, those that plugins know included."""
    from mistcore.stores.base import Store

    place = Quiet(store=default_location() if location is None else location)
    del location
    if isinstance(place["store"], str) and "://" in place["store"]:
        for store in hooks.call("mistcore_store", url=place["store"]):
            if isinstance(store, Store):
                return store
    return open_store(place["store"])


def _path(url: str) -> str:
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(url)
    if parts.netloc or not parts.path.strip("/") or parts.query or parts.fragment:
        raise StoreError(
            "a json:// URL holds a path and nothing else",
            reason="name",
            remedy="Write three slashes before it: json:///home/me/backends.json",
        )
    return unquote(parts.path)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
