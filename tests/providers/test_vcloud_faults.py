"""What vcloud says of all that goes wrong: other services, certificates, rights, garbage, silence."""

from __future__ import annotations

import threading

import pytest
import trustme
from fakes import vcloud_accounts
from fakes.patience import HANGS, hold, patient
from fakes.vcloud import FakeVcloud
from fakes.vcloud_accounts import KINDS, account
from peers import waiting

from mistcore import PermissionDenied, ProviderError, Unreachable
from mistcore.deadline import deadline
from mistcore.testing.server import Response, json_response

cloud = vcloud_accounts.cloud
new_cloud = vcloud_accounts.new_cloud
secure = vcloud_accounts.secure


def test_something_else_at_the_address(new_cloud: FakeVcloud) -> None:
    page = Response(200, b"<html><body>Welcome</body></html>", {"Content-Type": "text/html"})
    for answer in (page, json_response({"hello": 1}), Response(404, b"nothing"), Response(200, b"<a/>")):
        new_cloud.clear_faults()
        new_cloud.fault(answer, times=9)
        with pytest.raises(ProviderError) as caught:
            account(new_cloud).check()
        assert caught.value.reason == "not_vcloud"


def test_a_certificate_that_signed_itself(secure: tuple[FakeVcloud, trustme.CA]) -> None:
    cloud, authority = secure
    with pytest.raises(Unreachable, match="ca_cert") as caught:
        account(cloud).check()
    assert caught.value.reason == "tls"
    assert f"openssl s_client -connect {cloud.url.removeprefix('https://')}" in str(caught.value)
    assert account(cloud, ca_cert=authority.cert_pem.bytes().decode()).check().warnings == ()
    assert "not verified" in account(cloud, verify=False).check().warnings[0]
    with pytest.raises(Unreachable):
        account(cloud, ca_cert=trustme.CA().cert_pem.bytes().decode()).check()


def test_a_user_who_may_not_list(cloud: FakeVcloud) -> None:
    cloud.forbidden.add("vm")
    with pytest.raises(PermissionDenied, match="Access to the query vm is forbidden"):
        account(cloud).check()


@pytest.mark.parametrize("body", [b"<", b"<a>", b"{", b"\xff\xfe"])
def test_garbage(new_cloud: FakeVcloud, body: bytes) -> None:
    provider = account(new_cloud)
    provider.check()
    kind = "application/vnd.x+xml" if body[:1] == b"<" else "application/json"
    new_cloud.fault(Response(200, body, {"Content-Type": kind}), times=9)
    with pytest.raises(ProviderError) as caught:
        list(provider.list_machines())
    assert caught.value.reason == "garbled"


BOMB = b"""<!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]>
<QueryResultRecords total="1"><VMRecord name="&c;"/></QueryResultRecords>"""
OUTSIDE = b"""<!DOCTYPE x [<!ENTITY secret SYSTEM "file:///etc/passwd">]>
<QueryResultRecords total="1"><VMRecord name="&secret;"/></QueryResultRecords>"""


@pytest.mark.parametrize("body", [BOMB, OUTSIDE])
def test_bombs_and_entities_are_refused(body: bytes) -> None:
    with FakeVcloud(**KINDS["old"]) as cloud:
        provider = account(cloud)
        provider.check()
        cloud.fault(Response(200, body, {"Content-Type": "application/vnd.vmware.vcloud.query.records+xml"}), times=9)
        with pytest.raises(ProviderError, match="XML that is not read") as caught:
            list(provider.list_machines())
        assert caught.value.reason == "garbled"
        cloud.clear_faults()
        cloud.fault(Response(403, body, {"Content-Type": "application/vnd.vmware.vcloud.error+xml"}), times=9)
        with pytest.raises(PermissionDenied):
            list(provider.list_machines())


def test_nothing_hangs(new_cloud: FakeVcloud) -> None:
    provider = patient(account(new_cloud))
    provider.check()
    new_cloud.latency = HANGS
    with pytest.raises(Unreachable) as caught, deadline(0.5):
        list(provider.list_machines())
    assert caught.value.reason == "timeout"


def test_a_thread_in_a_hurry_does_not_wait_for_the_login_of_another(new_cloud: FakeVcloud) -> None:
    release = hold(new_cloud)
    provider = patient(account(new_cloud))
    thread = threading.Thread(target=provider.check, daemon=True)
    thread.start()
    waiting.until(lambda: new_cloud.requests, interval=0.02)
    with pytest.raises(Unreachable) as caught, deadline(0.3):
        provider.check()
    assert caught.value.reason == "timeout"
    assert thread.is_alive()
    release.set()
    thread.join()
