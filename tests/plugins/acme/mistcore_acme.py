"""Acme Cloud, for mistcore."""

from collections.abc import Iterator
from typing import Any

from mistcore import Account, Machine, Provider, Region, credential, secret
from mistcore.http import get_json


class Acme(Provider):
    """Virtual machines of Acme Cloud."""

    title = "Acme Cloud"
    regions = (Region("fra", "Frankfurt"), Region("sin", "Singapore"))
    token: str = secret("API token", help="Console, API, New token.", env="ACME_TOKEN")
    endpoint: str = credential("API address", default="https://api.acme.example", address=True)

    def check(self) -> Account:
        me = self._get("account")
        return Account(me["id"], me["email"])

    def list_machines(self) -> Iterator[Machine]:
        for vm in self._get(f"{self.region}/machines"):
            yield Machine(vm["id"], vm["name"], vm["state"], public_ips=vm["addresses"], region=self.region)

    def _get(self, path: str) -> Any:
        return get_json(f"{self.endpoint}/v1/{path}", token=self.token, timeout=self.timeout)
