"""What mkdocs does beside its own: it writes the providers' pages first, and ends by looking for what is missing."""

from __future__ import annotations

import sys
import zlib
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

import generate  # noqa: E402
import public  # noqa: E402


def on_pre_build(config: Any) -> None:
    generate.main()


def on_post_build(config: Any) -> None:
    raw = (Path(config.site_dir) / "objects.inv").read_bytes()
    inventory = zlib.decompress(raw.split(b"\n", 4)[4]).decode()
    shown = {line.split(" ", 1)[0] for line in inventory.splitlines()}
    missing = [name for name, names in public.names().items() if not shown & names]
    if missing:
        raise PluginError("public, but not in the reference: " + ", ".join(missing))
