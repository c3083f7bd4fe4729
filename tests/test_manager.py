import json
import pickle
import re
import threading
from pathlib import Path

import pytest
from fakes.acme import GOOD, Acme

from mistcore import (
    AmbiguousName,
    AuthenticationFailed,
    BackendManager,
    BackendNotFound,
    InvalidFields,
    MachineNotFound,
    NotSupported,
    Registry,
    UnknownProvider,
    UnknownRegion,
)
from mistcore.stores.base import Record
from mistcore.stores.memory import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def client(store: MemoryStore) -> BackendManager:
    return BackendManager(store, registry=Registry([Acme]))


def add(client: BackendManager, title: str | None = None, token: str = GOOD, region: str = "fra", **more):
    return client.add_backend("acme", title, token=token, region=region, check=token == GOOD, **more)


def test_the_listing_shows_the_first_alias_of_a_region(client: BackendManager) -> None:
    assert client.supported_providers == [
        {
            "provider": "acme",
            "title": "Acme Cloud",
            "regions": [{"id": "acme_fra", "location": "Frankfurt"}, {"id": "sin", "location": "Singapore"}],
        }
    ]


def test_adding_checks_and_keeps(client: BackendManager, store: MemoryStore) -> None:
    backend = client.add_backend(provider="acme", title=" My Acme ", region="acme_fra", token=f" {GOOD} ", port="8443")
    assert (backend.title, backend.provider, backend.region, backend.enabled) == ("My Acme", "acme", "fra", True)
    assert re.fullmatch(r"[1-9A-HJ-NP-Za-km-z]{27,28}", backend.id)
    assert repr(backend) == f"Backend => My Acme, acme_fra, {backend.id}"
    assert dict(store.read()[backend.id].credentials) == {"token": GOOD, "port": 8443}
    assert client.backends() == [backend]


def test_wrong_credentials_keep_nothing_and_show_nothing(client: BackendManager) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        client.add_backend("acme", "prod", "fra", token="wr0ng-token")
    assert "wr0ng-token" not in str(caught.value) + repr(caught.value) + repr(caught.value.__context__)
    assert caught.value.backend == "prod"
    assert client.backends() == []


def test_bad_input_is_named_and_keeps_nothing(client: BackendManager) -> None:
    with pytest.raises(UnknownProvider, match="Did you mean acme"):
        client.add_backend("acmee")
    with pytest.raises(InvalidFields) as caught:
        client.add_backend("acme", tokken="x", port="x")
    assert set(caught.value.problems) == {"tokken", "token", "port", "region"}
    with pytest.raises(UnknownRegion):
        client.add_backend("acme", region="moon", token=GOOD)
    for title in ("", " \n", "a\x1b[31mb", "x" * 256, 7):
        with pytest.raises(InvalidFields, match="title"):
            client.add_backend("acme", title, "fra", token=GOOD)
    assert client.backends() == []


def test_a_default_title_is_made_and_made_unique(client: BackendManager) -> None:
    assert [add(client).title, add(client).title, add(client, region="sin").title] == [
        "Acme Cloud fra",
        "Acme Cloud fra 2",
        "Acme Cloud sin",
    ]


def test_default_titles_stay_unique_while_others_add(client: BackendManager, monkeypatch) -> None:
    check, other = Acme.check, BackendManager(client.store, registry=client.registry)

    def slow(self: Acme):
        monkeypatch.setattr(Acme, "check", check)
        add(other)  # somebody adds the same while the service is asked
        return check(self)

    monkeypatch.setattr(Acme, "check", slow)
    assert add(client).title == "Acme Cloud fra 2"


def test_what_cannot_be_done_says_where_to_look(client: BackendManager) -> None:
    backend = add(client)
    for call, error, remedy in (
        (lambda: backend.locations(), NotSupported, "`mist providers acme` lists what it can do"),
        (lambda: backend.operate("start_machine", "m-none"), MachineNotFound, "See `mist machines`"),
        (lambda: client.add_backend("acme"), InvalidFields, "See `mist providers acme`"),
        (lambda: client.add_backend("acme", region="nowhere", token=GOOD), UnknownRegion, "See `mist providers acme`"),
    ):
        with pytest.raises(error, match=remedy):
            call()


def test_search_is_any_part_of_title_or_id_in_any_case(client: BackendManager) -> None:
    first, second = add(client, "Openstack Juno"), add(client, "DOCKER")
    assert client.backends(search="openstack") == [first]
    assert client.backends(search="docker") == [second]
    assert client.backends(
        search=second.id[3:9].upper() if second.id[3:9].upper() in second.id else second.id[3:9]
    ) == [second]
    assert client.backends(search="") == client.backends() == [first, second]
    assert client.backends(search="nothing") == []
    assert client.backends(id=first.id) == client.backends(name="Openstack Juno") == [first]
    assert client.backends(name="openstack juno") == client.backends(id="") == client.backends(provider="ec2") == []
    assert client.backends(provider="acme", search="docker") == [second]


def test_one_backend_by_id_title_or_beginning_of_an_id(client: BackendManager) -> None:
    first, second = add(client, "web"), add(client, "web")
    third = add(client, "production")
    assert client.backend(first.id) == client.backend(first.id[:12]) == first
    assert client.backend("production") == third
    with pytest.raises(AmbiguousName) as caught:
        client.backend("web")
    assert set(caught.value.candidates) == {first.id, second.id}
    with pytest.raises(BackendNotFound, match="Did you mean 'production'"):
        client.backend("produktion")


def test_the_beginning_of_an_id_has_to_be_three_letters_and_of_one_only(store: MemoryStore, client) -> None:
    with store.change() as transaction:
        for id, title in (("abc1", "one"), ("abd1", "two"), ("xyz1", "abd")):
            transaction.put(Record(id=id, title=title, provider="acme"))
    assert client.backend("abc").title == "one"
    assert client.backend("abd").id == "xyz1"  # a title comes before the beginning of an id
    for name in ("ab", "x", ""):
        with pytest.raises(BackendNotFound):
            client.backend(name)
    with store.change() as transaction:
        transaction.put(Record(id="abc2", title="three", provider="acme"))
    with pytest.raises(AmbiguousName) as caught:
        client.backend("abc")
    assert set(caught.value.candidates) == {"abc1", "abc2"}
    assert client.backend("abc2").title == "three"


def test_two_managers_on_one_store_see_each_others_changes(client: BackendManager, store: MemoryStore) -> None:
    other = BackendManager(store, registry=Registry([Acme]))
    backend = add(client, "mine")
    seen = other.backends()[0]
    seen.rename("theirs")
    assert backend.title == "theirs"
    seen.delete()
    assert client.backends() == []
    assert backend.title == "theirs"  # what it was last
    for use in (backend.check, lambda: backend.rename("x"), backend.disable, backend.delete, backend.machines):
        with pytest.raises(BackendNotFound, match="removed"):
            use()


def test_rename_enable_disable(client: BackendManager) -> None:
    backend = add(client, "old")
    backend.rename(" newName ")
    assert backend.title == client.backends(name="newName")[0].title == "newName"
    with pytest.raises(InvalidFields):
        backend.rename("  ")
    backend.disable()
    assert not backend.enabled
    assert list(client.machines()) == []
    assert list(client.check()) == []
    backend.enable()
    assert len(list(client.machines())) == 3


def test_info_is_plain_and_without_secrets(client: BackendManager) -> None:
    backend = add(client, "prod", endpoint="https://other.example")
    info = json.loads(json.dumps(backend.info))
    assert info["credentials"] == {"endpoint": "https://other.example"}
    assert info["secrets"] == ["token"]
    assert GOOD not in json.dumps(info) + repr(backend)


def test_updating_checks_before_it_replaces(client: BackendManager, store: MemoryStore) -> None:
    backend = add(client, "prod", token="old-token")
    with pytest.raises(AuthenticationFailed):
        backend.update(token="wrong")
    assert store.read()[backend.id].credentials["token"] == "old-token"
    backend.update(token=GOOD, region="sin")
    assert (backend.region, backend.check().name) == ("sin", "me@acme.example")
    backend.update(port=8443)
    backend.update(port=None)
    assert "port" not in store.read()[backend.id].credentials
    with pytest.raises(InvalidFields, match="unknown field"):
        backend.update(tokn="x")


def test_a_new_address_needs_the_secrets_anew(client: BackendManager) -> None:
    backend = add(client, "prod")
    with pytest.raises(InvalidFields, match="token: give it again"):
        backend.update(endpoint="https://evil.example")
    backend.update(endpoint="https://other.example", token=GOOD)
    with pytest.raises(InvalidFields, match="token: give it again"):
        backend.update(endpoint=None)
    assert backend.info["credentials"]["endpoint"] == "https://other.example"


def test_references_are_stored_as_written(client: BackendManager, store: MemoryStore, monkeypatch) -> None:
    monkeypatch.setenv("MY_TOKEN", GOOD)
    backend = add(client, "prod", token="env:MY_TOKEN")
    assert store.read()[backend.id].credentials["token"] == "env:MY_TOKEN"
    assert backend.check().id == "42"
    monkeypatch.setenv("MY_TOKEN", "other")
    with pytest.raises(AuthenticationFailed):
        backend.check()
    monkeypatch.delenv("MY_TOKEN")
    with pytest.raises(InvalidFields, match="MY_TOKEN is not set") as caught:
        backend.check()
    assert caught.value.backend == "prod"


def test_many_changes_with_one_write_or_none_at_all(client: BackendManager) -> None:
    with client.batch():
        first = add(client, "a")
        add(client, "b")
        first.rename("c")
    assert [backend.title for backend in client.backends()] == ["c", "b"]
    with pytest.raises(RuntimeError), client.batch():
        first.rename("d")
        first.delete()
        raise RuntimeError
    assert [backend.title for backend in client.backends()] == ["c", "b"]


def test_a_backend_whose_provider_is_gone_is_still_looked_after(client: BackendManager, store: MemoryStore) -> None:
    backend = add(client, "prod")
    without = BackendManager(store, registry=Registry([])).backends()[0]
    without.rename("renamed")
    assert without.info["installed"] is False
    assert without.info["credentials"] == {}
    assert repr(without) == f"Backend => renamed, acme, {backend.id}"
    with pytest.raises(UnknownProvider) as caught:
        without.check()
    assert caught.value.backend == "renamed"
    without.delete()
    assert client.backends() == []


def test_adding_without_a_check(client: BackendManager) -> None:
    backend = client.add_backend("acme", "x", "fra", token="unchecked", check=False)
    with pytest.raises(AuthenticationFailed):
        backend.check()
    client.add_backend("acme", "y", "fra", token="env:NOT_HERE", check=False)


def test_providers_are_closed_with_the_manager(store: MemoryStore) -> None:
    with BackendManager(store, registry=Registry([Acme])) as client:
        backend = add(client, "prod")
        backend.check()
        before = Acme.closed
        backend.machines()
        assert Acme.closed == before
    assert Acme.closed == before + 1


def test_the_provider_of_a_backend_is_closed_when_that_is_removed(client: BackendManager) -> None:
    kept, removed = add(client, "kept"), add(client, "removed")
    for backend in (kept, removed):
        backend.machines()
    before = Acme.closed
    removed.delete()
    assert Acme.closed == before + 1
    kept.machines()
    assert Acme.closed == before + 1


def test_a_provider_in_use_is_closed_by_its_last_user(client: BackendManager, store: MemoryStore) -> None:
    backend = add(client, "prod")
    before = Acme.closed
    with client.pool.use(store.read()[backend.id]) as provider:
        backend.delete()
        assert Acme.closed == before
        assert provider.check()
    assert Acme.closed == before + 1


def test_whose_plugin_is_gone_is_told_which_package_to_install(store, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "mistcore_acme-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: mistcore-acme\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[mistcore.providers]\nacme = fakes.acme:Acme\n")
    with monkeypatch.context() as installed:
        installed.syspath_prepend(tmp_path)
        add(BackendManager(store), "prod")
    with pytest.raises(UnknownProvider) as caught:
        BackendManager(store).backend("prod").machines()
    assert caught.value.remedy == "Its plugin is not installed any more: pip install mistcore-acme"


def test_threads_may_share_a_manager(client: BackendManager) -> None:
    errors = []

    def work(number: int) -> None:
        try:
            backend = add(client, f"b{number}")
            assert len(backend.machines()) == 3
            backend.rename(f"c{number}")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(backend.title for backend in client.backends()) == sorted(f"c{number}" for number in range(16))


def test_the_store_may_be_a_path(tmp_path: Path) -> None:
    path = tmp_path / "some" / "dir" / "backends.json"
    backend = add(BackendManager(path, registry=Registry([Acme])), "prod")
    again = BackendManager(str(path), registry=Registry([Acme]))
    assert again.backends() == [backend]


def test_a_pickled_backend_is_where_its_store_is_and_holds_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "backends.json"
    id = add(BackendManager(path, registry=Registry([Acme])), "prod").id
    pickled = pickle.dumps(BackendManager(path).backend(id))
    assert GOOD.encode() not in pickled
    assert pickle.loads(pickled).title == "prod"
    BackendManager(path).backend(id).delete()
    with pytest.raises(BackendNotFound, match="as a process of the pool on .* finds it"):
        pickle.loads(pickled)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"registry": Registry([Acme])}, "a registry of its own"),
        ({"plugins": [object()]}, "plugins of its own"),
        ({"store": MemoryStore()}, r"a store of its own, \(memory\)"),
    ],
)
def test_a_backend_that_no_other_process_can_have_is_not_pickled(tmp_path: Path, options: dict, words: str) -> None:
    path = tmp_path / "backends.json"
    record = add(BackendManager(path, registry=Registry([Acme])), "prod").record
    client = BackendManager(**{"store": path, **options})
    if isinstance(client.store, MemoryStore):
        with client.store.change() as transaction:
            transaction.put(record)
    with pytest.raises(NotSupported, match=words):
        pickle.dumps(client.backends()[0])


def test_what_a_file_holds_is_stripped_and_its_path_may_begin_at_home(client, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "token").write_text(f"{GOOD}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert client.add_backend("acme", region="fra", token="file:~/token").check().id == "42"


def test_regions_go_by_id_or_alias_in_any_case(client: BackendManager) -> None:
    assert add(client, region="ACME_Fra").region == add(client, region="FRA").region == "fra"


def test_a_renaming_during_the_check_of_new_credentials_is_kept(client: BackendManager, monkeypatch) -> None:
    backend, check = add(client, "old"), Acme.check

    def slow(self: Acme):
        backend.rename("new")
        return check(self)

    monkeypatch.setattr(Acme, "check", slow)
    backend.update(port="8443")
    assert (backend.title, backend.info["credentials"]["port"]) == ("new", 8443)


@pytest.mark.parametrize("letter", ["\u2028", "\u2029", "\ud800"])
def test_a_title_holds_no_line_break_of_unicode(client: BackendManager, letter: str) -> None:
    with pytest.raises(InvalidFields, match="line breaks"):
        add(client, f"a{letter}b")


def test_none_does_not_keep_a_secret_for_another_address(client: BackendManager) -> None:
    backend = add(client, "prod")
    with pytest.raises(InvalidFields, match="token"):
        backend.update(endpoint="https://evil.example", token=None)
