"""Live progress on a terminal. Finished phases stay as one line each, and the current one is updated below them."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.text import Text

from roar_publisher.cli.display.output import Output
from roar_publisher.cli.display.sentences import delay_text, pace, share
from roar_publisher.cli.display.terminal import LiveLines
from roar_publisher.cli.display.textual import TextDisplay
from roar_publisher.cli.display.words import PHASES, PREPARING, phase
from roar_publisher.publishing.meter import Meter
from roar_publisher.text import lasted, printable, span

LABEL_WIDTH = max(map(len, (PREPARING, *PHASES.values()))) + 2
NARROWEST_BAR = 8
WIDEST_BAR = 40


class LiveDisplay(TextDisplay):
    """A live display on stderr. console: the terminal."""

    note_mark = "!"
    arrow = "->"

    def __init__(self, out: Output, console: Console, clock: Callable[[], float], *, verbose: bool) -> None:
        super().__init__(out, clock, verbose=verbose)
        self._console = console
        self._lines = LiveLines(console)

    def planning(self) -> None:
        self._lines.begin()
        self.tick()

    def tick(self) -> None:
        if self._lines.active:
            self._lines.draw(*draw(self._meter, self._console))

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        self._lines.end()
        try:
            yield
        finally:
            self._lines.begin()

    def close(self) -> None:
        if self._lines.active:
            self._lines.end()
            if self._meter.state in PHASES:  # interrupted there, so the line stays
                self._console.print(*draw(self._meter, self._console)[:1])

    def _end_phase(self) -> None:
        state = self._meter.state
        if state in PHASES:
            items = self._meter.amount(self._meter.done - self._meter.before) if self._meter.total else ""
            self._print(f"{PHASES[state]:<{LABEL_WIDTH}}{items:<16}{lasted(self._meter.elapsed):>8}", "dim")

    def _print_headline(self, text: str) -> None:
        self._lines.end()
        self._print(text, "bold")
        self._lines.begin()

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(Text(printable(text), style=style))


def draw(meter: Meter, console: Console) -> list[Text]:
    """Return the lines for the current phase: its label, a bar that fits the width, and what delays it."""
    name = phase(meter.state, files=meter.in_bytes)
    return [] if name is None else draw_phase(name, meter, console)


def draw_phase(name: str, meter: Meter, console: Console) -> list[Text]:
    """Return the lines for a phase with that name."""
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
    for words in delay_text(meter):
        held = Text(f"  {printable(words)}", style="yellow")
        held.truncate(console.width - 1, overflow="ellipsis")
        lines.append(held)
    return lines


def _bar(share: float, width: int, *, ascii_only: bool) -> Text:
    full, empty = ("=", "-") if ascii_only else ("━", "─")
    filled = int(min(1.0, share) * width)  # full at the end alone
    return Text(full * filled, style="cyan") + Text(empty * (width - filled), style="dim")
