import json
from pathlib import Path

from fakes.acme import GOOD


def test_copying_a_store_whole_or_not_at_all(mist, store: Path, tmp_path: Path) -> None:
    for title in ("one", "two"):
        mist("add", "acme", "--title", title, "--region", "fra", "--token", GOOD)
    target = tmp_path / "other.json"
    assert mist("copy-store", str(store), str(target)).out == f"Copied 2 backends to {target}\n"
    assert json.loads(target.read_text()) == json.loads(store.read_text())
    assert mist("copy-store", str(store), str(target)).out == f"Copied 0 backends to {target}, 2 were there already\n"
    mist("rename", "one", "changed")
    before = target.read_bytes()
    refused = mist("copy-store", str(store), str(target))
    assert refused.status == 1
    assert "already holds 1 of these backends" in refused.err
    assert target.read_bytes() == before


def test_a_scheme_that_nobody_knows(mist, store: Path) -> None:
    result = mist("copy-store", str(store), "ftp://host/x")
    assert result.status == 1
    assert "ftp" in result.err
