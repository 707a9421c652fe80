"""Prints tables to stdout, fitted to its width. rich is imported when there is a table to print."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import click

from roar_publisher.cli.display import streams
from roar_publisher.cli.display.streams import DUMB_TERMINALS
from roar_publisher.text import fitted, printable, wrapped

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

GAP = 2
"""The number of blanks between columns."""
NARROWEST = 20
"""The number of columns for a value on the narrowest terminal."""
HEIGHT = 25
UNBROKEN = frozenset({"next", "hash", "url"})
"""Facts that are copied or typed, and so must not be wrapped."""
PIPED_WIDTH = 1000
"""The width if stdout is not a terminal. Nothing is folded or cut."""

Rows: TypeAlias = "Sequence[tuple[Sequence[str | Text], str]]"
"""The cells of each row, and its note."""


def show(*parts: RenderableType, unbroken: bool = False) -> None:
    """Print tables and texts unchanged: no markup, no automatic highlighting, no trailing blanks.

    unbroken: do not fold or cut wide lines; leave them to the terminal.
    """
    for line in _lines(*parts, width=PIPED_WIDTH if unbroken else columns()):
        _say(line)


def show_noted(names: Sequence[str], rows: Rows, noted: str, *, right: Sequence[str] = ()) -> None:
    """Print rows with a note for each, in a column named `noted`, or below the row if that is too wide.

    Notes are not wrapped, because they contain commands and URLs. right: the names of right-aligned columns.
    """
    table = _table([*names, noted], right)
    for cells, note in rows:
        table.add_row(*cells, fitted(note, PIPED_WIDTH))
    if not sys.stdout.isatty() or _width(table) <= columns():
        show(table, unbroken=True)
        return
    bare = _table(names, right)
    for cells, _note in rows:
        bare.add_row(*cells)
    heading, *lines = _lines(bare, width=PIPED_WIDTH)
    _say(heading)
    for line, (_cells, note) in zip(lines, rows, strict=True):
        _say(line)
        for part in _parts(note):
            _say(f"  {part}")


def show_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print names and values, one per line, without empty values.

    A value that is too wide is wrapped between words and indented. Values with very long words (a hash, a URL) or with
    something to type are left to the terminal, so that they can be copied whole.
    """
    given = [(name, printable(value)) for name, value in facts if value]
    indent = max((len(name) for name, _ in given), default=0) + GAP
    for name, value in given:
        lines = [value] if name in UNBROKEN else wrapped(value, max(columns() - indent, NARROWEST))
        _say(f"{click.style(name.ljust(indent), dim=True)}{lines[0]}")
        for line in lines[1:]:
            _say(f"{'':{indent}}{line}")


def plain_table(*, header: bool = True) -> Table:
    """Return an empty table without lines."""
    from rich.table import Table

    return Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim", show_header=header)


def columns() -> int:
    """Return the width of stdout."""
    return streams.columns(sys.stdout) if sys.stdout.isatty() else PIPED_WIDTH


def _parts(note: str) -> list[str]:
    """Return the note as one line, or split into its parts if it is wider than the terminal."""
    line = fitted(note, PIPED_WIDTH)
    return [line] if len(line) + GAP <= columns() else line.split("; ")


def _table(names: Sequence[str], right: Sequence[str]) -> Table:
    table = plain_table()
    for name in names:
        table.add_column(name, no_wrap=True, justify="right" if name in right else "left")
    return table


def _width(table: Table) -> int:
    return _console(PIPED_WIDTH).measure(table).maximum


def _lines(*parts: RenderableType, width: int) -> list[str]:
    console = _console(width)
    with console.capture() as captured:
        console.print(*parts, sep="\n")
    return captured.get().splitlines()


def _console(width: int) -> Console:
    """Return a console with an explicit height.

    Without it, rich assumes 80 columns on a dumb terminal, whatever the width.
    """
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, width=width, height=HEIGHT)


def _say(line: str) -> None:
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in DUMB_TERMINALS
    click.echo(line.rstrip(), color=coloured)
