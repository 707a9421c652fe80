"""Blocking calls in threads, also where the system has none left."""

import pytest

from roar_publisher.blocking import RunBlocking, in_thread, one_at_a_time
from roar_publisher.state.errors import Conclusion, LocalProblem
from tests.support.threads import no_more_threads

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """A new loop of asyncio has no idle threads; trio keeps some beyond a test."""
    return "asyncio"


@pytest.mark.parametrize("one", [False, True])
async def test_a_thread_that_cannot_be_started_is_a_problem_of_this_machine(one: bool) -> None:
    run: RunBlocking = one_at_a_time() if one else in_thread
    with no_more_threads(), pytest.raises(LocalProblem, match="may not start more threads") as problem:
        await run(int, "7")
    assert problem.value.conclusion is Conclusion.INTERRUPTED
    assert await run(int, "7") == 7


async def test_an_error_of_the_call_stays_its_own() -> None:
    def fail() -> None:
        raise RuntimeError("of another kind")

    with pytest.raises(RuntimeError, match="of another kind"):
        await in_thread(fail)
