"""`--json`: one JSON object per line on stdout, for programs. `roar publish --help` documents them."""

import json
from collections.abc import Callable
from dataclasses import asdict

from roar_publisher.cli.display.base import Display
from roar_publisher.cli.display.meter import Meter
from roar_publisher.cli.display.output import Output
from roar_publisher.cli.display.result import Result
from roar_publisher.cli.display.words import watch_command
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
"""The minimum interval between `progress` lines."""
HEARTBEAT_SECONDS = 5.0
"""The maximum time without a line while the publish is active."""


RETRYING, WORKING = "retrying", "working"
"""Reasons of `waiting` lines that no report caused: the pause before the next attempt, and work on this machine."""


class JsonDisplay(Display):
    """Writes one JSON object per line. clock: seconds on a monotonic clock."""

    def __init__(self, out: Output, clock: Callable[[], float]) -> None:
        super().__init__(out)
        self._clock = clock
        self._meter = Meter(clock)
        self._publish_id = ""
        self._progress_at = self._wrote_at = clock()
        self._written_done = -1
        self._awaited = ""  # why nothing moves, as a reason for `waiting` lines; written by report

    def planning(self) -> None:
        pass

    def tick(self) -> None:
        if self._clock() - self._wrote_at < HEARTBEAT_SECONDS:
            return
        if self._meter.total and not self._awaited:
            self._progress()
        else:
            _, seconds = self._meter.delay or ("", 0.0)
            self._write("waiting", reason=self._awaited or WORKING, seconds=round(seconds, 3))

    def planned(self, plan: Plan, *, resumed: bool) -> None:
        self._publish_id = plan.id
        facts = asdict(plan)
        names = ("registry", "target", "destination", "jobs", "inputs", "outputs", "artifacts", "labels", "redactions")
        self._write("planned", publish_id=plan.id, resumed=resumed, **{name: facts[name] for name in names})

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
        self._write_report(report)

    def _write_report(self, report: Report) -> None:
        match report:
            case Entered():
                self._write("state", publish_id=self._publish_id, state=report.state, because=report.event)
            case Planned() | ObjectsPlanned():
                self._progress()
            case ObjectStored():
                self._write("stored", key=report.key, bytes=report.size, sent=report.sent)
            case Advanced() | Sent():
                if self._clock() - self._progress_at >= PROGRESS_SECONDS:
                    self._progress()
            case Waiting():
                self._write("waiting", reason=report.reason, seconds=round(report.seconds, 3))
            case Retrying():
                seconds = round(report.seconds, 3)
                self._write("retrying", what=report.what, attempt=report.attempt, seconds=seconds)
            case Noted():
                self._write("note", text=report.text)

    def published(self, result: Result, *, again: bool = False) -> None:
        self._write(
            "published",
            hash=result.progress.hash,
            url=result.progress.url,
            jobs=result.plan.jobs,
            inputs=result.plan.inputs,
            outputs=result.plan.outputs,
            publish_id=result.plan.id,
            **result.facts(),
        )

    def detached(self, plan: Plan, *, resumed: bool) -> None:
        self._write("detached", publish_id=plan.id, resumed=resumed, watch=watch_command(plan))

    def _finish_phase(self) -> None:
        """Write the last progress of a phase, unless it is already written."""
        if self._meter.total and self._meter.done != self._written_done:
            self._progress()

    def _progress(self) -> None:
        meter = self._meter
        if not meter.total:
            return
        rate, left = meter.rate, meter.seconds_left
        self._progress_at, self._written_done = self._clock(), meter.done
        self._write(
            "progress",
            state=meter.state,
            done=meter.done,
            total=meter.total,
            unit="bytes" if meter.in_bytes else "items",
            per_second=None if rate is None else round(rate, 1),
            seconds_left=None if left is None else round(left, 1),
        )

    def _write(self, event: str, **fields: object) -> None:
        self._wrote_at = self._clock()
        self._out.line(json.dumps({"event": event, **fields}))
