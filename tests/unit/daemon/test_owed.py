"""The daemon pays what a published lineage owes, and leaves to a person what only a person can settle."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from roar_publisher.daemon.index import PublishIndex
from roar_publisher.daemon.schedule import LONGEST_LOCAL_RETRY_SECONDS
from roar_publisher.state.machine import State
from roar_publisher.state.paths import PublishPaths
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.reasons import Reason
from tests.support.checkout import PROJECTS
from tests.support.daemon.scenarios import HOUR, WORK_SECONDS, on
from tests.support.daemon.worlds import Machine


def in_database(path: PublishPaths, database: Path) -> None:
    """Make it a publish from this roar.db."""
    with OwnedPublish.open(path) as owned, owned.journal.transaction():
        owned.journal.db.execute("UPDATE plan SET roar_db = ?", [str(database)])


def damaged(database: Path) -> Callable[[], object]:
    """Damage it; returns how to fix it."""
    good = database.read_bytes()
    database.write_bytes(b"no database" * 1000)
    return lambda: database.write_bytes(good)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("roar_publisher.lineage.connections.WRITE_TIMEOUT", 0.0)
    return Path(shutil.copy(PROJECTS / "linear" / "roar" / "roar.db", tmp_path / "roar.db"))


def test_work_that_another_process_blocks_is_done_once_it_has_ended(tmp_path: Path, database: Path) -> None:
    async def scenario(machine: Machine) -> None:
        paths = machine.leave()
        in_database(paths, database)
        with closing(sqlite3.connect(database, isolation_level=None)) as roar:
            roar.execute("BEGIN IMMEDIATE")
            async with machine.daemon():
                await machine.until(lambda: machine.status(paths).owes, WORK_SECONDS)
                await anyio.sleep(HOUR / 4)
                found = machine.status(paths)
                assert (found.progress.state, found.reason, found.queued.parked) == (State.DONE, Reason.OWED, False)
                assert found.queued.attempts > 1
                roar.execute("ROLLBACK")
                await machine.until(lambda: not machine.status(paths).owes, LONGEST_LOCAL_RETRY_SECONDS + WORK_SECONDS)
            assert machine.reported_times() == {paths.id: 1}, "its end was reported when it was published"
        machine.check_published()

    on(tmp_path, scenario)


def test_a_publish_that_needs_the_user_is_not_tried_again(tmp_path: Path, database: Path) -> None:
    async def scenario(machine: Machine) -> None:
        paths = machine.leave()
        in_database(paths, database)
        repair = damaged(database)
        async with machine.daemon():
            await machine.until(lambda: machine.status(paths).queued.parked, WORK_SECONDS)
            assert machine.status(paths).owes
            repair()
            await anyio.sleep(HOUR)
            assert machine.status(paths).owes
            with OwnedPublish.open(paths) as owned:
                owned.journal.queue.unpark()
            await machine.until(lambda: not machine.status(paths).owes, WORK_SECONDS)
        machine.check_published()

    on(tmp_path, scenario)


def test_nothing_is_paid_before_the_end_is_reported(tmp_path: Path, database: Path) -> None:
    async def scenario(machine: Machine) -> None:
        paths = machine.leave()
        in_database(paths, database)
        with closing(sqlite3.connect(database, isolation_level=None)) as roar:
            roar.execute("BEGIN IMMEDIATE")
            async with machine.daemon():
                await machine.until(lambda: machine.status(paths).owes, WORK_SECONDS)
        for notified, waits in ((False, False), (True, True), (None, True)):
            with OwnedPublish.open(paths) as owned, owned.journal.transaction():
                owned.journal.db.execute("UPDATE queue SET told = ?, parked = 0", [notified])
            waiting = PublishIndex(machine.folder).waiting(frozenset())
            assert bool(waiting) is waits, notified

    on(tmp_path, scenario)
