"""Handling of standard streams that are closed or cannot be written."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TextIO

STREAMS = {0: ("stdin", "r"), 1: ("stdout", "w"), 2: ("stderr", "w")}
"""Their names in `sys`, and the mode for each."""
USUAL_COLUMNS = 80
NARROWEST_HELP = 50

DUMB_TERMINALS = frozenset({"", "dumb", "unknown"})
"""Values of TERM for terminals that cannot move the cursor."""


def open_closed() -> None:
    """Redirect every closed standard stream to /dev/null, before another file gets its descriptor."""
    for number, (name, mode) in STREAMS.items():
        if getattr(sys, name) is not None:
            continue
        nowhere = os.open(os.devnull, os.O_RDWR)
        if nowhere != number:
            os.dup2(nowhere, number)
            os.close(nowhere)
        os.set_inheritable(number, True)
        setattr(sys, name, open(number, mode, closefd=False))


def columns(stream: TextIO) -> int:
    """Return the width of a stream's terminal: `COLUMNS`, else what the terminal reports, else 80.

    `shutil.get_terminal_size` only asks `sys.__stdout__`, which `name_failures` detaches.
    """
    said = os.environ.get("COLUMNS", "")
    if said.isascii() and said.isdigit() and int(said) > 0:
        return int(said)
    try:
        return os.get_terminal_size(stream.fileno()).columns or USUAL_COLUMNS
    except (OSError, ValueError):
        return USUAL_COLUMNS


def can_draw(stream: TextIO) -> bool:
    """Return whether a stream is a terminal that can move the cursor."""
    return stream.isatty() and os.environ.get("TERM", "") not in DUMB_TERMINALS


def help_width(stream: TextIO) -> int:
    """Return the width of help texts: as click computes it, but without `shutil`, which imports four compressors."""
    return max(min(columns(stream), USUAL_COLUMNS) - 2, NARROWEST_HELP)


class StdoutLost(OSError):
    """Stdout cannot be written, for example because a disk is full."""


class Stdout(TextIOWrapper):
    """Stdout that raises StdoutLost, to distinguish its errors from those of files.

    A closed reader still raises BrokenPipeError.
    """

    def write(self, text: str, /) -> int:
        with _named():
            return super().write(text)

    def flush(self) -> None:
        with _named():
            super().flush()


def name_failures() -> None:
    """Make failures to write to stdout raise StdoutLost. Characters that cannot be encoded are escaped."""
    stdout = sys.stdout
    if type(stdout) is TextIOWrapper:  # and not a replacement from a test
        encoding, by_line, through = stdout.encoding, stdout.line_buffering, stdout.write_through
        sys.stdout = Stdout(stdout.detach(), encoding, "backslashreplace", None, by_line, through)


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StdoutLost(error.errno, error.strerror) from error
