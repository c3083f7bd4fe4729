import importlib.metadata
import subprocess
import sys
import warnings
from importlib.metadata import EntryPoint

import pytest
from fakes.acme import Acme

import mistcore.registry
from mistcore import BrokenPlugin, PluginWarning, Registry, UnknownProvider

LISTING = [
    "bare_metal",
    "azure",
    "ec2",
    "gce",
    "nephoscale",
    "digitalocean",
    "linode",
    "openstack",
    "rackspace",
    "softlayer",
    "hpcloud",
    "docker",
    "vcloud",
    "indonesian_vcloud",
    "libvirt",
]


SDKS = {
    "asyncssh",
    "azure",
    "boto3",
    "botocore",
    "docker",
    "google",
    "keystoneauth1",
    "libvirt",
    "msal",
    "novaclient",
    "psycopg",
    "requests",
    "rich",
}


class Other(Acme):
    title = "Other"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch):
    """Let the registry find these entry points instead of what is installed: the registry's own input, not its code."""

    def install(**targets: str) -> Registry:
        entries = [EntryPoint(name.rstrip("_"), target, mistcore.registry.GROUP) for name, target in targets.items()]
        monkeypatch.setattr(mistcore.registry, "entry_points", lambda group: entries)
        return Registry()

    return install


def test_listing_ids_imports_nothing(installed) -> None:
    registry = installed(acme="no_such_module:Nope", linode="no_such_module:Nope")
    assert list(registry) == ["linode", "acme"]
    assert "acme" in registry
    assert len(registry) == 2


def test_the_installed_ones_come_in_the_order_of_the_listing_without_their_sdks() -> None:
    code = f"""
import sys, mistcore
from mistcore.stores.memory import MemoryStore
ids = list(mistcore.Registry())
assert not any(module.startswith("mistcore_providers") for module in sys.modules)
mistcore.BackendManager(MemoryStore()).supported_providers
assert not {SDKS} & set(sys.modules), {SDKS} & set(sys.modules)
print(*ids)
"""
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    own = [name for name in result.stdout.split() if name in LISTING]
    assert own == [name for name in LISTING if name in own]


def test_one_that_works_is_loaded_by_its_id(installed) -> None:
    registry = installed(acme="fakes.acme:Acme")
    assert registry["acme"] is Acme
    assert registry["acme"].id == "acme"
    assert registry.usable() == {"acme": Acme}


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("no_such_module:Nope", "importing no_such_module:Nope failed: ModuleNotFoundError"),
        ("fakes.acme:Nope", "AttributeError"),
        ("fakes.acme:GOOD", "not a subclass of mistcore.Provider"),
        ("json:loads", "not a subclass"),
    ],
)
def test_a_broken_one_is_reported_and_harms_nothing(installed, target: str, reason: str) -> None:
    registry = installed(acme="fakes.acme:Acme", broken=target)
    with pytest.warns(PluginWarning, match="provider 'broken'"):
        assert list(registry.usable()) == ["acme"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        registry.usable()  # says it once
    with pytest.raises(BrokenPlugin, match="cannot be used") as caught:
        registry["broken"]
    assert reason in str(caught.value)
    assert [(info.id, reason in info.problem) for info in registry.plugins()] == [("acme", False), ("broken", True)]


def test_an_id_that_is_taken_is_reported_by_package(installed) -> None:
    registry = installed(acme="fakes.acme:Acme", acme_="json:loads")
    assert registry["acme"] is Acme
    with pytest.warns(PluginWarning, match="is taken"):
        registry.usable()
    assert "the id 'acme' is taken" in registry.plugins()[-1].problem


@pytest.fixture
def package(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """Put a package that provides something where installed packages are looked for, or one more time elsewhere."""

    def put(name: str, lines: str, folder: str = "site") -> None:
        place = tmp_path / folder / f"{name.replace('-', '_')}-1.0.dist-info"
        place.mkdir(parents=True)
        (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (place / "entry_points.txt").write_text(f"[mistcore.providers]\n{lines}\n")
        monkeypatch.syspath_prepend(tmp_path / folder)

    return put


def test_our_own_package_comes_before_others_that_claim_an_id_of_ours(package) -> None:
    package("aaa-first", "linode = fakes.acme:Acme\nacme = fakes.acme:Acme")
    package("mistcore-linode", "linode = fakes.acme:Acme")
    registry = Registry()
    assert registry["linode"].__module__ == "mistcore_providers.linode"
    assert registry["acme"] is Acme
    duplicates = [info for info in registry.plugins() if info.id == "linode" and info.problem]
    assert [info.package for info in duplicates] == ["aaa-first 1.0", "mistcore-linode 1.0"]
    assert all("the id 'linode' is taken by mistcore " in info.problem for info in duplicates)


def test_of_two_others_the_first_by_name_has_the_id(package) -> None:
    package("Zebra", "acme = no_such_module:Nope")
    package("ant", "acme = fakes.acme:Acme")
    registry = Registry()
    assert registry["acme"] is Acme
    (duplicate,) = [info for info in registry.plugins() if info.problem]
    assert (duplicate.package, duplicate.problem) == ("Zebra 1.0", "the id 'acme' is taken by ant 1.0")


def test_what_is_found_twice_is_no_duplicate(installed) -> None:
    registry = installed(acme="fakes.acme:Acme", acme_="fakes.acme:Acme")
    assert [(info.id, info.problem) for info in registry.plugins()] == [("acme", "")]


def test_unknown_ids_get_the_nearest(installed) -> None:
    registry = installed(acme="fakes.acme:Acme")
    with pytest.raises(UnknownProvider, match="Did you mean acme") as caught:
        registry["amce"]
    assert caught.value.nearest == ("acme",)
    with pytest.raises(UnknownProvider, match="no provider None"):
        Registry([])[None]  # type: ignore[index]
    with pytest.raises(BrokenPlugin, match="not a subclass of mistcore.Provider"):
        Registry([int])  # type: ignore[list-item]
    assert registry.get("amce") is None
    with pytest.raises(LookupError):
        registry["zzz"]


def test_it_can_be_built_from_classes_and_added_to() -> None:
    registry = Registry([Acme])
    assert dict(registry) == {"acme": Acme}
    registry.register("other", Other)
    assert list(Registry({"zeta": Other, "docker": Other})) == ["docker", "zeta"]
    with pytest.raises(BrokenPlugin, match="taken"):
        registry.register("acme", Other)
    with pytest.raises(BrokenPlugin, match="not a subclass"):
        registry.register("dict", dict)  # type: ignore[arg-type]
    assert [info.target for info in registry.plugins()] == ["fakes.acme:Acme", f"{Other.__module__}:Other"]


def test_every_module_of_ours_has_an_entry_point() -> None:
    import pkgutil

    import mistcore_providers

    modules = {
        module.name for module in pkgutil.iter_modules(mistcore_providers.__path__) if not module.name.startswith("_")
    }
    entries = {
        entry.name: entry.value
        for entry in importlib.metadata.entry_points(group=mistcore.registry.GROUP)
        if entry.dist is not None and entry.dist.name == "mistcore"
    }
    assert modules == {value.partition(":")[0].rpartition(".")[2] for value in entries.values()}
    assert set(entries) <= set(LISTING)
