"""The time this machine has been suspended, which process timers do not count."""

import sys
import time

if sys.platform.startswith("linux"):

    def suspended_seconds() -> float:
        """Return the seconds that the machine has been suspended since boot."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)

else:

    def suspended_seconds() -> float:
        """Return the seconds by which the wall clock ran ahead of the time that the machine was awake.

        Setting the clock looks like a suspension. The only cost is new connections.
        """
        return time.time() - time.monotonic()
