"""Writes into the journal what a publish is waiting for, so that other processes can show it."""

from contextlib import AbstractAsyncContextManager, suppress
from typing import Literal

import anyio

from roar_publisher.engine.journal import AsyncJournal
from roar_publisher.report import Advanced, Entered, ObjectStored, Report, Reporter, Sent, Waiting
from roar_publisher.state.errors import PublisherError
from roar_publisher.state.reasons import Reason
from roar_publisher.tasks import background

DEBOUNCE_SECONDS = 1.0
"""Shorter waits are not written, to save commits."""


class WaitRecorder:
    """Forwards the reports of one run and records the waits among them."""

    def __init__(self, journal: AsyncJournal, report: Reporter) -> None:
        self._journal = journal
        self._forward = report
        self._reason: Reason | Literal[""] = ""  # set by report
        self._written: Reason | Literal[""] | None = ""  # what the journal says; None if that is unknown
        self._changed = anyio.Event()

    def report(self, report: Report) -> None:
        """Forward a report and record the wait that it starts or ends. This is the `Reporter` of the run."""
        match report:
            case Waiting():
                self._set(report.reason)
            case Entered():
                self._written = None  # the checkpoint has cleared it, but a note of a wait may have come after that
                self._set("")
            case Advanced() | ObjectStored() | Sent():
                self._set("")
        self._forward(report)

    def recorded(self) -> AbstractAsyncContextManager[None]:
        """Keep the journal's note of the current wait up to date while inside.

        The engine, not this context manager, notes an error that ends the run.
        """
        return background(self._keep_recording)

    def _set(self, reason: Reason | Literal[""]) -> None:
        if reason != self._reason:
            self._reason = reason
            self._changed.set()

    async def _keep_recording(self) -> None:
        while True:
            await self._changed.wait()
            await anyio.sleep(DEBOUNCE_SECONDS)
            self._changed = anyio.Event()
            if (reason := self._reason) != self._written:
                self._written = reason
                with suppress(PublisherError):  # the run itself fails if the journal cannot be written
                    await self._journal.note_wait(reason)
