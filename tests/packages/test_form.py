"""A form that a library nobody wrote for us makes from a declaration, filled in by a real browser, adds a backend."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.acme import GOOD, Acme

from mistcore import BackendManager, MistError, Registry
from mistcore.stores.memory import MemoryStore
from mistcore.testing.server import FakeService, Request, Response, json_response, route

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

_PATIENCE = 100
_PAGE = (Path(__file__).parent / "form.html").read_bytes()


class Site(FakeService):
    """Serves the page, the schema and the library; what the form returns goes to the manager as it is."""

    def __init__(self, library: bytes) -> None:
        super().__init__()
        self.library = library
        self.client = BackendManager(MemoryStore(), registry=Registry([Acme]))

    @route("GET", "/")
    def page(self, request: Request) -> Response:
        return Response(200, _PAGE, {"Content-Type": "text/html; charset=utf-8"})

    @route("GET", "/library.js")
    def script(self, request: Request) -> Response:
        return Response(200, self.library, {"Content-Type": "text/javascript; charset=utf-8"})

    @route("GET", "/schema.json")
    def schema(self, request: Request) -> Response:
        return json_response(self.client.registry["acme"].json_schema())

    @route("POST", "/backends")
    def add(self, request: Request) -> Response:
        try:
            backend = self.client.add_backend("acme", "from a form", **request.json())
        except MistError as error:
            return json_response({"message": f"{error.message} {error.remedy}"}, status=400)
        return json_response({"message": f"added {backend.title} in {backend.region}"}, status=201)


@pytest.fixture
def site(form_library: bytes) -> Iterator[Site]:
    with Site(form_library) as site:
        yield site


class Form:
    """The form in the browser. Fields are found as a person finds them: by the words of their labels."""

    def __init__(self, chrome: Chrome, url: str) -> None:
        self.chrome = chrome
        chrome.get(url)
        self._wait("return document.querySelector('form')")

    def field(self, label: str) -> WebElement:
        for element in self.chrome.find_elements("tag name", "label"):
            if element.text.rstrip("*").strip() == label:
                return self.chrome.find_element("id", str(element.get_attribute("for")))
        raise AssertionError(f"no field is labelled {label!r}")

    def fill(self, label: str, text: str) -> None:
        from selenium.webdriver.common.keys import Keys

        field = self.field(label)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)

    def choose(self, label: str, title: str) -> None:
        self.choices(label)[title].click()

    def choices(self, label: str) -> dict[str, WebElement]:
        options = self.field(label).find_elements("tag name", "option")
        return {option.text: option for option in options if option.text}

    def press(self) -> None:
        self.chrome.find_element("css selector", "button[type=submit]").click()

    def errors(self) -> str:
        return self._wait("return [...document.querySelectorAll('.errors')].map((each) => each.innerText).join()")

    def submit(self) -> str:
        self.press()
        return self._wait("return document.querySelector('output').textContent")

    def _wait(self, script: str) -> str:
        from selenium.webdriver.support.wait import WebDriverWait

        return WebDriverWait(self.chrome, _PATIENCE, 0.1).until(lambda chrome: chrome.execute_script(script))


@pytest.fixture
def form(chromium: Chrome, site: Site) -> Form:
    return Form(chromium, site.url)


def test_a_form_made_from_a_declaration_adds_a_backend(form: Form, site: Site) -> None:
    assert form.field("API token").get_attribute("type") == "password"
    assert form.field("Port").get_attribute("value") == "443"
    assert list(form.choices("Region")) == ["Frankfurt", "Singapore"]
    form.choose("Region", "Singapore")
    form.fill("API token", GOOD)
    form.fill("Port", "8443")
    if folder := os.environ.get("MISTCORE_SCREENSHOTS"):  # how docs/images/form.png was made
        form.chrome.save_screenshot(str(Path(folder) / "form.png"))
    assert form.submit() == "added from a form in sin"
    (backend,) = site.client.backends()
    assert (backend.provider, backend.title, backend.region) == ("acme", "from a form", "sin")
    assert backend.info["credentials"]["port"] == 8443
    assert backend.info["secrets"] == ["token"]
    assert backend.check().id == "42"


def test_it_shows_why_a_wrong_token_adds_none(form: Form, site: Site) -> None:
    form.fill("API token", "wrong-token-0815")
    shown = form.submit()
    assert "is not known" in shown
    assert "Make a new one." in shown
    assert "wrong-token-0815" not in shown
    assert site.client.backends() == []


def test_it_sends_nothing_that_the_schema_refuses(form: Form, site: Site) -> None:
    form.press()
    assert "API token" in form.errors()
    assert not [request for request in site.requests if request.method == "POST"]
    form.fill("API token", GOOD)
    assert form.submit() == "added from a form in fra"
