"""`ProviderSuite`: what must hold for a provider that talks to its service, or to a stand-in of it."""

from __future__ import annotations

import contextvars
import copy
import json
import pickle
import threading
from collections.abc import Callable, Container, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest

from mistcore.deadline import deadline
from mistcore.errors import (
    AuthenticationFailed,
    MachineNotFound,
    MistError,
    NotSupported,
    PermissionDenied,
    Rejected,
    Unreachable,
)
from mistcore.models import Account, Image, Location, Machine, Network, Size
from mistcore.operations import MACHINE_ACTIONS, OPERATIONS
from mistcore.provider import Provider
from mistcore.testing.declaration import DeclarationSuite
from mistcore.testing.judge import leaks, machine_problems, record_problems, secrets_of, shown_by
from mistcore.testing.server import FakeService
from mistcore.testing.wire import WireServer, silent

__all__ = ["ProviderSuite"]

_LISTS = {"list_sizes": Size, "list_images": Image, "list_locations": Location, "list_networks": Network}


class ProviderSuite(DeclarationSuite):
    """Everything that is demanded of a provider, as tests. Subclass it, name your class, and say how to get in:

        class TestAcme(ProviderSuite):
            provider = Acme

            @pytest.fixture
            def service(self):
                with FakeAcme() as service:
                    yield service

            def good(self, service):
                return Acme(token="good-token", endpoint=service.url)

            def bad(self, service):
                return Acme(token="bad-token", endpoint=service.url)

    The service must hold at least one machine. It is new for every test, so tests may do to it what they like.

    Attributes:
        new_machine: what `create_machine` needs beside the name, where the provider has it.
        not_here: operations that the provider has, and the account of `good` has not (an older API, say).
        missing_id: an id that is well formed, of a machine that does not exist.
        seconds: the deadline that is set over a service which never answers.
        grace: how many seconds later than that an operation may end: for a busy machine, not for the provider.

    """

    new_machine: ClassVar[Mapping[str, Any] | None] = None
    not_here: Container[str] = ()
    missing_id: str = "no-such-machine"
    seconds: float = 0.5
    grace: float = 20.0

    # -- what an author says ------------------------------------------------------------------------------------------

    @pytest.fixture
    def service(self) -> Iterator[Any]:
        """Yield the service, or its stand-in, with at least one machine. Override it."""
        raise NotImplementedError("write a fixture `service`, as the docstring of ProviderSuite shows")

    def good(self, service: Any) -> Provider:
        """Return an account whose credentials the service accepts. Override it."""
        raise NotImplementedError("write `good(self, service)`, as the docstring of ProviderSuite shows")

    def bad(self, service: Any) -> Provider:
        """Return an account whose credentials the service refuses. Override it, to skip where it lets in anybody."""
        raise NotImplementedError("write `bad(self, service)`, as the docstring of ProviderSuite shows")

    def hang(self, service: Any) -> None:
        """Make the service take requests and never answer. Override it: the servers of mistcore.testing are known."""
        if isinstance(service, WireServer):
            service.talk = silent
        elif isinstance(service, FakeService):
            service.latency = 120.0
        else:
            raise NotImplementedError("write `hang(self, service)`: how the service ceases to answer")

    # -- what the tests use -------------------------------------------------------------------------------------------

    @pytest.fixture
    def account(self, service: Any) -> Iterator[Provider]:
        """Yield the good account, and close it."""
        with self.good(service) as account:
            yield account

    @pytest.fixture
    def stranger(self, service: Any) -> Iterator[Provider]:
        """Yield the bad account, and close it."""
        with self.bad(service) as account:
            yield account

    def refused(self, call: Callable[[], Any], account: Provider, *kinds: type[MistError]) -> MistError:
        """Return the error that a call ends with: one of these kinds, naming the provider, showing no secret."""
        try:
            answer = call()
        except MistError as caught:
            error = caught
        except Exception as caught:
            raise AssertionError(
                f"{type(caught).__module__}.{type(caught).__name__} left the provider: "
                "make one of mistcore.errors of it in translate_error"
            ) from caught
        else:
            raise AssertionError(f"it answered {answer!r} instead of {' or '.join(kind.__name__ for kind in kinds)}")
        names = " or ".join(kind.__name__ for kind in kinds)
        assert isinstance(error, kinds), f"{type(error).__name__} is raised, not {names}: {error}"
        assert error.message.strip(), "an error says what happened"
        assert error.provider == account.id, "an error names the provider"
        assert leaks(secrets_of(account), shown_by(error)) == [], "an error shows a secret"
        assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - our own
        return error

    def ends_with_the_deadline(self, operation: Callable[[], Any], account: Provider, seconds: float) -> None:
        """Assert that an operation which would take for ever ends when its time is up, saying so."""
        error = self.refused(self.in_time(operation, seconds), account, Unreachable)
        assert error.reason == "timeout"

    def in_time(self, operation: Callable[[], Any], seconds: float) -> Callable[[], Any]:
        """Do it with so many seconds as its deadline, assert that it has ended then, and return what gives its end."""
        ends: list[Any] = []

        def ask() -> None:
            try:
                with deadline(seconds):
                    ends.append(_all(operation()))
            except Exception as error:  # noqa: BLE001 - judged by `refused`, in the thread of the test
                ends.append(error)

        # In a thread that may be left behind: what has no end must not hold up everything else.
        asking = threading.Thread(target=contextvars.copy_context().run, args=(ask,), daemon=True)
        asking.start()
        asking.join(seconds + self.grace)
        assert ends, "it goes on after its deadline: pass `self.timeout` to every call"
        return lambda: _raised(ends[0])

    # -- credentials --------------------------------------------------------------------------------------------------

    def test_good_credentials_are_accepted(self, account: Provider) -> None:
        found = account.check()
        assert [problem for problem in record_problems(found, Account) if problem != "it has no id"] == []
        assert found.permissions is None or found.permissions <= set(OPERATIONS), "permissions are names of operations"
        assert all(warning.rstrip().endswith(".") for warning in found.warnings), "warnings are sentences"
        assert leaks(secrets_of(account), json.dumps(found.to_dict())) == []

    def test_bad_credentials_are_refused(self, stranger: Provider) -> None:
        kinds = (AuthenticationFailed, PermissionDenied)
        self.refused(stranger.check, stranger, *kinds)
        self.refused(lambda: list(stranger.list_machines()), stranger, *kinds)

    def test_an_account_shows_no_secret(self, account: Provider) -> None:
        secrets = secrets_of(account)
        account.check()
        list(account.list_machines())  # by now it has whatever sessions and tokens it keeps
        assert leaks(secrets, shown_by(account)) == []
        assert leaks(secrets, shown_by(copy.copy(account))) == []
        again = pickle.loads(pickle.dumps(account))  # noqa: S301 - our own
        shown = [field.name for field in type(account).fields() if not field.secret]
        assert [getattr(again, name) for name in shown] == [getattr(account, name) for name in shown]

    # -- machines -----------------------------------------------------------------------------------------------------

    def test_machines_are_well_formed(self, account: Provider) -> None:
        machines = self._machines(account)
        assert [problem for machine in machines for problem in machine_problems(machine)] == []
        ids = [machine.id for machine in machines]
        assert len(ids) == len(set(ids)), "two machines share an id"
        assert leaks(secrets_of(account), json.dumps([machine.to_dict() for machine in machines])) == []

    def test_a_machine_can_be_asked_for_by_its_id(self, account: Provider) -> None:
        for machine in self._machines(account)[:3]:
            found = account.get_machine(machine.id)
            assert (found.id, found.name) == (machine.id, machine.name)
            assert machine_problems(found) == []

    @pytest.mark.parametrize("operation", ["get_machine", *MACHINE_ACTIONS.values()])
    def test_a_machine_that_is_not_there(self, account: Provider, operation: str) -> None:
        before = sorted(machine.id for machine in self._machines(account))
        call = self._call(account, operation, self.missing_id)
        self.refused(call, account, MachineNotFound if self._offers(account, operation) else NotSupported)
        assert sorted(machine.id for machine in self._machines(account)) == before

    # -- operations ---------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("operation", MACHINE_ACTIONS.values())
    def test_every_action_is_done_or_clearly_refused(self, account: Provider, operation: str) -> None:
        machine = self._machines(account)[0]
        call = self._call(account, operation, machine.id)
        if not self._offers(account, operation):
            self.refused(call, account, NotSupported)
            return
        try:
            call()
        except Exception:  # noqa: BLE001 - called once more, to be judged: a state may forbid it, nothing else
            self.refused(call, account, Rejected)

    @pytest.mark.parametrize("operation", _LISTS)
    def test_what_it_lists_is_well_formed(self, account: Provider, operation: str) -> None:
        if not self._offers(account, operation):
            self.refused(lambda: list(getattr(account, operation)()), account, NotSupported)
            return
        rows = list(getattr(account, operation)())
        assert [problem for row in rows for problem in record_problems(row, _LISTS[operation])] == []
        if operation != "list_networks":  # one name in two places is two networks at some services
            assert len({row.id for row in rows}) == len(rows), "two of them share an id"

    def test_a_machine_can_be_created(self, account: Provider) -> None:
        if not self._offers(account, "create_machine"):
            self.refused(lambda: account.create_machine("suite-1"), account, NotSupported)
            return
        if self.new_machine is None:
            pytest.skip("`new_machine` does not say what create_machine takes")
        before = {machine.id for machine in account.list_machines()}
        made = account.create_machine("suite-1", **self.new_machine)
        assert machine_problems(made) == []
        assert made.id not in before
        assert made.id in {machine.id for machine in account.list_machines()}

    # -- time and threads ---------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("operation", ["check", "list_machines"])
    def test_a_service_that_never_answers_ends_with_the_deadline(
        self, service: Any, account: Provider, operation: str
    ) -> None:
        self.hang(service)
        self.ends_with_the_deadline(getattr(account, operation), account, self.seconds)

    def test_a_deadline_that_has_passed_sends_nothing_more(self, account: Provider) -> None:
        with deadline(0):
            self.refused(lambda: _all(account.list_machines()), account, Unreachable)

    def test_several_threads_use_one_account(self, account: Provider) -> None:
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: sorted(machine.id for machine in account.list_machines()), range(12)))
        assert answers == [sorted(machine.id for machine in self._machines(account))] * 12

    def test_it_may_be_closed_at_any_time(self, account: Provider) -> None:
        account.close()
        machines = {machine.id for machine in self._machines(account)}
        account.close()
        account.close()
        assert {machine.id for machine in account.list_machines()} == machines

    # -- how it is done -----------------------------------------------------------------------------------------------

    def _machines(self, account: Provider) -> list[Machine]:
        machines = list(account.list_machines())
        assert machines, "put a machine into the service, or there is nothing to judge"
        return machines

    def _offers(self, account: Provider, operation: str) -> bool:
        return account.supports(operation) and operation not in self.not_here

    def _call(self, account: Provider, operation: str, machine_id: str) -> Callable[[], Any]:
        more = ("suite-2",) if operation == "rename_machine" else ()
        return lambda: getattr(account, operation)(machine_id, *more)


def _raised(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


def _all(answer: Any) -> Any:
    return list(answer) if isinstance(answer, Iterator) else answer
