"""The part of `TortureSuite` about XML that is a trap: entities that grow, and entities that are somewhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from mistcore.errors import CheckFailed
from mistcore.provider import Provider
from mistcore.testing.faults import FaultSuite
from mistcore.testing.judge import shown_by
from mistcore.testing.server import FakeService, Response

__all__ = ["EntitySuite"]

_MARK = "what-only-this-machine-knows"


def _document(declared: str, content: str, doctype: str = "answer") -> bytes:
    return f'<?xml version="1.0"?><!DOCTYPE {doctype} [{declared}]><answer><item>{content}</item></answer>'.encode()


def _laughs() -> bytes:
    """Return 1 KB that unpacks to a billion words."""
    grown = [f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10)]
    return _document('<!ENTITY l0 "laughter">' + "".join(grown), "&l9;")


def _blown_up() -> bytes:
    """Return 60 KB that unpack to 300 MB, without an entity within another."""
    return _document(f'<!ENTITY a "{"a" * 30_000}">', "&a;" * 10_000)


#: What each trap is made of, given the addresses of a file and of a page that nobody may ask for.
_TRAPS = {
    "a hundred thousand deep": lambda file, page: b"<answer>" * 100_000 + b"</answer>" * 100_000,
    "a billion laughs": lambda file, page: _laughs(),
    "a quadratic blow-up": lambda file, page: _blown_up(),
    "an entity in a file": lambda file, page: _document(f'<!ENTITY e SYSTEM "{file}">', "&e;"),
    "an entity elsewhere": lambda file, page: _document(f'<!ENTITY e SYSTEM "{page}">', "&e;"),
    "a parameter elsewhere": lambda file, page: _document(f'<!ENTITY % p SYSTEM "{page}"> %p;', ""),
    "a document type elsewhere": lambda file, page: _document("", "", f'answer SYSTEM "{page}"'),
}


class EntitySuite(FaultSuite):
    """XML that a reader must not believe; a provider that reads JSON takes it for what it is not."""

    @pytest.mark.parametrize("trap", _TRAPS)
    def test_a_trap_in_xml(self, service: FakeService, account: Provider, tmp_path: Path, trap: str) -> None:
        secret_file = tmp_path / "secret"
        secret_file.write_text(_MARK)
        with FakeService() as canary:
            document = _TRAPS[trap](secret_file.as_uri(), f"{canary.url}/entity")
            account.check()
            for status in (200, 400):
                service.clear_faults()
                self.answer_all(service, Response(status, document, {"Content-Type": "text/xml"}))
                with self.little_memory():
                    error = self.fails(lambda: list(account.list_machines()), account, CheckFailed)
                assert _MARK not in shown_by(error), "it read a file of this machine"
            assert canary.requests == [], "it fetched what the document names"
