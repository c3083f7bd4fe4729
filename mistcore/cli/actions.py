"""Doing something to a machine: `mist start`, `stop`, `reboot`, `pause`, `suspend`, `resume`, `destroy`, `create`."""

from __future__ import annotations

from typing import Any

import click

from mistcore.backend import choose_machine
from mistcore.cli.app import manager_of
from mistcore.cli.backends import confirm
from mistcore.cli.completion import complete_backends, complete_machines
from mistcore.cli.machines import report_failures, row_of
from mistcore.cli.options import WAIT
from mistcore.cli.output import print_record, visible
from mistcore.cli.progress import walking
from mistcore.errors import InvalidFields
from mistcore.manager import BackendManager
from mistcore.models import Machine, MachineState

_backend_option = click.option("--backend", shell_complete=complete_backends, help="Look for the machine only there.")
_wait_option = click.option(
    "--wait", metavar="SECONDS", type=WAIT, help="Wait so long at the most until it has happened."
)


def find_machine(manager: BackendManager, name: str, backend: str | None) -> Machine:
    """Return the one machine with this id, name or beginning of an id, asking one backend or all that are enabled."""
    if backend is not None:
        return manager.backend(backend).machine(name)
    walk = manager.machines(partial=True)
    found = list(walking(walk, "table"))
    report_failures(walk)
    missing = f"there is no machine {name!r}"
    if walk.failures:
        missing += f" among those of the {walk.total - len(walk.failures)} backends that answered"
    return choose_machine(name, found, missing)


def _simple(action: str, summary: str, done: str, state: MachineState, *, force: str = "") -> click.Command:
    @click.command(action, help=summary)
    @click.argument("machine", shell_complete=complete_machines)
    @_backend_option
    @_wait_option
    @click.pass_context
    def command(
        context: click.Context, /, machine: str, backend: str | None, wait: float | None, **options: bool
    ) -> None:
        found = find_machine(manager_of(context), machine, backend)
        getattr(found, action)(**{name: True for name, value in options.items() if value})
        if wait is not None:
            found.wait_for(state, wait)
        click.echo(f"{done} {_called(found)}")

    if force:
        command.params.append(click.Option(["--force"], is_flag=True, help=force))
    return command


start = _simple("start", "Start a machine.", "Started", MachineState.RUNNING)
stop = _simple("stop", "Stop a machine.", "Stopped", MachineState.STOPPED, force="Cut the power instead of asking.")
reboot = _simple("reboot", "Reboot a machine.", "Rebooted", MachineState.RUNNING, force="Reset it instead of asking.")
pause = _simple("pause", "Freeze a machine in memory.", "Paused", MachineState.PAUSED)
suspend = _simple("suspend", "Save a machine's memory to disk and stop it.", "Suspended", MachineState.SUSPENDED)
resume = _simple("resume", "Let a paused or suspended machine go on.", "Resumed", MachineState.RUNNING)


@click.command()
@click.argument("machine", shell_complete=complete_machines)
@_backend_option
@click.option("--yes", is_flag=True, help="Do not ask first.")
@click.option("--force", is_flag=True, help="Also when it is running, where the provider would refuse.")
@click.option("--storage", is_flag=True, help="Its disks too, where they would stay.")
@click.pass_context
def destroy(context: click.Context, /, machine: str, backend: str | None, yes: bool, **options: bool) -> None:
    """Delete a machine for good."""
    found = find_machine(manager_of(context), machine, backend)
    confirm(f"Destroy the machine {_called(found)} for good?", yes)
    found.destroy(**{name: True for name, value in options.items() if value})
    click.echo(f"Destroyed {_called(found)}")


@click.command()
@click.argument("backend", shell_complete=complete_backends)
@click.argument("name")
@click.option("--image", help="See `mist images BACKEND`.")
@click.option("--size", help="See `mist sizes BACKEND`.")
@click.option("--location", help="See `mist locations BACKEND`.")
@click.option("--network", help="See `mist networks BACKEND`.")
@click.option("--key", help="A public SSH key: its text, @FILE, or the name of one that the service knows.")
@click.option("--user-data", help="Text for cloud-init, or @FILE.")
@click.option("--tag", "tags", multiple=True, metavar="KEY[=VALUE]", help="May be repeated.")
@click.option("--set", "more", multiple=True, metavar="OPTION=VALUE", help="Any other option that the provider takes.")
@click.option("--wait", metavar="SECONDS", type=WAIT, help="Wait so long at the most until it is running.")
@click.option("--json", "as_json", is_flag=True, help="Print the new machine as JSON.")
@click.pass_context
def create(
    context: click.Context,
    /,
    backend: str,
    name: str,
    tags: tuple[str, ...],
    more: tuple[str, ...],
    wait: float | None,
    as_json: bool,
    **options: str | None,
) -> None:
    """Create a machine."""
    from mistcore.cli.fields import given, read_value
    from mistcore.credentials import CredentialField

    chosen: dict[str, Any] = {
        option: read_value(CredentialField(option, option), value) if option in ("key", "user_data") else value
        for option, value in given(options).items()
    }
    for assignment in more:
        option, has_value, value = assignment.partition("=")
        if not has_value:
            raise InvalidFields({option: f"needs a value: --set {option}=VALUE"})
        if option == "name":
            raise InvalidFields({option: "was given before the options"})
        chosen[option.replace("-", "_")] = value
    if tags:
        chosen["tags"] = {key: value for key, _, value in (tag.partition("=") for tag in tags)}
    machine = manager_of(context).backend(backend).create_machine(name, **chosen)
    if wait is not None:
        machine = machine.wait_for(MachineState.RUNNING, wait)
    if as_json:
        print_record(row_of(machine), "json")
    else:
        click.echo(f"Created {_called(machine)}")


def _called(machine: Machine) -> str:
    name = visible(machine.name)
    return f"{name} ({visible(machine.id)})" if name and name != machine.id else visible(machine.id)
