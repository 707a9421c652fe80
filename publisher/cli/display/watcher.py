"""Whoever watches a publish on the terminal: what all displays have in common, and the one that stays quiet."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator

from roar_publisher.cli.display.output import Output
from roar_publisher.cli.display.result import Result
from roar_publisher.report import Report
from roar_publisher.state.record import Plan


class Watcher(ABC):
    """A display.  Nothing that it does may stop a publish.

    out: where the result goes, and nothing else.  The calls come in this order: `planning`, `planned`, any number of
    `report` and `tick`, then `published` or `detached` if it was, then `close`.
    """

    def __init__(self, out: Output) -> None:
        self._out = out

    @abstractmethod
    def planning(self) -> None:
        """The lineage is being read."""

    @abstractmethod
    def planned(self, plan: Plan, *, resumed: bool) -> None:
        """The plan is frozen, or was frozen earlier."""

    def watching(self, plan: Plan) -> None:
        """In place of `planned`: it is only looked at, whoever works on it."""
        self.planned(plan, resumed=False)

    @abstractmethod
    def report(self, report: Report) -> None:
        """The engine reports."""

    def tick(self) -> None:  # noqa: B027  # most displays have nothing to move
        """Some time went by."""

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """The terminal belongs to a question inside of the block."""
        yield

    def stopping(self) -> None:  # noqa: B027  # a display without words has none for this either
        """Somebody asked the process to stop; requests under way are being finished."""

    def published(self, result: Result, *, again: bool = False) -> None:
        """It is published: the hash and the URL are the result.  again: an earlier run did it, this one only tells."""
        self._out.line(result.progress.hash or "")
        if result.progress.url:
            self._out.line(result.progress.url)

    def detached(self, plan: Plan, *, resumed: bool) -> None:
        """It is left to the daemon: its id is the result."""
        self._out.line(plan.id)

    def close(self) -> None:  # noqa: B027  # most displays have nothing to clean up
        """The run is over, whichever way.  Closing twice is harmless."""


class Quiet(Watcher):
    """Only the result."""

    def planning(self) -> None:
        pass

    def planned(self, plan: Plan, *, resumed: bool) -> None:
        pass

    def report(self, report: Report) -> None:
        pass
