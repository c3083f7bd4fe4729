"""The part of `TortureSuite` about the way there: names that do not resolve, impostors, and being sent elsewhere."""

from __future__ import annotations

import pytest

from mistcore.errors import MistError, Unreachable
from mistcore.provider import Provider
from mistcore.testing.certificates import BAD, context_with
from mistcore.testing.faults import REFUSALS, FaultSuite
from mistcore.testing.server import FakeService, Response, json_response
from mistcore.testing.wire import MISCHIEF, WireServer

__all__ = ["AstraySuite"]


class AstraySuite(FaultSuite):
    """Nobody there, somebody else there, or there is said to be elsewhere."""

    def test_nobody_listens(self, service: FakeService, account: Provider) -> None:
        service.stop()
        error = self.fails(account.check, account, Unreachable)
        assert error.reason == "refused"

    def test_a_name_that_does_not_resolve(self, service: FakeService) -> None:
        with self.account_at(service, "https://mistcore.invalid") as account:  # RFC 6761: nobody is ever called so
            error = self.fails(account.check, account, Unreachable)
        assert error.reason == "dns"
        assert error.remedy, "what to do about it is not said"

    # -- certificates -------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("certificate", BAD)
    def test_a_certificate(self, service: FakeService, ca_file: str, certificate: str) -> None:
        with (
            WireServer(MISCHIEF["hangs up on the first words"], tls=context_with(certificate)) as impostor,
            self.account_at(service, f"https://localhost:{impostor.port}", ca_cert=ca_file) as account,
        ):
            error = self.fails(account.check, account, Unreachable)
            assert impostor.received == b"", "it told its request to whoever shows any certificate"
        assert error.reason == "tls"
        assert error.remedy, "what to do about it is not said"

    def test_a_certificate_that_is_right(self, service: FakeService, ca_file: str) -> None:
        with (
            FakeService(tls=context_with()) as safe,
            self.account_at(service, safe.url, ca_cert=ca_file) as account,
        ):
            self.answer_all(safe, json_response({"message": "who are you?"}, 401))
            self.fails(account.check, account, *REFUSALS)
            assert safe.requests, "nothing was asked: is there a field ca_cert, and does `good` use service.url?"

    # -- led elsewhere ------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("status", [301, 302, 307])
    def test_a_redirect_elsewhere_carries_nothing_away(
        self, service: FakeService, account: Provider, status: int
    ) -> None:
        with FakeService() as elsewhere:
            for logged_in in (False, True):
                if logged_in:
                    service.clear_faults()
                    account.check()
                self.answer_all(service, Response(status, b"", {"Location": f"{elsewhere.url}/elsewhere"}))
                self.fails(lambda: list(account.list_machines()), account, MistError)
            self.learned_nothing(elsewhere, account)

    @pytest.mark.parametrize("status", [302, 308])
    def test_a_redirect_to_plain_http_carries_nothing_away(
        self, service: FakeService, ca_file: str, status: int
    ) -> None:
        with (
            FakeService() as elsewhere,
            FakeService(tls=context_with()) as safe,
            self.account_at(service, safe.url, ca_cert=ca_file) as account,
        ):
            self.answer_all(safe, Response(status, b"", {"Location": f"{elsewhere.url}/elsewhere"}))
            self.fails(account.check, account, MistError)
            assert safe.requests
            self.learned_nothing(elsewhere, account)
