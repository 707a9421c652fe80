"""The calls of the Python API, synchronous and asynchronous: one publish that is carried out or followed."""

import logging
import os
import time
from collections.abc import Generator
from pathlib import Path

from roar_publisher.auth.choice import Flag
from roar_publisher.events import Event, NoteEvent, Published, RetryingEvent, WaitingEvent
from roar_publisher.publishing.arguments import OnProgress, resume_order
from roar_publisher.publishing.changing import cancel_publish, retry_publish
from roar_publisher.publishing.consent import Consent
from roar_publisher.publishing.emitting import EventEmitter, published_event
from roar_publisher.publishing.order import Order
from roar_publisher.publishing.publish import Publishing
from roar_publisher.publishing.result import Result
from roar_publisher.publishing.threads import CallingObserver, ThreadRunner
from roar_publisher.publishing.view import PublishStatus, view, view_unreadable
from roar_publisher.publishing.watching import PublishWatch
from roar_publisher.state.errors import PublisherError
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.status import CountedStatus
from roar_publisher.state.status_poller import StatusPoller
from roar_publisher.state.status_reader import count_all, count_status

log = logging.getLogger("roar_publisher")
log.addHandler(logging.NullHandler())

NOTABLE = (NoteEvent, Published, RetryingEvent, WaitingEvent)
"""Events that are logged as information. The others are for debugging."""


class Call:
    """One publish or put, to be carried out by `run` in any thread. Another thread may call `stop`."""

    def __init__(self, order: Order, on_progress: OnProgress | None) -> None:
        self._order = order
        self._on_progress = on_progress
        self._runner = ThreadRunner()

    def run(self) -> Published | PublishStatus:
        """Return the result, or the status if it was to be left to the daemon. Raises PublisherError.

        A KeyboardInterrupt that came too late to stop anything is raised at the end.
        """
        order, runner = self._order, self._runner
        consent = Consent(yes=order.yes, anonymous=order.flag is Flag.ANONYMOUS, how="yes=True")
        observer = CallingObserver(runner, EventEmitter(self._emit, time.monotonic))
        result = Publishing(order, observer, consent, runner).run()
        plan = result.plan if isinstance(result, Result) else result
        if runner.interrupted:
            raise KeyboardInterrupt(f"publish {plan.id} came to its end first")
        if order.detach or not isinstance(result, Result):
            return status_of(plan.id)
        return published_event(result)

    def stop(self) -> None:
        """Stop cleanly: `run` then raises an error that concludes STOPPED. What was acknowledged is kept."""
        self._runner.stop()

    def _emit(self, event: Event) -> None:
        level = logging.INFO if isinstance(event, NOTABLE) else logging.DEBUG
        log.log(level, "%s", event)
        if self._on_progress is not None:
            try:
                self._on_progress(event)
            except Exception:  # what shows a publish must not stop it
                log.exception("on_progress failed; the publish continues")


class Watch:
    """A publish that is followed. Raises UsageProblem at once if there is none with this id."""

    def __init__(self, publish_id: str) -> None:
        self._events: list[Event] = []
        self._poller = StatusPoller(_folder().find(publish_id))
        self._steps: Generator[None, None, Result] = PublishWatch(
            self._poller, EventEmitter(self._events.append, time.monotonic)
        ).steps()
        self._error: PublisherError | None = None
        self.over = False

    def advance(self) -> list[Event]:
        """Return what happened since the last call. Then `over` says whether that was all.

        Raises Failed, Cancelled, Halted or Unconfirmed, once the events before it were returned.
        """
        if self._error is not None:
            raise self._error
        try:
            next(self._steps)
        except StopIteration:
            self.over = True
        except PublisherError as error:
            self._error = error
        events = self._events.copy()
        self._events.clear()
        return events

    def close(self) -> None:
        """Close the journal. Repetition is harmless."""
        self._poller.close()


def publishes_of(project: Path | None) -> list[PublishStatus]:
    """Return every publish, newest first, or those of one project. Unreadable ones may belong to any."""
    from roar_publisher.lineage.project import find_project

    root = None if project is None else str(find_project(project).root)
    return [
        view(each) if isinstance(each, CountedStatus) else view_unreadable(*each)
        for each in count_all(_folder(), root)
        if isinstance(each, CountedStatus | tuple)
    ]


def status_of(publish_id: str) -> PublishStatus:
    """Return the status of one publish."""
    return view(count_status(_folder().find(publish_id)))


def cancel_by_id(publish_id: str) -> None:
    """Cancel a publish. A KeyboardInterrupt meanwhile is raised at the end."""
    folder, runner = _folder(), ThreadRunner()
    log.info("cancelled %s: %s", publish_id, cancel_publish(folder.find(publish_id), folder, runner))
    if runner.interrupted:
        raise KeyboardInterrupt(f"publish {publish_id} is cancelled")


def retry_by_id(publish_id: str) -> Call | None:
    """Permit another attempt. Return the call that completes what a published lineage owes, unless the daemon does."""
    folder = _folder()
    paths = folder.find(publish_id)
    retried = retry_publish(paths, folder)
    if not retried.owes or retried.by_daemon:
        return None
    return Call(resume_order(paths.id, registry=None, yes=False, detach=False), None)


def _folder() -> StateFolder:
    return StateFolder.from_environment(os.environ)
