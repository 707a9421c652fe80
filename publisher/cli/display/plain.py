"""Progress as plain lines on stderr: one for each phase, and one every ten seconds while a phase lasts."""

from collections.abc import Callable

from roar_publisher.cli.display.output import Output
from roar_publisher.cli.display.sentences import progress_text
from roar_publisher.cli.display.textual import TextDisplay
from roar_publisher.cli.display.words import PHASES, PREPARING, phase
from roar_publisher.report import Entered
from roar_publisher.text import lasted, printable

LINE_SECONDS = 10.0
"""The maximum time of a phase without a new line."""
SHORT_SECONDS = 1.0
"""A phase that took less time gets no second line."""


class PlainDisplay(TextDisplay):
    """Plain lines for a log, a pipe or a terminal that cannot move its cursor. err: where the lines go."""

    def __init__(self, out: Output, err: Output, clock: Callable[[], float], *, verbose: bool) -> None:
        super().__init__(out, clock, verbose=verbose)
        self._err = err
        self._printed_at = clock()

    def planning(self) -> None:
        self._print(PREPARING)

    def tick(self) -> None:
        name = phase(self._meter.state, files=self._meter.in_bytes)
        if name is not None and self._clock() - self._printed_at >= LINE_SECONDS:
            self._print(f"{name}: {progress_text(self._meter)}")

    def _end_phase(self) -> None:
        if self._meter.total and self._meter.elapsed >= SHORT_SECONDS:
            done = self._meter.amount(self._meter.done - self._meter.before)
            self._print(f"  {done} in {lasted(self._meter.elapsed)}")

    def _begin_phase(self, report: Entered) -> None:
        if report.state in PHASES:
            self._print(PHASES[report.state])

    def _print_headline(self, text: str) -> None:
        self._print(text)

    def _print(self, text: str, style: str = "") -> None:
        self._printed_at = self._clock()
        self._err.line(printable(text))
