"""Writes docs/providers/ from the declarations of the providers.

mkdocs does it before each build (docs/hooks.py); the pages are not kept in the repository, so they cannot grow old.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from pathlib import Path

from mistcore import Provider, Registry
from mistcore.operations import MACHINE_ACTIONS, options_of

DOCS = Path(__file__).parent
PROVIDERS = DOCS / "providers"
#: The command for each operation; to rename a machine there is none.
COMMANDS = {operation: action for action, operation in MACHINE_ACTIONS.items() if action != "rename"} | {
    "check": "check",
    "list_machines": "machines",
    "create_machine": "create",
    "list_sizes": "sizes",
    "list_images": "images",
    "list_locations": "locations",
    "list_networks": "networks",
}


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
            notes.append(f"default `{shown(field.default)}`")
        if field.env:
            notes.append(f"environment: `{field.env}`")
        if field.file:
            notes.append("a path, or the text itself")
        rows.append((f"`{field.name}`", f"**{field.label}.** {field.help}", "<br>".join(notes)))
    return table(("field", "what it is, and where to get it", ""), rows)


def shown(default: object) -> object:
    return {True: "yes", False: "no"}[default] if isinstance(default, bool) else default


def operations_of(cls: type[Provider]) -> list[str]:
    rows = []
    for name in cls.operations():
        options = options_of(getattr(cls, name)) or {}
        shown = ", ".join(f"`{o}`" + ("" if p.default is not p.empty else " (required)") for o, p in options.items())
        rows.append((f"`{name}`", f"`mist {COMMANDS[name]}`" if name in COMMANDS else "", shown))
    return table(("operation", "command", "options"), rows)


def page(name: str, cls: type[Provider]) -> str:
    lines = [f"# {cls.title}", "", f"`{name}`" + (f" · extra `mistcore[{cls.extra or name}]`" if cls.extra else ""), ""]
    if cls.retired:
        lines += ['!!! warning "This service has closed"', "", f"    {cls.retired}", ""]
    lines += [inspect.cleandoc(cls.__doc__ or ""), "", "## Fields", "", *fields_of(cls)]
    lines += ["## What it can do", "", *operations_of(cls)]
    if cls.rights:
        lines += ["## Credentials with the least rights", "", cls.rights, ""]
    if cls.limits:
        lines += ["## Known limits", "", *(f"- {limit}" for limit in cls.limits), ""]
    if cls.regions:
        rows = [(f"`{r.id}`", r.location, ", ".join(f"`{alias}`" for alias in r.aliases)) for r in cls.regions]
        lines += ["## Regions", "", *table(("region", "place", "also"), rows)]
    return "\n".join(lines).rstrip() + "\n"


def write(path: Path, text: str) -> None:
    """Write a page if it is not so already: `mkdocs serve` builds anew whatever was written."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def main() -> int:
    registry = Registry()
    usable = {name: cls for name, cls in registry.usable().items() if registry.package(name) == "mistcore"}
    PROVIDERS.mkdir(exist_ok=True)
    rows = []
    for name, cls in usable.items():
        write(PROVIDERS / f"{name}.md", page(name, cls))
        done = sum(cls.supports(operation) for operation in MACHINE_ACTIONS.values())
        creates = "yes" if cls.supports("create_machine") else ""
        note = "closed" if cls.retired else ""
        rows.append((f"[{cls.title}]({name}.md)", f"`{name}`", len(cls.regions) or "", done, creates, note))
    head = [
        "# Providers",
        "",
        "Each page is made from the provider's declaration: its fields, what it can do, which credentials with the",
        "least rights it needs and where to get them, known limits, regions. `mist providers ID` says the same.",
        "",
    ]
    index = table(("provider", "id", "regions", "actions on a machine", "creates", ""), rows)
    write(PROVIDERS / "index.md", "\n".join([*head, *index]))
    return 0 if usable else 1


if __name__ == "__main__":
    sys.exit(main())
