"""The standard streams that this process was started with: some may be closed, or take nothing more."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TextIO

STREAMS = {0: ("stdin", "r"), 1: ("stdout", "w"), 2: ("stderr", "w")}
"""Their names in `sys`, and how each is opened."""
USUAL_COLUMNS = 80

DUMB_TERMINALS = frozenset({"", "dumb", "unknown"})
"""Values of TERM that can't move the cursor."""


def open_closed() -> None:
    """Let every closed standard stream lead nowhere, before a file of ours, or of a child's, gets its number."""
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
    """How wide the terminal of a stream is: `COLUMNS`, else what the terminal itself says, else 80.

    `shutil.get_terminal_size` asks `sys.__stdout__` alone, which is detached by `name_failures`.
    """
    said = os.environ.get("COLUMNS", "")
    if said.isascii() and said.isdigit() and int(said) > 0:
        return int(said)
    try:
        return os.get_terminal_size(stream.fileno()).columns or USUAL_COLUMNS
    except (OSError, ValueError):
        return USUAL_COLUMNS


class StdoutLost(OSError):
    """Stdout takes nothing more, as on a full disk."""


class Stdout(TextIOWrapper):
    """Stdout whose failures can be told from those of files; that its reader has gone stays a BrokenPipeError."""

    def write(self, text: str, /) -> int:
        with _named():
            return super().write(text)

    def flush(self) -> None:
        with _named():
            super().flush()


def name_failures() -> None:
    """Have a failure to write to stdout raised as StdoutLost.  What can't be encoded is escaped: it is worth none."""
    stdout = sys.stdout
    if type(stdout) is TextIOWrapper:  # and not what a test put there
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
