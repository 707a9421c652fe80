"""Ends are reported to the hook: each at least once, a bounded number at a time, without holding the publish."""

from collections import Counter
from pathlib import Path

import anyio
import trio

from roar_publisher.daemon.hooks import EndedPublish
from roar_publisher.daemon.schedule import FIRST_RETRY_SECONDS
from roar_publisher.daemon.service import SCAN_INTERVAL_SECONDS
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.lock import Lock
from roar_publisher.state.machine import Event, State
from roar_publisher.state.paths import PublishPaths
from roar_publisher.state.publish import OwnedPublish
from tests.support.daemon.networks import NetworkState, Outage
from tests.support.daemon.scenarios import HOUR, RESUMED_SECONDS, WORK_SECONDS, on
from tests.support.daemon.worlds import Machine


def test_an_end_is_reported_again_if_the_daemon_died_during_the_report(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        paths = machine.leave()
        machine.reporting_seconds = 2.0
        for lives in range(1, 4):
            async with machine.daemon() as daemon:
                await machine.until(lambda wanted=lives: len(machine.reported) == wanted, WORK_SECONDS)  # type: ignore[misc]
                daemon.kill()
                await daemon.over.wait()
            assert machine.status(paths).queued.notified is False
        async with machine.daemon():
            await anyio.sleep(HOUR)
        assert machine.reported_times() == Counter({paths.id: 4})
        machine.check_published()

    on(tmp_path, scenario)


def test_a_suspension_during_a_report_does_not_repeat_it(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        paths = machine.leave()
        machine.reporting_seconds = 20.0
        async with machine.daemon():
            await machine.until(lambda: bool(machine.reported), WORK_SECONDS)
            machine.sleep(HOUR)
            await anyio.sleep(HOUR)
        assert machine.reported_times() == Counter({paths.id: 1})
        assert machine.status(paths).queued.notified is True

    on(tmp_path, scenario)


def test_a_reader_of_an_ended_publish_only_delays_its_report(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        paths = machine.leave()
        machine.reporting_seconds = 1.0
        async with machine.daemon() as daemon:
            await machine.until(lambda: bool(machine.reported), WORK_SECONDS)
            daemon.kill()
            await daemon.over.wait()
        async with machine.daemon() as daemon:
            with Lock(paths.lock):
                await anyio.sleep(60)
                assert not daemon.over.is_set()
                assert len(machine.reported) == 1
            await machine.until(lambda: machine.status(paths).queued.notified is True, 60)
        machine.check_published()

    on(tmp_path, scenario)


def test_no_more_ends_are_reported_at_once_than_publishes_are_active(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        publishes = [machine.leave(1) for _ in range(9)]
        machine.reporting_seconds = 20.0
        at_once = []
        machine.on_report = lambda ended: at_once.append(machine.reporting)
        async with machine.daemon():
            await machine.until(machine.ended, 200 + WORK_SECONDS, every=1.0)
        assert max(at_once) == 4
        assert machine.reported_times() == Counter({paths.id: 1 for paths in publishes})

    on(tmp_path, scenario)


def test_a_hook_that_lacks_resources_is_run_later(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        paths = machine.leave()

        def no_room(ended: EndedPublish) -> None:
            if trio.current_time() < 60:
                raise LocalProblem("the hook cannot be run at the moment: Too many open files")

        machine.on_report = no_room
        async with machine.daemon():
            await anyio.sleep(60)
            assert machine.status(paths).queued.notified is False
            assert len(machine.reported) < 60 / FIRST_RETRY_SECONDS + 1
            await machine.until(machine.ended, FIRST_RETRY_SECONDS + SCAN_INTERVAL_SECONDS)

    on(tmp_path, scenario)


def test_a_defect_during_a_report_is_logged_and_does_not_stop_the_daemon(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        machine.leave()
        machine.leave(agreed=False)  # the desktop shows that it waits

        def defect(ended: EndedPublish) -> None:
            raise ExceptionGroup("unforeseen", [PermissionError()])

        machine.on_report = defect
        async with machine.daemon() as daemon:
            await anyio.sleep(HOUR)
            assert not daemon.over.is_set()
        assert set(machine.reported_times().values()) == {1}
        assert sum("a defect" in line for line in machine.lines) == 2

    on(tmp_path, scenario)


def test_an_end_that_cannot_be_recorded_is_not_reported(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        paths = machine.leave()
        machine.reporting_seconds = 2.0
        async with machine.daemon() as daemon:
            await machine.until(lambda: bool(machine.reported), WORK_SECONDS)
            daemon.kill()
            await daemon.over.wait()
        machine.writes = lambda: False
        async with machine.daemon():
            await anyio.sleep(HOUR)
            assert len(machine.reported) == 1
            machine.writes = lambda: True
            await machine.until(machine.ended, RESUMED_SECONDS + SCAN_INTERVAL_SECONDS)
        assert machine.reported_times() == Counter({paths.id: 2})

    on(tmp_path, scenario)


def test_a_failure_and_the_end_after_it_are_both_reported(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        paths = machine.leave()
        machine.home.outages = [Outage(NetworkState.REFUSING, 0, HOUR)]
        async with machine.daemon():
            await machine.until(machine.ended, WORK_SECONDS)
            machine.home.outages = []
            try_again(machine, paths)
            await machine.until(machine.ended, SCAN_INTERVAL_SECONDS + WORK_SECONDS)
        assert [ended.state for ended in machine.reported] == [State.FAILED, State.DONE]
        machine.check_published()

    on(tmp_path, scenario)


def test_a_hook_may_have_its_publish_tried_again(tmp_path: Path) -> None:
    """No process owns it while its end is reported; a later end is reported as well."""

    async def scenario(machine: Machine) -> None:
        paths = machine.leave()
        machine.home.outages = [Outage(NetworkState.REFUSING, 0, HOUR)]
        machine.reporting_seconds = 10.0

        def hook(ended: EndedPublish) -> None:
            if ended.state is State.FAILED:
                machine.home.outages = []
                try_again(machine, paths)

        machine.on_report = hook
        async with machine.daemon():
            await machine.until(machine.ended, 20 + SCAN_INTERVAL_SECONDS + 2 * WORK_SECONDS)
        assert [ended.state for ended in machine.reported] == [State.FAILED, State.DONE]
        machine.check_published()

    on(tmp_path, scenario)


def try_again(machine: Machine, paths: PublishPaths) -> None:
    """As `roar journal retry` does."""
    with OwnedPublish.open(paths, clock=machine.now) as owned:
        owned.journal.checkpoint(Event.RETRIED)
        owned.journal.queue.unpark()


def test_on_stop_a_hook_is_killed_immediately_and_run_again_later(tmp_path: Path) -> None:
    async def scenario(machine: Machine) -> None:
        paths = machine.leave()
        machine.reporting_seconds = 60.0
        async with machine.daemon() as daemon:
            await machine.until(lambda: bool(machine.reported), WORK_SECONDS)
            daemon.stop.set()
            await machine.until(daemon.over.is_set, 2.0)
        assert machine.status(paths).queued.notified is False
        async with machine.daemon():
            await machine.until(machine.ended, 60 + RESUMED_SECONDS)
        assert machine.reported_times() == Counter({paths.id: 2})

    on(tmp_path, scenario)
