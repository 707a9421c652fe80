"""Runs the feeder, which queues new publishes, beside the daemon's loop."""

import logging
from collections.abc import Callable

from anyio.abc import TaskGroup

from roar_publisher.blocking import in_thread
from roar_publisher.daemon.dependencies import Feeder
from roar_publisher.state.errors import PublisherError


class Feeding:
    """The feeder of a daemon, if it has one.

    drain: the daemon ends as soon as nothing is due. wake: lets the daemon scan the journals.
    """

    def __init__(self, feeder: Feeder | None, *, drain: bool, log: logging.Logger, wake: Callable[[], None]) -> None:
        self._feeder = feeder
        self._log = log
        self._drain = drain
        self._wake = wake
        self.active = False
        self.due = True
        """Whether something has happened since the feeder last began."""

    def begin(self) -> None:
        """Let the feeder work in this life of the daemon."""
        if self._feeder is not None:
            self._feeder.start()

    def start(self, tasks: TaskGroup) -> None:
        """Let the feeder look for work in a task, unless it does already. A drain repeats it only if it may be due."""
        if self._feeder is not None and not self.active and (self.due or not self._drain):
            self.active, self.due = True, False
            tasks.start_soon(self._run, self._feeder)

    def stop(self) -> None:
        """Let the feeder end soon, and do nothing in this life of the daemon any more."""
        if self._feeder is not None:
            self._feeder.stop()

    async def _run(self, feeder: Feeder) -> None:
        try:
            more = await in_thread(feeder.feed)
            self.due = self.due or more  # it may have become due meanwhile
        except PublisherError as problem:
            self._log.error("%s", problem.what)
        finally:
            self.active = False
        if self.due or self._drain:
            self._wake()
