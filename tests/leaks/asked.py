"""Asking a backend for everything that its provider offers, and keeping all that this shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from leaks.marks import Account
from leaks.shown import of_error, of_object

from mistcore import BackendManager, MistError
from mistcore.deadline import deadline
from mistcore.operations import OPERATIONS, options_of

Found = list[tuple[str, object]]


def ask(manager: BackendManager, account: Account, seconds: float, operations: Iterable[str] = OPERATIONS) -> Found:
    """Return what all the operations of an account show, by their errors and their answers."""
    shown: Found = []
    cls = manager.registry[account.provider]
    try:
        backend = manager.add_backend(account.provider, account.title, check=False, **account.fields)
    except MistError as error:
        return list(of_error(error))
    shown += of_object(backend)
    machine = account.fields.get("machine_ip", "web-1")  # a single machine's id is its address
    for operation in operations:
        if not cls.supports(operation):
            continue
        arguments: list[Any] = [] if operation.startswith(("list_", "check")) else [machine]
        options: dict[str, Any] = {}
        if operation == "rename_machine":
            arguments.append("web-2")
        if operation == "create_machine":
            taken = options_of(cls.create_machine) or {}
            options = {name: "1" for name, option in taken.items() if option.default is option.empty}
        try:
            with deadline(seconds):
                answer = backend.operate(operation, *arguments, **options)
                answer = list(answer) if isinstance(answer, Iterator) else answer
        except MistError as error:
            shown += ((f"{account.title} {operation}: {where}", thing) for where, thing in of_error(error))
        else:
            shown.append((f"{account.title} {operation} answers", repr(answer)))
    return shown
