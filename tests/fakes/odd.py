"""Text that no service should send and nobody should type; a provider that passes all of it on; and how to see it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any, ClassVar

from hypothesis import strategies as st

from mistcore import Account, Image, Location, Machine, Network, Provider, Size, credential, secret

#: What terminals obey, and what else breaks lines or cannot be written.
ORDERS = (
    "\x1b[2J", "\x1b[31m", "\x1b]0;owned\x07", "\x1b]8;;http://x\x1b\\", "\x1bc", "\x9b2J", "\x9d0;owned\x9c",
    "\x90q\x9c", "\u202e", "\u2066", "\u200f", "\ufeff", "\U000e0041", "\r", "\n", "\r\n", "\t", "\b", "\x0b", "\x0c",
    "\x85", "\u2028", "\u2029", "\0", "\x7f", "\ud800", "\udcff", "\x1c",
)  # fmt: skip
#: Letters that mean something to what the text passes through: click, rich, csv, templates, paths, references.
WORDS = (
    "", " ", "-", "--", "@", "@/", "~nobody/x", "env:", "file:", "[red]", "[/]", "{x}", "%s", "=", "a=b", "'",
    '"', "\\", ",", "机器", "e\u0301", "nan", "1e999", "-0", "web-1", "../..", "C:\\x",
)  # fmt: skip

texts = st.lists(st.sampled_from(ORDERS) | st.sampled_from(WORDS) | st.text(max_size=8), max_size=4).map("".join)
#: What can stand on a command line or in the environment: bytes without a NUL, as Python hands them over.
arguments = texts.map(
    lambda text: text.replace("\0", "").encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**66), 2**66) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def orders_in(shown: str, allowed: str = "\n") -> list[str]:
    """Return what a terminal, or whoever splits the lines, would take for something else than text."""
    return [x for x in shown if x not in allowed and unicodedata.category(x) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


def without_style(shown: str) -> str:
    """Return what a terminal was sent without what rich and the terminal put in: colours, cursor, returns."""
    return re.sub(r"\x1b\[(?:[0-9;]*m|\?25[lh]|[0-9]*[AK])|\r", "", shown)


class Odd(Provider):
    """A field of every kind, and whatever the tests put into its lists."""

    title = "Odd Cloud"

    token: str = secret("Token", env="ODD_TOKEN", default="")
    key: str = secret("Key", file=True, default="")
    notes: str = credential("Notes", file=True, default="")
    endpoint: str = credential("Address", address=True)
    kind: str = credential("Kind", choices=("small", "big"), default="small")
    port: int = credential("Port", default=443)
    share: float = credential("Share", default=1.0)
    verify: bool = credential("Verify", default=True)

    machines: ClassVar[list[Machine]] = []
    records: ClassVar[dict[type, list[Any]]] = {}
    account: ClassVar[Account] = Account("1")
    failure: ClassVar[Exception | None] = None

    def check(self) -> Account:
        self._fail()
        return self.account

    def list_machines(self) -> Iterable[Machine]:
        self._fail()
        return list(self.machines)

    def start_machine(self, machine_id: str) -> None:
        self._fail()

    def destroy_machine(self, machine_id: str) -> None:
        self._fail()

    def create_machine(self, name: str, *, image: str = "", tags: dict[str, str] | None = None) -> Machine:
        self._fail()
        return Machine(name, name, image=image, tags=tags or {})

    def list_sizes(self) -> Iterable[Size]:
        return self.records.get(Size, [])

    def list_images(self, search: str = "") -> Iterable[Image]:
        return self.records.get(Image, [])

    def list_locations(self) -> Iterable[Location]:
        return self.records.get(Location, [])

    def list_networks(self) -> Iterable[Network]:
        return self.records.get(Network, [])

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure
