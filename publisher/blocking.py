"""Blocking calls from asynchronous code: the journal, private files, roar.db."""

import functools
from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

from anyio import CapacityLimiter, to_thread

P = ParamSpec("P")
T = TypeVar("T")


class RunBlocking(Protocol):
    """Runs a blocking call and returns its result."""

    async def __call__(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking call in a worker thread, so that the network continues meanwhile.

    The call finishes even if its caller is cancelled.
    """
    return await to_thread.run_sync(functools.partial(call, *args, **kwargs))


def one_at_a_time() -> RunBlocking:
    """Return a runner like `in_thread` that runs one call at a time, because an SQLite connection has one user."""
    limiter = CapacityLimiter(1)

    async def run(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await to_thread.run_sync(functools.partial(call, *args, **kwargs), limiter=limiter)

    return run
