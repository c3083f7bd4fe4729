"""Google Compute Engine without a key: application default credentials; never a browser, never standard input."""

from __future__ import annotations

import json
import socket
import sys
import time

import pytest
from fakes.gce_access import EMAIL, PROJECT
from fakes.patience import HANGS, patient

from mistcore import AuthenticationFailed, InvalidFields, Registry, Unreachable
from mistcore.deadline import deadline
from mistcore.testing.server import FakeService, Response, json_response, route

Gce = Registry()["gce"]


class MetadataService(FakeService):
    """What answers at 169.254.169.254 on a machine of Google."""

    def __init__(self, gce) -> None:
        super().__init__()
        self.gce = gce
        self.flavor = {"Metadata-Flavor": "Google"}
        self.has_account = True

    def authorize(self, request):
        if request.headers.get("Metadata-Flavor") != "Google":
            return Response(403, b"Missing Metadata-Flavor:Google header.", self.flavor)
        return None

    @route("GET", "/computeMetadata/v1/instance/service-accounts/default/token")
    def token(self, request):
        if not self.has_account:
            return Response(404, b"", self.flavor)
        self.gce.tokens["of-the-machine"] = time.time() + 3600
        body = {"access_token": "of-the-machine", "expires_in": 3600, "token_type": "Bearer"}
        return json_response(body, headers=self.flavor)

    @route("GET", "/computeMetadata/v1/project/project-id")
    def project(self, request):
        return Response(200, PROJECT.encode(), self.flavor)


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch):
    """No machine of Google, nobody logged in, and standard input that must not be read."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{probe.getsockname()[1]}")
        monkeypatch.delenv("GCLOUD_PROJECT", raising=False)
        monkeypatch.delenv("CLOUDSDK_CONFIG", raising=False)
        monkeypatch.setattr(sys, "stdin", None)
        yield


@pytest.fixture
def metadata(gce, monkeypatch):
    with MetadataService(gce) as service:
        monkeypatch.setenv("GCE_METADATA_HOST", service.url.removeprefix("http://"))
        yield service


@pytest.fixture
def account(gce, gce_ca):
    made = []

    def make(**fields):
        made.append(Gce(**{"endpoint": gce.url, "ca_cert": gce_ca, **fields}))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_no_identity_at_all(account):
    with pytest.raises(AuthenticationFailed) as caught:
        account(project_id=PROJECT).check()
    assert caught.value.reason == "no_identity"
    assert "gcloud auth application-default login" in caught.value.remedy


def test_a_key_that_the_environment_names(account, gce, monkeypatch, tmp_path):
    (tmp_path / "key.json").write_text(json.dumps(gce.new_key()))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    found = account().check()
    assert (found.id, found.details["login"]) == (PROJECT, "application default credentials")
    (tmp_path / "key.json").write_text(json.dumps(gce.new_key(register=False)))
    with pytest.raises(AuthenticationFailed) as caught:
        account().check()
    assert caught.value.reason == "wrong_key"


@pytest.mark.parametrize(
    "content",
    [
        None,
        "{",
        "[]",
        '{"type": "gdch_service_account"}',
        '{"type": "authorized_user"}',
        '{"type": "service_account", "client_email": 1, "private_key": "x"}',
        '{"type": "service_account", "client_email": "x", "private_key": "x", "token_uri": "x"}',
    ],
)
def test_a_file_that_is_of_no_use(account, monkeypatch, tmp_path, content):
    if content is not None:
        (tmp_path / "key.json").write_text(content)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    with pytest.raises(AuthenticationFailed) as caught:
        account(project_id=PROJECT).check()
    assert caught.value.reason == "no_identity"


def test_a_person_who_is_logged_in(account, gce, monkeypatch, tmp_path):
    """The file that `gcloud auth application-default login` writes; its token comes by the refresh token."""
    folder = tmp_path / "home" / ".config" / "gcloud"
    folder.mkdir(parents=True)
    saved = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
    saved |= {"token_uri": f"{gce.url}/token", "quota_project_id": PROJECT}
    (folder / "application_default_credentials.json").write_text(json.dumps(saved))
    seen = []

    def answer(request):
        if request.path == "/token":
            seen.append(request.form())
            return True
        return False

    gce.tokens["of-the-person"] = time.time() + 3600
    body = json.dumps({"access_token": "of-the-person", "expires_in": 3600, "token_type": "Bearer"}).encode()
    gce.fault(Response(200, body, {"Content-Type": "application/json"}), where=answer)
    assert account().check().id == PROJECT
    assert seen[0]["grant_type"] == "refresh_token"
    assert seen[0]["refresh_token"] == "r"


def test_a_machine_of_google(account, metadata, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    found = account().check()
    assert (found.id, found.details["login"]) == (PROJECT, "metadata service")
    metadata.has_account = False
    with pytest.raises(AuthenticationFailed) as caught:
        account().check()
    assert caught.value.reason == "no_identity"


def test_the_environment_names_the_project(account, metadata, monkeypatch):
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", PROJECT)
    assert account().check().id == PROJECT
    assert not [request for request in metadata.requests if request.path.endswith("project-id")]


def test_a_machine_of_another_cloud(account, metadata):
    metadata.flavor = {}
    with pytest.raises(AuthenticationFailed) as caught:
        account(project_id=PROJECT).check()
    assert caught.value.reason == "no_identity"


def test_a_metadata_service_that_hangs(account, metadata):
    metadata.latency = HANGS
    with deadline(0.5), pytest.raises(Unreachable) as caught:
        patient(account(project_id=PROJECT)).check()
    assert caught.value.reason == "timeout"


def test_a_project_that_nobody_tells(account, gce, monkeypatch, tmp_path):
    key = {name: value for name, value in gce.new_key().items() if name != "project_id"}
    (tmp_path / "key.json").write_text(json.dumps(key))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    with pytest.raises(InvalidFields) as caught:
        account().check()
    assert set(caught.value.problems) == {"project_id"}
    assert account(project_id=PROJECT).check().details["email"] in ("", EMAIL)
