import json
import pickle
from datetime import UTC, datetime, timedelta, timezone

import pytest

from mistcore import Account, Machine, MachineState, NotSupported, Region, Size


@pytest.mark.parametrize("word", ["hibernating", "", None, 7, "RUNNING"])
def test_an_unknown_state_is_unknown_and_never_an_exception(word: object) -> None:
    assert MachineState(word) is MachineState.UNKNOWN
    assert Machine("1", state=word).state is MachineState.UNKNOWN  # type: ignore[arg-type]


def test_all_addresses_are_kept_once_and_ipv4_comes_first() -> None:
    machine = Machine("1", public_ips=["2001:db8::1", "1.2.3.4", "", "1.2.3.5", "1.2.3.4"])
    assert machine.public_ips == ("1.2.3.4", "1.2.3.5", "2001:db8::1")
    assert Machine("1", private_ips="10.0.0.1").private_ips == ("10.0.0.1",)  # type: ignore[arg-type]  # a mistake


def test_times_are_utc() -> None:
    there = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert Machine("1", created_at=there).created_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert Machine("1", created_at=there).created_at.tzinfo is UTC
    assert Machine("1", created_at=datetime(2026, 1, 1)).created_at == datetime(2026, 1, 1, tzinfo=UTC)


def test_records_become_plain_json() -> None:
    machine = Machine(
        7,
        "web",
        "running",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        extra={"set": {1}, "when": datetime(2026, 1, 1, tzinfo=UTC)},
    )
    plain = json.loads(json.dumps(machine.to_dict()))
    assert plain["id"] == "7"
    assert plain["state"] == "running"
    assert plain["created_at"] == plain["extra"]["when"] == "2026-01-01T00:00:00Z"
    assert "backend" not in plain
    assert Account("1", permissions=["b", "a"]).to_dict()["permissions"] == ["a", "b"]
    assert Region("fra", "Frankfurt", ["f"]).to_dict() == {"id": "fra", "location": "Frankfurt", "aliases": ["f"]}


def test_records_are_frozen_and_hashable() -> None:
    machine = Machine("1", tags={"a": "b"})
    with pytest.raises(AttributeError):
        machine.name = "other"
    assert len({machine, Machine("1", tags={"c": "d"}), Size("s"), Size("s")}) == 3


def test_a_record_by_itself_cannot_act() -> None:
    machine = pickle.loads(pickle.dumps(Machine("1", "web")))
    assert machine.backend is None
    for act in (machine.start, machine.destroy, machine.refresh, lambda: machine.actions):
        with pytest.raises(NotSupported, match="belongs to no backend"):
            act()
