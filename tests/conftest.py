"""What every test gets: a home of its own, and the vendors' documents where they are at hand."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from fakes.memory import return_what_is_freed
from hypothesis import HealthCheck, settings

# The same examples in every run, and no clock. MISTCORE_EXAMPLES=1000 looks further.
settings.register_profile(
    "mistcore",
    max_examples=int(os.environ.get("MISTCORE_EXAMPLES") or 60),
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("mistcore")

return_what_is_freed()

# Real servers and stand-ins, started when a test first asks for them.
pytest_plugins: list[str] = [
    "mistcore.testing.plugin",
    "fakes.azure_fixtures",
    "fakes.gce_fixtures",
    "peers.ahead",
    "peers.chromium",
    "peers.dask_cluster",
    "peers.docker_engine",
    "peers.libvirtd",
    "peers.mimic",
    "peers.moto_server",
    "peers.openstack_cloud",
    "peers.postgresql",
    "peers.secret_service",
    "peers.sshd",
]

# A shell starts what runs in its background with Ctrl-C ignored, and programs inherit that; tests send it to some.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_home(mistcore_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test away from the user's store, keys and settings, and from those of the vendors' tools."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_", "DOCKER_", "GOOGLE_", "OS_")) or name == "SSH_AUTH_SOCK":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def api_specs() -> Path:
    """The folder of the vendors' own documents and recorded responses; skips where it is not at hand."""
    folder = os.environ.get("MISTCORE_API_SPECS")
    if not folder or not Path(folder).is_dir():
        pytest.skip("MISTCORE_API_SPECS does not name the folder of the vendors' documents")
    return Path(folder)
