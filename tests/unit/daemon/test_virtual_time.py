"""The daemon through hours and days, on virtual time: outages, sleep, throttling, clocks."""

import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import anyio
import pytest
import trio

from roar_publisher.daemon.installation import SETTLED_SECONDS
from roar_publisher.daemon.schedule import LONGEST_RETRY_SECONDS, MAX_ATTEMPTS
from roar_publisher.daemon.service import IDLE_RESTART_SECONDS, SCAN_INTERVAL_SECONDS
from roar_publisher.state.machine import State
from roar_publisher.state.reasons import Reason
from tests.support.daemon.networks import NetworkState, Outage
from tests.support.daemon.scenarios import (
    DAY,
    HOUR,
    LONG,
    RELEASE_SECONDS,
    RESUMED_SECONDS,
    SLOW_SCANS,
    WORK_SECONDS,
    on,
)
from tests.support.daemon.worlds import Machine
from tests.support.sampling import EXHAUSTIVE, sample

CLOCK_MOVES = (0.0, -1.5 * HOUR, -30 * DAY, 1.5 * HOUR, 30 * DAY)
THROTTLED = sample(
    "throttling",
    [(network_state, moves) for network_state in (NetworkState.THROTTLING, NetworkState.BUSY) for moves in CLOCK_MOVES],
    0,
    lambda case: case[0],
    lambda case: case[1],
)


def requests_between(machine: Machine, start: float, end: float) -> int:
    return sum(start <= asked.at < end for asked in machine.requests)


def first_request_after(machine: Machine, moment: float) -> float:
    return next(asked.at for asked in machine.requests if asked.at >= moment)


async def until_staging(machine: Machine) -> None:
    """Return when something is acknowledged and much is not."""
    await machine.until(lambda: any(found.progress.state is State.STAGE for found in machine.all()), WORK_SECONDS)
    await anyio.sleep(machine.home.seconds)


def test_without_faults_everything_is_published_and_each_end_reported_once(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        for jobs in range(1, 8):
            machine.leave(jobs)
        async with machine.daemon() as daemon:
            await machine.until(machine.ended, WORK_SECONDS)
            assert daemon.lives == 1
            await anyio.sleep(LONG)
            assert daemon.lives == 2, "it restarts after work, to free its memory, and only then"
        machine.check_published()
        assert machine.reported_times() == dict.fromkeys(machine.queued, 1)

    on(tmp_path, scenario)


def test_an_idle_daemon_starts_new_work_at_its_next_scan(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        async with machine.daemon() as daemon:
            await anyio.sleep(LONG)
            assert not machine.requests
            assert machine.scans <= LONG * SLOW_SCANS
            machine.leave()
            began = trio.current_time()
            await machine.until(machine.ended, SCAN_INTERVAL_SECONDS + WORK_SECONDS)
            assert first_request_after(machine, began) <= began + SCAN_INTERVAL_SECONDS + 0.1
            assert daemon.lives == 1
            await anyio.sleep(2 * IDLE_RESTART_SECONDS)
            assert daemon.lives == 2
        machine.check_published()

    on(tmp_path, scenario)


@pytest.mark.parametrize("network_state", [NetworkState.AWAY, NetworkState.SILENT])
def test_a_long_outage(tmp_path: Path, network_state: NetworkState) -> None:
    length = DAY if EXHAUSTIVE else 3 * LONG

    async def scenario(machine: Machine) -> None:
        publishes = [machine.leave(20, project=f"/p/{number}") for number in range(3)]
        publishes += [machine.leave(4) for _ in range(4)]
        async with machine.daemon():
            await until_staging(machine)
            start = trio.current_time()
            end = start + length
            machine.home.outages = [Outage(network_state, start, end)]
            await anyio.sleep(LONG)
            for found in machine.all():
                assert found.live
                assert found.reason == Reason.OFFLINE, found.progress
                assert (found.queued.attempts, found.queued.parked) == (0, False)
            settled, scanned = len(machine.requests), machine.scans
            await anyio.sleep(end - trio.current_time())
            assert len(machine.requests) - settled <= (length - LONG) / 1.9, "probes too often"
            assert machine.scans - scanned <= length * SLOW_SCANS
            assert {found.queued.attempts for found in machine.all()} == {0}
            await machine.until(lambda: bool(machine.owned), RESUMED_SECONDS)
            await machine.until(machine.ended, WORK_SECONDS)
        machine.check_published()
        assert machine.reported_times() == Counter({paths.id: 1 for paths in publishes})

    on(tmp_path, scenario)


@pytest.mark.parametrize("offline_afterwards", [0.0, 20 * 60.0])
@pytest.mark.parametrize("seed", sample("sleeping laptops", range(3), 1))
def test_a_laptop_that_sleeps_nine_hours(tmp_path: Path, seed: int, offline_afterwards: float) -> None:
    """No pending request is ever answered, no timer notices, and the network may return late."""

    async def scenario(machine: Machine) -> None:
        publishes = [machine.leave(20) for _ in range(6)]
        machine.home.seconds = 1.0
        async with machine.daemon():
            await until_staging(machine)
            await anyio.sleep(random.Random(seed).uniform(0, 3))
            machine.sleep(9 * HOUR)
            woke = trio.current_time()
            back = woke + offline_afterwards
            machine.home.outages = [Outage(NetworkState.SILENT, woke, back)]
            await anyio.sleep(back - woke)
            owned = await machine.until(lambda: bool(machine.owned), RESUMED_SECONDS)
            assert owned - back <= RESUMED_SECONDS
            await anyio.sleep(RESUMED_SECONDS)
            assert requests_between(machine, back, owned + RESUMED_SECONDS) >= 4, "nothing continued"
            await machine.until(machine.ended, 6 * WORK_SECONDS)
            assert {found.queued.attempts for found in machine.all()} == {0}
        machine.check_published()
        assert machine.reported_times() == Counter({paths.id: 1 for paths in publishes})

    on(tmp_path, scenario, seed=seed)


@pytest.mark.parametrize(("network_state", "clock_moves"), THROTTLED)
def test_a_server_that_throttles_for_long(tmp_path: Path, network_state: NetworkState, clock_moves: float) -> None:
    """It is not asked before the time that it named, whatever the wall clock is set to meanwhile."""

    async def scenario(machine: Machine) -> None:
        for _ in range(6):
            machine.leave(8)
        async with machine.daemon():
            await until_staging(machine)
            start = trio.current_time()
            machine.home.outages = [Outage(network_state, start, start + LONG, retry_after=LONG)]
            # The daemon is idle and starts anew: from then on, it knows the times by the clock before it is set.
            await anyio.sleep(2 * IDLE_RESTART_SECONDS)
            throttled = machine.all()
            assert {found.reason for found in throttled if found.live} == {Reason.THROTTLED}
            assert {found.queued.attempts for found in throttled} == {0}
            asked, scanned = len(machine.requests), machine.scans
            machine.set_clock(clock_moves)
            await anyio.sleep(start + LONG - trio.current_time())
            assert len(machine.requests) == asked, "it was asked again before the time that it named"
            assert machine.scans - scanned <= LONG * SLOW_SCANS
            await machine.until(lambda: bool(machine.owned), 2 * RESUMED_SECONDS)
            await machine.until(machine.ended, RESUMED_SECONDS + WORK_SECONDS)
        machine.check_published()

    on(tmp_path, scenario)


@pytest.mark.parametrize("clock_moves", [-30 * DAY, 30 * DAY])
def test_a_time_of_another_clock_does_not_delay_a_publish_in_the_next_daemon(
    tmp_path: Path, clock_moves: float
) -> None:
    async def scenario(machine: Machine) -> None:
        paths = machine.leave(10)
        machine.home.outages = [Outage(NetworkState.THROTTLING, 0.3, 60.0)]
        async with machine.daemon():
            await machine.until(lambda: machine.status(paths).queued.next_attempt is not None, WORK_SECONDS)
        machine.set_clock(clock_moves)
        await anyio.sleep(60)
        async with machine.daemon():
            await machine.until(machine.ended, RESUMED_SECONDS + WORK_SECONDS)
        machine.check_published()

    on(tmp_path, scenario)


@pytest.mark.parametrize("clock_moves", [-HOUR, HOUR, -DAY, DAY])
def test_setting_the_clock_changes_no_wait(tmp_path: Path, clock_moves: float) -> None:
    async def scenario(machine: Machine) -> None:
        paths = machine.leave(10)
        async with machine.daemon():
            await until_staging(machine)
            start = trio.current_time()
            machine.home.outages = [Outage(NetworkState.THROTTLING, start, start + 10, retry_after=30)]
            await machine.until(lambda: machine.status(paths).queued.next_attempt is not None, WORK_SECONDS)
            said = machine.requests[-1].at
            machine.set_clock(clock_moves)
            await machine.until(machine.ended, 30 + SCAN_INTERVAL_SECONDS + WORK_SECONDS)
            assert said + 30 <= first_request_after(machine, said + 1) <= said + 30 + 2 * SCAN_INTERVAL_SECONDS
        machine.check_published()

    on(tmp_path, scenario)


def test_a_wait_includes_the_time_asleep(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        paths = machine.leave(10)
        async with machine.daemon():
            await until_staging(machine)
            start = trio.current_time()
            machine.home.outages = [Outage(NetworkState.THROTTLING, start, start + 10)]
            await machine.until(lambda: machine.status(paths).queued.next_attempt is not None, WORK_SECONDS)
            await anyio.sleep(10)
            machine.sleep(2 * HOUR)
            await machine.until(machine.ended, SCAN_INTERVAL_SECONDS + WORK_SECONDS)
        machine.check_published()

    on(tmp_path, scenario)


def test_each_server_is_asked_again_within_seconds_of_the_time_that_it_named(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        paths = machine.leave(10)
        async with machine.daemon():
            await until_staging(machine)
            start = trio.current_time()
            machine.home.outages = [Outage(NetworkState.THROTTLING, start, start + LONG, retry_after=LONG)]
            await machine.until(lambda: machine.status(paths).owner is None, WORK_SECONDS)
            said = machine.requests[-1].at
            await anyio.sleep(LONG + RESUMED_SECONDS)
            resumed = first_request_after(machine, said + 60)
            assert said + LONG <= resumed <= said + LONG + RESUMED_SECONDS + machine.home.seconds
            await machine.until(machine.ended, WORK_SECONDS)
        machine.check_published()

    on(tmp_path, scenario)


@pytest.mark.parametrize("network_state", [NetworkState.FAILING, NetworkState.STRANGE])
def test_a_server_that_fails_for_long_is_asked_less_and_less(tmp_path: Path, network_state: NetworkState) -> None:
    async def scenario(machine: Machine) -> None:
        for _ in range(2):
            machine.leave(10)
        async with machine.daemon():
            await until_staging(machine)
            start = trio.current_time()
            machine.home.outages = [Outage(network_state, start, start + 2 * LONG)]
            await anyio.sleep(LONG)
            reason = Reason.SERVER_FAILING if network_state is NetworkState.FAILING else Reason.INTERMEDIARY
            half = len(machine.requests)
            # Both may be asked for again at this very moment.
            await machine.until(lambda: {found.reason for found in machine.all()} != {Reason.OWNED}, LONG)
            assert {found.reason for found in machine.all()} - {Reason.OWNED} == {reason}
            assert all(0 < found.queued.attempts < 15 for found in machine.all())
            await anyio.sleep(start + 2 * LONG - 1 - trio.current_time())
            assert requests_between(machine, start + LONG, start + 2 * LONG) < half
            await machine.until(machine.ended, LONGEST_RETRY_SECONDS + WORK_SECONDS, every=5.0)
        machine.check_published()

    on(tmp_path, scenario)


def test_a_server_that_loses_every_session_is_asked_less_and_less_and_then_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything is sent again each time, so an acceptance does not count as progress."""
    attempts = MAX_ATTEMPTS if EXHAUSTIVE else 14
    monkeypatch.setattr("roar_publisher.daemon.schedule.MAX_ATTEMPTS", attempts)

    async def scenario(machine: Machine) -> None:
        paths = machine.leave(2)
        machine.home.outages = [Outage(NetworkState.FORGETFUL, 0, 100 * DAY)]
        async with machine.daemon() as daemon:
            await anyio.sleep(HOUR)
            await machine.until(lambda: machine.status(paths).owner is None, WORK_SECONDS)  # it may be at work just now
            found = machine.status(paths)
            assert found.reason == Reason.SESSION_LOST, found.progress
            assert 5 < found.queued.attempts < 14
            first = len(machine.requests)
            await anyio.sleep(HOUR)
            assert len(machine.requests) - first < first / 2
            await machine.until(
                lambda: machine.status(paths).queued.parked,
                attempts * LONGEST_RETRY_SECONDS,
                every=SCAN_INTERVAL_SECONDS,
            )
            assert machine.status(paths).queued.attempts == attempts - 1, "the last one parks it"
            await anyio.sleep(2 * IDLE_RESTART_SECONDS)
            assert daemon.lives == 2

    on(tmp_path, scenario)


def test_setting_the_clock_forward_and_back_loses_nothing(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        for _ in range(12):
            machine.leave(5)
        chance = random.Random(1)
        async with machine.daemon():
            for _ in range(200):
                machine.set_clock(chance.choice([-DAY, DAY, -HOUR, HOUR, -1.0, 1.0]))
                await anyio.sleep(0.1)
            await machine.until(machine.ended, WORK_SECONDS)
        machine.check_published()
        assert set(machine.reported_times().values()) == {1}

    on(tmp_path, scenario)


@pytest.mark.parametrize("seed", sample("hard weeks", range(500), 1))
def test_a_hard_week(tmp_path: Path, seed: int) -> None:
    """Kills, sleep, clocks, outages and throttling, all at random: everything is published once in the end."""
    outages, publishes = (12, 20) if EXHAUSTIVE else (6, 8)

    async def scenario(machine: Machine) -> None:
        chance = random.Random(seed)
        moment = 0.0
        for _ in range(outages):
            moment += chance.uniform(0, 40)
            length = chance.choice([1.0, 10.0, 60.0, HOUR])
            network_state = chance.choice(
                [
                    NetworkState.AWAY,
                    NetworkState.SILENT,
                    NetworkState.THROTTLING,
                    NetworkState.BUSY,
                    NetworkState.FAILING,
                    NetworkState.STRANGE,
                ]
            )
            machine.home.outages.append(
                Outage(network_state, moment, moment + length, retry_after=chance.choice([1, 30, HOUR]))
            )
            moment += length
        while trio.current_time() < moment or not machine.ended():
            if chance.random() < 0.3 and len(machine.queued) < publishes:
                machine.leave(chance.randint(1, 6), project=f"/p/{chance.randint(1, 3)}")
            async with machine.daemon() as daemon:
                await anyio.sleep(chance.choice([0.1, 1.0, 3.0, 30.0, HOUR]))
                match chance.randrange(5):
                    case 0:
                        machine.sleep(chance.uniform(1, 9 * HOUR))
                        await anyio.sleep(chance.uniform(0, 30))
                    case 1:
                        machine.set_clock(chance.uniform(-DAY, DAY))
                        await anyio.sleep(chance.uniform(0, 30))
                    case 2:
                        daemon.stop.set()
                        await machine.until(daemon.over.is_set, RELEASE_SECONDS)
            assert trio.current_time() < 40 * DAY, machine.all()
        async with machine.daemon():
            await anyio.sleep(HOUR)
        machine.check_published()
        assert set(machine.reported_times()) == set(machine.queued)

    on(tmp_path, scenario, seed=seed)


def test_probes_continue_at_their_pace(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        machine.leave()
        machine.home.outages = [Outage(NetworkState.AWAY, 0, LONG)]
        async with machine.daemon():
            await anyio.sleep(LONG - 1)
            probes = [asked.at for asked in machine.requests if asked.at > 60]
            assert max(later - earlier for earlier, later in pairwise(probes)) <= RESUMED_SECONDS
            await machine.until(machine.ended, 1 + RESUMED_SECONDS + WORK_SECONDS)
        machine.check_published()

    on(tmp_path, scenario)


def test_a_daemon_becomes_the_release_that_was_installed_meanwhile(tmp_path: Path) -> None:
    """It does so once the files are complete, and not while it works."""

    async def scenario(machine: Machine) -> None:
        async with machine.daemon() as daemon:
            await anyio.sleep(2 * SETTLED_SECONDS)
            assert daemon.lives == 1
            machine.installed = None  # pip removes the old files
            await anyio.sleep(2 * SETTLED_SECONDS)
            assert daemon.lives == 1
            machine.installed = (2, 2, 2)
            await anyio.sleep(SETTLED_SECONDS / 2)
            assert daemon.lives == 1
            await anyio.sleep(2 * SETTLED_SECONDS)
            assert daemon.lives == 2
            await anyio.sleep(4 * SETTLED_SECONDS)
            assert daemon.lives == 2
        restarts = [line for line in machine.lines if "restarts" in line]
        assert len(restarts) == 1
        assert "another release was installed: the daemon restarts" in restarts[0]

    on(tmp_path, scenario)
