"""An unreachable server is probed by one task, noticed soon after it returns, and never burdened; on virtual time."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import anyio
import pytest
import trio
from anyio.abc import TaskGroup

from roar_publisher.daemon.reachability import LONGEST_PROBE_SECONDS, ReachabilityMonitor
from tests.support.virtual import run

NOTICED_SECONDS = 5.0
HOUR = 3_600.0
DAY = 24 * HOUR
URL = "http://registry/health"
OTHER = "http://other/health"


@dataclass
class Servers:
    """Servers that are unreachable until a time, and how long a probe takes meanwhile.

    probes: the time of every probe, by URL. at_once: the most concurrent probes of one URL.
    """

    back_at: dict[str, float]
    hangs: float = 0.0
    probes: dict[str, list[float]] = field(default_factory=dict)
    running: int = 0
    at_once: int = 0
    idle: anyio.Event = field(default_factory=anyio.Event)

    @asynccontextmanager
    async def probing(self, url: str) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
        async def probe() -> bool:
            self.probes.setdefault(url, []).append(trio.current_time())
            unreachable = trio.current_time() < self.back_at[url]
            self.running += 1
            self.at_once = max(self.at_once, self.running)
            await anyio.sleep(self.hangs if unreachable else 0.01)
            self.running -= 1
            self.idle.set()
            self.idle = anyio.Event()
            return not unreachable

        yield probe

    async def until_idle(self) -> None:
        """Return right after a probe."""
        await self.idle.wait()


class Reports:
    """When the monitor reported a server as reachable."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.reported = anyio.Event()

    def back(self) -> None:
        self.times.append(trio.current_time())
        self.reported.set()
        self.reported = anyio.Event()


def monitor_of(tasks: TaskGroup, servers: Servers, reports: Reports, seed: int = 1) -> ReachabilityMonitor:
    return ReachabilityMonitor(tasks, servers.probing, rng=random.Random(seed), on_reachable=reports.back)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("hangs", [0.0, 0.3, 4.0])
def test_a_returning_server_is_noticed_within_five_seconds(seed: int, hangs: float) -> None:
    """hangs: a silent network makes every probe time out."""

    async def scenario() -> None:
        back_at = random.Random(seed).uniform(0, HOUR)
        servers, reports = Servers({URL: back_at}, hangs), Reports()
        async with anyio.create_task_group() as tasks:
            monitor = monitor_of(tasks, servers, reports, seed)
            monitor.watch(URL)
            assert monitor.is_unreachable(URL)
            await reports.reported.wait()
        assert back_at <= reports.times[0] <= back_at + NOTICED_SECONDS
        assert not monitor.is_unreachable(URL)

    run(scenario)


def test_an_outage_of_a_day_costs_a_probe_every_few_seconds() -> None:
    async def scenario() -> None:
        servers, reports = Servers({URL: DAY}), Reports()
        async with anyio.create_task_group() as tasks:
            monitor_of(tasks, servers, reports).watch(URL)
            await reports.reported.wait()
        pauses = [later - earlier for earlier, later in pairwise(servers.probes[URL])]
        assert max(pauses) <= LONGEST_PROBE_SECONDS
        assert len(pauses) < DAY / (LONGEST_PROBE_SECONDS / 2)

    run(scenario)


def test_one_probe_at_a_time_however_many_wait() -> None:
    async def scenario() -> None:
        servers, reports = Servers({URL: 1000.0}, hangs=1.0), Reports()
        async with anyio.create_task_group() as tasks:
            monitor = monitor_of(tasks, servers, reports)
            for _ in range(50):
                monitor.watch(URL)
                await anyio.sleep(0.5)
            await reports.reported.wait()
        assert servers.at_once == 1
        assert len(reports.times) == 1

    run(scenario)


def test_each_address_is_probed_separately() -> None:
    async def scenario() -> None:
        servers, reports = Servers({URL: 100.0, OTHER: 7000.0}), Reports()
        async with anyio.create_task_group() as tasks:
            monitor = monitor_of(tasks, servers, reports)
            monitor.watch(URL)
            monitor.watch(OTHER)
            await reports.reported.wait()
            assert (monitor.is_unreachable(URL), monitor.is_unreachable(OTHER)) == (False, True)
            await reports.reported.wait()
        assert 100 <= reports.times[0] <= 100 + NOTICED_SECONDS
        assert 7000 <= reports.times[1] <= 7000 + NOTICED_SECONDS

    run(scenario)


def test_probe_now_probes_immediately_and_repeats_a_running_probe() -> None:
    async def scenario() -> None:
        servers, reports = Servers({URL: 500.0}, hangs=1.0), Reports()
        async with anyio.create_task_group() as tasks:
            monitor = monitor_of(tasks, servers, reports)
            monitor.watch(URL)
            await anyio.sleep(100)
            await servers.until_idle()
            before = trio.current_time()
            monitor.probe_now()  # between two probes
            await anyio.sleep(0.01)
            assert servers.probes[URL][-1] == pytest.approx(before, abs=0.01)
            monitor.probe_now()  # during one
            probes = len(servers.probes[URL])
            await anyio.sleep(1.01)
            assert len(servers.probes[URL]) == probes + 1
            await reports.reported.wait()
        assert servers.at_once == 1

    run(scenario)


def test_a_server_that_becomes_unreachable_again_is_probed_again() -> None:
    async def scenario() -> None:
        servers, reports = Servers({URL: 10.0}), Reports()
        async with anyio.create_task_group() as tasks:
            monitor = monitor_of(tasks, servers, reports)
            monitor.watch(URL)
            await reports.reported.wait()
            servers.back_at[URL] = trio.current_time() + 300
            monitor.watch(URL)
            await reports.reported.wait()
        assert len(reports.times) == 2
        assert servers.back_at[URL] <= reports.times[1] <= servers.back_at[URL] + NOTICED_SECONDS

    run(scenario)
