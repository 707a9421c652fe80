"""Active publishes share connections, and restart with new ones after a suspension."""

import logging
from typing import Any

import anyio
import pytest

from roar_publisher.daemon import workers as workers_module
from roar_publisher.daemon.dependencies import Dependencies
from roar_publisher.daemon.schedule import UNUSABLE_PAUSE_SECONDS, Action, FollowUp
from roar_publisher.daemon.settings import DaemonSettings
from roar_publisher.daemon.workers import WorkerPool
from roar_publisher.net.connection import RegistryConnection
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.status import JournalStatus
from roar_publisher.state.status_reader import read_status
from tests.support.lineages import chain, cut, frozen

pytestmark = pytest.mark.anyio


class Slow:
    """Work on a publish that never ends, and after a cancellation releases it only when allowed."""

    def __init__(self) -> None:
        self.connections: list[RegistryConnection] = []
        self.may_release = anyio.Event()

    async def run_publish(
        self, found: JournalStatus, active: object, folder: object, connection: RegistryConnection, *_: Any, **__: Any
    ) -> FollowUp:
        self.connections.append(connection)
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await self.may_release.wait()
        raise AssertionError


def publish(folder: StateFolder) -> JournalStatus:
    with frozen(folder, cut(chain(2))) as made:
        return read_status(made.paths)


async def test_after_a_suspension_new_publishes_use_new_connections(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, log = Slow(), logging.getLogger("tests.daemon.workers")
    monkeypatch.setattr(workers_module, "run_publish", slow.run_publish)
    async with anyio.create_task_group() as tasks:
        workers = WorkerPool(
            tasks,
            folder,
            DaemonSettings(),
            log=log,
            dependencies=Dependencies(),
            on_released=lambda publish_id, follow_up: None,
        )
        for _ in range(2):
            workers.start(publish(folder))
            await anyio.wait_all_tasks_blocked()
        workers.restart_all()
        await anyio.wait_all_tasks_blocked()
        workers.start(publish(folder))
        await anyio.wait_all_tasks_blocked()
        before, also_before, after = slow.connections
        assert before is also_before
        assert before is not after
        slow.may_release.set()
        tasks.cancel_scope.cancel()
    assert workers.active == {}


@pytest.mark.parametrize("problem", [LocalProblem("the lock cannot be opened"), RuntimeError("can't start new thread")])
async def test_a_publish_that_meets_a_defect_and_cannot_be_parked_is_left_alone_for_a_while(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    """It neither ends the daemon nor is it tried again at once."""

    async def defect(*_: object, **__: object) -> FollowUp:
        raise RuntimeError

    def refuse(*_: object, **__: object) -> OwnedPublish:
        raise problem

    found = publish(folder)
    released: dict[str, FollowUp | None] = {}
    monkeypatch.setattr(workers_module, "run_publish", defect)
    monkeypatch.setattr(OwnedPublish, "open", refuse)
    async with anyio.create_task_group() as tasks:
        workers = WorkerPool(
            tasks,
            folder,
            DaemonSettings(),
            log=logging.getLogger("tests.daemon.workers"),
            dependencies=Dependencies(),
            on_released=released.__setitem__,
        )
        workers.start(found)
    assert released == {found.paths.id: FollowUp(Action.PAUSE, seconds=UNUSABLE_PAUSE_SECONDS)}
