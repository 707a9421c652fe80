"""Live progress on a terminal. Finished phases stay as one line each, and the current one is updated below them."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from roar_publisher.cli.display.base import Display
from roar_publisher.cli.display.meter import Meter
from roar_publisher.cli.display.output import Output
from roar_publisher.cli.display.plain import detached_line, headline, held_up, pace, result_line, share, since
from roar_publisher.cli.display.result import Result
from roar_publisher.cli.display.text import lasted, printable, size, span
from roar_publisher.cli.display.words import EVENT_MESSAGES, PHASES, PREPARING, STOPPING, delay, phase, watch_command
from roar_publisher.report import Entered, Noted, ObjectStored, Report, Retrying, Waiting
from roar_publisher.state.record import Plan
from roar_publisher.storage.source import shown

LABEL_WIDTH = max(map(len, (PREPARING, *PHASES.values()))) + 2
NARROWEST_BAR = 8
WIDEST_BAR = 40


class LiveDisplay(Display):
    """A live display on stderr.

    console: the terminal. clock: seconds on a monotonic clock. verbose: print a permanent line for every event.
    """

    def __init__(self, out: Output, console: Console, clock: Callable[[], float], *, verbose: bool) -> None:
        super().__init__(out)
        self._console = console
        self._clock = clock
        self._verbose = verbose
        self._meter = Meter(clock)
        # None if the publish is only watched, because it began at another time.
        self._started_at: float | None = clock()
        self._live: Live | None = None  # set while the display owns the terminal

    def planning(self) -> None:
        self._begin()
        self.tick()

    def planned(self, plan: Plan, *, resumed: bool) -> None:
        self._head(headline(plan, resumed=resumed))

    def watching(self, plan: Plan) -> None:
        self._started_at = None
        self._head(headline(plan, verb="Watching"))

    def report(self, report: Report) -> None:
        if isinstance(report, Entered):
            self._enter(report)
        self._meter.take(report)
        match report:
            case Noted():
                self._keep(f"! {report.text}", style="yellow")
            case Waiting() if self._verbose:
                what = delay(report.reason, files=self._meter.in_bytes)
                self._keep(f"  {what}: waiting {report.seconds:.1f} s", style="dim")
            case ObjectStored() if self._verbose:
                before = "" if report.sent else ", stored before"
                self._keep(f"  {shown(report.key)}: {size(report.size)}{before}", style="dim")
            case Retrying() if self._verbose:
                words = f"  attempt {report.attempt} failed ({report.what}): again in {report.seconds:.1f} s"
                self._keep(words, style="dim")

    def tick(self) -> None:
        if self._live is not None:
            self._live.update(Group(*draw(self._meter, self._console)), refresh=True)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        self._end()
        try:
            yield
        finally:
            self._begin()

    def stopping(self) -> None:
        self._keep(STOPPING, style="yellow")

    def published(self, result: Result, *, again: bool = False) -> None:
        self.close()
        for sentence in result.sentences():
            self._keep(sentence, style="")
        self._keep(result_line(result.plan, since(self._started_at, self._clock), again=again), style="bold green")
        super().published(result, again=again)

    def detached(self, plan: Plan, *, resumed: bool) -> None:
        self.close()
        self._keep(detached_line(plan), style="bold")
        super().detached(plan, resumed=resumed)
        self._keep(f"Watch it: {watch_command(plan)}", style="dim")

    def close(self) -> None:
        if self._live is not None:
            self._end()
            if self._meter.state in PHASES:  # interrupted there, so the line stays
                self._console.print(*draw(self._meter, self._console)[:1])

    def _head(self, text: str) -> None:
        self._end()
        self._keep(text, style="bold")
        self._begin()

    def _begin(self) -> None:
        """Start to draw below the cursor. The cursor stays visible, because a killed process could not restore it."""
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()
        self._console.show_cursor()

    def _end(self) -> None:
        if self._live is not None:
            self._live.update(Group())
            self._live.stop()
            self._live = None

    def _enter(self, report: Entered) -> None:
        state = self._meter.state
        if state in PHASES:
            items = self._meter.amount(self._meter.done - self._meter.before) if self._meter.total else ""
            self._keep(f"{PHASES[state]:<{LABEL_WIDTH}}{items:<16}{lasted(self._meter.elapsed):>8}", style="dim")
        if report.event in EVENT_MESSAGES:
            self._keep(f"! {EVENT_MESSAGES[report.event]}", style="yellow")
        if self._verbose:
            self._keep(f"  {report.event or 'started'} -> {report.state}", style="dim")

    def _keep(self, text: str, *, style: str) -> None:
        self._console.print(Text(printable(text), style=style))


def draw(meter: Meter, console: Console) -> list[Text]:
    """Return the lines for the current phase: its label, a bar that fits the width, and what delays it."""
    name = phase(meter.state, files=meter.in_bytes)
    if name is None:
        return []
    label = Text(f"{name:<{LABEL_WIDTH}}")
    if meter.total:
        numbers = "  ".join([f" {share(meter)}", *pace(meter)])
        room = min(WIDEST_BAR, console.width - LABEL_WIDTH - len(numbers) - 1)
        if room >= NARROWEST_BAR:
            label.append_text(_bar(meter.done / meter.total, room, ascii_only=console.options.ascii_only))
        label.append(numbers)
    elif meter.elapsed >= 1:
        label.append(span(meter.elapsed), style="dim")
    label.truncate(console.width - 1, overflow="ellipsis")
    lines = [label]
    for words in held_up(meter):
        held = Text(f"  {printable(words)}", style="yellow")
        held.truncate(console.width - 1, overflow="ellipsis")
        lines.append(held)
    return lines


def _bar(share: float, width: int, *, ascii_only: bool) -> Text:
    full, empty = ("=", "-") if ascii_only else ("━", "─")
    filled = round(min(1.0, share) * width)
    return Text(full * filled, style="cyan") + Text(empty * (width - filled), style="dim")
