"""Turns what a publish reports into the events of `roar_publisher.events`."""

from collections.abc import Callable, Mapping

from roar_publisher.events import (
    DetachedEvent,
    Event,
    NoteEvent,
    PlannedEvent,
    ProgressEvent,
    Published,
    RetryingEvent,
    StateEvent,
    StoredEvent,
    WaitingEvent,
)
from roar_publisher.publishing.meter import Meter
from roar_publisher.publishing.observer import PublishObserver
from roar_publisher.publishing.remedies import watch_command
from roar_publisher.publishing.result import Result
from roar_publisher.report import (
    Advanced,
    Entered,
    Noted,
    ObjectsPlanned,
    ObjectStored,
    Planned,
    Report,
    Retrying,
    Sent,
    Waiting,
)
from roar_publisher.state.record import Plan

PROGRESS_SECONDS = 1.0
"""The minimum interval between `progress` events."""
HEARTBEAT_SECONDS = 5.0
"""The maximum time without an event while the publish is active."""
RETRYING, WORKING = "retrying", "working"
"""Reasons of `waiting` events that no report caused: the pause before the next attempt, and work on this machine."""


def published_event(result: Result) -> Published:
    """Return the event of a finished publish."""
    plan, progress = result.plan, result.progress
    put = plan.destination is not None
    return Published(
        hash=progress.hash,
        url=progress.url,
        jobs=plan.jobs,
        inputs=plan.inputs,
        outputs=plan.outputs,
        publish_id=plan.id,
        visibility=result.visibility,
        identity=result.identity,
        owner=result.owner,
        project=result.project,
        destination=plan.destination,
        files=result.files.objects if put else None,
        bytes=result.files.size if put else None,
        receipt=None if result.receipt is None else str(result.receipt),
        verification=(progress.verification or {}).get("outcome"),
    )


class EventEmitter(PublishObserver):
    """Passes the events of one publish on. clock: seconds on a monotonic clock."""

    def __init__(self, emit: Callable[[Event], None], clock: Callable[[], float]) -> None:
        self._emit = emit
        self._clock = clock
        self._meter = Meter(clock)
        self._publish_id = ""
        self._progress_at = self._emitted_at = clock()
        self._emitted_done = -1
        self._awaited = ""  # why nothing moves, as a reason for `waiting` events; written by report

    def tick(self) -> None:
        if self._clock() - self._emitted_at < HEARTBEAT_SECONDS:
            return
        if self._meter.total and not self._awaited:
            self._progress()
        else:
            _, seconds = self._meter.delay or ("", 0.0)
            self._send(WaitingEvent(reason=self._awaited or WORKING, seconds=round(seconds, 3)))

    def planned(self, plan: Plan, *, resumed: bool) -> None:
        self._publish_id = plan.id
        redactions: Mapping[str, int] = dict(plan.redactions)
        self._send(
            PlannedEvent(
                publish_id=plan.id,
                resumed=resumed,
                registry=plan.registry,
                target=plan.target,
                destination=plan.destination,
                jobs=plan.jobs,
                inputs=plan.inputs,
                outputs=plan.outputs,
                artifacts=plan.artifacts,
                labels=plan.labels,
                redactions=redactions,
            )
        )

    def report(self, report: Report) -> None:
        if isinstance(report, Entered):
            self._finish_phase()
        self._meter.take(report)
        match report:
            case Waiting():
                self._awaited = report.reason
            case Retrying():
                self._awaited = RETRYING
            case Noted():
                pass
            case _:
                self._awaited = ""
        self._report(report)

    def _report(self, report: Report) -> None:
        match report:
            case Entered():
                self._send(StateEvent(publish_id=self._publish_id, state=report.state, because=report.event))
            case Planned() | ObjectsPlanned():
                self._progress()
            case ObjectStored():
                self._send(StoredEvent(key=report.key, bytes=report.size, sent=report.sent))
            case Advanced() | Sent():
                if self._clock() - self._progress_at >= PROGRESS_SECONDS:
                    self._progress()
            case Waiting():
                self._send(WaitingEvent(reason=report.reason, seconds=round(report.seconds, 3)))
            case Retrying():
                seconds = round(report.seconds, 3)
                self._send(RetryingEvent(what=report.what, attempt=report.attempt, seconds=seconds))
            case Noted():
                self._send(NoteEvent(text=report.text))

    def published(self, result: Result, *, again: bool = False) -> None:
        self._send(published_event(result))

    def detached(self, plan: Plan, *, resumed: bool) -> None:
        self._send(DetachedEvent(publish_id=plan.id, resumed=resumed, watch=watch_command(plan)))

    def _finish_phase(self) -> None:
        """Emit the last progress of a phase, unless that is done."""
        if self._meter.total and self._meter.done != self._emitted_done:
            self._progress()

    def _progress(self) -> None:
        meter = self._meter
        if not meter.total:
            return
        rate, left = meter.rate, meter.seconds_left
        self._progress_at, self._emitted_done = self._clock(), meter.done
        self._send(
            ProgressEvent(
                state=meter.state,
                done=meter.done,
                total=meter.total,
                unit="bytes" if meter.in_bytes else "items",
                per_second=None if rate is None else round(rate, 1),
                seconds_left=None if left is None else round(left, 1),
            )
        )

    def _send(self, event: Event) -> None:
        self._emitted_at = self._clock()
        self._emit(event)
