"""How the secrets of a store are kept: as they are, or sealed with a key that is not in the store.

A sealed secret is `{"sealed": …}` in the place of the value, and the store says under `vault` how its key is found:
from a passphrase, a file, a variable, or the operating system's keyring. Each is bound to the id of its backend, so
that it opens nowhere else, and to the values beside it: a backend's address cannot be changed to get at its secret.
"""

from __future__ import annotations

import copy
import hashlib
import json
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any

import attrs

from mistcore.credentials import is_reference
from mistcore.errors import InvalidFields, MistError, NotSupported, VaultError
from mistcore.stores.base import Record, Store
from mistcore.vault_keys import Key, Passphrase, about, find_key, make_key

__all__ = ["KINDS", "Vault", "is_sealed"]

KINDS = ("plain", "keyring", "sealed")
_SEALED = "sealed"


def is_sealed(value: Any) -> bool:
    """Tell whether a stored value is one that was sealed."""
    return isinstance(value, dict) and set(value) == {_SEALED}


class Vault:
    """The secrets of one store. Safe to use from several threads.

    Args:
        store: the store.
        secret_names: gives the secret fields of a provider by its id; None where nobody knows.
        passphrase: the passphrase, or what asks for it: called once, when it is needed.

    """

    def __init__(
        self,
        store: Store,
        secret_names: Callable[[str], Collection[str] | None],
        passphrase: str | Callable[[], str] | None = None,
    ) -> None:
        self._store = store
        self._secret_names = secret_names
        given = Passphrase(passphrase) if isinstance(passphrase, str) else None
        self._ask: Callable[[], str] | None = passphrase if callable(passphrase) else None
        if given is not None:
            self._ask = lambda: given.text
        self._found: dict[str, Key | MistError] = {}
        self._lock = threading.Lock()

    @property
    def kind(self) -> str:
        """How the secrets are kept: "plain", "keyring" or "sealed". Raises `StoreError`."""
        settings = self._store.read_vault()
        return "plain" if settings is None else str(_checked(settings)["kind"])

    @property
    def key_source(self) -> str:
        """Where the key comes from: "passphrase", "file", "environment", "keyring", or "" where there is none."""
        settings = self._store.read_vault()
        return "" if settings is None else str(_checked(settings)["key"].get("from", ""))

    def unlock(self) -> None:
        """Find the key now, so that nobody is asked for a passphrase later. Does nothing where secrets are plain.

        Raises:
            VaultError: by `reason`: "passphrase" (a wrong one), "passphrase_missing", "key", "locked", "no_keyring",
                "keyring", "damaged". MissingDependency.

        """
        settings = self._store.read_vault()
        if settings is not None:
            self._key(settings)

    def lock(self) -> None:
        """Forget the key. The next use finds it again."""
        with self._lock:
            self._found.clear()

    # -- records ------------------------------------------------------------------------------------------------------

    def open(self, record: Record, *, without: Collection[str] = ()) -> Record:
        """Return a record with its secrets as they were given; leave out those of some fields, which need not open.

        Raises:
            VaultError: as `unlock` does; "damaged", "swapped" (it belongs to another backend or field), "changed" (the
                values beside it were changed since).

        """
        while True:
            kept = {
                name: value for name, value in record.credentials.items() if not (is_sealed(value) and name in without)
            }
            record = attrs.evolve(record, credentials=kept)
            if not any(map(is_sealed, kept.values())):
                return record
            settings = self._store.read_vault()
            key, problem = None if settings is None else self._key(settings), ""
            if settings is not None and key is not None:
                opened, problem = _opened(record, str(settings["id"]), key)
                if not problem:
                    return attrs.evolve(record, credentials=opened)
            stored = self._store.read().get(record.id)
            same = stored is None or all(stored.credentials.get(name) == value for name, value in kept.items())
            if stored is None or (same and self._store.read_vault() == settings):
                if settings is None or key is None:
                    raise _error("a secret of {title} is sealed, but the store does not say how", record, "damaged")
                raise self._explained(record, str(settings["id"]), key, problem)
            record = stored  # somebody rewrote them meanwhile

    def seal(self, record: Record) -> Record:
        """Return a record with its secrets as this store keeps them. To be called while the store is being changed.

        Raises:
            VaultError: as `unlock` does.

        """
        settings = self._store.read_vault()
        if settings is None:
            return record
        return self._sealed(record, str(settings["id"]), self._key(settings))

    def rewrite(
        self,
        kind: str,
        *,
        passphrase: str | None = None,
        key_file: str = "",
        key_env: str = "",
    ) -> int:
        """Keep all secrets in another way from now on, or sealed with another key; return how many there are.

        All are rewritten in one change of the store, or none. References stay as they are.

        Args:
            kind: "plain", "keyring" or "sealed".
            passphrase: for "sealed", this or one of the others: what to derive the key from.
            key_file: the path of a file that holds the key; it is made, if it is not there.
            key_env: the name of a variable that holds the key.

        Raises:
            InvalidFields: no such kind, or a passphrase that is too short.
            NotSupported: this store can only keep them plain.
            VaultError: as `open` does.
            StoreError: the store could not be read or written.
            MissingDependency: what it takes is not installed.

        """
        if kind not in KINDS:
            raise InvalidFields({"kind": f"must be one of {', '.join(KINDS)}"})
        if kind == "sealed" and sum(map(bool, (passphrase, key_file, key_env))) != 1:
            raise InvalidFields({"passphrase": "give either a passphrase, a key file or the name of a variable"})
        new = None if passphrase is None else Passphrase(passphrase)
        del passphrase
        self.unlock()
        settings, key = (None, None) if kind == "plain" else _new(kind, new, key_file, key_env)
        count = 0
        with self._store.change() as transaction:
            if not hasattr(transaction, "put_vault") or type(self._store).read_vault is Store.read_vault:
                raise NotSupported(
                    f"the store {self._store.location} can only keep secrets plain",
                    remedy="Keep the backends in a JSON file or PostgreSQL: see `mist copy-store`.",
                )
            records = [self.open(record) for record in self._store.read().values()]
            for record in records:
                sealed = self._sealed(record, settings["id"], key) if settings and key else record
                count += len(self._to_seal(record))
                transaction.put(sealed)
            transaction.put_vault(settings)
        if settings and key:
            with self._lock:
                self._found[_fingerprint(settings)] = key
        return count

    def _to_seal(self, record: Record) -> list[str]:
        names = self._secret_names(record.provider)
        return [
            name
            for name, value in record.credentials.items()
            if (names is None or name in names) and not is_reference(value) and not is_sealed(value)
        ]

    def _sealed(self, record: Record, id: str, key: Key) -> Record:
        names = self._to_seal(record)
        beside = {name: value for name, value in record.credentials.items() if name not in names}
        digest = _digest(record, beside)
        credentials = {
            name: {_SEALED: key.seal([value, digest], _place(id, record, name))} if name in names else value
            for name, value in record.credentials.items()
        }
        return attrs.evolve(record, credentials=credentials)

    # -- the key ------------------------------------------------------------------------------------------------------

    def _key(self, settings: Mapping[str, Any]) -> Key:
        _checked(settings)
        name = _fingerprint(settings)
        with self._lock:
            found = self._found.get(name)
            if found is None:
                try:
                    found = _proven(settings, self._ask)
                except MistError as error:
                    error.location = self._store.location  # type: ignore[attr-defined]
                    found = error
                self._found[name] = found
        if isinstance(found, Key):
            return found
        if found.reason in ("locked", "key", "keyring"):  # which may be cured while this program runs
            with self._lock:
                self._found.pop(name, None)
        again = copy.copy(found)  # one of its own for each backend that it is raised for
        again.__cause__ = found.__cause__
        raise again

    def _explained(self, record: Record, id: str, key: Key, name: str) -> VaultError:
        sealed = record.credentials[name][_SEALED]
        if key.open(sealed, _place(id, record, name)) is not None:
            return _error(
                f"{{title}}: the values beside {name} were changed since it was sealed",
                record,
                "changed",
                "It is not sent to what may be another place. Put them back, or give it again: mist update.",
            )
        for other in self._store.read().values():
            names = {name, *(field for field, value in other.credentials.items() if is_sealed(value))}
            for field in names:
                if key.open(sealed, _place(id, other, field)) is not None:
                    return _error(
                        f"{{title}}: what stands in the place of {name} is {field} of {other.title!r}",
                        record,
                        "swapped",
                        "Nothing was sent. Give it again: mist update.",
                    )
        return _error(
            f"{{title}}: the sealed {name} is damaged",
            record,
            "damaged",
            "Put back a copy of the store from before, or give it again: mist update.",
        )


def _new(kind: str, passphrase: Passphrase | None, key_file: str, key_env: str) -> tuple[dict[str, Any], Key]:
    from mistcore.new_records import new_id

    id = new_id(())
    how, key = make_key(kind, id, passphrase=passphrase, key_file=key_file, key_env=key_env)
    settings = {"kind": kind, "id": id, "key": how, "check": key.seal("", about("check", id))}
    return {**settings, "sum": _sum(settings)}, key


def _proven(settings: Mapping[str, Any], ask: Callable[[], str] | None) -> Key:
    key = find_key(settings["key"], settings["id"], ask)
    if key.open(settings["check"], about("check", settings["id"])) is not None:
        return key
    if settings["key"].get("from") == "passphrase":
        raise VaultError("this is not the passphrase of the store", reason="passphrase", remedy="Try again.")
    raise VaultError(
        "the key that was found is not the one that the secrets of this store are sealed with",
        reason="key",
        remedy="Put the right one back.",
    )


def _checked(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    types = {"kind": str, "id": str, "key": dict, "check": str, "sum": str}
    if not all(type(settings.get(name)) is expected for name, expected in types.items()) or (
        settings["sum"] != _sum(settings)
    ):
        raise VaultError(
            "what the store says of its vault is damaged",
            reason="damaged",
            remedy="Nothing was changed. Put back a copy of the store from before.",
        )
    if settings["kind"] not in KINDS:
        raise VaultError(
            "the secrets are kept in a way that this version does not know",
            reason="newer",
            remedy="Install a newer mistcore: pip install --upgrade mistcore",
        )
    return settings


def _opened(record: Record, id: str, key: Key) -> tuple[dict[str, Any], str]:
    """Return the credentials, opened, and the name of the first that cannot be."""
    digest = _digest(record, {name: value for name, value in record.credentials.items() if not is_sealed(value)})
    opened = dict(record.credentials)
    for name, value in record.credentials.items():
        if is_sealed(value):
            found = key.open(value[_SEALED], _place(id, record, name))
            if found is None or type(found[0]) is not list or found[0][1:] != [digest]:
                return {}, name
            opened[name] = found[0][0]
    return opened, ""


def _place(id: str, record: Record, name: str) -> bytes:
    return about(id, record.id, record.provider, name)


def _digest(record: Record, beside: Mapping[str, Any]) -> str:
    return hashlib.sha256(about(record.region, dict(beside))).hexdigest()


def _sum(settings: Mapping[str, Any]) -> str:
    # Against accidents: a damaged vault is not taken for a wrong passphrase.
    return hashlib.sha256(about({name: value for name, value in settings.items() if name != "sum"})).hexdigest()


def _fingerprint(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)


def _error(words: str, record: Record, reason: str, remedy: str = "Put back a copy from before.") -> VaultError:
    return VaultError(words.format(title=repr(record.title)), reason=reason, remedy=remedy)
