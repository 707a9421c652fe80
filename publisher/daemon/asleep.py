"""How long this machine has slept: what no timer of a process notices."""

import sys
import time

if sys.platform.startswith("linux"):

    def slept() -> float:
        """Seconds that the machine was suspended since it booted."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)

else:

    def slept() -> float:
        """Seconds by which the wall clock ran ahead of the time that this machine was awake.

        A clock that was set looks like a sleep, which costs no more than new connections.
        """
        return time.time() - time.monotonic()
