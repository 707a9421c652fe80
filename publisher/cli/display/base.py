"""The interface of all displays, and the quiet display."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator

from roar_publisher.cli.display.output import Output
from roar_publisher.cli.display.result import Result
from roar_publisher.report import Report
from roar_publisher.state.record import Plan


class Display(ABC):
    """A display. It must not stop a publish.

    out: receives only the result. The calls come in this order: `planning`, `planned`, any number of `report` and
    `tick`, then `published` or `detached` if that happened, then `close`.
    """

    def __init__(self, out: Output) -> None:
        self._out = out

    @abstractmethod
    def planning(self) -> None:
        """Show that the lineage is being read."""

    @abstractmethod
    def planned(self, plan: Plan, *, resumed: bool) -> None:
        """Show that the plan is frozen, or was frozen earlier."""

    def watching(self, plan: Plan) -> None:
        """Show that the publish is only watched. Called instead of `planned`."""
        self.planned(plan, resumed=False)

    @abstractmethod
    def report(self, report: Report) -> None:
        """Show a report of the engine."""

    def tick(self) -> None:  # noqa: B027  # most displays have nothing to move
        """Update the display, because some time has passed."""

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Release the terminal for a question during the block."""
        yield

    def stopping(self) -> None:  # noqa: B027  # a display without words has none for this either
        """Show that the process was asked to stop, and that active requests are being finished."""

    def published(self, result: Result, *, again: bool = False) -> None:
        """Show the hash and the URL as the result. again: an earlier run published it; this one only reports it."""
        self._out.line(result.progress.hash or "")
        if result.progress.url:
            self._out.line(result.progress.url)

    def detached(self, plan: Plan, *, resumed: bool) -> None:
        """Show the id as the result, because the publish is left to the daemon."""
        self._out.line(plan.id)

    def close(self) -> None:  # noqa: B027  # most displays have nothing to clean up
        """Clean up at the end of the run, successful or not. Repetition is harmless."""


class QuietDisplay(Display):
    """Shows only the result."""

    def planning(self) -> None:
        pass

    def planned(self, plan: Plan, *, resumed: bool) -> None:
        pass

    def report(self, report: Report) -> None:
        pass
