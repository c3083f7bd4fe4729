"""How data is printed: tables for people, tab-separated lines when piped, JSON, JSON lines and CSV on request."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import click

__all__ = [
    "Column",
    "output_options",
    "print_prose",
    "print_record",
    "print_rows",
    "streaming_output_options",
    "visible",
]

F = TypeVar("F", bound=Callable[..., Any])
Row = Mapping[str, Any]
FORMATS = ("table", "plain", "json", "jsonl", "csv")
#: Cells between two columns of a table, and how narrow a column may get at the least.
_GAP, _NARROWEST = 2, 4


class Column:
    """One column of a table.

    Args:
        key: the key of a row. title: what stands above it.
        fixed: never shortened (an id). wide: left out of tables for people, since it would not fit. wrapped: broken
            into lines rather than shortened (prose).
    """

    def __init__(
        self, key: str, title: str | None = None, *, fixed: bool = False, wide: bool = False, wrapped: bool = False
    ) -> None:
        self.key = key
        self.title = key.replace("_", " ").upper() if title is None else title
        self.fixed = fixed
        self.wide = wide
        self.wrapped = wrapped


def output_options(function: F) -> F:
    """Add `--output` and `--json` to a command, which receives `output`."""
    return _output_options(function, "plain", "plain (tab-separated)")


def streaming_output_options(function: F) -> F:
    """Add the same to a command that asks many backends: when piped, it prints a line of JSON as each answers."""
    return _output_options(function, "jsonl", "jsonl (JSON lines, as they come)")


def _output_options(function: F, piped: str, words: str) -> F:

    def choose(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value:
            context.params["output"] = "json"

    function = click.option(
        "--json", is_flag=True, expose_value=False, callback=choose, help="The same as --output json."
    )(function)
    return click.option(
        "--output",
        type=click.Choice(FORMATS),
        default=lambda: "table" if sys.stdout.isatty() else piped,
        help=f"Default: table on a terminal, {words} when piped.",
        is_eager=True,
    )(function)


def visible(text: object) -> str:
    """Return the text with control characters spelled out, so that none reaches a terminal."""
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter
        if letter == " " or unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else _spelled(letter)
        for letter in text
    )


def _spelled(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def lines_visible(text: str) -> str:
    """Return a text of several lines with the control characters of each line spelled out."""
    return "\n".join(visible(line.replace("\t", " ")) for line in text.split("\n"))


def json_text(value: object, indent: int | None = None) -> str:
    """Return JSON for a terminal, a pipe or a file: letters as they are, whatever a terminal would obey escaped."""
    text = json.dumps(value, indent=indent, ensure_ascii=not (sys.stdout.encoding or "utf").lower().startswith("utf"))
    # json escapes what is below the space, and outside of strings there are no other letters than these.
    return re.sub(r"[^\n -~]", lambda match: _escaped(match[0]), text)


def _escaped(letter: str) -> str:
    return letter if letter.isprintable() or visible(letter) == letter else json.dumps(letter)[1:-1]


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(visible(key) + (f"={_text(item)}" if item != "" else "") for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    return visible(value)


def print_rows(rows: Iterable[Row], columns: Sequence[Column], output: str, *, empty: str = "") -> None:
    """Print rows in the form asked for. `empty` is said on a terminal when there are none.

    JSON holds every key of a row; the other forms hold the columns.
    """
    rows = list(rows)
    if output == "json":
        click.echo(json_text(rows, 2))
    elif output == "jsonl":
        for row in rows:
            click.echo(json_line(row))
    elif output == "csv":
        _print_csv(rows, columns)
    elif output == "plain":
        click.echo("\t".join(column.title for column in columns))
        for row in rows:
            click.echo("\t".join(_text(row.get(column.key)) for column in columns))
    elif not rows and empty:
        click.echo(empty, err=True)
    else:
        _print_table(rows, columns)


def json_line(row: Row) -> str:
    """Return a row as one line of JSON."""
    return json_text(row)


def print_record(record: Row, output: str) -> None:
    """Print one thing, key by key."""
    if output in ("json", "jsonl"):
        click.echo(json_text(record, 2 if output == "json" else None))
        return
    if output == "csv":
        _print_csv([record], [Column(key, key) for key in record])
        return
    width = max(map(len, record)) + 2
    for key, value in record.items():
        if output == "plain":
            click.echo(f"{key}\t{_text(value)}")
        else:
            _print_wrapped(f"{key.replace('_', ' ')}:".ljust(width), _text(value))


def _print_wrapped(label: str, text: str) -> None:
    import shutil
    import textwrap

    width = shutil.get_terminal_size().columns
    lines = textwrap.wrap(text, max(width - len(label), 20), break_long_words=False, break_on_hyphens=False) or [""]
    click.echo(label + ("\n" + " " * len(label)).join(lines))


def print_prose(text: str, output: str) -> None:
    """Print paragraphs of Markdown: as wide as the terminal, or, for `plain`, a line each. Code keeps its lines."""
    import shutil
    import textwrap

    width = shutil.get_terminal_size().columns if output == "table" else 10**9
    for code, block in _blocks(text):
        if code:
            click.echo(textwrap.indent(block, "    "))
        else:
            hanging = "  " if block.startswith("- ") else ""
            click.echo(textwrap.fill(block, width, subsequent_indent=hanging, break_on_hyphens=False))


def _blocks(text: str) -> Iterator[tuple[bool, str]]:
    """Yield the paragraphs, items of lists and blocks of code of a text, with "" for each empty line between them."""
    held: list[str] = []
    code = False
    for line in [*map(visible, text.splitlines()), ""]:
        fence = line.startswith("```")
        if held and (fence or (not code and (not line or line.startswith("- ")))):
            yield code, ("\n" if code else " ").join(held)
            held = []
        if fence:
            code = not code
        elif line or code:
            held.append(line if code else line.strip())
        else:
            yield False, ""


def _print_csv(rows: Iterable[Row], columns: Sequence[Column]) -> None:
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(column.key for column in columns)
    for row in rows:
        writer.writerow(_safe_cell(_text(row.get(column.key))) for column in columns)


def _safe_cell(text: str) -> str:
    # A spreadsheet would run a cell that begins so as a formula; a machine's name is not ours to trust.
    return f"'{text}" if text[:1] in ("=", "+", "@") or (text[:1] == "-" and not _is_number(text)) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _print_table(rows: Sequence[Row], columns: Sequence[Column]) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    # The gaps are part of the cells: a table's own padding widens its last column, too, in some versions of rich.
    table = Table(box=None, pad_edge=False, header_style="bold", padding=0)
    shown = [column for column in columns if not column.wide]

    def cell(column: Column, text: str, style: str = "") -> Padding:
        return Padding(Text(text, style=style), (0, 0 if column is shown[-1] else _GAP, 0, 0))

    for column, width in zip(shown, _widths(rows, shown, console.width), strict=True):
        table.add_column(
            cell(column, column.title),
            no_wrap=not column.wrapped,
            overflow="fold" if column.wrapped else "ellipsis",
            width=width if column is shown[-1] else width + _GAP,
        )
    for row in rows:
        table.add_row(*(cell(column, _text(row.get(column.key)), _style(column, row)) for column in shown))
    console.print(table)


def _widths(rows: Sequence[Row], columns: Sequence[Column], room: int) -> list[int]:
    """Return how wide each column is to be: as its longest text, but where that is too much, the widest give way.

    What is fixed never does. So one long name costs nothing but its own end, and no other column.
    """
    from rich.cells import cell_len

    widths = [max([cell_len(c.title), *(cell_len(_text(row.get(c.key))) for row in rows)]) for c in columns]
    flexible = [index for index, column in enumerate(columns) if not column.fixed]
    too_much = sum(widths) + _GAP * (len(columns) - 1) - room
    while too_much > 0 and flexible:
        widest = max(flexible, key=lambda index: widths[index])
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
        too_much -= 1
    return widths


def _style(column: Column, row: Row) -> str:
    if column.key not in ("state", "status"):
        return ""
    return {
        "running": "green",
        "ok": "green",
        "error": "red",
        "failed": "red",
        "stopped": "dim",
        "terminated": "dim",
    }.get(str(row.get(column.key)), "yellow")
