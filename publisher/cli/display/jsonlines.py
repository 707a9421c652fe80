"""`--json`: one JSON object per line on stdout, for programs. `roar publish --help` documents them."""

import json
from collections.abc import Callable

from roar_publisher.cli.display.output import Output
from roar_publisher.publishing.emitting import EventEmitter


class JsonDisplay(EventEmitter):
    """Writes each event as a line. clock: seconds on a monotonic clock."""

    def __init__(self, out: Output, clock: Callable[[], float]) -> None:
        super().__init__(lambda event: out.line(json.dumps(event.as_dict())), clock)
