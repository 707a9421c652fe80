"""Writes into the journal what a publish is waiting for, so that other processes can show it."""

from contextlib import AbstractAsyncContextManager, suppress
from typing import Literal

import anyio

from roar_publisher.engine.journal import AsyncJournal
from roar_publisher.report import Advanced, Entered, ObjectStored, Report, Reporter, Sent, Waiting
from roar_publisher.state.errors import PublisherError
from roar_publisher.state.reasons import Reason
from roar_publisher.tasks import background

SETTLED_SECONDS = 1.0
"""Shorter waits are not written, to save commits."""


class Waits:
    """Forwards the reports of one run and records the waits among them."""

    def __init__(self, journal: AsyncJournal, report: Reporter) -> None:
        self._journal = journal
        self._forward = report
        self._waiting_for: Reason | Literal[""] = ""  # written by report
        self._changed = anyio.Event()

    def report(self, report: Report) -> None:
        """Forward a report and record the wait that it starts or ends. This is the `Reporter` of the run."""
        match report:
            case Waiting():
                self._now(report.reason)
            case Entered() | Advanced() | ObjectStored() | Sent():
                self._now("")
        self._forward(report)

    def noted(self) -> AbstractAsyncContextManager[None]:
        """Keep the journal's note of the current wait up to date while inside.

        The engine, not this context manager, notes an error that ends the run.
        """
        return background(self._keep_noting)

    def _now(self, reason: Reason | Literal[""]) -> None:
        if reason != self._waiting_for:
            self._waiting_for = reason
            self._changed.set()

    async def _keep_noting(self) -> None:
        written: Reason | Literal[""] = ""
        while True:
            await self._changed.wait()
            await anyio.sleep(SETTLED_SECONDS)
            self._changed = anyio.Event()
            if self._waiting_for != written:
                written = self._waiting_for
                with suppress(PublisherError):  # the run itself fails if the journal cannot be written
                    await self._journal.note_wait(written)
