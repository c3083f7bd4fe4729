"""Every operation of every provider, at nobody and at services that repeat what they were sent: no mark is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.authority import throwaway_authority
from leaks import services
from leaks.marks import Account, accounts, looker
from leaks.shown import Logged, of_error, of_object

from mistcore import BackendManager, MistError
from mistcore.deadline import deadline
from mistcore.operations import OPERATIONS, options_of
from mistcore.parallel import in_parallel

#: The operations that are unlike each other.
SOME = ("check", "list_machines", "get_machine", "start_machine", "rename_machine", "create_machine", "list_images")
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
    for operation in operations:
        if not cls.supports(operation):
            continue
        arguments: list[Any] = [] if operation.startswith(("list_", "check")) else ["web-1"]
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


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return throwaway_authority(tmp_path_factory.mktemp("authority"))[0]


def everything(store: Path, url: str, tls_url: str, way: str = "") -> Found:
    # All of them where it is least likely that one finds what another does not.
    operations = OPERATIONS if way in ("", "401") else SOME
    chosen = [each for each in accounts(url, tls_url) if not way or each.provider not in ("bare_metal", "libvirt")]
    seconds = 0.2 if way in ("cut", "silence") else 1.0  # what is repeated until its time is over has told all by then
    with BackendManager(store) as manager:
        found = in_parallel(lambda account: ask(manager, account, seconds, operations), chosen, workers=16)
        return [shown for each in found for shown in each]


def test_nobody_listens(
    logged: Logged, others_files: Callable[[str], None], nothing_leaks: Any, tmp_path: Path
) -> None:
    url = services.nobody()
    others_files(url)
    shown = everything(tmp_path / "store", url, url.replace("http:", "https:"))
    nothing_leaks([*shown, *logged.take()])


def test_nobody_answers(
    logged: Logged, others_files: Callable[[str], None], nothing_leaks: Any, tmp_path: Path
) -> None:
    with services.silence() as url:
        others_files(url)
        shown = everything(tmp_path / "store", url, url.replace("http:", "https:"), "silence")
    nothing_leaks([*shown, *logged.take()])


@pytest.mark.parametrize(("how", "logins"), services.WAYS)
def test_a_service_repeats_what_it_was_sent(
    how: str,
    logins: str,
    logged: Logged,
    others_files: Callable[[str], None],
    nothing_leaks: Any,
    tls: Any,
    tmp_path: Path,
) -> None:
    with services.Echo(how, logins) as service, services.Echo(how, logins, tls=tls) as safe:
        others_files(service.url)
        shown = everything(tmp_path / "store", service.url, safe.url, how)
        sent = [services.said(request) for request in [*service.requests, *safe.requests]]
    if how in services.GOOD:
        shown = [(where, thing) for where, thing in shown if ": local " not in where]
    nothing_leaks([*shown, *logged.take()])
    assert sum(bool(looker().forms(text)) for text in sent) > 20, "the marks were sent, so that they could be repeated"
