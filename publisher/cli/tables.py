"""Where tables are printed: stdout, as wide as it is."""

import sys

import click
from rich.console import Console, RenderableType

PIPED_WIDTH = 1000
"""Columns where stdout is no terminal: nothing is folded or cut."""


def show(*parts: RenderableType) -> None:
    """Print tables and texts as they are: no markup, no guessed colours, no blanks at the ends of lines."""
    terminal = sys.stdout.isatty()
    console = Console(highlight=False, markup=False, emoji=False, width=None if terminal else PIPED_WIDTH)
    with console.capture() as captured:
        console.print(*parts, sep="\n")
    for line in captured.get().splitlines():
        click.echo(line.rstrip(), color=terminal)
