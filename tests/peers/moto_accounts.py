"""Accounts of the provider ec2 with moto's server, and a machine made by one."""

from __future__ import annotations

from typing import Any

from fakes.patience import patient
from peers.moto_server import Moto

from mistcore_providers.ec2 import Ec2

IMAGE = "ami-12c6146b"


def account(moto: Moto, region: str = "us-east-1", **fields: Any) -> Ec2:
    fields.setdefault("api_key", "testing")
    fields.setdefault("api_secret", "testing")
    return patient(Ec2(region=region, endpoint=moto.url, **fields))  # moto is slow, at first above all


def create(ec2: Ec2, name: str, **options: Any) -> Any:
    return ec2.create_machine(name, image=IMAGE, size="t3.micro", **options)
