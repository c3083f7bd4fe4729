"""A field that may be the path of a file: what is stored is the whole path, wherever `mist` is called later."""

from __future__ import annotations

from pathlib import Path

import pytest

from mistcore.cli.fields import read_value
from mistcore.credentials import CredentialField

FILE = CredentialField("key_file", "Key", file=True)


def test_the_path_of_a_file_is_made_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys").mkdir()
    key = tmp_path / "keys" / "id_ed25519"
    key.write_text("a key")
    monkeypatch.chdir(tmp_path / "keys")
    assert read_value(FILE, "id_ed25519") == read_value(FILE, "./id_ed25519") == str(key)
    assert read_value(FILE, str(key)) == str(key)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_value(FILE, "~/keys/id_ed25519") == str(key)


@pytest.mark.parametrize("value", ["no-such-file", "env:KEY", "file:id_ed25519", "-----BEGIN KEY-----\nid_ed25519"])
def test_what_is_no_path_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    (tmp_path / "id_ed25519").write_text("a key")
    monkeypatch.chdir(tmp_path)
    assert read_value(FILE, value) == value


def test_what_is_the_path_of_a_file_by_chance_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "admin").write_text("")
    monkeypatch.chdir(tmp_path)
    assert read_value(CredentialField("user", "User"), "admin") == "admin"
