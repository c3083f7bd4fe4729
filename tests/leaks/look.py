"""How a mark is looked for: plain, quoted, in base64 and hex, in wide letters, packed, and line by line."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterable

#: What every mark begins with. Nothing but letters and digits, so that no way of quoting alters it.
MARK = "zq9Kx7Wv4"

_PACKED = (b"\x1f\x8b\x08", b"x\x9c", b"x\x01", b"x\xda")
_BREAKS = re.compile(rb"(?:\\[rn]|\s)+")


def _in_base64(needle: bytes) -> list[bytes]:
    """Return the part of a needle's base64 that does not depend on what is before and behind it, for each offset."""
    found = []
    for before in range(3):
        text = base64.b64encode(b"\0" * before + needle)
        first = (0, 2, 3)[before]
        found.append(text[first : (before + len(needle)) * 8 // 6])
    return found


class Look:
    """Looks for `MARK` and for further needles, which are secrets that no mark can be planted in: lines of keys."""

    def __init__(self, needles: Iterable[str] = ()) -> None:
        plain = [MARK.encode(), *(needle.encode() for needle in needles)]
        self._plain = [*plain, MARK.lower().encode(), MARK.upper().encode()]
        self._base64 = [form for needle in plain for form in _in_base64(needle)]
        self._base64 += [form for once in _in_base64(MARK.encode()) for form in _in_base64(once)]  # twice
        self._hex = [needle.hex().encode() for needle in plain]

    def forms(self, shown: object) -> list[str]:
        """Return in which forms a mark is in what was shown, each with what is around it."""
        data = shown if isinstance(shown, bytes) else str(shown).encode("utf-8", "surrogatepass")
        return sorted(set(self._forms(data, 0)))

    def _forms(self, data: bytes, depth: int) -> Iterable[str]:
        straight = _BREAKS.sub(b"", data)
        yield from _around("plain", data, self._plain)
        yield from _around("over lines", straight, self._plain)
        yield from _around("wide", data.replace(b"\0", b""), self._plain)
        yield from _around("base64", straight.translate(bytes.maketrans(b"-_", b"+/")), self._base64)
        yield from _around("hex", re.sub(rb"[\s:]|\\x", b"", data).lower(), self._hex)
        if depth < 2:
            for kind, inner in _inside(data, straight):
                yield from (f"{kind}: {found}" for found in self._forms(inner, depth + 1))


def _around(kind: str, data: bytes, needles: list[bytes]) -> Iterable[str]:
    for needle in needles:
        at = data.find(needle)
        if at >= 0:
            yield f"{kind} …{data[max(at - 60, 0) : at + 60].decode('utf-8', 'replace')}…"


def _inside(data: bytes, straight: bytes) -> Iterable[tuple[str, bytes]]:
    for magic in _PACKED:
        at = data.find(magic)
        while at >= 0:
            try:
                unpacked = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(data[at:], 2**22)
            except zlib.error:
                unpacked = b""
            if unpacked:
                yield "packed", unpacked
            at = data.find(magic, at + 1)
    for text in re.findall(rb"(?:H4sI|eJ|eN|eA)[A-Za-z0-9+/_-]{16,}", straight):  # packed, then in base64
        text = text.translate(bytes.maketrans(b"-_", b"+/"))
        yield "base64", base64.b64decode(text[: len(text) // 4 * 4])
