"""Line output that never stops a publish."""

import contextlib
import os
import sys
from typing import TextIO

import click

from roar_publisher.naming import as_called


class Output:
    """Writes whole lines.

    If the stream can no longer be written, it drops them: silently if its reader has gone, and with one warning on
    stderr if it is stdout and, for example, a disk is full.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._gone = False

    def line(self, text: str) -> None:
        """Write a line and flush it."""
        if self._gone:
            return
        try:
            click.echo(as_called(text), file=self._stream)
        except BrokenPipeError:
            self.drop()
        except OSError as error:
            self.drop()
            if self._stream is sys.stdout:
                why = error.strerror or str(error)
                Output(sys.stderr).line(f"Warning: stdout cannot be written: {why}. The command continues without it.")

    def drop(self) -> None:
        """Stop writing, and redirect the stream to /dev/null, so that the interpreter's final flush succeeds."""
        self._gone = True
        with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())
