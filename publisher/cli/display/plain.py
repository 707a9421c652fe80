"""Progress as plain lines on stderr: one for each phase, and one every ten seconds while a phase lasts."""

from collections.abc import Callable

from roar_publisher.cli.display.base import Display
from roar_publisher.cli.display.meter import Meter
from roar_publisher.cli.display.output import Output
from roar_publisher.cli.display.result import Result
from roar_publisher.cli.display.text import count, lasted, printable, size, span
from roar_publisher.cli.display.words import EVENT_MESSAGES, PHASES, PREPARING, STOPPING, delay, phase, watch_command
from roar_publisher.report import Entered, Noted, ObjectStored, Report, Retrying, Waiting
from roar_publisher.state.record import Plan
from roar_publisher.storage.source import shown

LINE_SECONDS = 10.0
"""The maximum time of a phase without a new line."""
SHORT_SECONDS = 1.0
"""A phase that took less time gets no second line."""


class Plain(Display):
    """Plain lines for a log, a pipe or a terminal that cannot move its cursor.

    err: where the lines go. clock: seconds on a monotonic clock. verbose: write a line for every event.
    """

    def __init__(self, out: Output, err: Output, clock: Callable[[], float], *, verbose: bool) -> None:
        super().__init__(out)
        self._err = err
        self._clock = clock
        self._verbose = verbose
        self._meter = Meter(clock)
        self._spoke_at = clock()
        # None if the publish is only watched, because it began at another time.
        self._started_at: float | None = self._spoke_at

    def planning(self) -> None:
        self._say(PREPARING)

    def planned(self, plan: Plan, *, resumed: bool) -> None:
        self._say(headline(plan, resumed=resumed))

    def watching(self, plan: Plan) -> None:
        self._started_at = None
        self._say(headline(plan, verb="Watching"))

    def report(self, report: Report) -> None:
        if isinstance(report, Entered):
            self._enter(report)
        self._meter.take(report)
        match report:
            case Noted():
                self._say(f"Note: {report.text}")
            case Waiting() if self._verbose:
                what = delay(report.reason, files=self._meter.in_bytes)
                self._say(f"  {what}: waiting {report.seconds:.1f} s")
            case ObjectStored() if self._verbose:
                self._say(f"  {shown(report.key)}: {size(report.size)}{'' if report.sent else ', stored before'}")
            case Retrying() if self._verbose:
                self._say(f"  attempt {report.attempt} failed ({report.what}): again in {report.seconds:.1f} s")

    def tick(self) -> None:
        name = phase(self._meter.state, files=self._meter.in_bytes)
        if name is not None and self._clock() - self._spoke_at >= LINE_SECONDS:
            self._say(f"{name}: {how_far(self._meter)}")

    def stopping(self) -> None:
        self._say(STOPPING)

    def published(self, result: Result, *, again: bool = False) -> None:
        for sentence in result.sentences():
            self._say(sentence)
        self._say(result_line(result.plan, since(self._started_at, self._clock), again=again))
        super().published(result, again=again)

    def detached(self, plan: Plan, *, resumed: bool) -> None:
        self._say(detached_line(plan))
        super().detached(plan, resumed=resumed)
        self._say(f"Watch it: {watch_command(plan)}")

    def _enter(self, report: Entered) -> None:
        if self._meter.total and self._meter.elapsed >= SHORT_SECONDS:
            self._say(f"  {self._meter.amount(self._meter.done - self._meter.before)} in {lasted(self._meter.elapsed)}")
        if report.event in EVENT_MESSAGES:
            self._say(f"Note: {EVENT_MESSAGES[report.event]}")
        if report.state in PHASES:
            self._say(PHASES[report.state])
        if self._verbose:
            self._say(f"  {report.event or 'started'} → {report.state}")

    def _say(self, text: str) -> None:
        self._spoke_at = self._clock()
        self._err.line(printable(text))


def headline(plan: Plan, *, verb: str = "Publishing", resumed: bool = False) -> str:
    """Return what is published where, under which id. verb: what this run does with it."""
    links = count(plan.inputs + plan.outputs, "link")
    what = f"Resuming {plan.id}, begun earlier" if resumed else f"{verb} {plan.id}"
    files = f"files to {plan.destination}, then " if plan.destination else ""
    return f"{what}: {files}{count(plan.jobs, 'job')}, {links} to {plan.registry}"


def how_far(meter: Meter) -> str:
    """Return the progress of a phase as text: `1,204/3,010 items, 412/s, 4 s left`."""
    parts = (
        [f"{share(meter)} items" if not meter.in_bytes else share(meter)]
        if meter.total
        else [f"{span(meter.elapsed)} so far"]
    )
    return ", ".join(parts + pace(meter) + held_up(meter))


def pace(meter: Meter) -> list[str]:
    """Return the speed of a phase and the remaining time. Empty if there is no progress."""
    if not meter.total or not meter.rate or meter.delay is not None:
        return []
    left = [f"{span(meter.seconds_left)} left"] if meter.seconds_left else []
    return [f"{size(meter.rate)}/s" if meter.in_bytes else f"{meter.rate:,.0f}/s", *left]


def share(meter: Meter) -> str:
    """Return the finished and total amounts: `1,204/3,010`, `1.2 GB/3 GB`."""
    if meter.in_bytes:
        return f"{size(meter.done)}/{size(meter.total)}"
    return f"{meter.done:,}/{meter.total:,}"


def held_up(meter: Meter) -> list[str]:
    """Return what is waited for, with the remaining time. Empty if nothing is."""
    if meter.delay is None:
        return []
    what, left = meter.delay
    again = f"next try in {span(left)}" if left >= 0.5 else "trying again"
    return [f"{delay(what, files=meter.in_bytes)}, {again}"]


def result_line(plan: Plan, seconds: float | None, *, again: bool) -> str:
    """Return what was published as a sentence. seconds: how long this run took, or None if it did not publish it."""
    what = f"{count(plan.jobs, 'job')}, {count(plan.inputs, 'input')} and {count(plan.outputs, 'output')}"
    if again:
        return f"Published earlier: {what}:"
    return f"Published {what}:" if seconds is None else f"Published {what} in {lasted(seconds)}:"


def since(started_at: float | None, clock: Callable[[], float]) -> float | None:
    """Return the seconds since `started_at`, or None if there was no start."""
    return None if started_at is None else clock() - started_at


def detached_line(plan: Plan) -> str:
    """Return what is left to the daemon."""
    files = f"files to {plan.destination}, then " if plan.destination else ""
    links = count(plan.inputs + plan.outputs, "link")
    return f"Left to the daemon: {files}{count(plan.jobs, 'job')}, {links} to {plan.registry}"
