from collections.abc import Iterable

import pytest
from fakes.acme import GOOD, Acme

from mistcore import (
    AmbiguousName,
    BackendManager,
    InvalidFields,
    Machine,
    MachineNotFound,
    MachineState,
    NotSupported,
    ProviderError,
    Registry,
    Unreachable,
)
from mistcore.deadline import deadline
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
    with pytest.raises(MachineNotFound):
        backend.machine("m-")  # shorter ones are names that were mistyped


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


@pytest.mark.parametrize("value", ["\udcff", ["web", "\udcff"], {"\udcff": ""}, {"env": "\udcff"}])
def test_bytes_that_are_no_text_are_sent_to_no_service(backend, value: object) -> None:
    with pytest.raises(InvalidFields) as caught:
        backend.create_machine("web-2", image=value)
    assert caught.value.problems == {"image": "holds characters that are none: is it text in UTF-8?"}
    assert backend.create_machine("web-2", image="Ünïcödé 🦊").name == "web-2"


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


class Fading(Acme):
    """Machines that are seen in one state after the other, by what their token lists; after the last they are gone."""

    def list_machines(self) -> Iterable[Machine]:
        return [Machine("m-1", "web-1", "running")]

    def get_machine(self, machine_id: str) -> Machine:
        states = self.token.split()
        seen = type(self).seen
        type(self).seen += 1
        if seen >= len(states):
            raise self.machine_not_found(machine_id)
        return Machine(machine_id, "web-1", states[seen])

    seen = 0


def fading(states: str) -> Machine:
    Fading.seen = 0
    client = BackendManager(MemoryStore(), registry=Registry({"acme": Fading}))
    backend = client.add_backend("acme", "prod", "fra", token=states, check=False)
    (machine,) = backend.machines()
    return machine


@pytest.mark.parametrize(("state", "reason"), [("error", "error_state"), ("terminated", "terminated")])
def test_waiting_ends_at_once_in_a_state_that_nothing_leads_out_of(state: str, reason: str) -> None:
    with pytest.raises(ProviderError, match=f"machine 'web-1' is {state}, not running$") as caught:
        fading(f"starting {state} running").wait_for("running", 60, interval=0.01)
    assert (caught.value.reason, caught.value.backend, caught.value.provider) == (reason, "prod", "acme")
    assert Fading.seen == 2
    assert fading(f"running {state}").wait_for(state, 60, interval=0.01).state == state


def test_waiting_for_one_that_is_gone() -> None:
    assert fading("running stopping").wait_for("terminated", 60, interval=0.01).state == "stopping"
    with pytest.raises(MachineNotFound):
        fading("running stopping").wait_for("stopped", 60, interval=0.01)


def test_waiting_ends_with_the_deadline_in_force() -> None:
    with deadline(0.2), pytest.raises(Unreachable) as caught:
        fading("starting").wait_for("running", 60, interval=60)
    assert (caught.value.reason, caught.value.backend, caught.value.provider) == ("timeout", "prod", "acme")


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
