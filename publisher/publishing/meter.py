"""Computes the progress and speed of a publish from its reports. Displays nothing."""

from collections import Counter, deque
from collections.abc import Callable, Mapping

from msgspec import Struct

from roar_publisher.publishing.estimate import Estimate
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
from roar_publisher.text import count, size

WINDOW_SECONDS = 10.0
"""The rate is measured over this many seconds."""
SAMPLE_SECONDS = 0.2
"""The minimum distance between two points of the rate's window."""
FILES, NODES, LINKS, LABELS = "files", "nodes", "links", "labels"
SORTS = {
    Kind.COMPOSITE: NODES,
    Kind.JOBS: NODES,
    Kind.ARTIFACTS: NODES,
    Kind.INPUTS: LINKS,
    Kind.OUTPUTS: LINKS,
    Kind.LABELS: LABELS,
}
"""Units of the same sort take about the same time."""
BYTES_OF_A_REQUEST = 256 * 1024
"""The overhead of a file, expressed as the number of bytes that take about as long."""
SETTLED_SECONDS = 1.0
"""How long a phase must have run before its rate is meaningful."""


class Delay(Struct, frozen=True):
    """What the publish waits for, and until when on the meter's clock."""

    what: str
    until: float


class Meter:
    """Follows the reports of one run.

    clock: seconds on a monotonic clock. Only `take` writes the fields.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.state: State | None = None
        self.entered_at = clock()
        self.done = 0
        self.total = 0
        self.before = 0  # done by earlier runs
        self.in_bytes = False  # whether done and total are bytes of files or items of lineage
        self._delay: Delay | None = None
        self._samples = deque([(self.entered_at, 0)])  # (time, items done by then), never empty
        self._estimate = Estimate(self.entered_at, {})

    def take(self, report: Report) -> None:
        """Process a report."""
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
                self._advance(now, report.items, SORTS[report.kind], report.units)
            case Waiting():
                self._delay = Delay(report.reason, now + report.seconds)
            case Retrying():
                self._delay = Delay(report.what, now + report.seconds)
            case _:
                pass

    def amount(self, number: float) -> str:
        """Return a number of what is counted, with its unit: `1,204 items`, `3.4 GB`."""
        return size(number) if self.in_bytes else count(round(number), "item")

    @property
    def elapsed(self) -> float:
        """Seconds since this phase began."""
        return self._clock() - self.entered_at

    @property
    def delay(self) -> tuple[str, float] | None:
        """What is waited for and the remaining seconds, or None."""
        if self._delay is None:
            return None
        left = self._delay.until - self._clock()
        return (self._delay.what, left) if left > 0 else None

    @property
    def rate(self) -> float | None:
        """Items or bytes per second over the last window, or None while unknown."""
        since, done = self._samples[0]
        seconds = self._clock() - since
        return (self.done - done) / seconds if seconds >= SETTLED_SECONDS else None

    @property
    def seconds_left(self) -> float | None:
        """An estimate in seconds, or None while it is not known within a factor of two."""
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
    units = Counter[str]()
    for kind, number in planned.units.items():
        units[SORTS[kind]] += number
    return units
