"""Concurrent tasks whose errors arrive as they were raised, on asyncio and on trio.

anyio wraps every error that leaves a task group in an `ExceptionGroup`, which no `except PublisherError` catches. The
helpers of this module raise the first error itself instead; later ones follow from it and are dropped. An error takes
precedence over a cancellation.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, NoReturn, TypeVar

import anyio
from anyio.abc import TaskGroup

from roar_publisher.state.errors import Interrupted

T = TypeVar("T")
U = TypeVar("U")


@asynccontextmanager
async def task_group() -> AsyncIterator[TaskGroup]:
    """Provide a task group like `anyio.create_task_group`, which raises the first error of the block or a task."""
    failure: BaseException | None = None
    try:
        async with anyio.create_task_group() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        failure = _first(group)
    if failure is not None:
        raise failure  # outside the `except` clause, so that the group does not become its context


@asynccontextmanager
async def background(*work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run tasks during the block, and cancel them at its end.

    If a task raises, the block is cancelled and the error is raised in its place. A task that returns ends nothing.
    """
    async with task_group() as tasks:
        for each in work:
            tasks.start_soon(each)
        yield
        tasks.cancel_scope.cancel()


async def until_stopped(stop: anyio.Event, work: Callable[[], Awaitable[T]], *, grace_seconds: float = 0.0) -> T:
    """Return the result of `work`, or cancel it `grace_seconds` after `stop` is set and raise Interrupted.

    A result counts even if it arrives at the same moment. Raises what `work` raises.
    """
    results: list[T] = []

    async def interrupt() -> NoReturn:
        await stop.wait()
        await anyio.sleep(grace_seconds)
        raise Interrupted

    try:
        async with background(interrupt):
            results.append(await work())
    except Interrupted:
        if not results:
            raise
    return results[0]


async def together(first: Callable[[], Awaitable[T]], second: Callable[[], Awaitable[U]]) -> tuple[T, U]:
    """Do two kinds of work concurrently, and return both results. The first error cancels the other and is raised."""
    results: list[U] = []

    async def do_second() -> None:
        results.append(await second())

    async with task_group() as tasks:
        tasks.start_soon(do_second)
        result = await first()
    return result, results[0]


async def for_each(items: Iterable[T], work: Callable[[T], Awaitable[None]], *, at_once: int) -> None:
    """Call `work` for every item, `at_once` of them concurrently. The first error cancels the others and is raised."""
    queue = iter(items)

    async def take() -> None:
        for item in queue:
            await work(item)

    async with task_group() as tasks:
        for _ in range(at_once):
            tasks.start_soon(take)


def _first(error: BaseException) -> BaseException:
    """Return the first error in a group, or its first cancellation if it holds nothing else."""
    while isinstance(error, BaseExceptionGroup):
        _cancelled, errors = error.split(anyio.get_cancelled_exc_class())
        error = (errors or error).exceptions[0]
    return error
