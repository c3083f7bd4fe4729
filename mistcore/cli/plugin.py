"""`mist plugin new`: a package of one's own to begin a provider with."""

from __future__ import annotations

import keyword
import re
from importlib import metadata, resources, util
from pathlib import Path
from string import Template

import click

__all__ = ["plugin"]

#: What the written module names itself: a class that was called so would hide it.
_TAKEN = {"Account", "Any", "Iterator", "Machine", "MachineState", "MistError", "Provider", "ProviderError"}
#: The template of each file, and the path of the file, in which placeholders are filled in too.
_FILES = {
    "pyproject.toml.tmpl": "pyproject.toml",
    "README.md.tmpl": "README.md",
    "tox.ini.tmpl": "tox.ini",
    "module.py.tmpl": "$module.py",
    "tests/fake.py.tmpl": "tests/fake_$id.py",
    "tests/test.py.tmpl": "tests/test_$id.py",
}


@click.group()
def plugin() -> None:
    """Help to write a provider of your own."""


@plugin.command()
@click.argument("name")
@click.option("--title", default="", help="What people call the service; by default made from NAME.")
@click.option(
    "--into", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Folder to make the package in."
)
def new(name: str, title: str, into: Path) -> None:
    """Write a package with a provider, a stand-in of its service, and tests.

    NAME is the provider's id: "acme" makes mistcore-acme with the class Acme. What is written builds and passes
    its tests; put your service in place of the made-up one.
    """
    words = _words(name, title)
    folder = into / words["package"]
    files = {Template(path).substitute(words): _text(template, words) for template, path in _FILES.items()}
    try:
        folder.mkdir(parents=True)  # refuses what is there, whoever made it a moment ago
        (folder / "tests").mkdir()
        for path, text in files.items():
            (folder / path).write_text(text, encoding="utf-8")
    except FileExistsError:
        raise click.ClickException(f"{folder} is there already, and nothing was written") from None
    except OSError as error:
        raise click.ClickException(f"cannot write {error.filename}: {error.strerror}") from None
    click.echo(f"Wrote {folder}. Next:\n  cd {folder}\n  pip install -e . 'mistcore[testing]'\n  pytest")


def _words(name: str, title: str) -> dict[str, str]:
    provider_id = name.strip().lower().replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", provider_id):
        raise click.BadParameter("begins with a letter and holds letters, digits, - and _ only", param_hint="NAME")
    cls = "".join(word.capitalize() for word in provider_id.split("_"))
    module = f"mistcore_{provider_id}"
    if keyword.iskeyword(cls) or cls in _TAKEN:
        raise click.BadParameter(f"{name!r} would hide {cls}, which every provider uses", param_hint="NAME")
    problem = _taken(provider_id, module)
    if problem:
        raise click.BadParameter(problem, param_hint="NAME")
    title = " ".join(title.split()) or " ".join(word.capitalize() for word in provider_id.split("_"))
    if not title.isprintable() or re.search(r'["\\$]', title):
        raise click.BadParameter('holds no ", \\ or $', param_hint="--title")
    host = provider_id.replace("_", "-")
    version = metadata.version("mistcore")
    return {
        "id": provider_id,
        "ID": provider_id.upper(),
        "cls": cls,
        "module": module,
        "package": f"mistcore-{host}",
        "host": host,
        "title": title,
        "version": version,
    }


def _taken(provider_id: str, module: str) -> str:
    from mistcore.registry import Registry

    registry = Registry()
    if provider_id in registry:
        package = registry.package(provider_id) or "somebody else"
        return f"there is a provider {provider_id} already, of {package}"
    if util.find_spec(module) is not None:
        return f"there is a module {module} already"
    return ""


def _text(template: str, words: dict[str, str]) -> str:
    source = resources.files("mistcore.cli").joinpath("scaffold", *template.split("/"))
    return Template(source.read_text(encoding="utf-8")).substitute(words)
