"""Notices that another release was installed over the one that runs."""

from collections.abc import Callable
from pathlib import Path

import roar_publisher
from roar_publisher.daemon.stamps import Stamp, stamp_of

SETTLED_SECONDS = 60.0
"""How long the files of a release must stay as they are before they count as complete."""


def installed() -> Stamp | None:
    """Return a value that is another one for each installation; None while there is none."""
    return stamp_of(Path(roar_publisher.__file__))


class Installation:
    """The release on the disk, compared with the one that this process runs."""

    def __init__(self, read: Callable[[], Stamp | None]) -> None:
        self._read = read
        self._running = self._last = read()
        self._since = 0.0

    def replaced(self, now: float) -> bool:
        """Return whether another release is completely installed. now: seconds on a monotonic clock. Blocks briefly."""
        found = self._read()
        if found != self._last:
            self._last, self._since = found, now
        return found not in (None, self._running) and now - self._since >= SETTLED_SECONDS
