"""Acknowledgements are committed in groups: soon, together, and never lost by a cancellation."""

from collections.abc import Sequence

import anyio
import pytest

from roar_publisher.engine.staging.acks import GROUP_SECONDS, GROUP_SIZE, Acknowledgements
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason
from tests.support import virtual


class Commits:
    """Writes down what is committed, and when."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.groups: list[list[int]] = []
        self.times: list[float] = []
        self._seconds = seconds

    async def __call__(self, group: Sequence[tuple[int, int]]) -> None:
        await anyio.sleep(self._seconds)
        self.groups.append([seq for seq, _ in group])
        self.times.append(anyio.current_time())


def test_a_group_closes_some_milliseconds_after_its_first() -> None:
    async def scenario() -> None:
        commits = Commits()
        acks = Acknowledgements(commits)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(acks.serve)
            for seq in range(4):
                acks.add((seq, 0))
                await anyio.sleep(GROUP_SECONDS * 0.4)
            await anyio.sleep(1)
            tasks.cancel_scope.cancel()
        assert commits.groups == [[0, 1, 2], [3]]

    virtual.run(scenario)


def test_a_full_group_does_not_wait() -> None:
    async def scenario() -> None:
        commits = Commits()
        acks = Acknowledgements(commits)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(acks.serve)
            for seq in range(GROUP_SIZE):
                acks.add((seq, 0))
            await anyio.sleep(GROUP_SECONDS / 2)
            tasks.cancel_scope.cancel()
        assert commits.groups == [list(range(GROUP_SIZE))]

    virtual.run(scenario)


def test_what_comes_during_a_commit_is_in_the_next_group() -> None:
    async def scenario() -> None:
        commits = Commits(seconds=0.01)
        acks = Acknowledgements(commits)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(acks.serve)
            acks.add((1, 0))
            await anyio.sleep(GROUP_SECONDS + 0.005)
            acks.add((2, 0))
            await anyio.sleep(1)
            tasks.cancel_scope.cancel()
        assert commits.groups == [[1], [2]]

    virtual.run(scenario)


@pytest.mark.parametrize("wait", [GROUP_SECONDS / 2, GROUP_SECONDS + 0.005])
def test_cancelled_in_the_middle_nothing_is_lost(wait: float) -> None:
    async def scenario() -> None:
        commits = Commits(seconds=0.01)
        acks = Acknowledgements(commits)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(acks.serve)
            acks.add((1, 0))
            await anyio.sleep(wait)
            tasks.cancel_scope.cancel()
        await acks.flush()
        await acks.flush()
        assert commits.groups == [[1]]

    virtual.run(scenario)


def test_a_disk_that_refuses_is_heard() -> None:
    async def refuse(group: Sequence[tuple[int, int]]) -> None:
        raise LocalProblem("the disk is full", reason=Reason.DISK_FULL)

    async def scenario() -> None:
        acks = Acknowledgements(refuse)
        acks.add((1, 0))
        with pytest.raises(LocalProblem):
            await acks.serve()

    virtual.run(scenario)
