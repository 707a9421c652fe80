"""What a publish waits for, written into its journal: an onlooker sees it, whoever works on it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio

from roar_publisher.disk import OnDisk
from roar_publisher.report import Advanced, Entered, ObjectStored, Report, Reporter, Sent, Waiting
from roar_publisher.state.errors import PublisherError
from roar_publisher.state.journal import Journal

SETTLED_SECONDS = 1.0
"""What lasts no longer is not worth a commit."""


class Waits:
    """Passes the reports of one run on, and writes down the waits among them."""

    def __init__(self, journal: Journal, on_disk: OnDisk, report: Reporter) -> None:
        self._journal = journal
        self._on_disk = on_disk
        self._forward = report
        self._waiting_for = ""  # written by report
        self._changed = anyio.Event()

    def report(self, report: Report) -> None:
        """The Reporter of the run."""
        match report:
            case Waiting():
                self._now(report.reason)
            case Entered() | Advanced() | ObjectStored() | Sent():
                self._now("")
        self._forward(report)

    @asynccontextmanager
    async def noted(self) -> AsyncIterator[None]:
        """While inside, the journal says what is waited for.  What stops the run is the engine's to note."""
        failure: PublisherError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_noting)
            try:
                yield
            except PublisherError as error:
                failure = error  # raised outside of the task group, which would wrap it
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    def _now(self, reason: str) -> None:
        if reason != self._waiting_for:
            self._waiting_for = reason
            self._changed.set()

    async def _keep_noting(self) -> None:
        written = ""
        while True:
            await self._changed.wait()
            await anyio.sleep(SETTLED_SECONDS)
            self._changed = anyio.Event()
            if self._waiting_for != written:
                written = self._waiting_for
                with suppress(PublisherError):  # a journal that can't be written stops the run itself, with a reason
                    await self._on_disk(self._journal.note_wait, written)
