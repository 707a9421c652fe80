"""What scenarios on virtual time share: how long things take in these worlds, and how one is run."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from roar_publisher.daemon.service import SCAN_INTERVAL_SECONDS
from tests.support.daemon.worlds import Machine
from tests.support.faults.simulation import run_virtually
from tests.support.sampling import EXHAUSTIVE

HOUR = 3_600.0
DAY = 24 * HOUR
LONG = HOUR if EXHAUSTIVE else HOUR / 8
"""What many waits repeat in: each second of it takes a scan's share of real time."""
RESUMED_SECONDS = 5.0
"""How soon everything that can continue must continue."""
WORK_SECONDS = 30.0
"""How long a continued publish takes at most in these worlds."""
RELEASE_SECONDS = 10.0
SLOW_SCANS = 1.1 / SCAN_INTERVAL_SECONDS
"""Scans a second of a daemon that nothing happens to, with some to spare."""

Scenario = Callable[[Machine], Awaitable[None]]


def on(root: Path, scenario: Scenario, *, seed: int = 1, max_active: int = 4) -> None:
    """Run a scenario on a new machine."""

    async def run() -> None:
        await scenario(Machine(root, seed=seed, max_active=max_active))

    run_virtually(run, seed)
