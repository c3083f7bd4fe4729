"""Keeping secrets out of what is shown: error messages, the errors chained behind them, and local variables."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

from mistcore.errors import MistError, chained

if TYPE_CHECKING:
    from mistcore.provider import Provider

__all__ = ["MASK", "Quiet", "hide", "hide_in_error", "leave_words_only", "let_go"]

MASK = "•••"
"""What stands in the place of a secret."""
_SHORTEST = 3
#: From so many letters on, a secret is looked for in base64, and where it was cut off.
_LONG, _HEAD = 6, 12


class Quiet(dict[str, Any]):
    """A dict whose `repr` tells its keys only: for what may hold secrets in a function that a traceback can show."""

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{key!r}: {MASK}" for key in self) + "}"


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return the text with every secret replaced, however it is written: as in a URL, a repr, JSON, XML or base64.

    The beginning of a long secret is replaced, too, where somebody cut the text off.
    """
    found = {form for secret in set(secrets) if len(secret) >= _SHORTEST for form in _forms(secret)}
    forms = sorted(found, key=len, reverse=True)
    for form in forms:
        text = text.replace(form, MASK)
    for form in forms:
        head = form[:_HEAD]
        while len(form) >= 2 * _HEAD and head in text:
            at = text.index(head)
            end = next((n for n, (a, b) in enumerate(zip(text[at:], form, strict=False)) if a != b), len(text) - at)
            text = text[:at] + MASK + text[at + end :]
    return text


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _forms(secret: str) -> Iterator[str]:
    import base64
    import json

    yield from (secret, quote(secret, safe=""), quote(secret), quote_plus(secret), _escaped(secret))
    yield from (repr(secret)[1:-1], repr(secret.encode("utf-8", "surrogatepass"))[2:-1])
    for text in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        yield from (text, _escaped(text), repr(text)[1:-1])
    lines = secret.replace("\\n", "\n").split("\n")
    if len(lines) > 1:  # a key, of which a line is enough to be worth hiding
        yield from (line.strip() for line in lines if len(line.strip()) >= 2 * _HEAD and "-----" not in line)
    if len(secret) < _LONG:
        return
    data = secret.encode("utf-8", "surrogatepass")
    for before in range(3):
        # The letters in the middle, which do not depend on what was encoded together with it.
        text = base64.b64encode(b"\0" * before + data)[(0, 2, 3)[before] : (before + len(data)) * 8 // 6].decode()
        yield text
        yield text.translate(str.maketrans("+/", "-_"))


def secrets_of_provider(provider: Provider) -> list[str]:
    """Return the secret field values of an instance, what else it says is secret, and the passwords of proxies."""
    from urllib.request import getproxies

    found: list[str] = []
    for address in getproxies().values():
        with suppress(ValueError):
            password = urlsplit(address).password or ""
            found += [password, unquote(password)]
    with suppress(Exception):  # it may be half made
        found += provider.other_secrets()
    for field in provider.fields():
        if field.secret:
            with suppress(MistError):
                value = getattr(provider, field.name)
                if isinstance(value, str) and not (field.file and _is_path(value)):
                    found.append(value)
    return found


def _is_path(value: str) -> bool:
    """Tell whether a secret was given as the path of its file, which people have to be told when it cannot be read."""
    return value.startswith(("/", "~", "./", "../")) and "\n" not in value


def hide_in_error(error: BaseException, secrets: Iterable[str]) -> None:
    """Replace secrets in the arguments and attributes of an error and of every error chained to it, in place."""
    secrets = [secret for secret in secrets if len(secret) >= _SHORTEST]
    if not secrets:
        return
    for each in chained(error):
        each.args = tuple(hide_in(value, secrets) for value in each.args)
        for name, value in list(vars(each).items()):
            if isinstance(value, (str, dict, list, tuple)):
                setattr(each, name, hide_in(value, secrets))
        if any(secret in str(each) for secret in secrets):
            each.args = (f"{type(each).__name__}: the message held a secret and was dropped",)


def let_go(error: BaseException) -> None:
    """Clear what an error and the functions that it came through hold: secrets, or half an answer of 32 MB.

    Functions that still run, which are the ones that called us, keep theirs.
    """
    for each in chained(error):
        traceback.clear_frames(each.__traceback__)
        if isinstance(getattr(each, "doc", None), (str, bytes)):  # the whole of what is no JSON
            each.doc = ""  # type: ignore[attr-defined]
        if isinstance(each, UnicodeDecodeError):
            part = each.object[each.start : each.end][:_LONG]
            each.object, each.start, each.end = part, 0, len(part)
            each.args = (each.encoding, part, 0, len(part), each.reason)


def leave_words_only(error: BaseException) -> None:
    """Take out of the errors behind one of ours what is no plain value: requests, answers and connections of SDKs.

    They hold secrets, and stand in the way of pickling: some libraries (tblib, and so Dask) pickle the whole chain. An
    error that is not shown, because another was raised `from` something else, is cut off.
    """
    for each in chained(error):
        if each.__suppress_context__:
            each.__context__ = None
    for each in chained(error):
        if isinstance(each, (MistError, BaseExceptionGroup)):
            continue
        each.args = tuple(value if _is_plain(value) else _told(value) for value in each.args)
        held = {name: value for name, value in vars(each).items() if not _is_plain(value)}
        vars(each).update(dict.fromkeys(held))
        try:
            str(each)
        except Exception:  # noqa: BLE001 - its words need what it held
            vars(each).update(held)


def _is_plain(value: Any) -> bool:
    if type(value) in (list, tuple):
        return all(map(_is_plain, value))
    if type(value) is dict:
        return all(map(_is_plain, value.values()))
    return value is None or type(value) in (str, bytes, int, float, bool)


def _told(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - of another library, which has the object half made perhaps
        return type(value).__name__


def hide_in(value: Any, secrets: list[str]) -> Any:
    """Return a value with the secrets replaced in its texts and bytes, also within lists and dicts."""
    if isinstance(value, str):
        return hide(value, secrets)
    if isinstance(value, bytes):
        shown = hide(value.decode("utf-8", "surrogateescape"), secrets)
        return shown.encode("utf-8", "surrogateescape")
    if type(value) in (list, tuple):
        return type(value)(hide_in(item, secrets) for item in value)
    if type(value) is dict:
        return {key: hide_in(item, secrets) for key, item in value.items()}
    return value
