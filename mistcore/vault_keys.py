"""The key that the secrets of a store are sealed with: where it comes from, and what it can do."""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
import unicodedata
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mistcore.errors import InvalidFields, MissingDependency, VaultError
from mistcore.stores.atomic import create

__all__ = ["Key", "Passphrase", "about", "find_key", "make_key", "new_key_text"]

PASSPHRASE_VARIABLE = "MISTCORE_PASSPHRASE"  # noqa: S105 - the name of a variable

_SERVICE = "mistcore"
_BYTES = 32
_NONCE = 12
_SHORTEST = 8
#: scrypt as OWASP's password storage cheat sheet has it: 128 MiB, a good part of a second.
_COST = {"n": 2**17, "r": 8, "p": 1}
#: What a header may ask for at the most, since whoever wrote it may not be a friend: 1 GiB.
_DEAREST = {"n": 2**20, "r": 8, "p": 4}


class Passphrase:
    """A passphrase, which no repr and no traceback shows."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = unicodedata.normalize("NFC", text)

    def __repr__(self) -> str:
        return "Passphrase(…)"

    def __reduce__(self) -> Any:
        raise TypeError("a passphrase is not pickled")


class Key:
    """A key of 256 bits for AES-GCM (NIST SP 800-38D). Nothing shows it, and nothing pickles it."""

    __slots__ = ("_cipher",)

    def __init__(self, raw: bytes) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ModuleNotFoundError as error:
            raise _missing("cryptography", "sealed") from error
        self._cipher = AESGCM(raw)

    def __repr__(self) -> str:
        return "Key(…)"

    def __reduce__(self) -> Any:
        raise TypeError("a key is not pickled")

    def seal(self, value: Any, bound_to: bytes) -> str:
        """Return a JSON value as text that only this key opens, and only for what it is bound to."""
        nonce = os.urandom(_NONCE)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, json.dumps(value).encode(), bound_to)).decode()

    def open(self, sealed: Any, bound_to: bytes) -> tuple[Any] | None:
        """Return what was sealed, in a tuple; None if it was damaged, by another key, or bound to something else."""
        from cryptography.exceptions import InvalidTag

        try:
            data = base64.b64decode(sealed, validate=True)
            return (json.loads(self._cipher.decrypt(data[:_NONCE], data[_NONCE:], bound_to)),)
        except (InvalidTag, ValueError, TypeError):
            return None


def about(*what: Any) -> bytes:
    """Return what something sealed is bound to, as bytes that say it in one way only."""
    return json.dumps(["mistcore", 1, *what], separators=(",", ":"), sort_keys=True).encode()


def new_key_text() -> str:
    """Return a new random key as the text that a key file or a variable holds: 44 characters of base64."""
    return base64.b64encode(secrets.token_bytes(_BYTES)).decode()


# -- new keys ---------------------------------------------------------------------------------------------------------


def make_key(
    kind: str, id: str, *, passphrase: Passphrase | None = None, key_file: str = "", key_env: str = ""
) -> tuple[dict[str, Any], Key]:
    """Return how a new key is found again, as JSON values without any secret, and the key.

    A key file that is not there is made, for its owner alone; a keyring is given the new key to keep.

    Raises:
        InvalidFields: the passphrase is too short. VaultError: the key file, variable or keyring cannot be used.
        MissingDependency.

    """
    if kind == "keyring":
        return {"from": "keyring"}, _put_in_keyring(id)
    if key_file:
        path = Path(key_file).expanduser().absolute()
        if not path.exists():
            _write_key(path)
        how: dict[str, Any] = {"from": "file", "path": str(path)}
        return how, find_key(how, id, None)
    if key_env:
        how = {"from": "environment", "name": key_env}
        return how, find_key(how, id, None)
    if passphrase is None or len(passphrase.text) < _SHORTEST:
        raise InvalidFields({"passphrase": f"must have at least {_SHORTEST} characters"})
    salt = base64.b64encode(os.urandom(16)).decode()
    how = {"from": "passphrase", "kdf": "scrypt", "salt": salt, **_COST}
    return how, _derive(how, passphrase)


def _write_key(path: Path) -> None:
    try:
        create(path, f"{new_key_text()}\n".encode())
    except OSError as error:
        words = f"the key file {path} cannot be made: {error.strerror}"
        raise VaultError(words, reason="key", remedy="Choose another place for it.") from error


# -- keys that were made before ---------------------------------------------------------------------------------------


def find_key(how: Mapping[str, Any], id: str, ask: Callable[[], str] | None) -> Key:
    """Return the key of a vault. `ask` is called for the passphrase, where there is one.

    Raises:
        VaultError: it cannot be had: reason "key" (file or variable), "passphrase_missing", "locked", "no_keyring",
            "keyring", or "damaged" (what is written of it makes no sense).
        MissingDependency.

    """
    source = how.get("from")
    if source == "passphrase":
        return _derive(how, _ask(ask))
    if source == "keyring":
        return _take_from_keyring(id)
    if source == "file" and isinstance(how.get("path"), str):
        place = f"the key file {how['path']}"
        text, problem = _read(how["path"])
    elif source == "environment" and isinstance(how.get("name"), str):
        place = f"the environment variable {how['name']}"
        text, problem = _Hidden(os.environ.get(how["name"], "")), "is not set"
    else:
        raise _damaged()
    if not text.value:
        raise VaultError(
            f"{place} {problem}", reason="key", remedy="The secrets of this store are sealed with the key that it held."
        )
    raw = text.key()
    if raw is None:
        raise VaultError(
            f"{place} holds no key: 32 bytes in base64 are expected", reason="key", remedy="See `mist secrets key`."
        )
    return raw


class _Hidden:
    """A text that no traceback shows."""

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        self.value = value.strip()

    def key(self) -> Key | None:
        """Return the key that the text is, if it is one."""
        with suppress(binascii.Error, ValueError):
            if len(base64.b64decode(self.value, validate=True)) == _BYTES:
                return Key(base64.b64decode(self.value))
        return None


def _read(path: str) -> tuple[_Hidden, str]:
    try:
        return _Hidden(Path(path).read_text(encoding="ascii")), "is empty"
    except UnicodeDecodeError:
        return _Hidden("?"), ""
    except OSError as error:
        return _Hidden(""), f"cannot be read: {error.strerror}"


def _ask(ask: Callable[[], str] | None) -> Passphrase:
    given = Passphrase(os.environ.get(PASSPHRASE_VARIABLE, ""))
    if not given.text and ask is not None:
        given = Passphrase(ask())
    if not given.text:
        raise VaultError(
            "the secrets of this store are sealed with a passphrase, and none was given",
            reason="passphrase_missing",
            remedy=f"Give it as BackendManager(passphrase=…), or in the environment as {PASSPHRASE_VARIABLE}.",
        )
    return given


def _derive(how: Mapping[str, Any], passphrase: Passphrase) -> Key:
    cost: dict[str, int] = {name: how[name] for name in _COST if type(how.get(name)) is int}
    salt = _bytes(how.get("salt"))
    fits = len(cost) == len(_COST) and all(1 <= value <= _DEAREST[name] for name, value in cost.items())
    if how.get("kdf") != "scrypt" or not fits or cost["n"] < 2 or cost["n"] & (cost["n"] - 1) or len(salt) < 8:
        raise _damaged()
    try:
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
    except ModuleNotFoundError as error:
        raise _missing("cryptography", "sealed") from error
    return Key(Scrypt(salt=salt, length=_BYTES, **cost).derive(passphrase.text.encode("utf-8", "surrogatepass")))


def _bytes(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, TypeError):
        return b""


# -- the operating system's keyring -----------------------------------------------------------------------------------


def _put_in_keyring(id: str) -> Key:
    text = _Hidden(new_key_text())
    _with_keyring(lambda keyring: keyring.set_password(_SERVICE, id, text.value))
    return _take_from_keyring(id)


def _take_from_keyring(id: str) -> Key:
    found = _with_keyring(lambda keyring: _Hidden(keyring.get_password(_SERVICE, id) or ""))
    if not found.value:
        raise VaultError(
            f"the keyring holds no key for this store (service {_SERVICE}, name {id})",
            reason="key",
            remedy="It stays with the user and the machine that ran `mist secrets keyring`: ask there.",
        )
    key: Key | None = found.key()
    if key is None:
        raise VaultError(
            f"what the keyring holds for this store is no key (service {_SERVICE}, name {id})",
            reason="key",
            remedy="Put back what stood there.",
        )
    return key


def _with_keyring(use: Callable[[Any], Any]) -> Any:
    try:
        import keyring
        from keyring.errors import InitError, KeyringLocked, NoKeyringError
    except ModuleNotFoundError as error:
        raise _missing("keyring", "keyring") from error
    try:
        return use(keyring)
    except NoKeyringError as error:
        problem, reason = "there is no keyring here that could keep the key", "no_keyring"
        remedy = "Start one (Secret Service, KWallet …), or use `mist secrets sealed`."
        cause: Exception = error
    except KeyringLocked as error:
        problem, reason, remedy, cause = "the keyring is locked", "locked", "Unlock it, and try again.", error
    except Exception as error:  # noqa: BLE001 - each system's keyring has exceptions of its own
        # Only what it says of itself: of what it was given to keep, nothing may be shown.
        why = str(error) if isinstance(error, InitError) else type(error).__name__
        problem, reason = f"the keyring failed: {why}", "keyring"
        remedy = "See whether other programs can use it."
        cause = error
    raise VaultError(problem, reason=reason, remedy=remedy) from cause.with_traceback(None)


def _missing(module: str, extra: str) -> MissingDependency:
    return MissingDependency(
        f"the library {module} is not installed, and this store's secrets need it",
        remedy=f"pip install 'mistcore[{extra}]'",
    )


def _damaged() -> VaultError:
    return VaultError(
        "what the store says of its vault makes no sense",
        reason="damaged",
        remedy="Nothing was changed. Put back a copy of the store from before.",
    )
