"""The daemon and its queue on virtual time: a full disk, fairness, claims, stops, unreadable journals."""

import errno
import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from unittest import mock

import anyio
import pytest
import trio
from msgspec.structs import replace

from roar_publisher.daemon.service import SCAN_INTERVAL_SECONDS, SOCKET_RETRY_SECONDS
from roar_publisher.state.lock import Lock
from roar_publisher.state.machine import State
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
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

STOPS = sample(
    "stops",
    [(after, network_state) for after in (0.0, 0.3, 1.0, 2.0, 4.0) for network_state in (None, NetworkState.SILENT)],
    0,
    lambda stop: stop[0],
    lambda stop: stop[1],
)


def requests_between(machine: Machine, start: float, end: float) -> int:
    return sum(start <= asked.at < end for asked in machine.requests)


async def until_staging(machine: Machine) -> None:
    """Return when something is acknowledged and much is not."""
    await machine.until(lambda: any(found.progress.state is State.STAGE for found in machine.all()), WORK_SECONDS)
    await anyio.sleep(machine.home.seconds)


def test_a_socket_that_cannot_be_opened_is_opened_later(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        opened: list[float] = []

        async def serve(folder: StateFolder, on_wake: Callable[[], None]) -> None:
            if not machine.room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            opened.append(trio.current_time())
            await anyio.sleep_forever()

        machine.room = False
        with mock.patch("roar_publisher.daemon.service.serve", serve):
            async with machine.daemon():
                await anyio.sleep(HOUR / 8)
                assert sum("cannot open the socket" in line for line in machine.lines) == 1
                machine.room = True
                await machine.until(lambda: bool(opened), SOCKET_RETRY_SECONDS, every=1.0)

    on(tmp_path, scenario)


def test_nothing_is_started_on_a_full_disk_and_everything_when_there_is_room(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        for _ in range(6):
            machine.leave()
        machine.room = False
        async with machine.daemon():
            await anyio.sleep(LONG)
            assert not machine.requests
            assert sum("is full" in line for line in machine.lines) == 1
            assert {found.reason for found in machine.all()} == {Reason.QUEUED}
            machine.room = True
            await machine.until(lambda: bool(machine.requests), RESUMED_SECONDS)
            await machine.until(machine.ended, WORK_SECONDS)
        machine.check_published()

    on(tmp_path, scenario)


@pytest.mark.parametrize("fails_at", range(1, 30, 4))
def test_a_disk_that_fills_up_postpones_the_work_until_there_is_room(tmp_path: Path, fails_at: int) -> None:
    """The commit that finds no room can be any; what is written down afterwards finds some, or none."""

    async def scenario(machine: Machine) -> None:
        paths = machine.leave(4)
        commits = 0
        full_until = 2 * LONG

        def writes() -> bool:
            nonlocal commits
            commits += 1
            if trio.current_time() >= full_until or commits < fails_at:
                return True
            return fails_at % 8 == 1 and commits > fails_at  # a note may find room where a transaction did not

        machine.writes = writes
        async with machine.daemon():
            await anyio.sleep(full_until)
            assert len(machine.requests) < full_until / 4, "it tries too hard"
            assert len(machine.lines) < full_until / 4
            await machine.until(machine.ended, WORK_SECONDS + RESUMED_SECONDS + 30)
            assert machine.status(paths).queued.attempts == 0
        machine.check_published()

    on(tmp_path, scenario)


def test_a_journal_that_says_disk_full_says_so_while_it_waits(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        paths = machine.leave(4)
        commits = 0

        def writes() -> bool:
            nonlocal commits
            commits += 1
            return commits != 8 or trio.current_time() > LONG

        machine.writes = writes
        async with machine.daemon():
            await machine.until(lambda: machine.status(paths).reason == Reason.DISK_FULL, WORK_SECONDS)
            waiting = machine.status(paths)
            assert (waiting.queued.attempts, waiting.queued.parked) == (0, False)
            await machine.until(machine.ended, 60 + WORK_SECONDS)
        machine.check_published()

    on(tmp_path, scenario)


def test_sixty_publishes_of_three_projects_are_fair_and_never_more_than_allowed_at_once(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        large = [machine.leave(2, project="/p/large") for _ in range(54)]
        small = [machine.leave(2, project="/p/small") for _ in range(5)]
        single = [machine.leave(2, project="/p/single")]
        at_once = 0
        async with machine.daemon():
            while len(machine.reported) < 60:
                at_once = max(at_once, len(machine.owned))
                await anyio.sleep(0.2)
        assert at_once == 4
        order = [ended.publish_id for ended in machine.reported]
        assert order.index(single[0].id) < 4
        assert max(order.index(paths.id) for paths in small) < 16
        assert sorted(order) == sorted(paths.id for paths in large + small + single)
        machine.check_published()

    on(tmp_path, scenario)


def test_a_publish_that_needs_the_user_is_notified_once_and_delays_no_other(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        elsewhere = machine.site("elsewhere.localhost")
        unsure = machine.leave(site=elsewhere, agreed=False)
        others = [machine.leave() for _ in range(9)]
        async with machine.daemon() as daemon:
            await machine.until(lambda: sum(not found.live for found in machine.all()) == len(others), WORK_SECONDS)
            asked = [request for request in machine.requests if request.site == elsewhere.name]
            await anyio.sleep(3 * LONG)
            assert daemon.lives == 2, "what needs user action keeps the daemon from its rest"
        parked = machine.status(unsure)
        assert (parked.reason, parked.queued.parked) == (Reason.NEEDS_CONFIRMATION, True)
        assert "roar publish --resume" in parked.progress.detail
        assert [request for request in machine.requests if request.site == elsewhere.name] == asked
        assert len(asked) <= 3
        with OwnedPublish.open(unsure, clock=machine.now) as owned:  # a person agrees
            owned.journal.queue.configure(agreed=True)
            owned.journal.queue.unpark()
        async with machine.daemon():
            await machine.until(machine.ended, RESUMED_SECONDS + WORK_SECONDS)
        machine.check_published()

    on(tmp_path, scenario)


@pytest.mark.parametrize("network_state", [None, NetworkState.AWAY, NetworkState.SILENT, NetworkState.THROTTLING])
def test_a_claimed_publish_is_released_and_not_taken_again(tmp_path: Path, network_state: NetworkState | None) -> None:
    async def scenario(machine: Machine) -> None:
        wanted, other = machine.leave(40), machine.leave(40)
        machine.home.seconds = 3.0
        async with machine.daemon():
            await until_staging(machine)
            if network_state is not None:
                machine.home.outages = [Outage(network_state, trio.current_time(), LONG / 2, retry_after=10)]
            await anyio.sleep(5)
            began = trio.current_time()
            with Lock(wanted.claim):  # no process wakes the daemon
                let_go = await machine.until(lambda: machine.status(wanted).owner is None, RELEASE_SECONDS)
                assert let_go - began <= RELEASE_SECONDS
                held = machine.status(wanted)
                await anyio.sleep(LONG)
                assert replace(machine.status(wanted), host=held.host) == held, "it was touched while it was claimed"
                assert machine.status(other).progress.state is State.DONE
            await machine.until(machine.ended, 20 * WORK_SECONDS)
        machine.check_published()

    on(tmp_path, scenario)


def test_repeated_claims_do_not_stop_the_daemon(tmp_path: Path) -> None:
    """A claim may come at any moment: while it looks, while the publish ends."""

    async def scenario(machine: Machine) -> None:
        publishes = [machine.leave(3) for _ in range(12)]
        machine.scan_seconds = 1.0
        chance = random.Random(3)
        async with machine.daemon() as daemon:
            while not machine.ended():
                with Lock(chance.choice(publishes).claim):
                    await anyio.sleep(chance.uniform(0, 0.5))
                await anyio.sleep(chance.uniform(0, 0.5))
                assert not daemon.over.is_set()
        machine.check_published()

    on(tmp_path, scenario)


@pytest.mark.parametrize(("after", "network_state"), STOPS)
def test_on_stop_it_exits_within_ten_seconds_and_loses_nothing(
    tmp_path: Path, after: float, network_state: NetworkState | None
) -> None:
    async def scenario(machine: Machine) -> None:
        for _ in range(6):
            machine.leave(25)
        machine.home.seconds = 8.0 if network_state is None else 0.5
        if network_state is not None:
            machine.home.outages = [Outage(network_state, 1.0, HOUR)]
        async with machine.daemon() as daemon:
            await anyio.sleep(after)
            daemon.stop.set()
            await machine.until(daemon.over.is_set, RELEASE_SECONDS)
        assert not machine.owned
        assert {found.reason for found in machine.all()} <= {Reason.QUEUED, Reason.INTERRUPTED}
        machine.home.outages, machine.home.seconds = [], 0.2
        async with machine.daemon():
            await machine.until(machine.ended, 4 * WORK_SECONDS)
        machine.check_published()

    on(tmp_path, scenario)


def test_a_lock_without_a_pid_is_not_tried_repeatedly(tmp_path: Path) -> None:
    """If the disk was full, it contains no pid."""

    async def scenario(machine: Machine) -> None:
        held, other = machine.leave(), machine.leave()
        async with machine.daemon():
            with Lock(held.lock):
                held.lock.write_text("")
                await anyio.sleep(LONG)
                assert machine.scans <= 2 * LONG * SLOW_SCANS
                assert len(machine.lines) < 100
                assert not machine.status(other).live
            await machine.until(machine.ended, 2 * RESUMED_SECONDS + WORK_SECONDS)
        machine.check_published()

    on(tmp_path, scenario)


def test_an_unreadable_journal_is_logged_at_intervals(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        newer, other = machine.leave(), machine.leave()
        with closing(sqlite3.connect(newer.journal)) as connection, connection:
            connection.execute(
                "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
                " SELECT migration_set, 'm999_of_tomorrow', applied_at FROM _sqlite_migrations LIMIT 1"
            )
        before = newer.journal.read_bytes()
        async with machine.daemon():
            await anyio.sleep(LONG)
            assert not machine.status(other).live
            assert machine.scans <= 2 * LONG * SLOW_SCANS
            assert sum(newer.id in line for line in machine.lines) <= LONG / 20
        assert newer.journal.read_bytes() == before

    on(tmp_path, scenario)


def test_publishes_that_wait_for_one_registry_do_not_delay_another(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        away = machine.site("away.localhost")
        away.outages = [Outage(NetworkState.AWAY, 0, DAY)]
        for _ in range(40 if EXHAUSTIVE else 10):
            machine.leave(site=away)
        async with machine.daemon():
            await anyio.sleep(60)
            paths = machine.leave()
            await machine.until(lambda: not machine.status(paths).live, SCAN_INTERVAL_SECONDS + WORK_SECONDS)
            calm = trio.current_time()
            await anyio.sleep(LONG)
            assert requests_between(machine, calm + 60, calm + LONG) <= LONG / 1.9
            away.outages = []
            await machine.until(machine.ended, RESUMED_SECONDS + 4 * WORK_SECONDS)
        machine.check_published()

    on(tmp_path, scenario)


def test_an_idle_daemon_scans_every_few_seconds(tmp_path: Path) -> None:
    length = DAY if EXHAUSTIVE else LONG

    async def scenario(machine: Machine) -> None:
        async with machine.daemon():
            await anyio.sleep(length)
        assert not machine.requests
        assert 0.9 * length / SCAN_INTERVAL_SECONDS <= machine.scans <= length * SLOW_SCANS

    on(tmp_path, scenario)
