"""The terminal of stderr, on which a program may draw. What draws there never stops the work."""

import sys
from typing import IO, Any, cast

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from roar_publisher.cli.display.output import Output


class _Lasting:
    """A stream that drops what it is given once it cannot be written, as when its terminal is closed."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except OSError:
            Output(self._stream).drop()
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            Output(self._stream).drop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def terminal() -> Console:
    """Return a console for the terminal that stderr is."""
    return Console(file=cast("IO[str]", _Lasting(sys.stderr)))


class LiveLines:
    """Lines below all others on a terminal, which are drawn anew and in the end removed."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live: Live | None = None

    @property
    def active(self) -> bool:
        """Whether lines can be drawn, between `begin` and `end`."""
        return self._live is not None

    def begin(self) -> None:
        """Start below the cursor. The cursor stays visible, because a killed process could not restore it."""
        self._live = Live(console=self.console, auto_refresh=False, transient=True)
        self._live.start()
        self.console.show_cursor()

    def draw(self, *lines: Text) -> None:
        """Replace what is drawn."""
        if self._live is not None:
            self._live.update(Group(*lines), refresh=True)

    def end(self) -> None:
        """Remove what is drawn. Repetition is harmless."""
        if self._live is not None:
            self._live.update(Group())
            self._live.stop()
            self._live = None
