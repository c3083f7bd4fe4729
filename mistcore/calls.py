"""Calling a provider on behalf of a backend: what it lets through leaves as one of our errors, naming the backend."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from mistcore.errors import MistError, ProviderError
from mistcore.redaction import hide_in_error, leave_words_only, let_go

__all__ = ["provider_errors"]

log = logging.getLogger(__name__)
T = TypeVar("T")


@contextmanager
def provider_errors(operation: str, *, provider: str, backend: str, secrets: Callable[[], list[str]]) -> Iterator[None]:
    """Turn what the block raises into a `MistError` that names provider and backend and holds none of the secrets."""
    began = time.perf_counter()
    try:
        yield
    except BaseException as error:
        let_go(error)
        hide_in_error(error, secrets())
        if not isinstance(error, Exception):  # Ctrl-C is for the program
            raise
        words = f"{type(error).__name__}: {error}"
        leave_words_only(error)
        if isinstance(error, MistError):
            error.provider = error.provider or provider
            error.backend = error.backend or backend
            raise
        raise ProviderError(
            f"the provider failed in {operation}: {words}",
            remedy="This is a fault of the provider's code: tell its author.",
            reason="bug",
            provider=provider,
            backend=backend,
        ) from error
    finally:
        log.debug("%s %s %.0f ms", backend, operation, (time.perf_counter() - began) * 1000)
