"""Every operation of every provider, at nobody and at services that repeat what they were sent: no mark is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.authority import throwaway_authority
from leaks import services
from leaks.asked import Found, ask
from leaks.marks import accounts, looker
from leaks.shown import Logged

from mistcore import BackendManager
from mistcore.operations import OPERATIONS
from mistcore.parallel import in_parallel

#: The operations that are unlike each other.
SOME = ("check", "list_machines", "get_machine", "start_machine", "rename_machine", "create_machine", "list_images")


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
    nothing_leaks([*shown, *logged.take()])
    assert sum(bool(looker().forms(text)) for text in sent) > 20, "the marks were sent, so that they could be repeated"
