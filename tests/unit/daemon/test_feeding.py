"""The feeder beside the daemon's loop."""

import logging

import anyio
import pytest

from roar_publisher.daemon.feeding import Feeding
from roar_publisher.state.errors import LocalProblem

LOG = logging.getLogger("tests.daemon.feeding")

pytestmark = pytest.mark.anyio


class Refused:
    """A feeder that cannot look for work at first, as if no thread could be started for it."""

    def __init__(self) -> None:
        self.calls = 0

    def feed(self) -> bool:
        self.calls += 1
        if self.calls == 1:
            raise LocalProblem("this machine may not start more threads")
        return False

    def stop(self) -> None:
        pass


async def test_a_feeder_that_cannot_work_now_is_asked_again_later(caplog: pytest.LogCaptureFixture) -> None:
    feeder = Refused()
    feeding = Feeding(feeder, drain=False, log=LOG, wake=lambda: None)
    for _ in range(2):
        async with anyio.create_task_group() as tasks:
            feeding.start(tasks)
        assert not feeding.active
    assert feeder.calls == 2
    assert [record.getMessage() for record in caplog.records] == ["this machine may not start more threads"]
