"""Runs one publish in the daemon: acquire it, work on it, record what follows."""

import logging
from collections.abc import Awaitable, Callable

import anyio

from roar_publisher.auth.choice import Choice
from roar_publisher.daemon.dependencies import Dependencies
from roar_publisher.daemon.log import Log, about
from roar_publisher.daemon.schedule import UNUSABLE_PAUSE_SECONDS, Action, FollowUp, follow_up_of
from roar_publisher.engine.journal import AsyncJournal
from roar_publisher.engine.loop import SETBACKS
from roar_publisher.engine.run import Frontend, Resources
from roar_publisher.engine.worker import work
from roar_publisher.net.budget import UploadBudget
from roar_publisher.net.connection import RegistryConnection
from roar_publisher.report import Advanced, Entered, Noted, ObjectStored, Report, Retrying, Waiting
from roar_publisher.state.errors import PublisherError
from roar_publisher.state.machine import State
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Progress
from roar_publisher.state.status import JournalStatus

PATIENCE_SECONDS = 20.0
"""How long an active publish waits for an unreachable server before it gives up its slot.

It is resumed as soon as the server answers.
"""
DEFECT = "a defect of roar-publisher"
"""What precedes the type of an unexpected exception, in the log also its location."""


async def run_publish(
    found: JournalStatus,
    stop: anyio.Event,
    folder: StateFolder,
    connection: RegistryConnection,
    budget: UploadBudget,
    *,
    log: logging.Logger,
    dependencies: Dependencies,
) -> FollowUp | None:
    """Work on a publish until it ends, cannot continue now or `stop` is set, and record what follows in its journal.

    Return None if it has ended. Nothing is done if a command has changed what the user wants since `found` was read.
    Raises LocalProblem if the journal itself cannot be read or written. Cancellation leaves the last checkpoint in
    place.
    """
    run_blocking = dependencies.run_blocking()
    with await run_blocking(OwnedPublish.open, found.paths, clock=dependencies.clock) as owned:
        journal = AsyncJournal(owned.journal, run_blocking)
        queued = await journal.queue.read()
        if queued != found.queued or await journal.plan() != found.plan:
            return FollowUp(Action.LEAVE)  # such as parked, or moved to another registry; the next scan sees that
        if found.live and queued.notified is not False:  # an end already reported belongs to an earlier attempt
            await journal.queue.set_notified(False)

        async def refuse(choice: Choice) -> bool:
            return False

        reports = _ReportLogger(about(log, found.paths.id))
        try:
            progress = await work(
                owned,
                folder,
                Frontend(report=reports.report, confirm=refuse),
                stop=stop,
                keyring=dependencies.keyring() if dependencies.keyring else None,
                resources=Resources(
                    connection=connection,
                    budget=budget,
                    patience=PATIENCE_SECONDS,
                    clock=dependencies.clock,
                    rng=dependencies.rng,
                    run_blocking=run_blocking,
                ),
            )
        except PublisherError as error:
            follow_up = follow_up_of(error, attempts=0 if reports.progressed else queued.attempts, rng=dependencies.rng)
            await _record(journal, error, follow_up, dependencies.clock)
            reports.stopped(error, follow_up)
            return follow_up
        reports.ended(progress)
        return None


async def _record(
    journal: AsyncJournal, error: PublisherError, follow_up: FollowUp, clock: Callable[[], float]
) -> None:
    match follow_up.action:
        case Action.PARK:
            await journal.park(reason=error.reason, detail=error.detail)
        case Action.RETRY:
            await journal.queue.postpone(attempts=follow_up.attempts, until=clock() + follow_up.seconds)
        case Action.UNREACHABLE:
            await journal.queue.postpone(attempts=follow_up.attempts, until=None)
        case Action.LEAVE:
            pass


async def park_defect(
    found: JournalStatus, error: Exception, *, log: logging.Logger, dependencies: Dependencies
) -> FollowUp:
    """Park a publish after an unexpected exception, and return what follows: a pause if it cannot be parked now.

    The exception text is not kept, because it may contain anything.
    """
    publish_log = about(log, found.paths.id)
    publish_log.error(DEFECT, exc_info=error)
    run_blocking = dependencies.run_blocking()
    try:
        with await run_blocking(OwnedPublish.open, found.paths, clock=dependencies.clock) as owned:
            detail = f"{DEFECT} ({type(error).__name__})"
            await run_blocking(owned.journal.park, reason=Reason.DEFECT, detail=detail)
        return FollowUp(Action.LEAVE)
    except PublisherError as problem:
        publish_log.error(problem.what)
    except Exception as again:  # whatever was met before may be met here, too
        publish_log.error(DEFECT, exc_info=again)
    return FollowUp(Action.PAUSE, seconds=UNUSABLE_PAUSE_SECONDS)


async def report_end(
    found: JournalStatus, notify: Callable[[JournalStatus], Awaitable[None]], *, dependencies: Dependencies
) -> None:
    """Report the end of a publish, then record that it was reported.

    If the daemon dies in between, the end is reported again. The publish is released while `notify` runs, so the hook
    may work on it. Raises LocalProblem if the journal cannot be used, Owned if another process owns the publish.
    """
    run_blocking = dependencies.run_blocking()
    with await run_blocking(OwnedPublish.open, found.paths, clock=dependencies.clock) as owned:
        # Without a writable journal, the end would be reported repeatedly.
        await run_blocking(owned.journal.queue.set_notified, False)
    await notify(found)
    with await run_blocking(OwnedPublish.open, found.paths, clock=dependencies.clock) as owned:
        await run_blocking(owned.journal.queue.set_notified, True)


class _ReportLogger:
    """Logs the reports of one publish, and keeps track of whether it made progress.

    A server that loses the session makes the client send everything again, repeatedly. That does not count as
    progress.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._waiting_for = ""
        self._progressed = self._set_back = False

    @property
    def progressed(self) -> bool:
        return self._progressed and not self._set_back

    def report(self, report: Report) -> None:
        match report:
            case Entered():
                self._waiting_for = ""
                self._progressed = self._progressed or report.event is not None
                self._set_back = self._set_back or report.event in SETBACKS
                self._log.info(f"{report.event or 'started'} -> {report.state}")
            case Advanced() | ObjectStored():
                self._waiting_for = ""
                self._progressed = True
            case Waiting() if report.reason != self._waiting_for:
                self._waiting_for = report.reason
                self._log.info(f"waiting: {report.reason}")
            case Retrying():
                self._log.info(f"attempt {report.attempt} failed ({report.what}); again in {report.seconds:.1f} s")
            case Noted():
                self._log.info(f"note: {report.text}")

    def stopped(self, error: PublisherError, follow_up: FollowUp) -> None:
        match follow_up.action:
            case Action.PARK:
                self._log.warning(f"needs user action ({error.reason}): {error.what}; next: {error.next_step}")
            case Action.RETRY:
                self._log.info(f"stopped ({error.reason}): {error.what}; again in {follow_up.seconds:.0f} s")
            case Action.UNREACHABLE:
                self._log.info(f"stopped ({error.reason}): {error.what}; continues when it answers")
            case Action.LEAVE:
                self._log.info(f"released ({error.reason}): {error.what}")

    def ended(self, progress: Progress) -> None:
        if progress.state is State.DONE:
            self._log.info(f"published {progress.hash} {progress.url or ''}")
        else:
            self._log.warning(f"{progress.state} ({progress.reason}): {progress.detail}")
