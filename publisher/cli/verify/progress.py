"""A line on a terminal while `roar verify` reads objects. Nothing is shown anywhere else."""

import sys
import time
from typing import TYPE_CHECKING

from roar_publisher.cli.display.streams import can_draw
from roar_publisher.inspection.findings import Inspection
from roar_publisher.text import count, lasted, printable, size

if TYPE_CHECKING:
    from roar_publisher.cli.display.terminal import LiveLines

SHOWN_AFTER_SECONDS = 1.0
"""An inspection that is over sooner needs no line."""


class ReadingLine:
    """The line, if `shown`. Call `close` at the end, or before anything else is printed; repeating it is harmless."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._inspection: Inspection | None = None
        self._lines: LiveLines | None = None

    def begin(self, inspection: Inspection, objects: int) -> None:
        """Follow an inspection of that many objects."""
        self._inspection, self._objects, self._began = inspection, objects, time.monotonic()

    def tick(self) -> None:
        """Draw the line anew."""
        if not self._shown or self._inspection is None:
            return
        elapsed = time.monotonic() - self._began
        if elapsed < SHOWN_AFTER_SECONDS:
            return
        from rich.text import Text

        if self._lines is None:
            from roar_publisher.cli.display.terminal import LiveLines, terminal

            self._lines = LiveLines(terminal())
            self._lines.begin()
        line = Text(printable(sentence(self._inspection, self._objects, elapsed)))
        line.truncate(self._lines.console.width - 1, overflow="ellipsis")
        self._lines.draw(line)

    def close(self) -> None:
        """Remove the line."""
        self._inspection = None
        if self._lines is not None:
            self._lines.end()
            self._lines = None


def sentence(inspection: Inspection, objects: int, elapsed: float) -> str:
    """Return what is known after so many seconds."""
    read = f", {size(inspection.bytes_read)} read" if inspection.bytes_read else ""
    wrong = f", {inspection.wrong} wrong" if inspection.wrong else ""
    return f"Verifying: {inspection.total:,} of {count(objects, 'object')}{read} in {lasted(elapsed)}{wrong}"


def reading_line(*, as_json: bool) -> ReadingLine:
    """Return the progress for this process's stderr."""
    return ReadingLine(shown=can_draw(sys.stderr) and not as_json)
