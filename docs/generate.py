"""Writes docs/providers/ from the declarations of the providers.

`python docs/generate.py` before `mkdocs build`; the pages are not kept in the repository, so they cannot grow old.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from mistcore import Provider, Registry
from mistcore.operations import MACHINE_ACTIONS, options_of

DOCS = Path(__file__).parent
PROVIDERS = DOCS / "providers"


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> list[str]:
    header = list(header)
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return [*lines, ""]


def fields_of(cls: type[Provider]) -> list[str]:
    rows = []
    for field in cls.fields():
        notes = [word for word, holds in (("required", field.required), ("secret", field.secret)) if holds]
        if field.choices:
            notes.append("one of " + ", ".join(f"`{choice}`" for choice in field.choices))
        elif field.default not in (None, ""):
            notes.append(f"default `{field.default}`")
        if field.env:
            notes.append(f"`{field.env}`")
        rows.append((f"`{field.name}`", field.label, "; ".join(notes), field.help))
    return table(("field", "", "", "help"), rows)


def operations_of(cls: type[Provider]) -> list[str]:
    rows = []
    for name in cls.operations():
        options = options_of(getattr(cls, name)) or {}
        shown = ", ".join(f"`{o}`" + ("" if p.default is not p.empty else " (required)") for o, p in options.items())
        command = next((action for action, operation in MACHINE_ACTIONS.items() if operation == name), "")
        rows.append((f"`{name}`", f"`mist {command}`" if command and command != "rename" else "", shown))
    return table(("operation", "command", "options"), rows)


def page(name: str, cls: type[Provider]) -> str:
    lines = [f"# {cls.title}", "", f"`{name}`" + (f" · extra `mistcore[{cls.extra or name}]`" if cls.extra else ""), ""]
    if cls.retired:
        lines += ['!!! warning "This service has closed"', "", f"    {cls.retired}", ""]
    lines += [(cls.__doc__ or "").strip(), "", "## Fields", "", *fields_of(cls)]
    if cls.regions:
        rows = [(f"`{r.id}`", r.location, ", ".join(f"`{alias}`" for alias in r.aliases)) for r in cls.regions]
        lines += ["## Regions", "", *table(("region", "place", "also"), rows)]
    lines += ["## What it can do", "", *operations_of(cls)]
    if cls.rights:
        lines += ["## Credentials with the least rights", "", cls.rights, ""]
    if cls.limits:
        lines += ["## Known limits", "", *(f"- {limit}" for limit in cls.limits), ""]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    registry = Registry()
    usable = {name: cls for name, cls in registry.usable().items() if registry.package(name) == "mistcore"}
    PROVIDERS.mkdir(exist_ok=True)
    rows = []
    for name, cls in usable.items():
        (PROVIDERS / f"{name}.md").write_text(page(name, cls), encoding="utf-8")
        done = sum(cls.supports(operation) for operation in MACHINE_ACTIONS.values())
        note = "closed" if cls.retired else ""
        rows.append((f"[{cls.title}]({name}.md)", f"`{name}`", len(cls.regions) or "", done, note))
    head = ["# Providers", "", "Made from their declarations.", ""]
    index = table(("provider", "id", "regions", "actions on a machine", ""), rows)
    (PROVIDERS / "index.md").write_text("\n".join([*head, *index]), encoding="utf-8")
    return 0 if usable else 1


if __name__ == "__main__":
    sys.exit(main())
