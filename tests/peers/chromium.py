"""A headless Chromium, driven by selenium, and for its pages a library from npm that makes forms of JSON Schema."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from peers import installed
from peers.require import missing

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

_SOURCES = Path(__file__).parent / "rjsf"
_BUILD_LIMIT = 200
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=760,720",
)


@pytest.fixture(scope="session")
def form_library() -> bytes:
    """The script of react-jsonschema-form with all that it needs: built once and kept for the next run."""
    sources = {path.name: path.read_bytes() for path in sorted(_SOURCES.iterdir())}
    mark = hashlib.sha256(b"\0".join(sources.values())).hexdigest()[:16]
    folder = installed.FOLDER / "rjsf"
    library = folder / f"{mark}.js"
    with installed.one_run_at_a_time(folder):
        if not library.exists():
            _build(folder / "build", sources).replace(library)
            shutil.rmtree(folder / "build")
        return library.read_bytes()


def _build(folder: Path, sources: dict[str, bytes]) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        missing("there is no command 'npm'")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in sources.items():
        (folder / name).write_bytes(content)
    production = '--define:process.env.NODE_ENV="production"'
    for command in (
        [npm, "install", "--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund"],
        ["node_modules/.bin/esbuild", "library.js", "--bundle", "--minify", production, "--outfile=library.min.js"],
    ):
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=installed.ENVIRONMENT,
                capture_output=True,
                text=True,
                check=False,
                timeout=_BUILD_LIMIT,
            )
        except subprocess.TimeoutExpired:
            missing(f"react-jsonschema-form was not installed from npm within {_BUILD_LIMIT} seconds")
        if done.returncode:
            missing(f"react-jsonschema-form cannot be installed from npm: {done.stderr[-300:]}")
    return folder / "library.min.js"


@pytest.fixture
def chromium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chrome]:
    """A browser with an empty profile."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        missing("there is no command 'chromium' or 'chromedriver'")
    try:
        from selenium import webdriver
    except ImportError:
        missing("the package selenium is not installed")
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path / 'chromium'}"):
        options.add_argument(flag)
    chrome = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        chrome.set_page_load_timeout(100)
        yield chrome
    finally:
        chrome.quit()
