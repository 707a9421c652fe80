"""Active publishes share connections, restart with new ones after a suspension, and are what they were at the scan."""

import logging
from collections.abc import Callable
from typing import Any

import anyio
import httpx2
import pytest

from roar_publisher.daemon import workers as workers_module
from roar_publisher.daemon.dependencies import Dependencies
from roar_publisher.daemon.schedule import UNUSABLE_PAUSE_SECONDS, Action, FollowUp
from roar_publisher.daemon.settings import DaemonSettings
from roar_publisher.daemon.workers import WorkerPool
from roar_publisher.net.connection import RegistryConnection
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.journal import Journal
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.queue import STOPPED_BY_USER
from roar_publisher.state.reasons import Reason
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
        self, found: JournalStatus, stop: object, folder: object, connection: RegistryConnection, *_: Any, **__: Any
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


@pytest.mark.parametrize(
    "command",
    [
        lambda journal: journal.readdress("https://other.example"),
        lambda journal: journal.park(reason=Reason.EXPORTED, detail="it is in x.bundle"),
        lambda journal: journal.park(reason=Reason.INTERRUPTED, detail=STOPPED_BY_USER),
        lambda journal: journal.queue.postpone(attempts=1, until=4e9),
    ],
    ids=["moved to another registry", "exported", "stopped with Ctrl-C", "postponed"],
)
async def test_what_a_command_changes_between_the_scan_and_the_start_is_respected(
    folder: StateFolder, command: Callable[[Journal], None]
) -> None:
    """It is left to the next scan: nothing is sent, least of all to the registry that it was read with."""
    requests: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(503)

    found = publish(folder)
    with OwnedPublish.open(found.paths) as owned:
        command(owned.journal)
        queued, progress = owned.journal.queue.read(), owned.journal.progress()
    released: dict[str, FollowUp | None] = {}
    async with anyio.create_task_group() as tasks:
        workers = WorkerPool(
            tasks,
            folder,
            DaemonSettings(notify=False),
            log=logging.getLogger("tests.daemon.workers"),
            dependencies=Dependencies(transport=httpx2.MockTransport(answer)),
            on_released=released.__setitem__,
        )
        workers.start(found)
    assert (requests, released) == ([], {found.paths.id: FollowUp(Action.LEAVE)})
    after = read_status(found.paths)
    assert (after.queued, after.progress) == (queued, progress)
