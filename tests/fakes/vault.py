"""Backends of Acme whose secrets are kept by a vault, and what a vault refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.acme import GOOD, Acme

from mistcore import Backend, BackendManager, VaultError
from mistcore.registry import Registry
from mistcore.stores import Store

PASSPHRASE = "correct horse battery staple"
VARIABLE = "TEST_OF_THE_VAULT"


def manager_of(store: Store | Path, passphrase: str | Callable[[], str] | None = PASSPHRASE) -> BackendManager:
    return BackendManager(store, registry=Registry([Acme]), passphrase=passphrase, installed_plugins=False)


def add(manager: BackendManager, title: str = "one", token: str = GOOD, **fields: Any) -> Backend:
    return manager.add_backend("acme", title, "fra", check=False, token=token, **fields)


def refused(reason: str, call: Callable[[], object]) -> VaultError:
    with pytest.raises(VaultError) as caught:
        call()
    assert caught.value.reason == reason
    assert caught.value.remedy
    return caught.value


def sealed_manager(path: Path) -> BackendManager:
    """Return a manager of two backends, sealed with a passphrase."""
    manager = manager_of(path)
    add(manager, "one", "secret-of-one")
    add(manager, "two", "secret-of-two")
    manager.vault.rewrite("sealed", passphrase=PASSPHRASE)
    return manager
