"""Where tables are printed: stdout, as wide as it is."""

import sys
from collections.abc import Sequence

import click
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from roar_publisher.cli.text import one_line

PIPED_WIDTH = 1000
"""Columns where stdout is no terminal: nothing is folded or cut."""

Rows = Sequence[tuple[Sequence[str | Text], str]]
"""The cells of each row, and its note."""


def show(*parts: RenderableType, unbroken: bool = False) -> None:
    """Print tables and texts as they are: no markup, no guessed colours, no blanks at the ends of lines.

    unbroken: what a narrow terminal has no room for is left to it, not folded or cut.
    """
    for line in _lines(*parts, width=None if sys.stdout.isatty() and not unbroken else PIPED_WIDTH):
        _say(line)


def show_noted(names: Sequence[str], rows: Rows, noted: str, *, right: Sequence[str] = ()) -> None:
    """Print rows and beside each its note, in a column named `noted`; where that is too wide, below it.

    No note is broken in two: it holds a command to type, or a URL.  right: the names of columns of numbers.
    """
    table = _table([*names, noted], right)
    for cells, note in rows:
        table.add_row(*cells, one_line(note, PIPED_WIDTH))
    if not sys.stdout.isatty() or _fits(table):
        show(table)
        return
    bare = _table(names, right)
    for cells, _note in rows:
        bare.add_row(*cells)
    heading, *lines = _lines(bare, width=PIPED_WIDTH)
    _say(heading)
    for line, (_cells, note) in zip(lines, rows, strict=True):
        _say(line)
        _say(f"  {one_line(note, PIPED_WIDTH)}")


def _table(names: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in names:
        table.add_column(name, no_wrap=True, justify="right" if name in right else "left")
    return table


def _fits(table: Table) -> bool:
    return Console(width=PIPED_WIDTH).measure(table).maximum <= Console().width


def _lines(*parts: RenderableType, width: int | None) -> list[str]:
    console = Console(highlight=False, markup=False, emoji=False, width=width)
    with console.capture() as captured:
        console.print(*parts, sep="\n")
    return captured.get().splitlines()


def _say(line: str) -> None:
    click.echo(line.rstrip(), color=sys.stdout.isatty())
