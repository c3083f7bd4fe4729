"""Entries of clouds.yaml, by the rules that OpenStack's own tools go by (openstacksdk's manual, "Configuration")."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import platformdirs

from mistcore.errors import InvalidFields

_SUFFIXES = (".yaml", ".yml", ".json")
#: Keys of the entry's `auth` part, by our field.
_AUTH = {
    "auth_url": ("auth_url",),
    "username": ("username", "user_name"),
    "user_id": ("user_id",),
    "password": ("password",),
    "tenant_name": ("project_name", "tenant_name"),
    "project_id": ("project_id", "tenant_id"),
    "user_domain_name": ("user_domain_name", "domain_name"),
    "user_domain_id": ("user_domain_id", "domain_id", "default_domain", "default_domain_id"),
    "project_domain_name": ("project_domain_name",),
    "project_domain_id": ("project_domain_id",),
    "token": ("token", "auth_token"),
    "application_credential_id": ("application_credential_id",),
    "application_credential_name": ("application_credential_name",),
    "application_credential_secret": ("application_credential_secret",),
}


def read_cloud(name: str) -> dict[str, Any]:
    """Return an entry as values of our fields: only those that it gives.

    Raises:
        InvalidFields: naming `cloud`: no file, no such entry, or something in it that cannot be used.

    """
    path = _find("clouds", "OS_CLIENT_CONFIG_FILE")
    if path is None:
        places = ", ".join(str(folder / "clouds.yaml") for folder in _folders())
        raise _problem(f"there is no clouds.yaml; looked for {places}")
    clouds = _entries(path, "clouds")
    if name not in clouds:
        names = ", ".join(map(str, clouds)) or "none"
        raise _problem(f"{path} has no entry {name!r}; there is {names}")
    entry = _merged({}, clouds[name])
    secure = _find("secure", "OS_CLIENT_SECURE_FILE")
    if secure is not None:
        entry = _merged(entry, _entries(secure, "clouds").get(name) or {})
    profile = entry.get("profile") or entry.get("cloud")
    if profile:
        entry = _merged(_profile(str(profile), path), entry)
    return _fields(entry, path, name)


def _fields(entry: Mapping[str, Any], path: Path, name: str) -> dict[str, Any]:
    auth = entry.get("auth")
    given = {**entry, **(auth if isinstance(auth, Mapping) else {})}
    found: dict[str, Any] = {}
    for field, keys in _AUTH.items():
        value = next((given[key] for key in keys if given.get(key) not in (None, "")), None)
        if value is not None:
            found[field] = str(value)
    if not found.get("auth_url"):
        raise _problem(f"the entry {name!r} of {path} has no auth_url")
    if entry.get("cert") or entry.get("key"):
        raise _problem(f"the entry {name!r} of {path} wants a client certificate, which is not supported")
    region = entry.get("region_name")
    regions = entry.get("regions")
    if not region and isinstance(regions, list) and len(regions) == 1:
        region = regions[0].get("name") if isinstance(regions[0], Mapping) else regions[0]
    if region:
        found["region"] = str(region)
    interface = str(entry.get("interface") or entry.get("endpoint_type") or "").removesuffix("URL")
    if interface:
        found["interface"] = interface
    if entry.get("compute_endpoint_override"):
        found["compute_endpoint"] = str(entry["compute_endpoint_override"])
    if entry.get("cacert"):
        found["ca_cert"] = str(entry["cacert"])
    if entry.get("verify") is False or entry.get("insecure") is True:
        found["verify"] = False
    return found


def _profile(name: str, path: Path) -> Mapping[str, Any]:
    public = _find("clouds-public", "OS_CLIENT_VENDOR_FILE")
    found = _entries(public, "public-clouds").get(name) if public is not None else None
    if not isinstance(found, Mapping):
        raise _problem(
            f"the entry in {path} builds on the profile {name!r}, which no clouds-public.yaml holds; "
            "write its auth_url into the entry instead"
        )
    return found


def _folders() -> Iterator[Path]:
    """Yield where the files may lie, in their order: the first that exists counts."""
    folders = [
        Path.cwd(),
        Path(platformdirs.user_config_dir("openstack")),
        Path("~/.config/openstack").expanduser(),
        Path("/etc/xdg/openstack"),
        Path("/etc/openstack"),
    ]
    yield from dict.fromkeys(folders)


def _find(stem: str, variable: str) -> Path | None:
    named = os.environ.get(variable)
    if named:
        path = Path(named).expanduser()
        if not path.is_file() and stem == "clouds":
            raise _problem(f"{variable} names {path}, which is not there")
        return path if path.is_file() else None
    return next((path for folder in _folders() for s in _SUFFIXES if (path := folder / f"{stem}{s}").is_file()), None)


def _entries(path: Path, key: str) -> Mapping[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _problem(f"cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        # Neither the words nor the chain of the parser's error are kept: they quote the file, passwords and all.
        raise _problem(f"{path} is not YAML{line}") from None
    found = content.get(key) if isinstance(content, Mapping) else None
    if not isinstance(found, Mapping):
        raise _problem(f"{path} has no part called {key}")
    return found


def _merged(below: Mapping[str, Any], above: Any) -> dict[str, Any]:
    result = dict(below)
    for key, value in (above if isinstance(above, Mapping) else {}).items():
        old = result.get(key)
        result[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def _problem(text: str) -> InvalidFields:
    return InvalidFields({"cloud": text})
