"""moto's server in a process of its own: EC2, STS and IAM over HTTP; signatures and policies checked when asked to."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import require
from peers.ports import free_ports

_READY = 150.0


class Moto:
    """The server. `reset()` empties its accounts; within `enforcing()` it checks who asks and whether they may."""

    def __init__(self, folder: Path) -> None:
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self._log = folder / "moto.log"
        settings = {
            "INITIAL_NO_AUTH_ACTION_COUNT": "inf",
            "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "1",
            "MOTO_ENABLE_AMI_VALIDATION": "1",
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
                env={**os.environ, **settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + _READY
        while True:
            with contextlib.suppress(OSError):
                self._ask("/moto-api/data.json")
                return
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                require.missing(f"moto's server does not start: {self._log.read_text()[-1000:]}")
            time.sleep(0.1)

    def reset(self) -> None:
        """Forget every machine, user and key; ask for no credentials."""
        self._ask("/moto-api/reset", b"")
        self._enforce("inf")

    @contextlib.contextmanager
    def enforcing(self) -> Iterator[None]:
        """Check signatures and policies within the block."""
        self._enforce("0")
        try:
            yield
        finally:
            self._enforce("inf")

    def client(self, service: str, region: str = "us-east-1") -> Any:
        """Return boto3's own client, to look from the other side."""
        import boto3

        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def user(self, name: str, *actions: str) -> tuple[str, str]:
        """Make a user who may do these actions and return its key and secret."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        if actions:
            policy = {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}],
            }
            iam.put_user_policy(UserName=name, PolicyName="tests", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(30)

    def _enforce(self, free_calls: str) -> None:
        self._ask("/moto-api/reset-auth", free_calls.encode())

    def _ask(self, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(
            self.url + path, data=body, headers={"Content-Type": "application/octet-stream"}
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            content: bytes = answer.read()
            return content


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """The server, started once."""
    for module in ("moto", "flask", "boto3"):
        if importlib.util.find_spec(module) is None:
            require.missing(f"the package {module} is not installed")
    server = Moto(tmp_path_factory.mktemp("moto"))
    yield server
    server.stop()


@pytest.fixture
def moto(moto_server: Moto) -> Moto:
    """The server, with nothing in it."""
    moto_server.reset()
    return moto_server
