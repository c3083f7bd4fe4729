"""Write, as a constraints file, the lowest version of every package that pyproject.toml says mistcore works with."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

#: A requirement as pyproject.toml writes them: one lower bound, and extras perhaps.
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[(?P<extras>[^]]+)\])?(>=(?P<version>[0-9][0-9a-z.]*))?")


def lowest(pyproject: Path) -> list[str]:
    """Return `name==version` for each direct dependency and each one of an extra."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    bounds: dict[str, str] = {}
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    for requirement in [*project["dependencies"], *extras]:
        found = _REQUIREMENT.fullmatch(requirement)
        if found is None:
            raise SystemExit(f"{pyproject}: {requirement!r} is to have one lower bound and nothing else")
        name, version = found["name"].lower(), found["version"]
        if name == project["name"]:
            continue
        if version is None:
            raise SystemExit(f"{pyproject}: {requirement!r} has no lower bound")
        if bounds.setdefault(name, version) != version:
            raise SystemExit(f"{pyproject}: {name} has two lower bounds, {bounds[name]} and {version}")
    return [f"{name}=={version}" for name, version in sorted(bounds.items())]


if __name__ == "__main__":
    written = Path(sys.argv[1])
    written.parent.mkdir(parents=True, exist_ok=True)
    written.write_text("\n".join([*lowest(Path(__file__).parents[1] / "pyproject.toml"), ""]), encoding="utf-8")
