"""Answers of JSON that are not what they should be, of every service that is asked over REST: an error of ours."""

from __future__ import annotations

import pytest

from mistcore import Provider, ProviderError
from mistcore.testing.server import FakeService, json_response
from mistcore_providers.digitalocean import DigitalOcean
from mistcore_providers.linode import Linode
from mistcore_providers.nephoscale import NephoScale
from mistcore_providers.softlayer import SoftLayer

ACCOUNTS = {
    "digitalocean": lambda url: DigitalOcean(token="t" * 20, endpoint=url),
    "linode": lambda url: Linode(api_key="t" * 20, endpoint=url),
    "nephoscale": lambda url: NephoScale(username="u", password="p" * 20, endpoint=url),
    "softlayer": lambda url: SoftLayer(username="u", api_key="p" * 20, endpoint=url),
}


@pytest.mark.parametrize("body", [None, 7, "text", [1]])
@pytest.mark.parametrize("name", ACCOUNTS)
def test_an_odd_answer_to_a_check_is_not_told_as_a_fault_of_the_provider(name: str, body: object) -> None:
    with FakeService() as service:
        account: Provider = ACCOUNTS[name](service.url)
        service.fault(json_response(body), times=20)
        with account, pytest.raises(ProviderError) as caught:
            account.check()
    assert caught.value.reason in {"garbled", "nonsense"}
    assert caught.value.remedy
