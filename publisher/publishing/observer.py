"""What follows a publish: the displays of the command line, and the events of the Python API."""

import contextlib
from collections.abc import Iterator

from roar_publisher.publishing.result import Result
from roar_publisher.report import Report
from roar_publisher.state.record import Plan


class PublishObserver:
    """Follows one publish; this one ignores everything. It must not stop a publish.

    The calls come in this order: `planning`, `planned`, any number of `report` and `tick`, then `published` or
    `detached` if that happened, then `close`.
    """

    def planning(self) -> None:
        """The lineage is being read."""

    def planned(self, plan: Plan, *, resumed: bool) -> None:
        """The plan is frozen, or was frozen earlier."""

    def watching(self, plan: Plan) -> None:
        """The publish is only watched. Called instead of `planned`."""
        self.planned(plan, resumed=False)

    def report(self, report: Report) -> None:
        """The engine reports something."""

    def tick(self) -> None:
        """Some time has passed."""

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Release the terminal for a question during the block."""
        yield

    def stopping(self) -> None:
        """The process was asked to stop, and active requests are being finished."""

    def published(self, result: Result, *, again: bool = False) -> None:
        """The lineage is published. again: an earlier run published it; this one only reports it."""

    def detached(self, plan: Plan, *, resumed: bool) -> None:
        """The publish is left to the daemon."""

    def close(self) -> None:
        """Clean up at the end of the run, successful or not. Repetition is harmless."""
