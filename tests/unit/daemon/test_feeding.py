"""The feeder beside the daemon's loop."""

import logging

import anyio
import pytest

from roar_publisher.daemon.dependencies import Dependencies
from roar_publisher.daemon.feeding import Feeding
from roar_publisher.daemon.service import Daemon
from roar_publisher.daemon.settings import DaemonSettings
from roar_publisher.daemon.wake import wake
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.paths import StateFolder

LOG = logging.getLogger("tests.daemon.feeding")

pytestmark = pytest.mark.anyio


class Counted:
    """A feeder that counts how often it looks for work. refused: how often it cannot, as for lack of a thread."""

    def __init__(self, *, refused: int = 0) -> None:
        self.refused = refused
        self.looked = 0
        self._stopped = False

    def start(self) -> None:
        self._stopped = False

    def feed(self) -> bool:
        if self.refused:
            self.refused -= 1
            raise LocalProblem("this machine may not start more threads")
        self.looked += not self._stopped
        return False

    def stop(self) -> None:
        self._stopped = True


async def test_a_daemon_that_could_not_restart_itself_goes_on_with_its_feeder(folder: StateFolder) -> None:
    feeder = Counted()
    dependencies = Dependencies(feeder=feeder)
    for lives in (1, 2):
        folder.make()
        await Daemon(folder, DaemonSettings(), log=LOG, dependencies=dependencies, drain=True).run(anyio.Event())
        assert feeder.looked == lives


async def test_a_feeder_that_cannot_work_now_is_asked_again_later(caplog: pytest.LogCaptureFixture) -> None:
    feeder = Counted(refused=1)
    feeding = Feeding(feeder, drain=False, log=LOG, wake=lambda: None)
    for _ in range(2):
        async with anyio.create_task_group() as tasks:
            feeding.start(tasks)
        assert not feeding.active
    assert feeder.looked == 1
    assert [record.getMessage() for record in caplog.records] == ["this machine may not start more threads"]


class Surprised(Counted):
    """A feeder beside which, after it has looked for the first time, a training submits and wakes the daemon."""

    def __init__(self, folder: StateFolder) -> None:
        super().__init__()
        self._folder = folder

    def feed(self) -> bool:
        found = super().feed()
        while self.looked == 1 and not wake(self._folder):  # the socket may not be open yet
            pass
        return found


async def test_a_drain_that_is_woken_feeds_once_more(folder: StateFolder) -> None:
    folder.make()
    feeder = Surprised(folder)
    await Daemon(folder, DaemonSettings(), log=LOG, dependencies=Dependencies(feeder=feeder), drain=True).run(
        anyio.Event()
    )
    assert feeder.looked == 2
