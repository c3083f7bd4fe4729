"""bare_metal in the suite that every provider passes: a real OpenSSH server, and the machine that this runs on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fakes.bare_metal import harmless, server
from peers.sshd import Sshd

from mistcore import Provider
from mistcore.testing import ProviderSuite, WireSuite
from mistcore_providers.bare_metal import BareMetal


class TestBareMetal(WireSuite):
    provider = BareMetal

    @pytest.fixture
    def service(self, sshd: Sshd) -> Sshd:
        return sshd

    def good(self, service: Sshd) -> Provider:
        return server(service, machine_key=service.key.read_text())

    def bad(self, service: Sshd) -> Provider:
        return server(service, machine_key=service.other.read_text())

    def hang(self, service: Sshd) -> None:
        service.log_in_to(service.folder / "bin" / "slow")


class TestThisMachine(ProviderSuite):
    provider = BareMetal

    @pytest.fixture
    def service(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        commands = harmless(tmp_path / "bin", tmp_path / "calls")
        monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
        return commands

    def good(self, service: Path) -> Provider:
        return BareMetal(machine_ip="local")

    def bad(self, service: Path) -> Provider:
        pytest.skip("whoever runs the program is let in")

    def hang(self, service: Path) -> None:
        (service / "sed").write_text("#!/bin/sh\nexec sleep 30\n")
        (service / "sed").chmod(0o755)
