"""The command group, what all commands share, and how errors end a run."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import cache, cached_property, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TextIO

import click

from mistcore.errors import InvalidFields, MistError, UnknownProvider

if TYPE_CHECKING:
    from mistcore.manager import BackendManager

__all__ = ["Context", "cli", "manager_of", "run"]

DONE, FAILED, USAGE, PARTLY, INTERRUPTED = 0, 1, 2, 3, 130
#: What writing fails with where there is no room; errors of the store have been told apart by then.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: What click raises for a group that is called without a command; older versions print the help and exit.
_NO_ARGUMENTS: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())

#: Where each command lives; a module is imported when one of its commands is used, or listed by --help.
_COMMANDS = {
    "providers": "providers",
    "plugins": "providers",
    "plugin": "plugin",
    "add": "add",
    "backends": "backends",
    "show": "backends",
    "check": "backends",
    "rename": "backends",
    "update": "backends",
    "enable": "backends",
    "disable": "backends",
    "remove": "backends",
    "machines": "machines",
    "start": "actions",
    "stop": "actions",
    "reboot": "actions",
    "pause": "actions",
    "suspend": "actions",
    "resume": "actions",
    "destroy": "actions",
    "create": "actions",
    "sizes": "catalog",
    "images": "catalog",
    "locations": "catalog",
    "networks": "catalog",
    "copy-store": "stores",
    "secrets": "secrets",
    "completion": "completion",
}


class Context:
    """What the options before the command say, and the manager made from them when a command needs it."""

    def __init__(self, store: str | None = None, *, debug: bool = False) -> None:
        self.store = store
        self.debug = debug
        #: Whether to say that others can read the store; completion prints nothing.
        self.warn = True

    @cached_property
    def manager(self) -> BackendManager:
        """The manager of the chosen store."""
        from mistcore.cli.secrets import ask_passphrase
        from mistcore.manager import BackendManager

        if not self.debug:
            _show_warnings_of_providers()

        manager = BackendManager(
            self.store,
            last_known=True,
            passphrase=partial(ask_passphrase, "Passphrase", ""),
            commands=True,
        )
        if self.warn:
            with suppress(MistError, OSError):  # who reads the store will be told
                for sentence in manager.store.exposure():
                    _say(f"warning: {sentence}", "Make it yours alone: mist secrets repair")
        return manager


@cache
def _show_warnings_of_providers() -> None:
    # They warn of records that they could not read; the library by itself prints nothing.
    import logging

    from mistcore.cli.streams import LogHandler

    for name in ("mistcore_providers", "mistcore.rows"):
        logging.getLogger(name).addHandler(LogHandler(logging.WARNING))


def manager_of(context: click.Context) -> BackendManager:
    """Return the manager of this run."""
    found = context.find_object(Context)
    if found is None:  # completing: the group itself has not run
        found = context.find_root().obj = Context(context.find_root().params.get("store"))
        found.warn = False
    if "manager" not in vars(found):  # sessions at the services end with the run
        context.find_root().call_on_close(found.manager.close)
    return found.manager


class _Mist(click.Group):
    """Loads a command's module when it is asked for, and the commands that plugins add."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        self._add_plugin_commands(ctx)
        return [*_COMMANDS, *(name for name in self.commands if name not in _COMMANDS)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _COMMANDS:
            module = import_module(f"mistcore.cli.{_COMMANDS[cmd_name]}")
            command: click.Command = getattr(module, cmd_name.replace("-", "_"))
            return command
        self._add_plugin_commands(ctx)
        return self.commands.get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from mistcore.credentials import nearest

            close = nearest(args[0], self.list_commands(ctx))
            hint = f", did you mean {close[0]}?" if close else ""
            raise click.UsageError(f"there is no command {args[0]!r}{hint}", ctx=error.ctx) from None

    def _add_plugin_commands(self, ctx: click.Context) -> None:
        from mistcore.hooks import Hooks

        if "mist.plugins" not in ctx.meta:
            ctx.meta["mist.plugins"] = True
            Hooks().call("mistcore_commands", cli=self)


@click.group(cls=_Mist, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.option(
    "--store", metavar="PATH|URL", envvar="MISTCORE_STORE", help="Keep backends there instead of in your own store."
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error, and log what is asked.")
@click.version_option(package_name="mistcore", prog_name="mist")
@click.pass_context
def cli(context: click.Context, store: str | None, debug: bool) -> None:
    """All your machines, wherever they are, through one door."""
    context.obj = Context(store, debug=debug)
    if debug:
        import logging

        from mistcore.cli.streams import LogHandler

        logging.basicConfig(level=logging.DEBUG, handlers=[LogHandler(logging.DEBUG, "%(name)s: %(message)s")])


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status. Errors are printed, never raised."""
    from mistcore.cli.streams import prepare, print_traceback

    prepare()
    warnings.showwarning = _show_warning
    warnings.simplefilter("always")
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    try:
        try:
            status = cli.main(arguments, prog_name="mist", standalone_mode=False)
        except click.exceptions.Exit as error:
            status = error.exit_code
        sys.stdout.flush()
    except click.ClickException as error:
        if isinstance(error, _NO_ARGUMENTS):  # not a mistake: the help is the answer
            click.echo(error.format_message(), err=True)
        else:
            _say(" ".join(error.format_message().split()), *_usage_hint(error))
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        if sys.stderr.isatty():
            click.echo(err=True)  # the terminal stands behind a prompt, or behind the ^C that it showed
        _say("interrupted")
        status = INTERRUPTED
    except MistError as error:
        if debug:
            print_traceback()
        _say(*lines_of(error))
        status = USAGE if isinstance(error, (InvalidFields, UnknownProvider)) else FAILED
    except SystemExit:
        if not type(sys.stdout).__name__.endswith("PacifyFlushWrapper"):  # click's own answer to a closed pipe
            raise
        status = DONE
    except BrokenPipeError:
        _drop_output()  # whoever read it has seen enough
        status = DONE
    except Exception as error:  # noqa: BLE001 - people at a terminal get a sentence; --debug has the traceback
        if debug:
            print_traceback()
        if os.environ.get("_MIST_COMPLETE"):
            pass  # a shell that asks what could be typed shows whatever is said, in the middle of what is
        elif isinstance(error, OSError) and error.errno in _NO_ROOM:
            _drop_output()
            _say(f"the output cannot be written: {error.strerror}")
        else:
            _say(f"{type(error).__name__}: {error}", "This is a fault of mist itself; --debug shows where.")
        status = FAILED
    return status if isinstance(status, int) else DONE


def _drop_output() -> None:
    # What stands in the buffer would fail again, loudly, when Python closes the stream.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def lines_of(error: MistError) -> list[str]:
    """Return an error as one or two lines: what happened, and what to do."""
    where = ", ".join(filter(None, [error.backend, error.provider if not error.backend else ""]))
    first = f"{where}: {error.message}" if where else error.message
    return [line for line in (" ".join(first.split()), " ".join(error.remedy.split())) if line]


def _say(first: str = "it failed without a word", *rest: str) -> None:
    from mistcore.cli.output import visible

    click.echo(f"mist: {visible(first)}", err=True)
    for line in rest:
        click.echo(f"      {visible(line)}", err=True)


def _usage_hint(error: click.ClickException) -> list[str]:
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return [f"See `{error.ctx.command_path} --help`."]
    return []


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    from mistcore.errors import PartialResult, PluginWarning

    if issubclass(category, (PartialResult, PluginWarning)):
        _say(f"warning: {message}")


def end(context: click.Context, *, failed: int, total: int) -> Any:
    """End a command that asked several backends: 0 when none failed, 1 when all did, 3 when only some did."""
    if failed:
        context.exit(FAILED if failed == total else PARTLY)
