"""Which names are public: those of `mistcore` itself, and of every module that a plugin or a program may import."""

from __future__ import annotations

from importlib import import_module

#: The modules whose `__all__` is public. That none is missing which our own providers and pages use, a test sees to.
MODULES = (
    "mistcore",
    "mistcore.addresses",
    "mistcore.credentials",
    "mistcore.deadline",
    "mistcore.errors",
    "mistcore.fleet",
    "mistcore.hooks",
    "mistcore.http",
    "mistcore.http.read_json",
    "mistcore.http.timed",
    "mistcore.http.transport",
    "mistcore.models",
    "mistcore.operations",
    "mistcore.others_logs",
    "mistcore.parallel",
    "mistcore.redaction",
    "mistcore.registry",
    "mistcore.rows",
    "mistcore.schema",
    "mistcore.stores",
    "mistcore.testing",
    "mistcore.testing.plugin",
    "mistcore.testing.server",
    "mistcore.testing.wire",
    "mistcore.vault",
)


def names() -> dict[str, set[str]]:
    """Return every public name, and the names under which the reference may have it: its home's, and that itself."""
    found = {}
    for module in MODULES:
        loaded = import_module(module)
        for name in loaded.__all__:
            if name.startswith("__"):
                continue
            home = getattr(getattr(loaded, name), "__module__", module)
            found[f"{module}.{name}"] = {f"{module}.{name}", f"{home}.{name}"}
    return found
