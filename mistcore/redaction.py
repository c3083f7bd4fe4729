"""Keeping secrets out of what is shown: error messages and the errors chained behind them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

__all__ = ["MASK", "hide", "hide_in_error"]

MASK = "•••"
_SHORTEST = 3


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return the text with every secret replaced, also where it stands quoted as in a URL or escaped as in a repr."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) < _SHORTEST:
            continue
        for form in {secret, quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1]}:
            text = text.replace(form, MASK)
    return text


def hide_in_error(error: BaseException, secrets: Iterable[str]) -> None:
    """Replace secrets in the arguments and attributes of an error and of every error chained to it, in place."""
    secrets = [secret for secret in secrets if len(secret) >= _SHORTEST]
    if not secrets:
        return
    for each in _chain(error):
        each.args = tuple(_hide_in(value, secrets) for value in each.args)
        for name, value in list(vars(each).items()):
            if isinstance(value, (str, dict, list, tuple)):
                setattr(each, name, _hide_in(value, secrets))
        if any(secret in str(each) for secret in secrets):
            each.args = (f"{type(each).__name__}: the message held a secret and was dropped",)


def _hide_in(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, str):
        return hide(value, secrets)
    if isinstance(value, bytes):
        return hide(value.decode("latin-1"), secrets).encode("latin-1", "replace")
    if type(value) in (list, tuple):
        return type(value)(_hide_in(item, secrets) for item in value)
    if type(value) is dict:
        return {key: _hide_in(item, secrets) for key, item in value.items()}
    return value


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [link for link in (each.__cause__, each.__context__) if link is not None]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions
