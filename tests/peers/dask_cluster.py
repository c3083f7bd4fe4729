"""A Dask cluster of three processes on loopback: a scheduler and two workers. Only the workers know the secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from peers.require import missing
from peers.waiting import until

#: The variable that holds a token, and the token: in the environment of the workers alone.
VARIABLE, TOKEN = "MISTCORE_TEST_FLEET_TOKEN", "dop_v1_" + "7e" * 32


@attrs.frozen
class DaskCluster:
    """`address` is the scheduler's; everything its processes say, at the level of debugging, is in `logs`."""

    address: str
    logs: list[Path]

    def said(self) -> str:
        return "".join(path.read_text(errors="replace") for path in self.logs)


def _start(command: list[str], log: Path, **environment: str) -> subprocess.Popen[bytes]:
    clean = {name: value for name, value in os.environ.items() if name != VARIABLE}
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env={
                **clean,
                "DASK_LOGGING__DISTRIBUTED": "debug",
                "DASK_TEMPORARY_DIRECTORY": str(log.parent),
                **environment,
            },
        )


@pytest.fixture(scope="session")
def dask_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    try:
        import distributed
    except ImportError:
        missing("the package distributed is not installed")
    folder = tmp_path_factory.mktemp("dask")
    file = folder / "scheduler.json"
    logs = [folder / f"{name}.log" for name in ("scheduler", "worker-1", "worker-2")]
    common = ["--scheduler-file", str(file), "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
    processes = [_start(["distributed.cli.dask_scheduler", *common, "--port", "0"], logs[0])]
    try:
        until(lambda: file.exists() and file.stat().st_size, 90)
        for log in logs[1:]:
            worker = ["distributed.cli.dask_worker", *common, "--nworkers", "1", "--nthreads", "1", "--no-nanny"]
            processes.append(_start(worker, log, **{VARIABLE: TOKEN}))
        address = str(json.loads(file.read_text())["address"])
        with distributed.Client(address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=90)
        yield DaskCluster(address, logs)
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in reversed(processes):
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
