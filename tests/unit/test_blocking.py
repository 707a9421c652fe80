"""Blocking calls in threads, also where the system has none left."""

import threading
from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest

from roar_publisher.blocking import RunBlocking, in_thread, in_thread_while_wanted, one_at_a_time
from roar_publisher.state.errors import Conclusion, LocalProblem
from tests.support.threads import no_more_threads

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """A new loop of asyncio has no idle threads; trio keeps some beyond a test."""
    return "asyncio"


@pytest.mark.parametrize("make", [lambda: in_thread, lambda: in_thread_while_wanted, one_at_a_time])
async def test_a_thread_that_cannot_be_started_is_a_problem_of_this_machine(make: Callable[[], RunBlocking]) -> None:
    run = make()
    with no_more_threads(), pytest.raises(LocalProblem, match="may not start more threads") as problem:
        await run(int, "7")
    assert problem.value.conclusion is Conclusion.INTERRUPTED
    assert await run(int, "7") == 7


@pytest.mark.parametrize("run", [in_thread, in_thread_while_wanted])
async def test_an_error_of_the_call_stays_its_own(run: RunBlocking) -> None:
    def fail() -> None:
        raise RuntimeError("of another kind")

    with pytest.raises(RuntimeError, match="of another kind"):
        await run(fail)


@pytest.mark.parametrize("steps", range(4))
async def test_a_turn_is_handed_to_the_call_that_waits_for_it(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not to one that comes before the task of the other has noticed it. Then both used a journal at once.

    steps: how far the call that comes has got when the turn becomes free.
    """
    limiter, one_before = anyio.CapacityLimiter(1), object()
    monkeypatch.setattr("roar_publisher.blocking.CapacityLimiter", lambda tokens: limiter)
    run, end = one_at_a_time(), threading.Event()
    limiter.acquire_on_behalf_of_nowait(one_before)
    async with anyio.create_task_group() as group:
        group.start_soon(run, end.wait)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(run, end.wait)
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        limiter.release_on_behalf_of(one_before)
        await anyio.wait_all_tasks_blocked()
        turns = limiter.statistics()
        end.set()
    assert (turns.borrowed_tokens, turns.tasks_waiting) == (1, 1)
