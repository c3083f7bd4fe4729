"""libvirt's binding: missing, not imported too early, silent, and bounded in time."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from fakes.libvirt_binding import needs_binding
from fakes.patience import HANGS

from mistcore import MissingDependency, Unreachable
from mistcore_providers._libvirt_calls import bounded, spread
from mistcore_providers.libvirt import Libvirt

# -- without the binding, and without its noise -----------------------------------------------------------------------


def test_a_missing_binding_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    with pytest.raises(MissingDependency) as caught:
        Libvirt(uri="test:///default").check()
    for word in ("libvirt-dev", "pkg-config", "python3-libvirt", "pip install 'mistcore[libvirt]'"):
        assert word in caught.value.remedy


def test_importing_the_provider_imports_no_binding() -> None:
    code = (
        "import mistcore_providers.libvirt, sys; print(sorted(set(sys.modules) & {'libvirt', 'pycdlib', 'requests'}))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@needs_binding
def test_libvirt_is_quiet_for_us_and_as_ever_for_others() -> None:
    code = """
import libvirt, mistcore, threading
from mistcore_providers.libvirt import Libvirt
for uri in ("qemu+tcp://127.0.0.1:1/system", "test:///no/such/file.xml"):
    try:
        Libvirt(uri=uri).check()
    except mistcore.MistError:
        pass
try:
    Libvirt(uri="test:///default").get_machine("11111111-2222-3333-4444-555555555555")
except mistcore.MistError:
    print("quiet")
try:
    libvirt.open("test:///default").lookupByName("theirs")
except libvirt.libvirtError:
    pass
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "quiet\n"
    assert done.stderr.count("\n") == 1
    assert "Domain not found" in done.stderr


# -- calls that take too long -----------------------------------------------------------------------------------------


def test_a_call_that_takes_too_long_is_given_up() -> None:
    left: list[str] = []
    release = threading.Event()
    with pytest.raises(Unreachable) as caught:
        bounded(lambda: release.wait(HANGS), 0.1, abandoned=lambda: left.append("x"))
    release.set()
    assert caught.value.reason == "timeout"
    assert left == ["x"]


def test_a_call_brings_back_its_result_or_its_error() -> None:
    assert bounded(lambda: 7, 60) == 7
    with pytest.raises(ZeroDivisionError):
        bounded(lambda: 1 / 0, 60)


def test_spread_keeps_the_order_and_leaves_out_what_fails_or_is_late() -> None:
    release = threading.Event()

    def work(number: int) -> int:
        if number == 3:
            raise ValueError
        if number == 4:
            release.wait(HANGS)
        return number * 10

    assert spread(work, range(7), 8) == [0, 10, 20, None, None, 50, 60]  # a busy machine needs that long for all
    release.set()
    assert spread(work, [], 0.5) == []
