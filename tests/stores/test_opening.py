"""Which store a location names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from stores.workers import record

import mistcore.stores
from mistcore import BackendManager, hookimpl
from mistcore.errors import StoreError
from mistcore.stores import JsonStore, MemoryStore, Store, default_location, open_store


def test_a_path_is_a_json_file(tmp_path: Path) -> None:
    for location in (
        tmp_path / "a.json",
        str(tmp_path / "a.json"),
        f"json://{tmp_path}/a.json",
        f"JSON://{tmp_path}/a.json",
    ):
        store = open_store(location)
        assert isinstance(store, JsonStore)
        assert store.location == str(tmp_path / "a.json")


def test_a_url_may_quote_what_a_path_may_hold(tmp_path: Path) -> None:
    assert open_store(f"json://{tmp_path}/a%20b%3F.json").location == str(tmp_path / "a b?.json")


def test_opening_touches_nothing(tmp_path: Path) -> None:
    open_store(tmp_path / "data" / "a.json").close()
    assert list(tmp_path.glob("data")) == []


@pytest.mark.parametrize("url", ["json://host/a.json", "json://", "json:///", "json:///a?b", "json:///a#b"])
def test_a_url_that_is_no_path(url: str) -> None:
    with pytest.raises(StoreError, match="three slashes"):
        open_store(url)


def test_an_unknown_scheme_is_refused_without_what_it_carries() -> None:
    with pytest.raises(StoreError, match=r"no kind of store is known for acme://.*json://") as caught:
        open_store("acme://me:hunter2@host/db")
    assert caught.value.reason == "scheme"
    assert "hunter2" not in repr(caught.value.__dict__) + str(caught.value)


def test_the_users_own_is_in_the_platforms_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MISTCORE_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    location = Path(default_location())
    assert location.parts[-2:] == ("mistcore", "backends.json")
    if sys.platform == "linux":
        assert location == tmp_path / "share" / "mistcore" / "backends.json"


def test_mistcore_home_moves_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MISTCORE_HOME", str(tmp_path))
    assert open_store().location == str(tmp_path / "backends.json")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MISTCORE_HOME", "~/mine")
    assert open_store(None).location == str(tmp_path / "mine" / "backends.json")


def test_mistcore_store_names_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MISTCORE_STORE", str(tmp_path / "other.json"))
    assert open_store().location == str(tmp_path / "other.json")
    monkeypatch.setenv("MISTCORE_STORE", "acme://host")
    with pytest.raises(StoreError, match="acme://"):
        open_store()
    monkeypatch.setenv("MISTCORE_STORE", "")
    monkeypatch.setenv("MISTCORE_HOME", str(tmp_path))
    assert open_store().location == str(tmp_path / "backends.json")


class Acme:
    @hookimpl
    def mistcore_store(self, url: str) -> Store | None:
        return MemoryStore([record(url)]) if url.startswith("acme://") else None


def test_a_plugin_may_know_further_schemes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with BackendManager("acme://there", plugins=[Acme()]) as manager:
        assert list(manager.store.read()) == ["id-acme://there"]
    monkeypatch.setenv("MISTCORE_STORE", "acme://here")
    with BackendManager(plugins=[Acme()]) as manager:
        assert list(manager.store.read()) == ["id-acme://here"]
    with BackendManager(tmp_path / "a.json", plugins=[Acme()]) as manager:
        assert isinstance(manager.store, JsonStore)


def test_the_package_offers_its_names() -> None:
    assert {name for name in mistcore.stores.__all__ if not hasattr(mistcore.stores, name)} == set()
    with pytest.raises(AttributeError):
        mistcore.stores.nothing  # noqa: B018


def test_importing_and_reading_bring_in_little() -> None:
    code = (
        "import sys; from mistcore.stores import open_store; open_store().read()\n"
        "print(*sorted({'filelock', 'platformdirs', 'requests', 'psycopg', 'urllib', 'asyncio'} & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output.split() == ["urllib"] or output.split() == []
