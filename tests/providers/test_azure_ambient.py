"""Azure without a secret: the identity that the environment, the machine or the person has already."""

from __future__ import annotations

import json
import stat
import time

import pytest
from fakes.azure import SUBSCRIPTION, FakeAzure
from fakes.azure_entra import AUDIENCE, CLIENT, SECRET, TENANT
from fakes.azure_keys import application_key
from fakes.patience import HANGS, patient

from mistcore import AuthenticationFailed, Registry, Unreachable
from mistcore.deadline import deadline
from mistcore.testing.server import FakeService, json_response, route

Azure = Registry()["azure"]


class MetadataService(FakeService):
    """What answers at 169.254.169.254 on a machine of Azure, and in App Service under another path."""

    def __init__(self, azure: FakeAzure) -> None:
        super().__init__()
        self.azure = azure
        self.identities = {"", CLIENT}

    @route("GET", "/metadata/identity/oauth2/token")
    def machine(self, request):
        if request.headers.get("Metadata") != "true":
            return json_response({"error": "invalid_request"}, status=400)
        return self._token(request)

    @route("GET", "/msi/token")
    def app_service(self, request):
        if request.headers.get("X-IDENTITY-HEADER") != "the-header":
            return json_response({"statusCode": 401, "message": "no"}, status=401)
        return self._token(request)

    def _token(self, request):
        if request.query.get("client_id", "") not in self.identities:
            return json_response({"error": "invalid_request", "error_description": "Identity not found"}, status=400)
        assert request.query["resource"] == AUDIENCE
        token = f"managed-{len(self.azure.tokens)}"
        self.azure.tokens[token] = (TENANT, CLIENT, time.time() + 3600)
        ends = {"expires_in": "3600", "expires_on": str(int(time.time()) + 3600)}
        return json_response({"access_token": token, "token_type": "Bearer", "resource": AUDIENCE, **ends})


@pytest.fixture
def metadata(azure):
    with MetadataService(azure) as service:
        yield service


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch, tmp_path, closed_port):
    """No machine of Azure, nobody logged in: the metadata service is looked for on loopback only."""
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT", "MSI_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"http://127.0.0.1:{closed_port}")
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")


@pytest.fixture
def closed_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]


@pytest.fixture
def account(azure, azure_ca):
    made = []

    def make(**fields):
        known = {"endpoint": azure.url, "authority": azure.url, "ca_cert": azure_ca}
        made.append(Azure(subscription_id=SUBSCRIPTION, **{**known, **fields}))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_no_identity_at_all(account):
    with pytest.raises(AuthenticationFailed) as caught:
        account().check()
    assert caught.value.reason == "no_identity"
    assert "az login" in caught.value.remedy


def test_the_environment_names_a_secret(account, monkeypatch):
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", SECRET)
    assert account().check().details["login"] == "environment"
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "not-this-one")
    with pytest.raises(AuthenticationFailed) as caught:
        account().check()
    assert caught.value.reason == "wrong_secret"


def test_the_environment_names_a_certificate(account, azure, monkeypatch, tmp_path):
    pem, certificate = application_key()
    (tmp_path / "app.pem").write_text(pem)
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
    monkeypatch.setenv("AZURE_CLIENT_CERTIFICATE_PATH", str(tmp_path / "app.pem"))
    with pytest.raises(AuthenticationFailed) as caught:
        account().check()
    assert caught.value.reason == "wrong_certificate"
    azure.client.certificates.append(certificate)
    assert account().check().details["login"] == "environment"


def test_what_is_given_wins_over_the_environment(account, monkeypatch):
    monkeypatch.setenv("AZURE_TENANT_ID", "11111111-1111-1111-1111-111111111111")
    monkeypatch.setenv("AZURE_CLIENT_ID", "11111111-1111-1111-1111-111111111111")
    monkeypatch.setenv("AZURE_CLIENT_SECRET", SECRET)
    assert account(tenant_id=TENANT, client_id=CLIENT).check().id == SUBSCRIPTION
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "not-this-one")
    one = account(tenant_id=TENANT, client_id=CLIENT, client_secret=SECRET)
    assert one.check().details["login"] == "client secret"


def test_a_workload_in_kubernetes(account, azure, monkeypatch, tmp_path):
    token = tmp_path / "azure-identity-token"
    token.write_text("an-old-token")
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(token))
    one = account()
    with pytest.raises(AuthenticationFailed) as caught:
        one.check()
    assert caught.value.reason == "wrong_certificate"
    token.write_text(f"{azure.client.federated}\n")  # it is read anew each time
    assert one.check().details["login"] == "workload identity"
    token.unlink()
    with pytest.raises(AuthenticationFailed, match="cannot be read"):
        account().check()


def test_a_machine_of_azure(account, metadata, monkeypatch):
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", metadata.url)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    one = account()
    assert one.check().details["login"] == "managed identity"
    list(one.list_machines())
    assert len(metadata.requests) == 1
    assert account(client_id=CLIENT).check().id == SUBSCRIPTION
    assert metadata.requests[-1].query["client_id"] == CLIENT


def test_a_machine_without_that_identity(account, metadata, monkeypatch):
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", metadata.url)
    with pytest.raises(AuthenticationFailed, match="Identity not found") as caught:
        account(client_id="22222222-2222-2222-2222-222222222222").check()
    assert caught.value.reason == "no_identity"


def test_a_metadata_service_that_hangs(account, metadata, monkeypatch):
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", metadata.url)
    metadata.latency = HANGS
    with deadline(0.5), pytest.raises(Unreachable):
        patient(account()).check()


def test_an_app_service(account, metadata, monkeypatch):
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{metadata.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "the-header")
    assert account().check().details["login"] == "managed identity"
    monkeypatch.setenv("IDENTITY_HEADER", "another")
    with pytest.raises(AuthenticationFailed):
        account().check()


# -- az login ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def az(azure, tmp_path):
    """Put a program `az` on the path that runs the given shell lines, and notes its arguments."""

    def install(*lines):
        program = tmp_path / "bin" / "az"
        program.write_text("\n".join(["#!/bin/sh", f'echo "$@" >> {tmp_path}/az.log', *lines, ""]))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return tmp_path / "az.log"

    azure.tokens["of-the-person"] = (TENANT, CLIENT, time.time() + 3600)
    return install


ANSWER = {"accessToken": "of-the-person", "expiresOn": "2099-01-01 00:00:00.000000", "tokenType": "Bearer"}


@pytest.mark.parametrize("ends", [{}, {"expires_on": 4070908800}])
def test_a_person_who_is_logged_in(account, az, ends):
    log = az(f"echo '{json.dumps({**ANSWER, **ends})}'")
    one = account()
    assert one.check().details["login"] == "az login"
    list(one.list_machines())
    assert log.read_text().splitlines() == [
        f"account get-access-token --output json --resource {AUDIENCE} --subscription {SUBSCRIPTION}"
    ]


def test_a_person_of_a_tenant(account, az):
    log = az(f"echo '{json.dumps(ANSWER)}'")
    account(tenant_id=TENANT).check()
    assert f"--tenant {TENANT}" in log.read_text()


def test_a_person_who_is_not_logged_in(account, az):
    az("echo \"ERROR: Please run 'az login' to setup account.\" >&2", "exit 1")
    with pytest.raises(AuthenticationFailed, match="Please run 'az login'") as caught:
        account().check()
    assert caught.value.reason == "no_identity"


def test_a_person_on_a_machine_of_another_cloud(account, az, metadata, monkeypatch):
    """Other clouds answer at the same address; that is no reason to stop."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", metadata.url)
    metadata.identities.clear()
    az(f"echo '{json.dumps(ANSWER)}'")
    assert account().check().details["login"] == "az login"


def test_az_that_hangs(account, az):
    az(f"exec sleep {HANGS}")
    with deadline(0.5), pytest.raises(Unreachable) as caught:
        patient(account()).check()
    assert caught.value.reason == "timeout"


def test_az_that_answers_nonsense(account, az):
    az("echo hello")
    from mistcore import ProviderError

    with pytest.raises(ProviderError, match="nonsense"):
        account().check()
