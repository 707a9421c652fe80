"""How far a publish is and how fast it goes, worked out from its reports.  Draws nothing."""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from roar_publisher.cli.display.estimate import Estimate
from roar_publisher.cli.display.text import count, size
from roar_publisher.report import (
    Advanced,
    Entered,
    ObjectsPlanned,
    ObjectStored,
    Planned,
    Report,
    Retrying,
    Sent,
    Waiting,
)
from roar_publisher.state.machine import State
from roar_publisher.state.units import Kind

WINDOW_SECONDS = 10.0
"""The rate is that of the last so many seconds."""
SAMPLE_SECONDS = 0.2
"""How far apart two points of the rate's window lie, at the least."""
FILES, NODES, LINKS, LABELS = "files", "nodes", "links", "labels"
SORTS = {
    Kind.COMPOSITE: NODES,
    Kind.JOBS: NODES,
    Kind.ARTIFACTS: NODES,
    Kind.INPUTS: LINKS,
    Kind.OUTPUTS: LINKS,
    Kind.LABELS: LABELS,
}
"""Requests of one sort take about as long as each other."""
BYTES_OF_A_REQUEST = 256 * 1024
"""What a file costs beyond its bytes: about as much time as so many of them."""
SETTLED_SECONDS = 1.0
"""Before a phase has run for so long its rate says nothing."""


@dataclass(frozen=True, slots=True)
class Delay:
    """What the publish waits for, and until when by the meter's clock."""

    what: str
    until: float


class Meter:
    """Follows the reports of one run.

    clock: seconds that never go back.  Every field is written by `take` alone.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.state: State | None = None
        self.entered_at = clock()
        self.done = 0
        self.total = 0
        self.before = 0  # done by earlier runs
        self.in_bytes = False  # whether done and total are bytes of files, else items of lineage
        self._delay: Delay | None = None
        self._samples = deque([(self.entered_at, 0)])  # (when, items done by then), never empty
        self._estimate = Estimate(self.entered_at, {})

    def take(self, report: Report) -> None:
        """Take a report in."""
        now = self._clock()
        match report:
            case Entered():
                self.state, self.entered_at = report.state, now
                self._restart(now, 0, 0, {})
            case ObjectsPlanned():
                left = report.size - report.stored_size + (report.objects - report.stored) * BYTES_OF_A_REQUEST
                self._restart(now, report.stored_size, report.size, {FILES: left})
                self.in_bytes = True
            case Sent():
                self._advance(now, report.bytes, FILES, report.bytes)
            case ObjectStored():
                sent_now = 0 if report.sent else report.size
                self._advance(now, sent_now, FILES, sent_now + BYTES_OF_A_REQUEST)
            case Planned():
                self._restart(now, sum(report.acknowledged.values()), sum(report.total.values()), _by_sort(report))
            case Advanced():
                self._advance(now, report.items, SORTS[report.kind], report.requests)
            case Waiting():
                self._delay = Delay(report.reason, now + report.seconds)
            case Retrying():
                self._delay = Delay(report.what, now + report.seconds)
            case _:
                pass

    def amount(self, number: float) -> str:
        """So many of what is counted, with its unit: `1,204 items`, `3.4 GB`."""
        return size(number) if self.in_bytes else count(round(number), "item")

    @property
    def elapsed(self) -> float:
        """Seconds since this phase began."""
        return self._clock() - self.entered_at

    @property
    def delay(self) -> tuple[str, float] | None:
        """What is waited for and the seconds that are left, or None."""
        if self._delay is None:
            return None
        left = self._delay.until - self._clock()
        return (self._delay.what, left) if left > 0 else None

    @property
    def rate(self) -> float | None:
        """Items or bytes a second over the last window; None while it can't be told."""
        since, done = self._samples[0]
        seconds = self._clock() - since
        return (self.done - done) / seconds if seconds >= SETTLED_SECONDS else None

    @property
    def seconds_left(self) -> float | None:
        """An estimate; None while it is not known within a factor of two."""
        return self._estimate.seconds_left(self._clock())

    def _advance(self, now: float, amount: int, sort: str, work: int) -> None:
        self.done += amount
        self._delay = None
        self._sample(now)
        self._estimate.advance(now, sort, work)

    def _restart(self, now: float, done: int, total: int, left: Mapping[str, float]) -> None:
        self._estimate = Estimate(now, left)
        self.done, self.total, self.before, self.in_bytes, self._delay = done, total, done, False, None
        self._samples.clear()
        self._samples.append((now, done))

    def _sample(self, now: float) -> None:
        if now - self._samples[-1][0] >= SAMPLE_SECONDS:
            self._samples.append((now, self.done))
        while len(self._samples) > 2 and now - self._samples[0][0] > WINDOW_SECONDS:
            self._samples.popleft()


def _by_sort(planned: Planned) -> Counter[str]:
    requests = Counter[str]()
    for kind, number in planned.requests.items():
        requests[SORTS[kind]] += number
    return requests
