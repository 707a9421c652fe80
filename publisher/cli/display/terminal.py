"""The terminal of stderr, on which a program may draw. What draws there never stops the work."""

import sys
from typing import IO, Any, cast

from rich.console import Console

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
