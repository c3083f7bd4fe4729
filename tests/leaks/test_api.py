"""What programs hold: providers, backends, managers, stores, vaults, results and events. None of them shows a mark."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from leaks import services
from leaks.commands import mist, raised
from leaks.marks import Account, accounts, looker, mark
from leaks.shown import Logged, of_error, of_object

from mistcore import BackendManager, InvalidFields, MistError, Registry, hookimpl
from mistcore.errand import Parcel
from mistcore.hooks import Specification

pytestmark = pytest.mark.usefixtures("quick")
Found = list[tuple[str, object]]
#: Who asks over HTTP; of these, what a proxy or a service says is heard by people.
NOT_HTTP = ("bare_metal", "libvirt")


class Witness:
    """A plugin that is told everything, and keeps what it was told."""

    def __init__(self) -> None:
        self.told: Found = []


def _witness_of(name: str) -> Callable[..., None]:
    def told(self: Witness, backend: Any = None, error: Any = None, account: Any = None, old_title: Any = None) -> None:
        for thing in (backend, account, old_title):
            self.told += [(f"{name}: {where}", shown) for where, shown in of_object(thing)]
        if error is not None:
            self.told += [(f"{name}: {where}", shown) for where, shown in of_error(error)]

    return told


EVENTS = {
    "mistcore_backend_added": "backend",
    "mistcore_backend_removed": "backend",
    "mistcore_backend_renamed": "backend, old_title",
    "mistcore_backend_updated": "backend",
    "mistcore_backend_checked": "backend, account, error",
}


def witness() -> Witness:
    """Return a plugin with a method for every event that there is."""
    events = {name for name in vars(Specification) if name.startswith("mistcore_backend")}
    assert events == set(EVENTS), "tell EVENTS what a new one is told"
    names: dict[str, Any] = {"hookimpl": hookimpl}
    for name, arguments in EVENTS.items():
        names[f"_{name}"] = _witness_of(name)
        given = ", ".join(f"{each}={each}" for each in arguments.split(", "))
        exec(f"@hookimpl\ndef {name}(self, {arguments}): _{name}(self, {given})", names)
    return type("AllEars", (Witness,), {name: names[name] for name in EVENTS})()


def test_what_programs_hold(
    tmp_path: Path, logged: Logged, others_files: Callable[[str], None], nothing_leaks: Any
) -> None:
    ears = witness()
    shown: Found = []
    with services.Echo("401", "none") as service:
        others_files(service.url)
        store = tmp_path / "backends.json"
        with BackendManager(store, plugins=[ears]) as manager:
            for account in accounts(service.url, other=services.nobody()):
                backend = manager.add_backend(account.provider, account.title, check=False, **account.fields)
                shown += of_object(backend)
                shown += of_object(backend.record.title)
                shown += [("record", repr(backend.record)), ("record", str(vars(manager.pool)))]
                shown += of_object(manager.registry[account.provider](**account.fields))
                shown.append(("schema", json.dumps(manager.registry[account.provider].json_schema())))
            checks = manager.check(timeout=5)
            results = list(checks)
            walk = manager.machines(timeout=5, partial=True)
            assert list(walk) == []
            for walked in (checks, walk):
                shown += [("walk", repr(walked)), ("failures", repr(walked.failures)), ("vars", repr(vars(walked)))]
            for result in results:
                shown += [("result", repr(result)), ("vars of result", repr(result.error and vars(result.error)))]
                shown += of_error(result.error) if result.error else []
            with pytest.raises(MistError) as caught:
                list(manager.machines(timeout=5))
            shown += of_error(caught.value)
            first = manager.backends()[0]
            first.rename("another")
            first.disable()
            first.delete()
            for thing in (manager, manager.store, manager.vault, manager.pool, manager.registry):
                shown += of_object(thing)
                shown.append((f"vars of {type(thing).__name__}", repr(vars(thing))))
        with BackendManager(store) as other:
            parcels = [pickle.dumps(Parcel(backend)) for backend in other.backends()]
            shown += [("parcel", parcel) for parcel in parcels] + [("parcel", repr(pickle.loads(parcels[0])))]
    nothing_leaks([*shown, *ears.told, *logged.take()])
    assert {where.partition(":")[0] for where, _ in ears.told} == set(EVENTS)


def test_who_uses_a_provider_without_a_manager(others_files: Callable[[str], None], nothing_leaks: Any) -> None:
    registry, shown = Registry(), []
    with services.Echo("nested", "greets") as service:
        others_files(service.url)
        for account in accounts(service.url, other=services.nobody()):
            with registry[account.provider](**account.fields) as provider, pytest.raises(MistError) as caught:
                provider.check()
            shown += [(f"{account.title}: {where}", thing) for where, thing in of_error(caught.value)]
    nothing_leaks(shown)


def addresses(provider: str) -> Iterator[tuple[Account, str, str]]:
    """Yield accounts, each with one of their addresses, and that with a user and a password in front of its host."""
    registry = Registry()
    for account in accounts("http://127.0.0.1:9"):
        for field in registry[account.provider].fields():
            value = account.fields.get(field.name)
            if account.provider == provider and field.address and isinstance(value, str):
                scheme, separator, rest = value.rpartition("://")
                password = mark("in.an.address")
                for written in (quote(password, safe=""), password.replace(" ", "")):
                    yield account, field.name, f"{scheme}{separator}user:{written}@{rest}"


@pytest.mark.parametrize("provider", [name for name in Registry() if Registry().package(name) == "mistcore"])
def test_an_address_with_a_password_is_refused(provider: str, tmp_path: Path, nothing_leaks: Any) -> None:
    shown: Found = []
    store = tmp_path / "backends.json"
    with BackendManager(store) as manager:
        for account, name, address in addresses(provider):
            fields = {**account.fields, name: address}
            with pytest.raises(InvalidFields) as caught:
                manager.add_backend(provider, check=False, **fields)
            shown += of_error(caught.value)
            kept = manager.add_backend(provider, check=False, **account.fields)
            with pytest.raises(InvalidFields) as caught:
                kept.update(check=False, **fields)
            shown += of_error(caught.value)
            # As somebody may have written it by hand, or an earlier version kept it.
            plain = json.dumps(account.fields[name])
            store.write_text(store.read_text().replace(f'"{name}": {plain}', f'"{name}": {json.dumps(address)}'))
            assert address in manager.backend(kept.id).record.credentials.values()
            shown += of_object(manager.backend(kept.id))
            with pytest.raises(MistError) as failed:
                kept.check()
            shown += of_error(failed.value)
    nothing_leaks(shown)


@pytest.mark.parametrize("answers", ["nobody", "silence", "401", "nested"])
def test_the_password_of_a_proxy(
    answers: str, tmp_path: Path, logged: Logged, nothing_leaks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: Found = []
    with (
        services.Echo(answers if answers in services.HOW else "401", "none") as proxy,
        services.silence() as silent,
        BackendManager(tmp_path / "s") as manager,
    ):
        places = {"nobody": services.nobody(), "silence": silent}
        place = places.get(answers, proxy.url).partition("://")[2]
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://user:{quote(mark('of.a.proxy'), safe='')}@{place}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        chosen = [each for each in accounts("http://service.example:80") if each.provider not in NOT_HTTP]
        chosen = [each for each in chosen if each.title not in ("ec2-profile", "openstack-file")]
        for account in chosen:
            manager.add_backend(account.provider, account.title, check=False, **account.fields)
        for result in manager.check(timeout=1 if answers == "silence" else 10):
            assert result.error is not None
            shown += [(f"{result.backend.title}: {where}", thing) for where, thing in of_error(result.error)]
        sent = [services.said(request) for request in proxy.requests]
    nothing_leaks([*shown, *logged.take()])
    assert answers not in services.HOW or any(looker().forms(text) for text in sent)


def test_the_password_of_a_database(
    tmp_path: Path, logged: Logged, nothing_leaks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("psycopg", reason="the extra postgresql is not installed")
    place, password = services.nobody().partition("://")[2], quote(mark("of.a.database"), safe="")
    shown: Found = []
    for url in (
        f"postgresql://user:{password}@{place}/db",
        f"postgresql://user@{place}/db?password={password}",
        f"postgresql://user:{password}@{place}/db?no_such_option=1",
        f"postgresql://user:{password}@[{place}/db",
    ):
        other = str(tmp_path / "other.json")
        for words in (["--store", url, "secrets"], ["copy-store", other, url], ["copy-store", url, other]):
            shown += mist("--debug", *words).shown()
            shown += raised("--debug", *words)
        monkeypatch.setenv("MISTCORE_STORE", url)
        shown += mist("--debug", "backends").shown()
        try:
            with BackendManager(url) as manager:
                shown += of_object(manager.store)
                shown.append(("vars of manager", repr(vars(manager))))
                manager.backends()
        except MistError as error:
            shown += of_error(error)
    nothing_leaks([*shown, *logged.take()])
