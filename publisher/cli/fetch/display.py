"""What `roar fetch` prints: progress, what became of each file, and a summary."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from roar_publisher.cli.display.output import Output
from roar_publisher.cli.display.sentences import progress_text
from roar_publisher.cli.display.streams import can_draw
from roar_publisher.publishing.meter import Meter
from roar_publisher.publishing.observer import PublishObserver
from roar_publisher.report import Report
from roar_publisher.text import count, lasted, printable_line, size

if TYPE_CHECKING:
    from roar_publisher.fetching.download import Outcome
    from roar_publisher.fetching.service import FetchCounts

LINE_SECONDS = 10.0
"""The time without a line on a stream that is not a terminal."""
PHASE = "Fetching"


class FetchDisplay(PublishObserver):
    """A display of a fetch; this one prints what failed, and the summary unless it is quiet.

    out: for results. err: for everything else.
    """

    def __init__(
        self, folder: Path, out: Output, err: Output, clock: Callable[[], float], *, verbose: bool, quiet: bool
    ) -> None:
        self._folder = folder
        self._out = out
        self._err = err
        self._clock = clock
        self._verbose = verbose
        self._quiet = quiet
        self._began = clock()
        self.meter = Meter(clock)

    def report(self, report: Report) -> None:
        self.meter.take(report)

    def stopping(self) -> None:
        self._message("Stopping.")

    def on_outcome(self, outcome: "Outcome") -> None:
        """Take what became of a file."""
        from roar_publisher.fetching.download import NotFetched

        if isinstance(outcome, NotFetched):
            name = getattr(outcome.file, "name", "") or outcome.file.url or outcome.file.digest
            self._message(f"not fetched: {name}: {outcome.problem.detail}")
        elif self._verbose:
            result = "already there" if outcome.was_there else size(outcome.size)
            self._message(f"{outcome.file.name}: {result}")

    def ended(self, counts: "FetchCounts") -> None:
        """Take the result."""
        if not self._quiet:
            there = f"; {counts.present:,} already there" if counts.present else ""
            took = lasted(self._clock() - self._began)
            what = (
                f"Fetched {count(counts.fetched, 'file')} ({size(counts.bytes)}) into {self._folder} in {took}{there}."
            )
            self._out.line(printable_line(what))

    def _message(self, text: str) -> None:
        self._err.line(printable_line(text))


class PlainFetchDisplay(FetchDisplay):
    """Adds a line of progress now and then, for a log."""

    _printed_at: float | None = None

    def tick(self) -> None:
        since = self._began if self._printed_at is None else self._printed_at
        if self.meter.total and self._clock() - since >= LINE_SECONDS:
            self._printed_at = self._clock()
            self._message(f"{PHASE}: {progress_text(self.meter)}")


class LiveFetchDisplay(FetchDisplay):
    """Adds a line of progress that is updated, on the terminal that stderr is."""

    def __init__(
        self, folder: Path, out: Output, err: Output, clock: Callable[[], float], *, verbose: bool, quiet: bool
    ) -> None:
        from roar_publisher.cli.display.terminal import LiveLines, terminal

        super().__init__(folder, out, err, clock, verbose=verbose, quiet=quiet)
        self._lines = LiveLines(terminal())
        self._lines.begin()

    def tick(self) -> None:
        from roar_publisher.cli.display.live import draw_phase

        self._lines.draw(*draw_phase(PHASE, self.meter, self._lines.console))

    def close(self) -> None:
        self._lines.end()

    def _message(self, text: str) -> None:
        from rich.text import Text

        self._lines.console.print(Text(printable_line(text)))


class JsonFetchDisplay(FetchDisplay):
    """Writes each event as a JSON line to stdout."""

    def __init__(
        self, folder: Path, out: Output, err: Output, clock: Callable[[], float], *, verbose: bool, quiet: bool
    ) -> None:
        from roar_publisher.publishing.fetching import FetchEmitter

        super().__init__(folder, out, err, clock, verbose=verbose, quiet=quiet)
        self._emitter = FetchEmitter(lambda event: out.line(json.dumps(event.as_dict())), clock)

    def report(self, report: Report) -> None:
        self._emitter.report(report)

    def tick(self) -> None:
        self._emitter.tick()

    def stopping(self) -> None:
        return

    def on_outcome(self, outcome: "Outcome") -> None:
        self._emitter.on_outcome(outcome)

    def ended(self, counts: "FetchCounts") -> None:
        self._emitter.ended(self._folder, counts)


def choose_display(folder: Path, *, as_json: bool, quiet: bool, verbose: bool) -> FetchDisplay:
    """Return a display: JSON lines, quiet, live or plain lines, as requested or as stderr permits."""
    usual = LiveFetchDisplay if can_draw(sys.stderr) else PlainFetchDisplay
    kind = JsonFetchDisplay if as_json else FetchDisplay if quiet else usual
    return kind(folder, Output(sys.stdout), Output(sys.stderr), time.monotonic, verbose=verbose, quiet=quiet)
