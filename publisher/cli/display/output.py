"""Lines to a stream that must never stop a publish."""

import contextlib
import os
from typing import TextIO

import click

from roar_publisher.cli.display.naming import as_called


class Output:
    """Writes whole lines at once.  When nobody can read them any more (a closed pipe, a full disk), it goes silent."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._gone = False

    def line(self, text: str) -> None:
        """Write a line and flush it."""
        if self._gone:
            return
        try:
            click.echo(as_called(text), file=self._stream)
        except OSError:
            self.drop()

    def drop(self) -> None:
        """Write nothing more, and let the interpreter's last flush succeed: what it still holds goes nowhere."""
        self._gone = True
        with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())
