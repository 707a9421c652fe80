"""`roar daemon run --drain`: publishes what is due, and ends."""

import threading
from pathlib import Path

import trio

from roar_publisher.blocking import in_thread
from roar_publisher.daemon.service import SCAN_INTERVAL_SECONDS
from roar_publisher.state.machine import State
from tests.support.daemon.networks import NetworkState, Outage
from tests.support.daemon.scenarios import HOUR, WORK_SECONDS, on
from tests.support.daemon.worlds import Machine


async def drained(machine: Machine, within: float) -> float:
    """Drain the machine, and return how many virtual seconds that took."""
    began = trio.current_time()
    async with machine.daemon(drain=True) as daemon:
        await machine.until(daemon.over.is_set, within)
        assert daemon.lives == 1
    return trio.current_time() - began


def test_everything_due_is_published_and_reported_before_it_ends(tmp_path: Path) -> None:
    """Also what waits for a free place: two are worked on at once."""

    async def scenario(machine: Machine) -> None:
        machine.reporting_seconds = 2.0
        for jobs in range(1, 8):
            machine.leave(jobs)
        await drained(machine, 7 * WORK_SECONDS)
        machine.check_published()
        assert machine.reported_times() == dict.fromkeys(machine.queued, 1)

    on(tmp_path, scenario, max_active=2)


def test_a_publish_that_ends_while_the_journals_are_read_is_reported_too(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        machine.home.seconds = 1.0
        machine.scan_seconds = WORK_SECONDS  # the second scan begins while it is published, and ends afterwards
        machine.leave()
        await drained(machine, 10 * WORK_SECONDS)
        assert machine.reported_times() == dict.fromkeys(machine.queued, 1)

    on(tmp_path, scenario)


def test_a_blocking_call_takes_no_virtual_time(tmp_path: Path) -> None:
    """Such as an import while the registry finalizes: in these worlds, hours would pass until a thread has imported."""

    async def scenario(machine: Machine) -> None:
        assert await in_thread(threading.get_ident) == threading.get_ident()

    on(tmp_path, scenario)


def test_without_work_it_ends_at_once(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        assert await drained(machine, SCAN_INTERVAL_SECONDS) < 1.0
        assert machine.scans == 1

    on(tmp_path, scenario)


def test_it_does_not_wait_for_a_registry_that_is_away_and_the_next_run_continues(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        machine.home.outages = [Outage(NetworkState.AWAY, 0.0, HOUR)]
        machine.leave()
        await drained(machine, HOUR / 2)
        [found] = machine.all()
        assert (found.progress.state, found.owner, found.queued.parked) == (State.PROBE, None, False)
        await trio.sleep_until(2 * HOUR)
        await drained(machine, WORK_SECONDS)
        machine.check_published()

    on(tmp_path, scenario)


def test_a_full_disk_does_not_keep_it(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        machine.leave()
        machine.room = False
        assert await drained(machine, SCAN_INTERVAL_SECONDS) < 1.0
        assert not machine.requests

    on(tmp_path, scenario)
