"""The helpers of concurrent tasks raise errors as they are, on both backends."""

import anyio
import pytest

from roar_publisher.state.errors import Interrupted, Transient
from roar_publisher.tasks import background, for_each, task_group, until_stopped

pytestmark = pytest.mark.anyio


async def fail() -> None:
    raise Transient("unreachable")


async def fail_when_cancelled() -> None:
    try:
        await anyio.sleep_forever()
    finally:
        raise Transient("cannot clean up")


async def test_an_error_of_the_block_is_raised_bare() -> None:
    error = ValueError("block")

    async def run() -> None:
        async with task_group() as tasks:
            tasks.start_soon(anyio.sleep_forever)
            raise error

    with pytest.raises(ValueError, match="block") as raised:
        await run()
    assert raised.value is error
    assert raised.value.__context__ is None


async def test_an_error_of_a_task_is_raised_bare_and_cancels_the_block() -> None:
    async def run() -> None:
        async with task_group() as tasks:
            tasks.start_soon(fail)
            await anyio.sleep_forever()

    with pytest.raises(Transient, match="unreachable"):
        await run()


async def test_the_first_error_is_raised() -> None:
    async def run() -> None:
        async with task_group() as tasks:
            tasks.start_soon(fail_when_cancelled)
            await anyio.wait_all_tasks_blocked()
            raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        await run()


async def test_an_error_of_a_nested_group_is_raised_bare() -> None:
    async def run() -> None:
        async with task_group(), anyio.create_task_group() as tasks:
            tasks.start_soon(fail)

    with pytest.raises(Transient):
        await run()


async def test_a_cancellation_passes() -> None:
    with anyio.CancelScope() as scope:
        async with task_group() as tasks:
            tasks.start_soon(anyio.sleep_forever)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_an_error_takes_precedence_over_a_cancellation() -> None:
    async def run() -> None:
        with anyio.CancelScope() as scope:
            async with task_group() as tasks:
                tasks.start_soon(fail_when_cancelled)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
                await anyio.sleep_forever()

    with pytest.raises(Transient, match="clean up"):
        await run()


async def test_a_background_task_ends_with_the_block() -> None:
    ended: list[str] = []

    async def serve() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("served")

    async with background(serve, anyio.lowlevel.checkpoint):
        await anyio.wait_all_tasks_blocked()
        assert ended == []
    assert ended == ["served"]


async def test_an_error_of_a_background_task_ends_the_block() -> None:
    with pytest.raises(Transient):
        async with background(fail):
            await anyio.sleep_forever()


async def test_a_stop_interrupts_the_work() -> None:
    stop = anyio.Event()

    async def work() -> None:
        stop.set()
        await anyio.sleep_forever()

    with pytest.raises(Interrupted):
        await until_stopped(stop, work)


async def test_work_may_end_within_the_grace_period() -> None:
    stop = anyio.Event()

    async def work() -> str:
        stop.set()
        await anyio.wait_all_tasks_blocked()
        return "done"

    assert await until_stopped(stop, work, grace_seconds=60.0) == "done"


@pytest.mark.parametrize("set_before", [False, True])
async def test_a_result_counts_although_the_process_is_asked_to_stop(set_before: bool) -> None:
    stop = anyio.Event()
    if set_before:
        stop.set()

    async def work() -> str:
        stop.set()
        return "done"

    assert await until_stopped(stop, work) == "done"


async def test_an_error_of_the_work_is_raised_bare() -> None:
    with pytest.raises(Transient):
        await until_stopped(anyio.Event(), fail)


async def test_every_item_is_worked_on_and_only_some_at_once() -> None:
    active, most, done = 0, 0, []

    async def work(item: int) -> None:
        nonlocal active, most
        active += 1
        most = max(most, active)
        await anyio.lowlevel.checkpoint()
        active -= 1
        done.append(item)

    await for_each(range(10), work, at_once=3)
    assert sorted(done) == list(range(10))
    assert most == 3


async def test_the_first_failing_item_ends_the_others() -> None:
    begun: list[int] = []

    async def work(item: int) -> None:
        begun.append(item)
        if item == 2:
            raise Transient("unreachable")
        await anyio.sleep_forever()

    with pytest.raises(Transient):
        await for_each(range(10), work, at_once=3)
    assert begun == [0, 1, 2]
