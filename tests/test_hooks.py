import sys
import types

import pytest
from fakes.acme import GOOD, Acme

import mistcore
from mistcore import AuthenticationFailed, BackendManager, PluginWarning, Registry
from mistcore.stores.memory import MemoryStore


class Log:
    def __init__(self) -> None:
        self.events: list[tuple] = []

    @mistcore.hookimpl
    def mistcore_backend_added(self, backend) -> None:
        self.events.append(("added", backend.title))

    @mistcore.hookimpl
    def mistcore_backend_renamed(self, backend, old_title) -> None:
        self.events.append(("renamed", old_title, backend.title))

    @mistcore.hookimpl
    def mistcore_backend_updated(self, backend) -> None:
        self.events.append(("updated", backend.enabled))

    @mistcore.hookimpl
    def mistcore_backend_removed(self, backend) -> None:
        self.events.append(("removed", backend.title))

    @mistcore.hookimpl
    def mistcore_backend_checked(self, backend, error) -> None:
        self.events.append(("checked", type(error).__name__))


class Broken:
    @mistcore.hookimpl
    def mistcore_backend_added(self, backend) -> None:
        raise RuntimeError("broken plugin")


def manager(*plugins) -> BackendManager:
    return BackendManager(MemoryStore(), registry=Registry([Acme]), plugins=plugins)


def test_what_happened_to_a_backend_is_told() -> None:
    log = Log()
    client = manager(log)
    backend = client.add_backend("acme", "a", "fra", token=GOOD)
    backend.rename("b")
    backend.rename("b")
    backend.disable()
    backend.check()
    backend.update(token="bad", check=False)
    with pytest.raises(AuthenticationFailed):
        backend.check()
    backend.delete()
    assert log.events == [
        ("added", "a"),
        ("renamed", "a", "b"),
        ("updated", False),
        ("checked", "NoneType"),
        ("updated", False),
        ("checked", "AuthenticationFailed"),
        ("removed", "b"),
    ]


def test_nothing_is_told_of_what_was_not_kept() -> None:
    log = Log()
    client = manager(log)
    with pytest.raises(RuntimeError), client.batch():
        client.add_backend("acme", "a", "fra", token=GOOD)
        raise RuntimeError
    assert log.events == []
    with client.batch():
        client.add_backend("acme", "a", "fra", token=GOOD)
        assert log.events == []
    assert log.events == [("added", "a")]


def test_a_hook_that_raises_is_reported_and_breaks_nothing() -> None:
    log = Log()
    client = manager(Broken(), log, Broken())
    with pytest.warns(PluginWarning, match="mistcore_backend_added raised RuntimeError: broken plugin"):
        client.add_backend("acme", "a", "fra", token=GOOD)
    assert log.events == [("added", "a")]
    assert len(client.backends()) == 1


def test_providers_and_stores_may_come_from_a_plugin() -> None:
    store = MemoryStore()

    class More:
        @mistcore.hookimpl
        def mistcore_providers(self):
            return {"acme": Acme}

        @mistcore.hookimpl
        def mistcore_store(self, url):
            return store if url.startswith("acme://") else None

    client = BackendManager("acme://somewhere", registry=Registry([]), plugins=[More()])
    assert client.store is store
    assert [each["provider"] for each in client.supported_providers] == ["acme"]


def test_the_plugin_that_was_added_last_is_asked_first(tmp_path, monkeypatch) -> None:
    stores = {name: MemoryStore() for name in ("installed", "first", "last")}
    asked: list[str] = []

    class Keeper:
        def __init__(self, name: str) -> None:
            self.name = name

        @mistcore.hookimpl
        def mistcore_store(self, url):
            asked.append(self.name)
            return stores[self.name] if self.name in url else None

        @mistcore.hookimpl
        def mistcore_backend_added(self, backend) -> None:
            asked.append(f"{self.name} {backend.title}")

    module = types.ModuleType("keeper_of_stores")
    module.keeper = Keeper("installed")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    folder = tmp_path / "keeper-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: keeper\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[mistcore.plugins]\nkeeper = keeper_of_stores:keeper\n")
    monkeypatch.syspath_prepend(tmp_path)

    def opened(url: str) -> BackendManager:
        asked.clear()
        return BackendManager(url, registry=Registry([Acme]), plugins=[Keeper("first"), Keeper("last")])

    assert opened("any://last-first-installed").store is stores["last"]
    assert asked[0] == "last"
    assert opened("any://first-installed").store is stores["first"]
    client = opened("any://installed")
    assert client.store is stores["installed"]
    asked.clear()
    client.add_backend("acme", "a", "fra", token=GOOD)
    assert asked == ["last a", "first a", "installed a"]


def test_a_misspelt_hook_is_an_error() -> None:
    class Misspelt:
        @mistcore.hookimpl
        def mistcore_backend_aded(self, backend) -> None: ...

    with pytest.raises(Exception, match="mistcore_backend_aded"):
        manager(Misspelt())


def test_two_managers_do_not_share_plugins() -> None:
    first, second = Log(), Log()
    manager(first).add_backend("acme", "a", "fra", token=GOOD)
    manager(second)
    assert second.events == []
    assert len(first.events) == 1
