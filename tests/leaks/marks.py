"""The marked secrets: for every field of every provider, so that a new one of either has to be given some."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from typing import Any

import attrs
from leaks.look import MARK, Look

from mistcore import Registry

#: Letters that are quoted, escaped or encoded on the way to a service, one kind or another.
_ODD = "/+=&%' \"?:;@"


def mark(what: str) -> str:
    """Return a secret that says what it is, with letters in it that must be quoted, too long for any line."""
    return f"{MARK}{what.title().replace('_', '').replace('.', '')}{_ODD}tail"


#: What is shorter, in a line of base64, may stand anywhere by chance.
_TELLING = 12


@functools.cache
def pem(kind: str = "rsa", passphrase: str = "") -> str:
    """Return a private key in PEM. It cannot hold a mark, so `looker` looks for its lines."""
    while True:
        key = _new_key(kind, passphrase)
        # In one of two hundred, `+` and `/` leave no run of letters that is long enough to be looked for.
        if all(len(run) >= _TELLING for line, run in _secret_runs(key, passphrase) if len(line) >= 40):
            return key


def _secret_runs(key: str, passphrase: str = "") -> list[tuple[str, str]]:
    """Return the lines of a key that hold nothing public (its kind, its public half), each with its longest word."""
    lines = key.splitlines()
    if "OPENSSH" not in lines[0]:
        chosen = lines[8:-1]
    else:
        chosen = lines[5:-1] if passphrase else [lines[4][:40]]
    return [(line, max(re.findall(r"[A-Za-z0-9]+", line), key=len)) for line in chosen]


def _new_key(kind: str, passphrase: str) -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

    key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ed25519.Ed25519PrivateKey.generate()
    sealing = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8 if kind == "rsa" else serialization.PrivateFormat.OpenSSH
    return key.private_bytes(serialization.Encoding.PEM, form, sealing).decode()  # type: ignore[attr-defined]


@functools.cache
def certificate() -> str:
    """Return a certificate of the RSA key, which is no secret."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import NameOID

    key: Any = serialization.load_pem_private_key(pem().encode(), None)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + datetime.timedelta(days=2))
    alternative = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    made = builder.add_extension(alternative, critical=False).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def service_account(token_uri: str) -> str:
    """Return a service account's key file of Google."""
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "project-123456",
            "private_key_id": "ab12",
            "private_key": pem(),
            "client_email": "robot@project-123456.iam.example",
            "token_uri": token_uri,
        }
    )


@functools.cache
def looker(*also: str) -> Look:
    """Return what finds every mark, every line of the keys, and what else a real server takes for a secret."""
    passphrase = mark("bare_metal.key_passphrase")
    runs = [*_secret_runs(pem()), *_secret_runs(pem("ssh")), *_secret_runs(pem("ssh", passphrase), passphrase)]
    return Look([*(run for _, run in runs if len(run) >= _TELLING), *also])


@attrs.frozen
class Account:
    """A way to use a provider: its id, a name for the way, and every field's value."""

    provider: str
    way: str
    fields: dict[str, Any]

    @property
    def title(self) -> str:
        """What its backend is called."""
        return f"{self.provider}-{self.way}"


def accounts(url: str, tls: str = "", other: str = "") -> Iterator[Account]:
    """Yield accounts of every provider at a service of ours, marks in all their secrets: in each field at least once.

    `url` is where the service listens; `tls` where it does with TLS, `other` with what is no HTTP.
    """
    host, _, port = (other or url).partition("://")[2].partition(":")
    tls = tls or url.replace("http:", "https:")

    def m(provider: str, field: str) -> str:
        planted = mark(f"{provider}.{field}")
        return planted.replace(" ", "") if provider == "ec2" else planted  # which refuses white space in keys

    def account(provider: str, way: str, **fields: Any) -> Account:
        return Account(provider, way, fields)

    server = {"machine_ip": host, "machine_user": "root", "machine_port": int(port), "use_agent": False}
    server |= {"known_hosts": "/dev/null", "ssh_config": "none"}
    yield account("bare_metal", "password", **server, password=m("bare_metal", "password"))
    passphrase = m("bare_metal", "key_passphrase")
    pin = "SHA256:FJMW1XjKUtJN7CDtSeyGDDJ7hLHZ3Yp3TbXTM3uTNpQ"
    locked = pem("ssh", passphrase)
    yield account("bare_metal", "key", **server, machine_key=locked, key_passphrase=passphrase, host_key=pin)

    id = "01234567-89ab-cdef-0123-456789abcdef"
    azure = {"subscription_id": id, "tenant_id": id, "client_id": id, "endpoint": tls, "authority": tls}
    azure |= {"verify": False, "cloud": "public"}
    yield account("azure", "secret", **azure, client_secret=m("azure", "client_secret"))
    yield account("azure", "certificate", **azure, certificate=pem() + certificate(), ca_cert=certificate())

    ec2 = {"region": "us-east-1", "api_key": "AKIAIOSFODNN7EXAMPLE", "endpoint": url}
    keys = {"api_secret": m("ec2", "api_secret"), "session_token": m("ec2", "session_token")}
    yield account("ec2", "key", **ec2, **keys)
    role = "arn:aws:iam::123456789012:role/reader"
    yield account("ec2", "role", **ec2, **keys, role_arn=role, external_id="x1", verify=False, ca_cert="")
    yield account("ec2", "profile", region="us-east-1", profile="leaky", endpoint=url)

    gce = {"project_id": "project-123456", "endpoint": url, "verify": False, "ca_cert": ""}
    yield account("gce", "json", **gce, private_key=service_account(f"{url}/token"))
    yield account("gce", "pem", **gce, private_key=pem(), email="robot@p.example", token_uri=f"{url}/token")

    yield account("nephoscale", "all", username="user", password=m("nephoscale", "password"), endpoint=url)
    yield account("digitalocean", "all", token=m("digitalocean", "token"), endpoint=url)
    yield account("linode", "all", api_key=m("linode", "api_key"), endpoint=url)
    yield account("softlayer", "all", username="user", api_key=m("softlayer", "api_key"), endpoint=url)

    cloud = {"auth_url": f"{url}/v3", "region": "RegionOne", "interface": "public", "verify": True, "ca_cert": ""}
    project = {"tenant_name": "demo", "user_domain_name": "Default", "project_domain_name": "Default"}
    by_id = {"project_id": "abc", "user_domain_id": "default", "project_domain_id": "default"}
    yield account("openstack", "password", **cloud, **project, username="u", password=m("openstack", "password"))
    by_id |= {"name_lookup": False}
    yield account("openstack", "token", **cloud, **by_id, token=m("openstack", "token"), compute_endpoint=url)
    application = m("openstack", "application_credential_secret")
    credential = {"application_credential_secret": application, "application_credential_id": "abc"}
    yield account("openstack", "application", **cloud, **credential)
    named = {"application_credential_secret": application, "application_credential_name": "app", "username": "u"}
    yield account("openstack", "application-name", **cloud, **named)
    yield account("openstack", "file", cloud="leaky")

    family = {"verify": False, "ca_cert": "", "username": "user", "name_lookup": True}
    api_key = m("rackspace", "api_key")
    yield account("rackspace", "all", **family, region="DFW", api_key=api_key, endpoint=f"{url}/v2.0")
    closed = {"region": "region-a.geo-1", "tenant_name": "demo", "auth_url": f"{url}/v2.0"}
    yield account("hpcloud", "all", **family, **closed, password=m("hpcloud", "password"))

    remote = {"machine_hostname": host, "machine_user": "root", "ssh_port": int(port), "verify": True}
    yield account("libvirt", "ssh", **remote, machine_key=pem("ssh"), known_hosts=f"{host} ssh-ed25519 AAAA")
    sasl = {"auth_user": "u", "auth_password": m("libvirt", "auth_password")}
    yield account("libvirt", "tcp", uri=f"qemu+tcp://{host}:{port}/system", **sasl)
    given = {"ca_cert": certificate(), "cert_file": certificate(), "key_file": pem()}
    yield account("libvirt", "tls", uri=f"qemu+tls://{host}:{port}/system", **sasl, **given)

    proxy = {"auth_user": "user", "auth_password": m("docker", "auth_password")}
    host, _, port = url.partition("://")[2].partition(":")
    yield account("docker", "plain", docker_host=host, docker_port=int(port), verify=False, **proxy)
    files = {"key_file": pem(), "cert_file": certificate(), "ca_cert_file": certificate()}
    yield account("docker", "tls", docker_host=f"tcp://{tls.partition('://')[2]}", **files)

    director = {"organization": "org", "verify": False, "ca_cert": "", "host": url}
    for provider in ("vcloud", "indonesian_vcloud"):
        yield account(provider, "password", **director, username="u", password=m(provider, "password"))
        yield account(provider, "token", **director, api_token=m(provider, "api_token"))


def what_escapes(registry: Registry) -> set[str]:
    """Return the fields, and the providers, that no account has a value for."""
    planted: dict[str, set[str]] = {}
    for account in accounts("http://127.0.0.1:9"):
        planted.setdefault(account.provider, set()).update(account.fields)
    return {
        f"{provider}.{field.name}"
        for provider in registry
        if registry.package(provider) == "mistcore"
        for field in registry[provider].fields()
        if field.name not in planted.get(provider, ())
    }
