"""clouds.yaml: found where OpenStack's own tools find it, and every mistake in it named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mistcore.errors import InvalidFields
from mistcore_providers._openstack_clouds_yaml import read_cloud
from mistcore_providers.openstack import Openstack

MINE = """
clouds:
  mine:
    auth:
      auth_url: https://keystone.example.org:5000
      username: me
      project_name: lab
    region_name: RegionOne
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return folder


def test_the_working_folder_comes_before_the_home(here: Path) -> None:
    config = Path("~/.config/openstack").expanduser()
    config.mkdir(parents=True)
    (config / "clouds.yaml").write_text(MINE)
    assert read_cloud("mine") == {
        "auth_url": "https://keystone.example.org:5000",
        "username": "me",
        "tenant_name": "lab",
        "region": "RegionOne",
    }
    (here / "clouds.yml").write_text(MINE.replace("RegionOne", "RegionTwo"))
    assert read_cloud("mine")["region"] == "RegionTwo"
    (here / "clouds.json").write_text('{"clouds": {}}')
    assert read_cloud("mine")["region"] == "RegionTwo", "yaml, yml, json: in this order"


def test_a_file_named_by_the_environment(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "clouds.yaml").write_text(MINE)
    elsewhere = tmp_path / "elsewhere.yaml"
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(elsewhere))
    with pytest.raises(InvalidFields, match="OS_CLIENT_CONFIG_FILE names"):
        read_cloud("mine")
    elsewhere.write_text(MINE.replace("lab", "other"))
    assert read_cloud("mine")["tenant_name"] == "other"


def test_secrets_from_a_file_of_their_own(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "clouds.yaml").write_text(MINE)
    (here / "secure.yaml").write_text("clouds: {mine: {auth: {password: s3cret}}, other: {auth: {password: no}}}")
    assert read_cloud("mine")["password"] == "s3cret"
    assert read_cloud("mine")["username"] == "me"
    secure = tmp_path / "secure.yaml"
    secure.write_text("clouds: {mine: {auth: {password: other}}}")
    monkeypatch.setenv("OS_CLIENT_SECURE_FILE", str(secure))
    assert read_cloud("mine")["password"] == "other"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("auth: {tenant_name: t}", {"tenant_name": "t"}),
        ("auth: {project_id: 0123, tenant_id: x}", {"project_id": "83"}),
        ("auth: {domain_name: D}", {"user_domain_name": "D"}),
        ("auth: {user_domain_id: default, project_domain_name: P}",
         {"user_domain_id": "default", "project_domain_name": "P"}),
        ("auth: {application_credential_id: i, application_credential_secret: s}",
         {"application_credential_id": "i", "application_credential_secret": "s"}),
        ("auth_type: token\n    auth: {token: t}", {"token": "t"}),
        ("interface: internal", {"interface": "internal"}),
        ("endpoint_type: adminURL", {"interface": "admin"}),
        ("verify: false", {"verify": False}),
        ("insecure: true", {"verify": False}),
        ("verify: true\n    cacert: /etc/ca.pem", {"ca_cert": "/etc/ca.pem"}),
        ("compute_endpoint_override: http://nova", {"compute_endpoint": "http://nova"}),
        ("regions: [{name: One, values: {}}]", {"region": "One"}),
        ("regions: [One, Two]", {}),
        ("username: top-level", {"username": "top-level"}),
    ],
)  # fmt: skip
def test_what_an_entry_may_say(here: Path, entry: str, expected: dict[str, Any]) -> None:
    (here / "clouds.yaml").write_text(f"clouds:\n  c:\n    auth_url: http://k\n    {entry}\n")
    assert read_cloud("c") == {"auth_url": "http://k", **expected}


def test_a_profile(here: Path) -> None:
    (here / "clouds.yaml").write_text("clouds: {c: {profile: vendor, auth: {username: me}}}")
    with pytest.raises(InvalidFields, match="profile 'vendor'"):
        read_cloud("c")
    (here / "clouds-public.yaml").write_text(
        "public-clouds: {vendor: {auth: {auth_url: http://v, username: no}, region_name: R}}"
    )
    assert read_cloud("c") == {"auth_url": "http://v", "username": "me", "region": "R"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "there is no clouds.yaml; looked for"),
        ("clouds: {}", "has no entry 'mine'; there is none"),
        ("clouds: {a: {}, b: {}}", "there is a, b"),
        ("", "has no part called clouds"),
        ("- 1", "has no part called clouds"),
        ("clouds:\n  mine:\n    auth: {password: s3cret", "is not YAML, line"),
        ("clouds: {mine: {auth: {username: me}}}", "has no auth_url"),
        ("clouds: {mine: null}", "has no auth_url"),
        ("clouds: {mine: {auth: {auth_url: http://k}, cert: c.pem}}", "client certificate"),
        ("clouds: !!python/object/apply:os.system ['false']", "is not YAML"),
    ],
)
def test_every_mistake_is_named(here: Path, text: str | None, words: str) -> None:
    if text is not None:
        (here / "clouds.yaml").write_text(text)
    with pytest.raises(InvalidFields) as caught:
        read_cloud("mine")
    assert list(caught.value.problems) == ["cloud"]
    assert words in caught.value.problems["cloud"]
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_own_fields_put_aside_what_says_the_same(here: Path) -> None:
    (here / "clouds.yaml").write_text(
        "clouds: {c: {auth: {auth_url: http://k, username: me, password: p, project_id: i, user_domain_id: d}, "
        "region_name: One, verify: false}}"
    )
    own = Openstack(cloud="c", tenant_name="t", region="Two", user_domain_name="D", token="tok")
    assert own._given() == {
        "cloud": "c",
        "auth_url": "http://k",
        "username": "me",
        "tenant_name": "t",
        "user_domain_name": "D",
        "token": "tok",
        "region": "Two",
        "verify": False,
    }
    (here / "clouds.yaml").write_text("clouds: {c: {auth: {auth_url: http://k, username: me}}}")
    with pytest.raises(InvalidFields, match="holds no password"):
        Openstack(cloud="c").check()
