import pytest
from fakes.acme import GOOD, Acme

from mistcore import (
    AmbiguousName,
    BackendManager,
    InvalidFields,
    MachineNotFound,
    MachineState,
    NotSupported,
    ProviderError,
    Registry,
)
from mistcore.stores.memory import MemoryStore


def backend_with(token: str):
    client = BackendManager(MemoryStore(), registry=Registry([Acme]))
    return client.add_backend("acme", "prod", "fra", token=token, check=False)


@pytest.fixture
def backend():
    return backend_with(GOOD)


def test_machines_by_id_name_and_search(backend) -> None:
    assert [m.id for m in backend.machines()] == ["m-1001", "m-1002", "m-2001"]
    assert [m.name for m in backend.machines(id="m-1001")] == ["web-1"]
    assert backend.machines(id="m-9") == []
    assert [m.id for m in backend.machines(name="db")] == ["m-1002", "m-2001"]
    assert [m.id for m in backend.machines(search="WEB")] == ["m-1001"]
    assert [m.id for m in backend.machines(search="2001:db8")] == ["m-1001"]
    assert all(machine.backend is backend for machine in backend.machines())


def test_one_machine_by_id_name_or_beginning_of_an_id(backend) -> None:
    assert backend.machine("web-1").id == backend.machine("m-1001").id == "m-1001"
    assert backend.machine("m-2").id == "m-2001"
    with pytest.raises(AmbiguousName):
        backend.machine("db")
    with pytest.raises(AmbiguousName):
        backend.machine("m-1")
    with pytest.raises(MachineNotFound, match="no machine 'nope'"):
        backend.machine("nope")


def test_operations_of_a_bound_machine(backend) -> None:
    web, db, _ = backend.machines()
    db.start()
    web.stop(force=True)
    web.destroy()
    assert web.refresh() == web
    with pytest.raises(MachineNotFound) as caught:
        web.start()
    assert (caught.value.backend, caught.value.provider) == ("prod", "acme")
    with pytest.raises(NotSupported, match="cannot reboot machine"):
        web.reboot()
    with pytest.raises(InvalidFields, match="forse: not taken by Acme Cloud, did you mean force"):
        web.stop(forse=True)


def test_actions_are_what_makes_sense_in_the_state_and_is_offered(backend) -> None:
    running, stopped, paused = backend.machines()
    assert running.actions == ("stop", "destroy")
    assert stopped.actions == ("start", "destroy")
    assert paused.actions == ("stop", "destroy")


def test_creating_names_every_bad_option_at_once(backend) -> None:
    machine = backend.create_machine("new", image="debian-12", tags={"a": "b"})
    assert (machine.state, machine.size, machine.backend) == (MachineState.PENDING, "small", backend)
    with pytest.raises(InvalidFields) as caught:
        backend.create_machine("new", imag="x", sizze="y")
    assert set(caught.value.problems) == {"image", "imag", "sizze"}
    assert "image, size, cpus, public, tags" in caught.value.remedy


def test_text_becomes_the_number_or_truth_value_that_an_option_asks_for(backend) -> None:
    assert backend.create_machine("new", image="i", cpus="2", public="yes").name == "new"
    with pytest.raises(InvalidFields) as caught:
        backend.create_machine("new", cpus="many", public="maybe")
    assert set(caught.value.problems) == {"image", "cpus", "public"}


def test_the_catalog_and_what_is_not_offered(backend) -> None:
    assert [size.id for size in backend.sizes()] == ["small", "big"]
    assert [image.id for image in backend.images(search="debian")] == ["debian-12"]
    for listing in (backend.locations, backend.networks):
        with pytest.raises(NotSupported):
            listing()


def test_a_bug_in_a_provider_is_a_provider_error_with_its_cause_and_no_secret() -> None:
    with pytest.raises(ProviderError, match="the provider failed in list_machines: KeyError") as caught:
        backend_with("bug-token").machines()
    assert isinstance(caught.value.__cause__, KeyError)
    assert "bug-token" not in str(caught.value) + repr(caught.value.__cause__)
    assert caught.value.reason == "bug"
    with pytest.raises(ProviderError, match="yielded dict instead of Machine"):
        backend_with("garbage").machines()


def test_waiting_for_a_state(backend) -> None:
    web, db, _ = backend.machines()
    looks = []
    assert web.wait_for("running", 1, progress=looks.append).id == web.id
    assert [machine.id for machine in looks] == [web.id]
    with pytest.raises(ProviderError, match="machine 'db' is stopped, not running, after 0.05 seconds") as caught:
        db.wait_for(MachineState.RUNNING, 0.05, interval=0.01)
    assert caught.value.reason == "timeout"
    with pytest.raises(InvalidFields, match="state"):
        web.wait_for("runing")
