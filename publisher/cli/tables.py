"""Where tables are printed: stdout, as wide as it is."""

import sys

from rich.console import Console

PIPED_WIDTH = 1000
"""Columns where stdout is no terminal: nothing is folded or cut."""


def console() -> Console:
    """A console on stdout that takes texts as they are: no markup, no guessed colours."""
    return Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
