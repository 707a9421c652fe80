"""What the displays for people have in common: which events they show, and how they are worded."""

from abc import abstractmethod
from collections.abc import Callable

from roar_publisher.cli.display.base import Display
from roar_publisher.cli.display.output import Output
from roar_publisher.cli.display.sentences import detached_line, headline, result_line
from roar_publisher.cli.display.words import EVENT_MESSAGES, STOPPING, delay
from roar_publisher.publishing.meter import Meter
from roar_publisher.publishing.remedies import watch_command
from roar_publisher.publishing.result import Result
from roar_publisher.report import Entered, Noted, ObjectStored, Report, Retrying, Waiting
from roar_publisher.state.record import Plan
from roar_publisher.storage.source import shown
from roar_publisher.text import size


class TextDisplay(Display):
    """A display that prints lines. clock: seconds on a monotonic clock. verbose: print a line for every event."""

    note_mark = "Note:"
    arrow = "→"

    def __init__(self, out: Output, clock: Callable[[], float], *, verbose: bool) -> None:
        super().__init__(out)
        self._clock = clock
        self._verbose = verbose
        self._meter = Meter(clock)
        # None if the publish is only watched, because it began at another time.
        self._started_at: float | None = clock()

    @abstractmethod
    def _print(self, text: str, style: str = "") -> None:
        """Print a line that stays. style: for terminals."""

    @abstractmethod
    def _print_headline(self, text: str) -> None:
        """Print what is published."""

    @abstractmethod
    def _end_phase(self) -> None:
        """Print how much the phase that ends has done."""

    def _begin_phase(self, report: Entered) -> None:
        """Print what begins now."""

    def planned(self, plan: Plan, *, resumed: bool) -> None:
        self._print_headline(headline(plan, resumed=resumed))

    def watching(self, plan: Plan) -> None:
        self._started_at = None
        self._print_headline(headline(plan, verb="Watching"))

    def report(self, report: Report) -> None:
        if isinstance(report, Entered):
            self._end_phase()
            if report.event in EVENT_MESSAGES:
                self._print(f"{self.note_mark} {EVENT_MESSAGES[report.event]}", "yellow")
            self._begin_phase(report)
            if self._verbose:
                self._print(f"  {report.event or 'started'} {self.arrow} {report.state}", "dim")
        self._meter.take(report)
        if isinstance(report, Noted):
            self._print(f"{self.note_mark} {report.text}", "yellow")
        elif self._verbose:
            self._report_detail(report)

    def _report_detail(self, report: Report) -> None:
        match report:
            case Waiting():
                what = delay(report.reason, files=self._meter.in_bytes)
                self._print(f"  {what}: waiting {report.seconds:.1f} s", "dim")
            case ObjectStored():
                before = "" if report.sent else ", stored before"
                self._print(f"  {shown(report.key)}: {size(report.size)}{before}", "dim")
            case Retrying():
                failed = f"  attempt {report.attempt} failed ({report.what})"
                self._print(f"{failed}: again in {report.seconds:.1f} s", "dim")

    def stopping(self) -> None:
        self._print(STOPPING, "yellow")

    def published(self, result: Result, *, again: bool = False) -> None:
        self.close()
        for sentence in result.sentences():
            self._print(sentence)
        seconds = None if self._started_at is None else self._clock() - self._started_at
        self._print(result_line(result.plan, seconds, again=again), "bold green")
        super().published(result, again=again)

    def detached(self, plan: Plan, *, resumed: bool) -> None:
        self.close()
        self._print(detached_line(plan), "bold")
        super().detached(plan, resumed=resumed)
        self._print(f"Watch it: {watch_command(plan)}", "dim")
