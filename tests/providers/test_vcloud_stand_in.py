"""The stand-in for vcloud: VMware's own client gets along with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import trustme
from fakes import vcloud_accounts
from fakes.vcloud import FakeVcloud

secure = vcloud_accounts.secure

OFFICIAL = """
import sys
from pyvcloud.vcd.client import BasicLoginCredentials, Client, QueryResultFormat
from pyvcloud.vcd.exceptions import UnauthorizedException
from pyvcloud.vcd.vm import VM

url, vm_id = sys.argv[1:]
client = Client(url, verify_ssl_certs=False)
client.set_credentials(BasicLoginCredentials("jane", "Acme", "s3cret"))
query = client.get_typed_query("vm", query_result_format=QueryResultFormat.RECORDS, qfilter="isVAppTemplate==false")
print(client.get_api_version(), len(list(query.execute())))
vm = VM(client, href=f"{url}/api/vApp/vm-{vm_id}")
for action in (vm.power_on, vm.suspend, vm.power_on, vm.power_off):
    client.get_task_monitor().wait_for_status(action(), timeout=60, poll_frequency=0.05)
    vm.reload()
    print(action.__name__, vm.get_power_state())
client.logout()
try:
    Client(url, verify_ssl_certs=False).set_credentials(BasicLoginCredentials("jane", "Acme", "wrong"))
except UnauthorizedException:
    print("refused")
"""


def test_the_official_client_gets_along_with_the_stand_in(
    secure: tuple[FakeVcloud, trustme.CA], tmp_path: Path
) -> None:
    pytest.importorskip("pyvcloud")
    cloud, _ = secure
    vms = [cloud.add_vm(f"vm{number}") for number in range(130)]
    cloud.add_template("debian")
    arguments = [sys.executable, "-W", "ignore", "-c", OFFICIAL, cloud.url, vms[3].id]
    done = subprocess.run(
        arguments, capture_output=True, text=True, check=False, timeout=200, cwd=tmp_path
    )  # it writes a log there
    assert done.stdout.splitlines() == [
        "36.0 130",
        "power_on 4",
        "suspend 3",
        "power_on 4",
        "power_off 8",
        "refused",
    ], done.stderr
    assert cloud.sessions == {}
