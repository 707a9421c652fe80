"""Fetches of the Python API, and the events of every fetch."""

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from roar_publisher.events import (
    FailedEvent,
    Fetched,
    FetchedEvent,
    FetchEvent,
    PresentEvent,
    ProgressEvent,
    RetryingEvent,
    WaitingEvent,
)
from roar_publisher.fetching.download import NotFetched, Outcome
from roar_publisher.fetching.service import FetchCounts, FetchOrder, fetch
from roar_publisher.fetching.stored import StoredFile
from roar_publisher.publishing.meter import Meter
from roar_publisher.publishing.observer import PublishObserver
from roar_publisher.publishing.threads import ThreadRunner
from roar_publisher.report import Report, Retrying, Waiting
from roar_publisher.state.errors import UsageProblem

NOTABLE = (Fetched, FailedEvent, RetryingEvent, WaitingEvent)
"""Events that are logged as information. The others are for debugging."""
EVENT_SECONDS = 1.0
"""The shortest time between two progress events."""
OnFetch = Callable[[FetchEvent], object]
log = logging.getLogger("roar_publisher")


class FetchEmitter(PublishObserver):
    """Turns what a fetch reports into events. clock: seconds on a monotonic clock."""

    def __init__(self, emit: OnFetch, clock: Callable[[], float]) -> None:
        self._emit = emit
        self._clock = clock
        self._meter = Meter(clock)
        self._emitted = (clock() - EVENT_SECONDS, 0)  # when, and how much was done by then

    def report(self, report: Report) -> None:
        self._meter.take(report)
        if isinstance(report, Waiting):
            self._emit(WaitingEvent(reason=report.reason, seconds=report.seconds))
        elif isinstance(report, Retrying):
            self._emit(RetryingEvent(what=report.what, attempt=report.attempt, seconds=report.seconds))

    def tick(self) -> None:
        now, meter = self._clock(), self._meter
        at, before = self._emitted
        if meter.done != before and now - at >= EVENT_SECONDS:
            self._emitted = now, meter.done
            rate, left = meter.rate, meter.seconds_left
            amounts = {"done": meter.done, "total": meter.total}
            self._emit(ProgressEvent(state=None, unit="bytes", per_second=rate, seconds_left=left, **amounts))

    def on_outcome(self, outcome: Outcome) -> None:
        """Take what became of a file."""
        file = outcome.file
        if isinstance(outcome, NotFetched):
            path, problem = file.name if isinstance(file, StoredFile) else None, outcome.problem
            url = file.url or None
            self._emit(FailedEvent(path=path, digest=file.digest, url=url, why=problem.what, next=problem.next_step))
        elif outcome.was_there:
            self._emit(PresentEvent(path=outcome.file.name, digest=file.digest, url=file.url))
        else:
            name, size = outcome.file.name, outcome.size
            self._emit(FetchedEvent(path=name, digest=file.digest, url=file.url, bytes=size))

    def ended(self, folder: Path, counts: FetchCounts) -> Fetched:
        """Take the result, and return it as its event."""
        numbers = {"fetched": counts.fetched, "present": counts.present, "failed": len(counts.failures)}
        done = Fetched(folder=str(folder), bytes=counts.bytes, **numbers)
        self._emit(done)
        return done


class FetchCall:
    """One fetch, to be carried out by `run` in any thread. Another thread may call `stop`."""

    def __init__(self, order: FetchOrder, on_progress: OnFetch | None) -> None:
        self._order = order
        self._on_progress = on_progress
        self._runner = ThreadRunner()

    def run(self) -> Fetched:
        """Return the result. Raises PublisherError, also if a file could not be fetched.

        A KeyboardInterrupt that came too late to stop anything is raised at the end.
        """
        runner, emitter = self._runner, FetchEmitter(self._emit, time.monotonic)
        runner.attach(emitter)

        def on_outcome(outcome: Outcome) -> None:
            runner.call(partial(emitter.on_outcome, outcome))

        def report(report: Report) -> None:
            runner.call(partial(emitter.report, report))

        counts = runner(partial(fetch, self._order, on_outcome=on_outcome, report=report))
        done = emitter.ended(self._order.folder, counts)
        counts.check()
        if runner.interrupted:
            raise KeyboardInterrupt("the fetch came to its end first")
        return done

    def stop(self) -> None:
        """Stop cleanly: `run` then raises an error that concludes STOPPED. What was fetched is kept."""
        self._runner.stop()

    def _emit(self, event: FetchEvent) -> None:
        log.log(logging.INFO if isinstance(event, NOTABLE) else logging.DEBUG, "%s", event)
        if self._on_progress is not None:
            try:
                self._on_progress(event)
            except Exception:  # what shows a fetch must not stop it
                log.exception("on_progress failed; the fetch continues")


def fetch_call(
    lineage: str | None,
    files: tuple[str, ...],
    to: Path,
    *,
    force: bool,
    registry: str | None,
    on_progress: OnFetch | None,
) -> FetchCall:
    """Return the call of a fetch. lineage: None to continue what was interrupted in the folder.

    Raises UsageProblem for an empty lineage or registry, such as of an unset variable.
    """
    if lineage == "" or registry == "":
        raise UsageProblem("the lineage or the registry is empty", next_step="give it a value, or None")
    return FetchCall(FetchOrder(to, lineage or "", files, force, registry), on_progress)
